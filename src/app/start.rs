//! Starts a proxy: opens the listeners, then starts the workers and the tasks of the control plane.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use clap::ArgMatches;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::listeners::{BoundListeners, ConnectionGroup, Listeners};
use super::prepare::{InUse, Prepared, prepare};
use super::restore::{Restored, log_source, take_over};
use crate::admin::{AdminServer, BoundServer};
use crate::config::{Loaded, Mistake};
use crate::control::{Controller, ControllerParts, Handover, start_tasks, tuning};
use crate::drain::Drain;
use crate::limits::{
    DESCRIPTORS_PER_CONNECTION, INBOUND_PERCENT, TAKEOVER_QUEUE, WAITING_LEAST, WAITING_ROOM, WAITING_SHARE,
};
use crate::net::{ConnectionLimit, Inherited, OwnDials, Resolvers, UnixSocket};
use crate::proxy::{ProxyContext, ProxyServer, WorkerHealth};
use crate::route::Routes;
use crate::state::{MemberListWriter, SnapshotWriter};
use crate::telemetry::{LogHandle, Observer};

/// A running proxy.
#[derive(Debug)]
pub struct App {
    /// Changes mode, TLS material and settings while the proxy runs.
    pub controller: Arc<Controller>,
    /// Counts and lists the proxy's connections.
    pub observer: Arc<Observer>,
    pub(super) listeners: Arc<Listeners>,
    pub(super) admin: AdminServer,
    /// The socket by which a new process replaces this one.
    pub(super) takeover: Option<UnixSocket>,
    pub(super) drains: Drains,
    /// The background tasks of the control plane.
    pub(super) tasks: [AbortHandle; 5],
}

/// A proxy whose listeners are bound and whose threads run, but which accepts no connections yet.
#[derive(Debug)]
pub(super) struct ReadyApp {
    controller: Arc<Controller>,
    observer: Arc<Observer>,
    listeners: BoundListeners,
    admin: BoundServer,
    takeover: Option<UnixSocket>,
    drains: Drains,
}

/// One drain per direction.
#[derive(Debug, Default)]
pub(super) struct Drains {
    pub(super) inbound: Drain,
    pub(super) outbound: Drain,
}

/// Why a proxy cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration has mistakes, or something that it names cannot be used, such as the address of a listener.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Configuration(Vec<Mistake>),
    /// The kernel refuses a thread or an event queue.
    #[error(
        "cannot start the workers: {0}; use fewer (--workers), or raise the limit of threads (ulimit -u, TasksMax=, the pids \
         limit of a container) or of descriptors (ulimit -n, LimitNOFILE=)"
    )]
    Workers(#[from] io::Error),
}

impl App {
    /// Starts a proxy, with its control plane on the current runtime. When this returns, every listener is open.
    /// `arguments` is the command line, which reloads parse again; `connections` is the number of connections that the
    /// descriptor limit allows.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    pub fn start(
        loaded: Loaded,
        arguments: &ArgMatches,
        connections: u64,
        log: Option<Arc<LogHandle>>,
    ) -> Result<App, StartError> {
        Ok(App::prepare(loaded, arguments, connections, log, Inherited::default(), None)?.serve())
    }

    /// Prepares a proxy. It uses the sockets that the service manager has passed on, or, if it replaces a process, the
    /// sockets and the state of that process.
    ///
    /// # Errors
    /// [`StartError`], also for an inherited socket that does not match the options.
    pub(super) fn prepare(
        loaded: Loaded,
        arguments: &ArgMatches,
        connections: u64,
        log: Option<Arc<LogHandle>>,
        inherited: Inherited,
        handover: Option<Handover>,
    ) -> Result<ReadyApp, StartError> {
        let settings = loaded.settings.clone();
        let Prepared { restored, warnings: _ } =
            prepare(&loaded, &inherited, InUse::Mistake).map_err(StartError::Configuration)?;
        let restored = match handover {
            Some(handover) => take_over(handover, &loaded).map_err(StartError::Configuration)?,
            None => {
                log_source(&restored, &loaded);
                restored
            }
        };
        let Restored { mode, persisted, inventory, named, history, generation, carried } = restored;
        let resolvers = Resolvers::default();
        let routes = Routes::new(&settings, resolvers.clone()).map_err(StartError::Configuration)?;
        let routes = Arc::new(routes);
        let observer = Arc::new(Observer::with(inventory));
        let writer = SnapshotWriter::continuing(mode, generation, Arc::clone(&loaded.material));
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
        let (inbound, outbound) = connection_limits(connections);
        let bound = BoundServer::bind(&settings.admin, &inherited);
        let inbound = ConnectionGroup { limit: inbound, watch: drains.inbound.watch() };
        let outbound = ConnectionGroup { limit: outbound, watch: drains.outbound.watch() };
        let takeover = settings.admin.takeover.as_deref().map(|path| {
            let refused = |error| vec![Mistake::cannot_listen_unix("--takeover", path, &error)];
            inherited.listen_unix(path).map_err(refused)
        });
        let listeners = Listeners::bind(server, &settings, &routes, inbound, outbound, members, inherited);
        let (admin, takeover, listeners) = match (bound, takeover.transpose(), listeners) {
            (Ok(admin), Ok(takeover), Ok(listeners)) => (admin, takeover, listeners),
            (admin, takeover, listeners) => {
                let mistakes = [listeners.err(), admin.err(), takeover.err()].into_iter().flatten().flatten();
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
            listeners: Arc::new(Arc::clone(&listeners.listeners)),
            observer: Arc::clone(&observer),
            log,
            arguments: arguments.clone(),
            persisted,
            named,
            history,
            carried,
        });
        Ok(ReadyApp { controller: Arc::new(controller), observer, listeners, admin, takeover, drains })
    }

    /// Returns the TCP addresses of all listeners with their route names. The control plane's listeners are last.
    pub fn addresses(&self) -> Vec<(Arc<str>, SocketAddr)> {
        self.controller.view().addresses()
    }

    /// Returns the paths of the admin port's Unix sockets.
    pub fn admin_sockets(&self) -> impl Iterator<Item = &Path> {
        self.admin.sockets()
    }

    /// Returns the effective `maxIncomingConnections` and its source: the option or the descriptor limit.
    pub fn max_incoming(&self) -> (usize, &'static str) {
        self.listeners.max_incoming()
    }

    /// Returns a handle that checks whether the workers respond.
    pub fn worker_health(&self) -> WorkerHealth {
        self.listeners.worker_health()
    }
}

impl ReadyApp {
    /// Accepts connections and takes changes from now on.
    pub(super) fn serve(self) -> App {
        let ReadyApp { controller, observer, listeners: bound, admin, takeover, drains } = self;
        let listeners = Arc::clone(&bound.listeners);
        bound.open(&controller.view().settings());
        if let Some(socket) = &takeover {
            socket.file.iter().for_each(|file| file.own());
            // To a process that connects, the kernel names the process that called listen(2) last. Without effect
            // otherwise, and only the next takeover's log depends on it.
            let _ = rustix::net::listen(&socket.listener, TAKEOVER_QUEUE);
        }
        let tasks = start_tasks(&controller);
        let admin = admin.open(&controller);
        App { controller, observer, listeners, admin, takeover, drains, tasks }
    }
}

/// Returns the limits of inbound and outbound connections. A connection that waits for a slot uses one descriptor
/// instead of two.
fn connection_limits(connections: u64) -> (ConnectionLimit, ConnectionLimit) {
    let count = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    let limit = |share: u64| {
        let queue = (share / WAITING_SHARE).max(WAITING_LEAST.min(share.saturating_sub(1))).min(WAITING_ROOM);
        ConnectionLimit::new(count(share - queue.div_ceil(DESCRIPTORS_PER_CONNECTION)), count(queue))
    };
    let inbound = (connections * INBOUND_PERCENT / 100).max(1);
    (limit(inbound), limit((connections - inbound.min(connections)).max(1)))
}
