//! Connects to a node with plaintext or TLS, and runs a MongoDB client on the connection.

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

use super::truth_table::ClientResult;
use crate::mongo::{CommandError, MongoClient};

/// How to connect: with plaintext or TLS.
#[derive(Debug, Clone)]
pub(super) enum Connector {
    Plaintext,
    /// The TLS configuration, and the name that the server's certificate must have.
    Tls(Arc<ClientConfig>, ServerName<'static>),
}

pub(super) struct NodeConnection {
    client: MongoClient<Box<dyn DemoStream>>,
    /// The local address, which the node sees as the peer address.
    pub(super) local: SocketAddr,
}

/// A TCP or TLS stream.
trait DemoStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> DemoStream for S {}

impl Connector {
    /// Connects and sends `hello`.
    ///
    /// # Errors
    /// The MongoDB error, TLS alert or other failure; never [`ClientResult::Accepted`].
    pub(super) async fn connect(&self, to: SocketAddr) -> Result<NodeConnection, ClientResult> {
        let connecting = async {
            let socket = TcpStream::connect(to).await.map_err(|error| of_io(&error))?;
            socket.set_nodelay(true).map_err(|error| of_io(&error))?;
            let local = socket.local_addr().map_err(|error| of_io(&error))?;
            let stream: Box<dyn DemoStream> = match self {
                Connector::Plaintext => Box::new(socket),
                Connector::Tls(config, name) => {
                    let connecting = TlsConnector::from(Arc::clone(config)).connect(name.clone(), socket);
                    Box::new(connecting.await.map_err(|error| of_io(&error))?)
                }
            };
            let mut client = MongoClient::over(stream);
            client.hello().await.map_err(of_client)?;
            Ok(NodeConnection { client, local })
        };
        timeout(PATIENCE, connecting).await.unwrap_or_else(|_| Err(ClientResult::Other(no_answer())))
    }
}

impl NodeConnection {
    pub(super) async fn ping(&mut self) -> Result<(), String> {
        timely(self.client.ping()).await
    }

    pub(super) async fn insert(&mut self, collection: &str, document: RawDocumentBuf) -> Result<(), String> {
        match timely(self.client.insert(DATABASE, collection, &[document])).await? {
            1 => Ok(()),
            other => Err(format!("inserting one document reported {other}")),
        }
    }

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

fn of_client(error: CommandError) -> ClientResult {
    match error {
        CommandError::Refused { code, text } => ClientResult::Error { code, text },
        CommandError::Io(error) => of_io(&error),
        CommandError::Closed | CommandError::Malformed(_) => ClientResult::Other(error.to_string()),
    }
}

fn of_io(error: &io::Error) -> ClientResult {
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(rustls::Error::AlertReceived(alert)) => ClientResult::Alert(u8::from(*alert)),
        _ => ClientResult::Other(error.to_string()),
    }
}

fn no_answer() -> String {
    format!("no answer within {} s", PATIENCE.as_secs())
}

const DATABASE: &str = "demo";
/// Longest wait for an answer on loopback, longer than any delay on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
