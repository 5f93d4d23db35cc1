//! The connection to an admin port: TCP, TLS over it, or a Unix socket. Made within its time, used once.

use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::{AdminAddress, ClientError};
use crate::limits::CLIENT_CONNECT;
use crate::net::{HostPort, UpstreamAddress};
use crate::tls::{self, ClientStream, HandshakeError, Material};

/// A connection.
#[derive(Debug)]
pub(super) enum Link {
    Tcp(TcpStream),
    Tls(ClientStream),
    Unix(UnixStream),
}

/// Connects; by TLS where there is something to do it with.
pub(super) async fn connect(address: &AdminAddress, tls: Option<&Material>) -> Result<Link, ClientError> {
    let shown = || address.to_string();
    let connecting = async {
        match &address.0 {
            UpstreamAddress::Tcp(HostPort { host, port }) => TcpStream::connect((&**host, *port)).await.map(Link::Tcp),
            UpstreamAddress::Unix(path) => UnixStream::connect(path).await.map(Link::Unix),
        }
    };
    let link = timeout(CLIENT_CONNECT, connecting).await;
    let link =
        link.map_err(|_| ClientError::TimedOut { address: shown(), what: "connection", limit: CLIENT_CONNECT })?;
    let link = link.map_err(|error| failure(address, error))?;
    match (link, &address.0, tls) {
        (Link::Tcp(socket), UpstreamAddress::Tcp(target), Some(tls)) => {
            let stream = handshake(socket, &target.host, tls).await;
            stream.map(Link::Tls).map_err(|error| ClientError::Handshake { address: shown(), error })
        }
        (link, ..) => Ok(link),
    }
}

/// The name asked for is the name verified.
async fn handshake(socket: TcpStream, host: &str, tls: &Material) -> Result<ClientStream, HandshakeError> {
    let unusable = |why: &str| HandshakeError::Socket(io::Error::other(why.to_owned()));
    let host = host.strip_suffix('.').unwrap_or(host);
    let name = ServerName::try_from(host.to_owned()).map_err(|_| unusable("the host has no name to verify"))?;
    let config = tls.client_config(std::slice::from_ref(&name)).ok_or_else(|| unusable("no CA to verify it with"))?;
    tls::connect(socket, Arc::clone(&config), name, CLIENT_CONNECT).await
}

fn failure(address: &AdminAddress, error: io::Error) -> ClientError {
    let local = matches!(address.0, UpstreamAddress::Unix(_));
    let address = address.to_string();
    #[expect(clippy::wildcard_enum_match_arm, reason = "a foreign list without an end")]
    match error.kind() {
        io::ErrorKind::ConnectionRefused => ClientError::NobodyListens { address },
        io::ErrorKind::NotFound if local => ClientError::NobodyListens { address },
        io::ErrorKind::PermissionDenied if local => ClientError::NotOurs { address },
        _ => ClientError::Connect { address, error },
    }
}
