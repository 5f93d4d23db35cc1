//! Steady clients: each inserts and counts documents on its node without a break, and checks the count.
//!
//! A client changes from plaintext to TLS between two operations, like an application whose connection string was
//! changed. Nothing is retried: every error counts as a failure.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bson::rawdoc;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::connector::{Connector, NodeConnection};
use super::tally::{CountedKind, Tally};

/// The handle of a steady client.
#[derive(Debug)]
pub(super) struct SteadyClient {
    /// The index of its node.
    pub(super) node: usize,
    name: String,
    wanted: watch::Sender<Connector>,
    /// The local address of the connection that the last operation used, and the number of changes of `wanted` before
    /// it.
    used: watch::Receiver<Option<(SocketAddr, u64)>>,
}

struct ClientTask {
    name: String,
    node: SocketAddr,
    wanted: watch::Receiver<Connector>,
    used: watch::Sender<Option<(SocketAddr, u64)>>,
    tally: Arc<Tally>,
    /// Number of documents that the server has acknowledged.
    inserted: u64,
}

impl SteadyClient {
    /// Starts a plaintext client, and waits for its first operation.
    pub(super) async fn start(
        number: usize,
        (place, node): (usize, SocketAddr),
        tally: &Arc<Tally>,
        tasks: &mut JoinSet<()>,
    ) -> Result<SteadyClient, String> {
        let name = format!("client {number}");
        let (wanted, wants) = watch::channel(Connector::Plaintext);
        let (uses, used) = watch::channel(None);
        let task =
            ClientTask { name: name.clone(), node, wanted: wants, used: uses, tally: Arc::clone(tally), inserted: 0 };
        tasks.spawn(task.run());
        let client = SteadyClient { node: place, name, wanted, used };
        client.uses(0).await.map(|_| client)
    }

    /// Changes the client's kind of connection, and waits for its first operation on the new connection.
    pub(super) async fn move_to(&self, wire: Connector) -> Result<SocketAddr, String> {
        self.wanted.send_replace(wire);
        self.uses(1).await
    }

    /// The local address of the current connection.
    pub(super) fn local(&self) -> Option<SocketAddr> {
        self.used.borrow().map(|(local, _)| local)
    }

    async fn uses(&self, change: u64) -> Result<SocketAddr, String> {
        let mut used = self.used.clone();
        let seen = timeout(PATIENCE, used.wait_for(|used| used.is_some_and(|(_, of)| of == change))).await;
        let seen = seen.ok().and_then(Result::ok).and_then(|used| *used);
        seen.map(|(local, _)| local).ok_or_else(|| format!("{} completed no operation on a new connection", self.name))
    }
}

impl ClientTask {
    async fn run(mut self) {
        let mut change = 0;
        loop {
            let wire = self.wanted.borrow_and_update().clone();
            match wire.connect(self.node).await {
                Ok(connection) => self.work(connection, change).await,
                Err(got) => self.tally.count(CountedKind::Operation, &self.name, Err(format!("cannot connect: {got}"))),
            }
            if self.wanted.has_changed().unwrap_or(false) {
                change += 1;
            } else {
                sleep(AFTER_FAILURE).await;
            }
        }
    }

    /// Runs operations until one fails or another kind of connection is wanted.
    async fn work(&mut self, mut connection: NodeConnection, change: u64) {
        while !self.wanted.has_changed().unwrap_or(true) {
            let result = self.operate(&mut connection).await;
            let failed = result.is_err();
            self.tally.count(CountedKind::Operation, &self.name, result);
            if failed {
                return;
            }
            let using = Some((connection.local, change));
            self.used.send_if_modified(|used| std::mem::replace(used, using) != using);
            sleep(PAUSE).await;
        }
    }

    /// Inserts a document, unless there are [`MOST_DOCUMENTS`], then counts the documents: as many as were acknowledged
    /// must be found.
    async fn operate(&mut self, connection: &mut NodeConnection) -> Result<(), String> {
        let collection = self.name.replace(' ', "_");
        if self.inserted < MOST_DOCUMENTS {
            connection.insert(&collection, rawdoc! { "n": i64::try_from(self.inserted).unwrap_or(i64::MAX) }).await?;
            self.inserted += 1;
            self.tally.count(CountedKind::Operation, &self.name, Ok(()));
        }
        match connection.count(&collection).await? {
            found if found == self.inserted => Ok(()),
            found => Err(format!("{} documents were acknowledged, but {found} were found", self.inserted)),
        }
    }
}

/// Pause between two pairs of operations: twelve clients make some thousands of operations per second, which leaves
/// time for other work on a small machine.
const PAUSE: Duration = Duration::from_millis(5);
/// Pause before a client that failed connects again.
const AFTER_FAILURE: Duration = Duration::from_millis(100);
/// Number of inserts after which a client only counts: the stand-in keeps all documents in memory, and `--keep` may run
/// for days.
const MOST_DOCUMENTS: u64 = 5_000;
/// Longest wait for a client's next operation.
const PATIENCE: Duration = Duration::from_secs(8);
