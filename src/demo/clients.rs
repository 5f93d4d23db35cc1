//! Steady clients: each inserts and counts without a pause on its node, and knows how many documents it should find.
//!
//! A client changes from plaintext to TLS between two operations, as an application does whose connection string
//! was changed. It tries nothing twice: whatever goes wrong is a failure, and counted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bson::rawdoc;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::tally::{Of, Tally};
use super::wire::{Connection, Wire};

/// A steady client, as the walk sees it.
#[derive(Debug)]
pub(super) struct SteadyClient {
    /// Its node's place.
    pub(super) node: usize,
    name: String,
    wanted: watch::Sender<Wire>,
    /// The connection it uses and has done an operation on, by our own address, and which change of `wanted` it is of.
    used: watch::Receiver<Option<(SocketAddr, u64)>>,
}

struct Task {
    name: String,
    node: SocketAddr,
    wanted: watch::Receiver<Wire>,
    used: watch::Sender<Option<(SocketAddr, u64)>>,
    tally: Arc<Tally>,
    /// Its documents that the server has acknowledged.
    inserted: u64,
}

impl SteadyClient {
    /// Starts one that speaks plaintext, and waits for its first operation.
    ///
    /// # Errors
    /// In words.
    pub(super) async fn start(
        number: usize,
        (place, node): (usize, SocketAddr),
        tally: &Arc<Tally>,
        tasks: &mut JoinSet<()>,
    ) -> Result<SteadyClient, String> {
        let name = format!("client {number}");
        let (wanted, wants) = watch::channel(Wire::Plaintext);
        let (uses, used) = watch::channel(None);
        let task = Task { name: name.clone(), node, wanted: wants, used: uses, tally: Arc::clone(tally), inserted: 0 };
        tasks.spawn(task.run());
        let client = SteadyClient { node: place, name, wanted, used };
        client.uses(0).await.map(|_| client)
    }

    /// Moves it to TLS; the address of the connection it then uses.
    ///
    /// # Errors
    /// If it does nothing on such a connection in time.
    pub(super) async fn move_to(&self, wire: Wire) -> Result<SocketAddr, String> {
        self.wanted.send_replace(wire);
        self.uses(1).await
    }

    /// The address of the connection it uses now.
    pub(super) fn local(&self) -> Option<SocketAddr> {
        self.used.borrow().map(|(local, _)| local)
    }

    async fn uses(&self, change: u64) -> Result<SocketAddr, String> {
        let mut used = self.used.clone();
        let seen = timeout(PATIENCE, used.wait_for(|used| used.is_some_and(|(_, of)| of == change))).await;
        let seen = seen.ok().and_then(Result::ok).and_then(|used| *used);
        seen.map(|(local, _)| local).ok_or_else(|| format!("{} got nothing done on a new connection", self.name))
    }
}

impl Task {
    async fn run(mut self) {
        let mut change = 0;
        loop {
            let wire = self.wanted.borrow_and_update().clone();
            match wire.connect(self.node).await {
                Ok(connection) => self.work(connection, change).await,
                Err(got) => self.tally.count(Of::Client, &self.name, Err(format!("no connection: {got}"))),
            }
            if self.wanted.has_changed().unwrap_or(false) {
                change += 1;
            } else {
                sleep(AFTER_FAILURE).await;
            }
        }
    }

    /// Works until something fails or another connection is wanted.
    async fn work(&mut self, mut connection: Connection, change: u64) {
        while !self.wanted.has_changed().unwrap_or(true) {
            let result = self.operate(&mut connection).await;
            let failed = result.is_err();
            self.tally.count(Of::Client, &self.name, result);
            if failed {
                return;
            }
            let using = Some((connection.local, change));
            self.used.send_if_modified(|used| std::mem::replace(used, using) != using);
            sleep(PAUSE).await;
        }
    }

    /// An insert, and then a count that must find it.
    async fn operate(&mut self, connection: &mut Connection) -> Result<(), String> {
        let collection = self.name.replace(' ', "_");
        if self.inserted < MOST_DOCUMENTS {
            connection.insert(&collection, rawdoc! { "n": i64::try_from(self.inserted).unwrap_or(i64::MAX) }).await?;
            self.inserted += 1;
            self.tally.count(Of::Client, &self.name, Ok(()));
        }
        match connection.count(&collection).await? {
            found if found == self.inserted => Ok(()),
            found => Err(format!("{} documents were acknowledged, {found} are there", self.inserted)),
        }
    }
}

/// Between two pairs of operations: twelve clients make some thousands of operations a second, and leave a small
/// machine room for other work.
const PAUSE: Duration = Duration::from_millis(5);
/// Before a client that failed connects again.
const AFTER_FAILURE: Duration = Duration::from_millis(100);
/// A client that has inserted so many only counts from then on: the stand-in keeps all in memory, and with `--keep`
/// this may go on for days.
const MOST_DOCUMENTS: u64 = 5_000;
/// Longest wait for a client's next operation.
const PATIENCE: Duration = Duration::from_secs(8);
