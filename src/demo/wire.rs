//! One connection of the demo's own, plaintext or TLS, with MongoDB spoken over it; and the words for its failure.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bson::raw::RawDocumentBuf;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::truth::Got;
use crate::mongo::{CommandError, MongoClient};

/// What a connection is made of.
#[derive(Debug, Clone)]
pub(super) enum Wire {
    /// A plain connection.
    Plaintext,
    /// TLS to a server of this name.
    Tls(Arc<ClientConfig>, ServerName<'static>),
}

/// A connection.
pub(super) struct Connection {
    client: MongoClient<Box<dyn Stream>>,
    /// Our own address, by which the node's tlsramp knows it.
    pub(super) local: SocketAddr,
}

/// Either stream.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Wire {
    /// Connects, with a handshake where it is TLS, and says `hello`.
    ///
    /// # Errors
    /// What came instead of an answer.
    pub(super) async fn connect(&self, to: SocketAddr) -> Result<Connection, Got> {
        let connecting = async {
            let socket = TcpStream::connect(to).await.map_err(|error| of_io(&error))?;
            socket.set_nodelay(true).map_err(|error| of_io(&error))?;
            let local = socket.local_addr().map_err(|error| of_io(&error))?;
            let stream: Box<dyn Stream> = match self {
                Wire::Plaintext => Box::new(socket),
                Wire::Tls(config, name) => {
                    let connecting = TlsConnector::from(Arc::clone(config)).connect(name.clone(), socket);
                    Box::new(connecting.await.map_err(|error| of_io(&error))?)
                }
            };
            let mut client = MongoClient::over(stream);
            client.hello().await.map_err(of_client)?;
            Ok(Connection { client, local })
        };
        timeout(PATIENCE, connecting).await.unwrap_or_else(|_| Err(Got::Other(no_answer())))
    }
}

impl Connection {
    /// Asks whether the server answers.
    ///
    /// # Errors
    /// In words; the connection is of no more use.
    pub(super) async fn ping(&mut self) -> Result<(), String> {
        timely(self.client.ping()).await
    }

    /// Inserts one document.
    ///
    /// # Errors
    /// As [`Connection::ping`].
    pub(super) async fn insert(&mut self, collection: &str, document: RawDocumentBuf) -> Result<(), String> {
        match timely(self.client.insert(DATABASE, collection, &[document])).await? {
            1 => Ok(()),
            other => Err(format!("an insert of one document made {other}")),
        }
    }

    /// Counts the documents of a collection.
    ///
    /// # Errors
    /// As [`Connection::ping`].
    pub(super) async fn count(&mut self, collection: &str) -> Result<u64, String> {
        timely(self.client.count(DATABASE, collection)).await
    }
}

async fn timely<T>(answer: impl Future<Output = Result<T, CommandError>>) -> Result<T, String> {
    match timeout(PATIENCE, answer).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(no_answer()),
    }
}

fn of_client(error: CommandError) -> Got {
    match error {
        CommandError::Refused { code, text } => Got::Error { code, text },
        CommandError::Io(error) => of_io(&error),
        CommandError::Closed | CommandError::Malformed(_) => Got::Other(error.to_string()),
    }
}

fn of_io(error: &io::Error) -> Got {
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(rustls::Error::AlertReceived(alert)) => Got::Alert(u8::from(*alert)),
        _ => Got::Other(error.to_string()),
    }
}

fn no_answer() -> String {
    format!("no answer within {} s", PATIENCE.as_secs())
}

/// Where the clients' documents go.
const DATABASE: &str = "demo";
/// Longest wait for an answer on loopback: far beyond a busy machine's delays.
const PATIENCE: Duration = Duration::from_secs(5);
