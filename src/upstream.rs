//! Connects to a server: dials it with a permit and establishes the link that the permit demands. There is no fallback
//! to a weaker link.
//!
//! The data plane does this for every connection; the control plane does it to probe whether the server can be reached.
//! Dialling and establishing the link are separate steps, so that the caller can record the local address before the
//! handshake. The server sees this address as its client's.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;

use crate::net::{self, DialError, HostPort, Resolver, UpstreamAddress};
use crate::policy::{Link, Permit};
use crate::stream::Stream;
use crate::tls::{self, HandshakeError, Material, PeerFault};

/// How a server is reached: its endpoint, and the names that its certificate is verified against.
#[derive(Debug, PartialEq, Eq)]
pub struct Upstream {
    /// The server's name in records and replies.
    pub name: Arc<str>,
    endpoint: Endpoint,
    names: Vec<ServerName<'static>>,
}

#[derive(Debug, PartialEq, Eq)]
enum Endpoint {
    Tcp {
        resolver: Arc<Resolver>,
        /// The source address of the dial.
        source: Option<IpAddr>,
    },
    /// A Unix socket, always plaintext: a configuration that would use TLS on it is refused at start.
    Unix(PathBuf),
}

/// The error for a host that is neither a DNS name nor an IP address, so that no certificate can be verified for it.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no name that a certificate can bear")]
pub struct BadName(String);

/// A dialled connection on which the link is not established yet.
#[derive(Debug)]
pub struct UpstreamSocket {
    socket: Stream,
    link: Link,
    /// The local address, which the server sees as its client's address.
    pub local: Option<SocketAddr>,
    /// The address that was dialled.
    pub remote: Option<SocketAddr>,
}

/// Why the link could not be established on a connection.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The handshake failed.
    #[error("{0}")]
    Tls(HandshakeError),
    /// The TLS files cannot serve the mode. Unexpected, since start, `check` and the controller refuse such a mode.
    #[error("no TLS material for what the mode demands")]
    NoMaterial,
}

impl Upstream {
    /// Creates the upstream for a TCP server whose certificate must be for `certificate_name`.
    ///
    /// # Errors
    /// [`BadName`] if that name is neither a DNS name nor an IP address.
    pub fn tcp(
        resolver: Arc<Resolver>,
        name: String,
        certificate_name: &str,
        source: Option<IpAddr>,
    ) -> Result<Upstream, BadName> {
        let verified = ServerName::try_from(certificate_name.trim_end_matches('.').to_owned())
            .map_err(|_| BadName(certificate_name.to_owned()))?;
        Ok(Upstream { name: name.into(), endpoint: Endpoint::Tcp { resolver, source }, names: vec![verified] })
    }

    /// Creates the upstream for a server on a Unix socket.
    pub fn unix(path: &Path) -> Upstream {
        let name = UpstreamAddress::Unix(path.to_owned()).to_string().into();
        Upstream { name, endpoint: Endpoint::Unix(path.to_owned()), names: Vec::new() }
    }

    /// Creates the upstream for a server at an address, whose certificate must be for one of `names`.
    pub fn address(name: String, address: SocketAddr, names: Vec<ServerName<'static>>) -> Upstream {
        let target = HostPort { host: address.ip().to_canonical().to_string(), port: address.port() };
        let endpoint = Endpoint::Tcp { resolver: Arc::new(Resolver::new(target)), source: None };
        Upstream { name: name.into(), endpoint, names }
    }

    /// Returns the names that are accepted for the server; its certificate must contain one of them. Empty for a Unix
    /// socket.
    pub fn names(&self) -> &[ServerName<'static>] {
        &self.names
    }

    /// Connects to the server.
    ///
    /// # Errors
    /// [`DialError`]
    pub async fn dial(&self, permit: Permit, limit: Duration) -> Result<UpstreamSocket, DialError> {
        match &self.endpoint {
            Endpoint::Unix(path) => {
                let dialled = net::dial_unix(permit, path, limit).await?;
                Ok(UpstreamSocket {
                    socket: Stream::Unix(dialled.socket),
                    link: dialled.link,
                    local: None,
                    remote: None,
                })
            }
            Endpoint::Tcp { resolver, source } => {
                let dialled = net::dial(permit, resolver, *source, limit).await?;
                let net::DialledSocket { socket, link, local, remote } = dialled;
                Ok(UpstreamSocket { socket: Stream::Tcp(socket), link, local, remote })
            }
        }
    }

    /// Establishes the link that the permit demanded on a dialled connection. A TLS server receives `sni` as its server
    /// name if given, otherwise the first of the names that its certificate is verified against.
    ///
    /// # Errors
    /// [`LinkError`]; the connection is closed.
    pub async fn link(
        &self,
        dialled: UpstreamSocket,
        sni: Option<&str>,
        material: &Material,
        limit: Duration,
    ) -> Result<Stream, LinkError> {
        let names = &*self.names;
        match (dialled.socket, dialled.link) {
            (socket, Link::Plaintext | Link::Untouched) => Ok(socket),
            (Stream::Tcp(socket), Link::Tls) => {
                let asked = sni.and_then(|name| ServerName::try_from(name.to_owned()).ok());
                let name = asked.or_else(|| names.first().cloned()).ok_or(LinkError::NoMaterial)?;
                let config = material.client_config(names).ok_or(LinkError::NoMaterial)?;
                let stream = tls::connect_budgeted(socket, config, name, limit).await.map_err(LinkError::Tls)?;
                Ok(Stream::ToServer(stream))
            }
            (Stream::Unix(_) | Stream::FromClient(_) | Stream::ToServer(_), Link::Tls) => Err(LinkError::NoMaterial),
        }
    }
}

impl LinkError {
    /// Returns the server's fault if tlsramp has a remedy for it, otherwise `PeerFault::Other`.
    pub fn fault(&self) -> PeerFault {
        match self {
            LinkError::Tls(error) => error.fault(),
            LinkError::NoMaterial => PeerFault::Other,
        }
    }
}
