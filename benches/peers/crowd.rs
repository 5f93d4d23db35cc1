//! Thousands of clients that connect at the same time, as after a failover: how long it takes until all have an answer.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::floor;
use super::support::Certs;

/// How many clients connect.
pub(crate) const CLIENTS: usize = 5_000;

/// What became of the clients.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Crowd {
    /// When the last of them had its answer, in seconds after the first connect.
    pub(crate) all_in: f64,
    /// How many were refused, reset or had no answer within [`LIMIT`].
    pub(crate) failed: usize,
}

/// Lets all clients connect at the same time. Each makes a full handshake, sends a request and waits for its answer; all
/// connections stay open until the last has it.
///
/// # Errors
/// There is no runtime.
pub(crate) fn come(certs: &Certs, port: u16) -> Result<Crowd, String> {
    // One thread: the other core is the proxy's.
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let connector = TlsConnector::from(floor::client(&certs.ca, false)?);
    runtime.block_on(async {
        let began = Instant::now();
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            clients.spawn(timeout(LIMIT, one(connector.clone(), port)));
        }
        let (mut open, mut failed, mut all_in) = (Vec::new(), 0, 0.0);
        while let Some(client) = clients.join_next().await {
            match client {
                Ok(Ok(Ok(connection))) => {
                    all_in = began.elapsed().as_secs_f64();
                    open.push(connection);
                }
                Ok(Ok(Err(_)) | Err(_)) | Err(_) => failed += 1,
            }
        }
        Ok(Crowd { all_in, failed })
    })
}

async fn one(connector: TlsConnector, port: u16) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let name = ServerName::try_from("localhost").map_err(std::io::Error::other)?;
    let socket = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
    let mut client = connector.connect(name, socket).await?;
    // The echo protocol of `tlsramp load`: `L`, the lengths of the payload and of the answer, the payload.
    client.write_all(b"L\x01\0\0\0\x01\0\0\0x").await?;
    client.read_exact(&mut [0]).await?;
    Ok(client)
}

/// Far more than any proxy takes; a client whose SYN is dropped tries again after 1, 3 and 7 s.
const LIMIT: Duration = Duration::from_secs(60);
