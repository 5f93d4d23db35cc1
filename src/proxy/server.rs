//! The workers and their listeners. Each worker is one thread with a runtime and listeners of its own; the
//! kernel spreads connections over them, and a connection stays where it was accepted.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, interval};

use super::connection::serve;
use super::route::ServedRoute;
use crate::drain;
use crate::limits::{BLOCKING_THREADS, SLOTS_WARNING, WAITING_LOOK, WORKER_BEAT};
use crate::net::{ConnectionLimit, ConnectionSlot, Listener, OwnDials, QueuePlace, SlotRequest, SlotUsage, TooMany};
use crate::route::Route;
use crate::state::MemberListReader;
use crate::state::{SnapshotReader, Tuning};
use crate::telemetry::{Observer, Outcome, Record};

/// What every connection is given.
#[derive(Debug)]
pub struct ProxyContext {
    /// Keeps the records.
    pub observer: Arc<Observer>,
    /// Reads the policy.
    pub snapshot: SnapshotReader,
    /// Waits and the style of refusals.
    pub tuning: watch::Receiver<Tuning>,
    /// Who is a member of the set.
    pub members: MemberListReader,
    /// What was dialled and not answered yet.
    pub dials: OwnDials,
}

/// The running data plane.
#[derive(Debug)]
pub struct ProxyServer {
    workers: Vec<Worker>,
    context: Arc<ProxyContext>,
}

/// A route that is being listened for. Dropping it ends that; its connections go on.
#[derive(Debug)]
pub struct OpenRoute {
    route: Arc<ArcSwap<ServedRoute>>,
    accepting: Vec<AbortHandle>,
}

#[derive(Debug)]
struct Worker {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl ProxyServer {
    /// Starts so many workers.
    ///
    /// # Errors
    /// If the system gives no thread or no event queue.
    pub fn start(workers: usize, context: ProxyContext) -> io::Result<ProxyServer> {
        let workers = (0..workers).map(Worker::start).collect::<io::Result<_>>()?;
        Ok(ProxyServer { workers, context: Arc::new(context) })
    }

    /// To see whether the workers live.
    #[must_use]
    pub fn worker_health(&self) -> WorkerHealth {
        WorkerHealth(self.workers.iter().map(|worker| worker.handle.clone()).collect())
    }

    /// Accepts from listeners, one per worker, for a route, until the watch drains or the handle is dropped.
    #[must_use]
    pub fn open(
        &self,
        route: Arc<Route>,
        transparent: Option<SocketAddr>,
        listeners: Vec<TcpListener>,
        connection_limit: &ConnectionLimit,
        watch: &drain::DrainWatch,
    ) -> OpenRoute {
        let route = Arc::new(ArcSwap::from_pointee(ServedRoute::new(route, transparent)));
        let accepting = self.workers.iter().zip(listeners).map(|(worker, listener)| {
            let accepting = accept(
                listener,
                Arc::clone(&route),
                Arc::clone(&self.context),
                connection_limit.clone(),
                watch.clone(),
            );
            worker.handle.spawn(accepting).abort_handle()
        });
        OpenRoute { accepting: accepting.collect(), route }
    }
}

/// Whether the workers take turns: a sign of life of the data plane.
#[derive(Debug, Clone)]
pub struct WorkerHealth(Vec<Handle>);

impl WorkerHealth {
    /// Returns once every worker has run what it was given now; never, where one hangs or is gone.
    pub async fn all_respond(&self) {
        let started: Vec<_> = self.0.iter().map(|worker| worker.spawn(async {})).collect();
        for turn in started {
            if turn.await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

impl OpenRoute {
    /// Leads the next connections elsewhere, by the same listeners.
    pub fn lead(&self, route: Arc<Route>) {
        self.route.store(Arc::new(ServedRoute::new(route, None)));
    }
}

impl Drop for OpenRoute {
    fn drop(&mut self) {
        self.accepting.iter().for_each(AbortHandle::abort);
    }
}

impl Worker {
    fn start(number: usize) -> io::Result<Worker> {
        let (stop, stopped) = oneshot::channel();
        // The runtime follows its thread: one whose thread is refused would be dropped here, within another runtime, which
        // panics.
        let (give, given) = std::sync::mpsc::sync_channel::<Runtime>(1);
        let thread = std::thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
            let Ok(runtime) = given.recv() else { return };
            runtime.block_on(async {
                let mut beat = interval(WORKER_BEAT);
                tokio::pin!(stopped);
                loop {
                    tokio::select! {
                        // Either message or a dropped sender: both are the end.
                        _ = &mut stopped => return,
                        // A timer that is the next to come interrupts the wait for events as soon as it is set, for two
                        // system calls. This one always comes before those of connections.
                        _ = beat.tick() => {}
                    }
                }
            });
            runtime.shutdown_background();
        })?;
        let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(BLOCKING_THREADS).build()?;
        let handle = runtime.handle().clone();
        // The thread waits for it.
        let _ = give.send(runtime);
        Ok(Worker { handle, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A worker that panicked has been logged by its panic; there is nothing left to stop.
            let _ = thread.join();
        }
    }
}

/// One worker's accept loop for one route. Never awaits a peer, nor a slot.
async fn accept(
    listener: TcpListener,
    route: Arc<ArcSwap<ServedRoute>>,
    context: Arc<ProxyContext>,
    connection_limit: ConnectionLimit,
    watch: drain::DrainWatch,
) {
    let mut listener = match Listener::register(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(route = %route.load().route.id, %error, "cannot listen on this worker");
            return;
        }
    };
    loop {
        let (socket, peer) = tokio::select! {
            accepted = listener.accept() => accepted,
            () = watch.draining() => return,
        };
        let record = context.observer.open(peer, route.load().record(&context.observer.metrics));
        let (route, context, watch) = (Arc::clone(&route), Arc::clone(&context), watch.clone());
        // The slot comes second: taken before a connection is there, it would be held by a worker that nobody
        // connects to.
        match connection_limit.enter(peer.ip(), |ip| context.members.load().has(ip)) {
            Ok(SlotRequest::Granted(slot)) => drop(tokio::spawn(serve(socket, record, slot, route, context, watch))),
            Ok(SlotRequest::Queued(place)) => {
                drop(tokio::spawn(queue(socket, record, place, connection_limit.clone(), route, context, watch)));
            }
            // As mongod does: nothing is said, and nothing is read.
            Err(TooMany::Full) => record.close(Outcome::TooManyConnections, None),
            Err(TooMany::FromAddress) => record.close(Outcome::TooManyFromAddress, None),
        }
    }
}

/// A connection that found no slot: waits for one, for as long as its client does.
async fn queue(
    socket: TcpStream,
    record: Record,
    mut place: QueuePlace,
    connection_limit: ConnectionLimit,
    route: Arc<ArcSwap<ServedRoute>>,
    context: Arc<ProxyContext>,
    watch: drain::DrainWatch,
) {
    let slot = tokio::select! {
        biased;
        slot = slot(&socket, &mut place, &connection_limit, &context, &route) => slot,
        () = left(&socket) => return record.close(Outcome::LeftWaiting, None),
        () = watch.draining() => return record.close(Outcome::Drained, None),
    };
    drop(place);
    match slot {
        // A task of its own, which does not hold what waiting took.
        Ok(slot) => drop(tokio::spawn(serve(socket, record, slot, route, context, watch))),
        Err(outcome) => record.close(outcome, None),
    }
}

/// A slot, once there is one. That all are taken is said if that lasts.
///
/// # Errors
/// The place was lost, or the client has been silent for as long as one may be.
async fn slot(
    socket: &TcpStream,
    place: &mut QueuePlace,
    connection_limit: &ConnectionLimit,
    context: &ProxyContext,
    route: &ArcSwap<ServedRoute>,
) -> Result<ConnectionSlot, Outcome> {
    let (began, mut looked, mut first) = (Instant::now(), false, [0]);
    loop {
        let given = tokio::select! {
            biased;
            given = place.slot_within(WAITING_LOOK) => given,
            peeked = socket.peek(&mut first), if !looked => {
                looked = true;
                // Not one that has ended its connection.
                if peeked.is_ok_and(|count| count > 0) {
                    place.spoke(|ip| context.members.load().has(ip));
                }
                continue;
            }
        };
        match given {
            Ok(Some(slot)) => return Ok(slot),
            Ok(None) => connection_limit.make_room(|ip| context.members.load().has(ip)),
            Err(_) => return Err(Outcome::TooManyConnections),
        }
        let timeouts = context.tuning.borrow().timeouts;
        if !looked && timeouts.close_silent && began.elapsed() >= timeouts.sniff {
            return Err(Outcome::SniffTimeout);
        }
        if began.elapsed() >= SLOTS_WARNING && connection_limit.says_full() {
            let (route, SlotUsage { limit, silent, waiting, .. }) = (route.load(), connection_limit.usage());
            tracing::warn!(
                route = %route.route.id,
                limit,
                silent,
                waiting,
                "all connection slots are taken; new connections wait"
            );
        }
    }
}

/// Resolves when a client has ended its connection, or its direction of it. What it has sent stays where it is, and does
/// not hide that: the end of reading is part of this readiness, and data are not.
async fn left(socket: &TcpStream) {
    // An error of the runtime's, which ends, is for whoever uses the socket next.
    if socket.ready(Interest::PRIORITY).await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::{Worker, WorkerHealth};

    /// A worker that hangs is seen, one that is only busy for a while is waited for.
    #[tokio::test]
    async fn a_pulse_is_that_of_every_worker() {
        let workers: Vec<_> = (0..2).map(|number| Worker::start(number).unwrap()).collect();
        let worker_health = WorkerHealth(workers.iter().map(|worker| worker.handle.clone()).collect());
        worker_health.all_respond().await;
        let (release, hung) = mpsc::channel::<()>();
        workers[1].handle.spawn(async move { hung.recv() });
        let beat = worker_health.all_respond();
        tokio::pin!(beat);
        assert!(timeout(Duration::from_millis(100), &mut beat).await.is_err(), "one worker hangs");
        release.send(()).unwrap();
        beat.await;
        drop(workers);
        assert!(
            timeout(Duration::from_millis(100), worker_health.all_respond()).await.is_err(),
            "the workers are gone"
        );
    }
}
