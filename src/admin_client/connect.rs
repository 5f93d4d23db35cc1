//! Connects to an admin port by TCP, TLS or a Unix socket, within a bounded time.

use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::address::AdminAddress;
use super::error::ClientError;
use crate::limits::CLIENT_CONNECT;
use crate::net::{HostPort, UpstreamAddress};
use crate::stream::Stream;
use crate::tls::{self, ClientStream, HandshakeError, Material};

/// Connects, with TLS if there is material for it.
pub(super) async fn connect(address: &AdminAddress, tls: Option<&Material>) -> Result<Stream, ClientError> {
    match &address.0 {
        UpstreamAddress::Unix(path) => Ok(Stream::Unix(in_time(address, UnixStream::connect(path)).await?)),
        UpstreamAddress::Tcp(HostPort { host, port }) => {
            let socket = in_time(address, TcpStream::connect((&**host, *port))).await?;
            let Some(tls) = tls else { return Ok(Stream::Tcp(socket)) };
            let stream = handshake(socket, host, tls).await;
            stream.map(Stream::ToServer).map_err(|error| ClientError::Handshake { address: address.to_string(), error })
        }
    }
}

async fn in_time<T>(address: &AdminAddress, connecting: impl Future<Output = io::Result<T>>) -> Result<T, ClientError> {
    let late = || ClientError::TimedOut { address: address.to_string(), what: "connection", limit: CLIENT_CONNECT };
    let connected = timeout(CLIENT_CONNECT, connecting).await.map_err(|_| late())?;
    connected.map_err(|error| failure(address, error))
}

/// Makes the TLS handshake, which verifies the server's certificate for `host`.
async fn handshake(socket: TcpStream, host: &str, tls: &Material) -> Result<ClientStream, HandshakeError> {
    let unusable = |why: &str| HandshakeError::Socket(io::Error::other(why.to_owned()));
    let host = host.strip_suffix('.').unwrap_or(host);
    let name = ServerName::try_from(host.to_owned()).map_err(|_| {
        unusable("the host is neither a DNS name nor an IP address, so no certificate can be verified for it")
    })?;
    let config = tls
        .client_config(std::slice::from_ref(&name))
        .ok_or_else(|| unusable("there is no CA file to verify the certificate with"))?;
    tls::connect(socket, Arc::clone(&config), name, CLIENT_CONNECT).await
}

fn failure(address: &AdminAddress, error: io::Error) -> ClientError {
    let local = matches!(address.0, UpstreamAddress::Unix(_));
    let address = address.to_string();
    #[expect(clippy::wildcard_enum_match_arm, reason = "the enum is not exhaustive")]
    match error.kind() {
        io::ErrorKind::ConnectionRefused => ClientError::NobodyListens { address },
        io::ErrorKind::NotFound if local => ClientError::NobodyListens { address },
        io::ErrorKind::PermissionDenied if local => ClientError::NotOurs { address },
        _ => ClientError::Connect { address, error },
    }
}
