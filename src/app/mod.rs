//! The composition root: settings in, a running proxy out. The only place where data plane and control plane
//! meet.

mod capabilities;
mod listeners;
mod manager;
mod prepare;
mod restore;
mod run;
mod signals;
mod unexpected_sockets;

use std::future::ready;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::config::{Loaded, Mistake};
use clap::ArgMatches;

use crate::admin::{self, BoundServer};
use crate::control::{Controller, ControllerParts, start_tasks, sync_warnings, tuning};
use crate::drain::{Drain, DrainEnd};
use crate::limits::{
    DESCRIPTORS_PER_CONNECTION, INBOUND_PERCENT, OUTBOUND_FAREWELL, OUTBOUND_FAREWELL_SHARE, WAITING_LEAST,
    WAITING_ROOM, WAITING_SHARE,
};
use crate::net::{ConnectionLimit, Inherited, OwnDials, Resolvers};
use crate::proxy::{ProxyContext, ProxyServer, WorkerHealth};
use crate::route::Routes;
use crate::state::MemberListWriter;
use crate::state::SnapshotWriter;
use crate::telemetry::{LogHandle, Observer};

use listeners::{DirectionParts, Listeners};
use prepare::{InUse, Prepared, prepare};
use restore::Restored;
pub use run::{check, run};
pub use signals::Signals;

/// A running proxy.
#[derive(Debug)]
pub struct App {
    /// Where changes are made.
    pub controller: Arc<Controller>,
    /// What is known of its connections.
    pub observer: Arc<Observer>,
    listeners: Arc<Listeners>,
    admin: admin::Server,
    drains: Drains,
    /// The loops of the control plane.
    tasks: [AbortHandle; 5],
}

/// One drain for each direction. Inbound ends first: while the server behind says goodbye, it must be able to dial its
/// peers.
#[derive(Debug, Default)]
struct Drains {
    inbound: Drain,
    outbound: Drain,
}

/// Why a proxy does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Listeners that cannot be had.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Configuration(Vec<Mistake>),
    /// No thread or no event queue.
    #[error(
        "the system gives no worker: {0}; have fewer (--workers), or raise what bounds threads (ulimit -u, TasksMax=, the \
         pids limit of a container) or descriptors (ulimit -n, LimitNOFILE=)"
    )]
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
        App::start_with(loaded, arguments, connections, log, Inherited::default())
    }

    /// The same, with sockets that were passed on.
    ///
    /// # Errors
    /// [`StartError`]; also for a socket that no option wants.
    pub fn start_with(
        loaded: Loaded,
        arguments: &ArgMatches,
        connections: u64,
        log: Option<Arc<LogHandle>>,
        inherited: Inherited,
    ) -> Result<App, StartError> {
        let settings = loaded.settings.clone();
        let Prepared { restored, warnings: _ } =
            prepare(&loaded, &inherited, InUse::Mistake).map_err(StartError::Configuration)?;
        let Restored { mode, persisted, inventory, named, history } = restored;
        let resolvers = Resolvers::default();
        let routes = Routes::new(&settings, resolvers.clone()).map_err(StartError::Configuration)?;
        let routes = Arc::new(routes);
        let observer = Arc::new(Observer::with(inventory));
        let writer = SnapshotWriter::new(mode, Arc::clone(&loaded.material));
        let (tuned, tuning) = watch::channel(tuning(&settings));
        let dials = OwnDials::default();
        let roster = MemberListWriter::new();
        let members = roster.reader();
        let parts = ProxyContext {
            observer: Arc::clone(&observer),
            snapshot: writer.reader(),
            tuning,
            members: members.clone(),
            dials: dials.clone(),
        };
        let server = ProxyServer::start(settings.workers, parts)?;
        let drains = Drains::default();
        let (inbound, outbound) = limit(connections);
        let bound = BoundServer::bind(&settings.admin, &inherited);
        let inbound = DirectionParts { limit: inbound, watch: drains.inbound.watch() };
        let outbound = DirectionParts { limit: outbound, watch: drains.outbound.watch() };
        let listeners = Listeners::open(server, &settings, &routes, inbound, outbound, members, inherited);
        let (bound, listeners) = match (bound, listeners) {
            (Ok(bound), Ok(listeners)) => (bound, Arc::new(listeners)),
            (bound, listeners) => {
                let mistakes = [listeners.err(), bound.err()].into_iter().flatten().flatten();
                return Err(StartError::Configuration(mistakes.collect()));
            }
        };
        let controller = Controller::new(ControllerParts {
            dials,
            writer,
            members: roster,
            loaded,
            routes,
            resolvers,
            tuning: tuned,
            listeners: Arc::new(Arc::clone(&listeners)),
            observer: Arc::clone(&observer),
            log,
            arguments: arguments.clone(),
            persisted,
            named,
            history,
        });
        let controller = Arc::new(controller);
        let tasks = start_tasks(&controller);
        let admin = bound.open(&controller);
        Ok(App { controller, observer, listeners, admin, drains, tasks })
    }

    /// The TCP addresses listened on, by route name; those of the control plane last.
    #[must_use]
    pub fn addresses(&self) -> Vec<(Arc<str>, SocketAddr)> {
        self.controller.view().addresses()
    }

    /// The Unix sockets of the admin port.
    #[must_use]
    pub fn admin_sockets(&self) -> &[PathBuf] {
        self.admin.sockets()
    }

    /// The effective `maxIncomingConnections`, and what bounds it: the option, or the descriptor limit.
    #[must_use]
    pub fn max_incoming(&self) -> (usize, &'static str) {
        self.listeners.max_incoming()
    }

    /// What shows that its workers live, for as long as they do.
    #[must_use]
    pub fn worker_health(&self) -> WorkerHealth {
        self.listeners.worker_health()
    }

    /// Stops, in the order of a server that takes its leave: inbound takes no new connections and its open ones are waited
    /// for, while outbound routes serve as before; then the same for those. For at most `limit` in all unless that is
    /// zero, and until `force` resolves, which ends both directions. True if all ended by themselves.
    pub async fn stop(self, limit: Duration, force: impl Future<Output = ()>) -> bool {
        let App { controller, observer, listeners, admin, drains: Drains { inbound, outbound }, tasks } = self;
        admin.stopping();
        for warning in sync_warnings(controller.view()) {
            tracing::warn!("stopping: {warning}");
        }
        let mut force = pin!(force);
        let began = Instant::now();
        let kept = if listeners.leads_out() { kept_for_outbound(limit) } else { Duration::ZERO };
        inbound.start();
        tracing::info!(
            open = observer.open_connections.count(),
            "stopping: no new inbound connections, waiting for open ones"
        );
        // The listeners hold watches of their own, for reloads to come: none will.
        listeners.close_inbound();
        let inbound = inbound.wait(limit - kept, force.as_mut()).await;
        outbound.start();
        tracing::info!(
            open = observer.open_connections.count(),
            "stopping: no new outbound connections, waiting for open ones"
        );
        listeners.close_outbound();
        let left = if limit.is_zero() { limit } else { limit.saturating_sub(began.elapsed()).max(LEAST_WAIT) };
        let outbound = match inbound {
            DrainEnd::ByThemselves | DrainEnd::Overdue => outbound.wait(left, force).await,
            DrainEnd::Forced => outbound.wait(left, ready(())).await,
        };
        tasks.iter().for_each(AbortHandle::abort);
        controller.save_state().await;
        // Until here one can see what is waited for.
        admin.close().await;
        (inbound, outbound) == (DrainEnd::ByThemselves, DrainEnd::ByThemselves)
    }
}

/// How much of a stop's time inbound connections leave to the outbound ones, whatever they need themselves.
fn kept_for_outbound(limit: Duration) -> Duration {
    OUTBOUND_FAREWELL.min(limit / OUTBOUND_FAREWELL_SHARE)
}

/// Inbound and outbound limit of so many connections. Who waits for a seat has one descriptor of a connection's two.
fn limit(connections: u64) -> (ConnectionLimit, ConnectionLimit) {
    let count = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    let limit = |share: u64| {
        let room = (share / WAITING_SHARE).max(WAITING_LEAST.min(share.saturating_sub(1))).min(WAITING_ROOM);
        ConnectionLimit::new(count(share - room.div_ceil(DESCRIPTORS_PER_CONNECTION)), count(room))
    };
    let inbound = (connections * INBOUND_PERCENT / 100).max(1);
    (limit(inbound), limit((connections - inbound.min(connections)).max(1)))
}

/// No time left is not the zero that means "never".
const LEAST_WAIT: Duration = Duration::from_millis(1);
