//! Listens, serves connections and stops.
//!
//! Connections beyond the limit wait in the kernel's queue. There are no timeouts: like mongod, the server keeps silent
//! clients.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::{JoinHandle, JoinSet},
};

use super::{
    commands::{StandInContext, StandInData, answer, lock, place},
    counters::{LiveCounters, StandInCounters},
};
use crate::{
    limits::{MAX_MESSAGE_BYTES, STANDIN_ACCEPT_PAUSE, STANDIN_CONNECTIONS},
    mongo::{
        Request,
        server::{BadMessage, CommandService, ServerLimits, ServiceReply, serve},
    },
};

/// A server that listens but does not accept yet.
#[derive(Debug)]
pub struct StandIn {
    listener: TcpListener,
    address: SocketAddr,
}

/// A running server. Dropping it stops the server without waiting.
#[derive(Debug)]
pub struct StandInHandle {
    address: SocketAddr,
    shared: Arc<StandInState>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct StandInState {
    data: Mutex<StandInData>,
    counters: LiveCounters,
}

impl StandIn {
    /// Opens the listener. With port 0, the kernel chooses a free port.
    ///
    /// # Errors
    ///
    /// The address cannot be bound.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// The listening address.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves on the current tokio runtime until the handle is stopped or dropped.
    pub fn spawn(self) -> StandInHandle {
        let shared = Arc::new(StandInState::default());
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(accept(self.listener, Arc::clone(&shared), stopped));
        StandInHandle { address: self.address, shared, stop, task }
    }
}

impl StandInHandle {
    /// The listening address.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The counters so far.
    pub fn counters(&self) -> StandInCounters {
        self.shared.counters.read()
    }

    /// The number of documents, over all collections.
    pub fn documents(&self) -> usize {
        lock(&self.shared.data).store.len()
    }

    /// Closes the listener and all connections, and waits until they are closed.
    pub async fn stop(self) {
        drop(self.stop);
        // Fails only if the task has panicked, which the runtime has reported.
        let _ = self.task.await;
    }
}

/// Accepts until `stopped`, then closes every connection.
async fn accept(listener: TcpListener, shared: Arc<StandInState>, mut stopped: oneshot::Receiver<()>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < STANDIN_CONNECTIONS => match accepted {
                Ok((stream, peer)) => {
                    let number = shared.counters.accepted.fetch_add(1, Relaxed) + 1;
                    connections.spawn(connection(stream, peer, number, Arc::clone(&shared)));
                }
                Err(_) => tokio::time::sleep(STANDIN_ACCEPT_PAUSE).await,
            },
        }
    }
    drop(listener);
    connections.shutdown().await;
}

/// Serves one connection. Only the counters show how it ended.
async fn connection(mut stream: TcpStream, peer: SocketAddr, number: u64, shared: Arc<StandInState>) {
    let _closed = Closed(&shared.counters);
    // The connection works without this option too.
    let _ = stream.set_nodelay(true);
    let mut commands = StandInCommands { shared: &shared, peer, number };
    if let Err(error) = serve(&mut stream, &LIMITS, &mut commands).await
        && error.kind() == io::ErrorKind::InvalidData
    {
        shared.counters.malformed.fetch_add(1, Relaxed);
    }
}

/// Like mongod, the server does not close idle connections.
const LIMITS: ServerLimits = ServerLimits {
    message_bytes: MAX_MESSAGE_BYTES,
    idle: Duration::MAX,
    request: Duration::MAX,
    reply: Duration::MAX,
};

struct StandInCommands<'a> {
    shared: &'a StandInState,
    peer: SocketAddr,
    number: u64,
}

impl CommandService for StandInCommands<'_> {
    async fn answer(&mut self, request: Result<&Request, &BadMessage<'_>>) -> ServiceReply {
        let StandInCommands { shared, peer, number } = *self;
        let Ok(request) = request else {
            shared.counters.malformed.fetch_add(1, Relaxed);
            return ServiceReply::Close;
        };
        let document = answer(&StandInContext { data: &shared.data, peer, connection: number }, request);
        shared.counters.command(place(&request.name));
        ServiceReply::Reply(document)
    }

    /// The server stops by aborting the task.
    async fn stopped(&self) {
        std::future::pending().await
    }
}

/// Counts a connection as closed on drop, however its task ends.
struct Closed<'a>(&'a LiveCounters);

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.0.closed.fetch_add(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use bson::rawdoc;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::mongo::{CommandError, MongoClient};

    async fn start() -> StandInHandle {
        StandIn::bind(([127, 0, 0, 1], 0).into()).await.unwrap().spawn()
    }

    async fn connect(server: &StandInHandle) -> MongoClient<TcpStream> {
        MongoClient::over(TcpStream::connect(server.local_addr()).await.unwrap())
    }

    #[tokio::test]
    async fn inserts_are_found_counted_and_kept_once() {
        let server = start().await;
        let mut client = connect(&server).await;
        assert_eq!(client.hello().await.unwrap().get_i32("maxWireVersion").unwrap(), 17);
        client.ping().await.unwrap();
        let documents: Vec<_> = (0..250).map(|id| rawdoc! { "_id": id, "third": id % 3 }).collect();
        assert_eq!(client.insert("d", "c", &documents).await.unwrap(), 250);
        assert!(matches!(
            client.insert("d", "c", &documents[..1]).await,
            Err(CommandError::Refused { code: 11000, .. })
        ));
        assert_eq!((client.count("d", "c").await.unwrap(), server.documents()), (250, 250));

        let found = client.command("d", &rawdoc! { "find": "c", "filter": { "third": 0 } }).await.unwrap();
        let cursor = found.get_document("cursor").unwrap();
        assert_eq!(cursor.get_array("firstBatch").unwrap().into_iter().count(), 84);
        assert_eq!(cursor.get_i64("id").unwrap(), 0);
        let found = client.command("d", &rawdoc! { "find": "c" }).await.unwrap();
        let id = found.get_document("cursor").unwrap().get_i64("id").unwrap();
        // As drivers may, the next batch is requested on another connection.
        let mut other = connect(&server).await;
        let rest = other.command("d", &rawdoc! { "getMore": id, "collection": "c" }).await.unwrap();
        let rest = rest.get_document("cursor").unwrap();
        assert_eq!(rest.get_array("nextBatch").unwrap().into_iter().count(), 149);
        assert_eq!(rest.get_i64("id").unwrap(), 0);

        let counters = server.counters();
        assert_eq!((counters.connections_accepted, counters.connections_open), (2, 2));
        assert_eq!((counters.command("insert"), counters.command("find"), counters.operations), (2, 2, 8));
        server.stop().await;
        assert!(matches!(client.ping().await, Err(CommandError::Closed | CommandError::Io(_))));
    }

    #[tokio::test]
    async fn what_it_does_not_know_it_refuses_by_name() {
        let server = start().await;
        let mut client = connect(&server).await;
        for (command, code, text) in [
            (rawdoc! { "shutdown": 1 }, 59, "no such command: 'shutdown'"),
            (rawdoc! { "getParameter": 1, "featureCompatibilityVersion": 1 }, 59, "no such command: 'getParameter'"),
            (rawdoc! { "find": "c", "sort": { "a": 1 } }, 2, "'sort'"),
            (rawdoc! { "find": "c", "filter": { "a": { "$gt": 1 } } }, 2, "'a'"),
            (rawdoc! { "find": "c", "limit": -1 }, 2, "'limit'"),
            (rawdoc! { "find": 1 }, 73, "'find'"),
            (rawdoc! { "getMore": 77_i64, "collection": "c" }, 43, "cursor id 77 not found"),
            (rawdoc! { "insert": "c", "documents": [] }, 16, "between 1 and"),
            (rawdoc! { "insert": "c", "documents": [1] }, 2, "'documents'"),
            (rawdoc! { "aggregate": "c", "pipeline": [{ "$sort": { "a": 1 } }], "cursor": {} }, 2, "$group"),
        ] {
            let Err(CommandError::Refused { code: seen, text: said }) = client.command("d", &command).await else {
                panic!("{command:?} is not refused");
            };
            assert!(seen == code && said.contains(text), "{seen} {said}");
        }
        assert_eq!(server.counters().command("other"), 1);
    }

    #[tokio::test]
    async fn legacy_clients_are_answered_and_garbage_is_closed() {
        let server = start().await;
        let mut client = connect(&server).await;
        let answer = client.query("admin", &rawdoc! { "isMaster": 1 }).await.unwrap();
        assert!(answer.get_bool("ismaster").unwrap());
        let mut stream = client.into_inner();
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let mut rest = Vec::new();
        // The connection was closed with unread bytes, which ends in an end of stream or a reset.
        let _ = stream.read_to_end(&mut rest).await;
        assert!(rest.is_empty());
        while server.counters().connections_open > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(server.counters().malformed, 1);
    }
}
