//! The composition root: settings in, a running proxy out. The only place where data plane and control plane
//! meet.

mod plant;
mod restore;
mod run;
mod signals;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::config::{Loaded, Mistake};
use clap::ArgMatches;

use crate::control::{self, Bound, Desk, Doors, tuning};
use crate::drain::Drain;
use crate::limits::{DESCRIPTORS_PER_CONNECTION, INBOUND_PERCENT, WAITING_ROOM, WAITING_SHARE};
use crate::members;
use crate::net::Seats;
use crate::observe::{LogHandle, Observer};
use crate::proxy::{Parts, Server};
use crate::snapshot::Writer;

use plant::Listeners;
use restore::Restored;
pub use run::{check, run};
pub use signals::Signals;

/// A running proxy.
#[derive(Debug)]
pub struct App {
    /// Where changes are made.
    pub desk: Arc<Desk>,
    /// What is known of its connections.
    pub observer: Arc<Observer>,
    listeners: Arc<Listeners>,
    doors: Doors,
    drain: Drain,
    /// What the control plane does of itself.
    house: [AbortHandle; 4],
}

/// Why a proxy does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Listeners that cannot be had.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Configuration(Vec<Mistake>),
    /// No thread or no event queue.
    #[error("the system gives no worker: {0}")]
    Workers(#[from] io::Error),
}

impl App {
    /// Starts it, with its control plane on the runtime that this is called on: when this returns, every listener is open. `arguments` is the command line, for reloads;
    /// `connections` is how many the descriptors carry.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    pub fn start(
        loaded: Loaded,
        arguments: &ArgMatches,
        connections: u64,
        log: Option<Arc<LogHandle>>,
    ) -> Result<App, StartError> {
        let settings = loaded.settings.clone();
        let Restored { mode, persisted, inventory } = restore::restore(&loaded).map_err(StartError::Configuration)?;
        let observer = Arc::new(Observer::with(inventory));
        let writer = Writer::new(mode, Arc::clone(&loaded.material));
        let (tuned, tuning) = watch::channel(tuning(&settings));
        let roster = members::Writer::new();
        let members = roster.reader();
        let parts =
            Parts { observer: Arc::clone(&observer), snapshot: writer.reader(), tuning, members: members.clone() };
        let server = Server::start(settings.workers, parts)?;
        let drain = Drain::new();
        let seats = seats(connections);
        let bound = Bound::bind(&settings.admin);
        let listeners = Listeners::open(server, &settings, seats, members, drain.watch());
        let (bound, listeners) = match (bound, listeners) {
            (Ok(bound), Ok(listeners)) => (bound, Arc::new(listeners)),
            (bound, listeners) => {
                let mistakes = [listeners.err(), bound.err()].into_iter().flatten().flatten();
                return Err(StartError::Configuration(mistakes.collect()));
            }
        };
        let desk = Desk::new(control::Parts {
            writer,
            roster,
            loaded,
            tuning: tuned,
            plant: Arc::new(Arc::clone(&listeners)),
            observer: Arc::clone(&observer),
            log,
            arguments: arguments.clone(),
            persisted,
        });
        let desk = Arc::new(desk);
        let house = [
            tokio::spawn(Arc::clone(&desk).keep_house()).abort_handle(),
            tokio::spawn(Arc::clone(&desk).watch_files()).abort_handle(),
            tokio::spawn(Arc::clone(&desk).keep_roster()).abort_handle(),
            tokio::spawn(Arc::clone(&desk).watch_redirect()).abort_handle(),
        ];
        let doors = bound.open(&desk);
        Ok(App { desk, observer, listeners, doors, drain, house })
    }

    /// The TCP addresses listened on, by route name; those of the control plane last.
    #[must_use]
    pub fn addresses(&self) -> Vec<(Arc<str>, SocketAddr)> {
        self.desk.addresses()
    }

    /// The Unix sockets of the admin port.
    #[must_use]
    pub fn admin_sockets(&self) -> &[PathBuf] {
        self.doors.sockets()
    }

    /// Stops accepting and waits for open connections: for at most `limit` unless that is zero, and until `force`
    /// resolves. True if all ended by themselves.
    pub async fn stop(self, limit: Duration, force: impl Future<Output = ()>) -> bool {
        let App { desk, observer, listeners, doors, drain, house } = self;
        doors.stopping();
        drain.start();
        let open = observer.live.count();
        tracing::info!(open, "stopping: no new connections, waiting for open ones");
        // The listeners hold watches of their own, for reloads to come: none will.
        listeners.close();
        let by_itself = drain.wait(limit, force).await;
        house.iter().for_each(AbortHandle::abort);
        desk.save_state().await;
        // Until here one can see what is waited for.
        doors.close().await;
        by_itself
    }
}

/// Inbound and outbound seats of so many connections. Who waits for a seat has one descriptor of a connection's two.
fn seats(connections: u64) -> (Seats, Seats) {
    let count = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    let seats = |share: u64| {
        let room = (share / WAITING_SHARE).min(WAITING_ROOM);
        Seats::new(count(share - room.div_ceil(DESCRIPTORS_PER_CONNECTION)), count(room))
    };
    let inbound = (connections * INBOUND_PERCENT / 100).max(1);
    (seats(inbound), seats((connections - inbound.min(connections)).max(1)))
}
