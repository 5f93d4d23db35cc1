//! The way to a server: dialled with the permit, and made what the permit says. There is no lesser link to fall
//! back to.
//!
//! The data plane goes it for every connection, the control plane to see whether it can be gone. Two steps, since
//! the address that the server will see as its client is known after the first.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream};

use crate::net::{self, DialError, HostPort, Resolver};
use crate::policy::{Link, Permit};
use crate::tls::{self, ClientStream, HandshakeError, Material, PeerFault};

/// How a server is reached.
#[derive(Debug)]
pub enum Upstream {
    /// By TCP.
    Tcp {
        /// Its addresses.
        resolver: Resolver,
        /// Where the dial comes from.
        source: Option<IpAddr>,
        /// Whom its certificate must name.
        names: Vec<ServerName<'static>>,
    },
    /// By a Unix domain socket, always plaintext: a configuration that would speak TLS on one is refused at start.
    Unix(PathBuf),
}

/// A host that is neither a DNS name nor an address as TLS knows them, so that nothing could verify it.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no name that a certificate can bear")]
pub struct BadName(String);

/// A connection that is not yet what it must become.
#[derive(Debug)]
pub struct Dialled {
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
    /// The way to a TCP server whose certificate must be for `name`.
    ///
    /// # Errors
    /// [`BadName`], for characters that no certificate's name has.
    pub fn tcp(target: &HostPort, name: &str, source: Option<IpAddr>) -> Result<Upstream, BadName> {
        let name = ServerName::try_from(name.trim_end_matches('.').to_owned()).map_err(|_| BadName(name.to_owned()))?;
        Ok(Upstream::Tcp { resolver: Resolver::new(target.clone()), source, names: vec![name] })
    }

    /// The way to a server by its address alone, whose certificate must be for one of these names.
    #[must_use]
    pub fn address(address: SocketAddr, names: Vec<ServerName<'static>>) -> Upstream {
        let target = HostPort { host: address.ip().to_canonical().to_string(), port: address.port() };
        Upstream::Tcp { resolver: Resolver::new(target), source: None, names }
    }

    /// The names of which the server's certificate must have one; none where no certificate is looked at.
    #[must_use]
    pub fn names(&self) -> &[ServerName<'static>] {
        match self {
            Upstream::Tcp { names, .. } => names,
            Upstream::Unix(_) => &[],
        }
    }

    /// Connects.
    ///
    /// # Errors
    /// [`DialError`]
    pub async fn dial(&self, permit: Permit, limit: Duration) -> Result<Dialled, DialError> {
        match self {
            Upstream::Unix(path) => {
                let dialled = net::dial_unix(permit, path, limit).await?;
                Ok(Dialled { socket: Socket::Unix(dialled.socket), link: dialled.link, local: None, remote: None })
            }
            Upstream::Tcp { resolver, source, .. } => {
                let dialled = net::dial(permit, resolver, *source, limit).await?;
                let net::Dialled { socket, link, local, remote } = dialled;
                Ok(Dialled { socket: Socket::Tcp(socket), link, local, remote })
            }
        }
    }

    /// Makes of a connection what its permit said. A TLS server hears the name `sni`, or else the one that is verified.
    ///
    /// # Errors
    /// [`LinkError`]; the connection is closed.
    pub async fn link(
        &self,
        dialled: Dialled,
        sni: Option<&str>,
        material: &Material,
        limit: Duration,
    ) -> Result<Stream, LinkError> {
        match (dialled.socket, dialled.link, self) {
            (Socket::Tcp(socket), Link::Plaintext | Link::Untouched, _) => Ok(Stream::Tcp(socket)),
            (Socket::Unix(socket), Link::Plaintext | Link::Untouched, _) => Ok(Stream::Unix(socket)),
            (Socket::Tcp(socket), Link::Tls, Upstream::Tcp { names, .. }) => {
                let asked = sni.and_then(|name| ServerName::try_from(name.to_owned()).ok());
                let name = asked.or_else(|| names.first().cloned()).ok_or(LinkError::NoMaterial)?;
                let config = material.client_config(names).ok_or(LinkError::NoMaterial)?;
                let stream = tls::connect_counted(socket, config, name, limit).await.map_err(LinkError::Tls)?;
                Ok(Stream::Tls(stream))
            }
            (Socket::Tcp(_) | Socket::Unix(_), Link::Tls, _) => Err(LinkError::NoMaterial),
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
