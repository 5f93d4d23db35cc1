//! The way to a server: dialled with the permit, and made what the permit says. There is no lesser link to fall
//! back to.
//!
//! The data plane goes it for every connection, the control plane to see whether it can be gone. Two steps, since
//! the address that the server will see as its client is known after the first.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream};

use crate::net::{self, DialError, HostPort, Resolver, UpstreamAddress};
use crate::policy::{Link, Permit};
use crate::tls::{self, ClientStream, HandshakeError, Material, PeerFault};

/// How a server is reached.
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
    /// Always plaintext: a configuration that would use TLS on a Unix socket is refused at start.
    Unix(PathBuf),
}

/// A host that is neither a DNS name nor an address as TLS knows them, so that nothing could verify it.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no name that a certificate can bear")]
pub struct BadName(String);

/// A connection that is not yet what it must become.
#[derive(Debug)]
pub struct UpstreamSocket {
    socket: Socket,
    link: Link,
    /// Our own address on it: what the server sees as its client.
    pub local: Option<SocketAddr>,
    /// The address that was dialled.
    pub remote: Option<SocketAddr>,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A link to a server.
#[derive(Debug)]
pub enum Stream {
    /// Plaintext, or the client's own TLS.
    Tcp(TcpStream),
    /// Plaintext.
    Unix(UnixStream),
    /// TLS of ours.
    Tls(ClientStream),
}

/// Why a connection did not become a link.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The handshake failed.
    #[error("{0}")]
    Tls(HandshakeError),
    /// The TLS files at hand cannot serve it; start, check and the controller all refuse to get there.
    #[error("no TLS material for what the mode demands")]
    NoMaterial,
}

impl Upstream {
    /// A TCP server whose certificate must be for `certificate_name`.
    ///
    /// # Errors
    /// [`BadName`]
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

    /// A server on a Unix socket.
    #[must_use]
    pub fn unix(path: &Path) -> Upstream {
        let name = UpstreamAddress::Unix(path.to_owned()).to_string().into();
        Upstream { name, endpoint: Endpoint::Unix(path.to_owned()), names: Vec::new() }
    }

    /// A server at an address, whose certificate must be for one of `names`.
    #[must_use]
    pub fn address(name: String, address: SocketAddr, names: Vec<ServerName<'static>>) -> Upstream {
        let target = HostPort { host: address.ip().to_canonical().to_string(), port: address.port() };
        let endpoint = Endpoint::Tcp { resolver: Arc::new(Resolver::new(target)), source: None };
        Upstream { name: name.into(), endpoint, names }
    }

    /// The names of which the server's certificate must have one; none for a Unix socket.
    #[must_use]
    pub fn names(&self) -> &[ServerName<'static>] {
        &self.names
    }

    /// Connects.
    ///
    /// # Errors
    /// [`DialError`]
    pub async fn dial(&self, permit: Permit, limit: Duration) -> Result<UpstreamSocket, DialError> {
        match &self.endpoint {
            Endpoint::Unix(path) => {
                let dialled = net::dial_unix(permit, path, limit).await?;
                Ok(UpstreamSocket {
                    socket: Socket::Unix(dialled.socket),
                    link: dialled.link,
                    local: None,
                    remote: None,
                })
            }
            Endpoint::Tcp { resolver, source } => {
                let dialled = net::dial(permit, resolver, *source, limit).await?;
                let net::DialledSocket { socket, link, local, remote } = dialled;
                Ok(UpstreamSocket { socket: Socket::Tcp(socket), link, local, remote })
            }
        }
    }

    /// Makes of a connection what its permit said. A TLS server hears the name `sni`, or else the one that is verified.
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
            (Socket::Tcp(socket), Link::Plaintext | Link::Untouched) => Ok(Stream::Tcp(socket)),
            (Socket::Unix(socket), Link::Plaintext | Link::Untouched) => Ok(Stream::Unix(socket)),
            (Socket::Tcp(socket), Link::Tls) => {
                let asked = sni.and_then(|name| ServerName::try_from(name.to_owned()).ok());
                let name = asked.or_else(|| names.first().cloned()).ok_or(LinkError::NoMaterial)?;
                let config = material.client_config(names).ok_or(LinkError::NoMaterial)?;
                let stream = tls::connect_budgeted(socket, config, name, limit).await.map_err(LinkError::Tls)?;
                Ok(Stream::Tls(stream))
            }
            (Socket::Unix(_), Link::Tls) => Err(LinkError::NoMaterial),
        }
    }
}

impl LinkError {
    /// What is wrong with the server, as far as something can be done about it on this side.
    #[must_use]
    pub fn fault(&self) -> PeerFault {
        match self {
            LinkError::Tls(error) => error.fault(),
            LinkError::NoMaterial => PeerFault::Other,
        }
    }
}

impl Stream {
    /// The TLS version agreed on, if it is TLS of ours.
    #[must_use]
    pub fn tls_version(&self) -> Option<&'static str> {
        match self {
            Stream::Tls(stream) => stream.session().protocol_version().and_then(tls::version_name),
            Stream::Tcp(_) | Stream::Unix(_) => None,
        }
    }
}
