//! The listeners of the proxy. Each worker has listeners of its own. The kernel distributes connections over the
//! workers, and a connection stays on the worker that accepted it.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::task::{JoinHandle, yield_now};

use super::accept_queue::wait_for_slot;
use super::connection::serve;
use super::context::ProxyContext;
use super::route::ServedRoute;
use super::worker::{Worker, WorkerHealth};
use crate::drain;
use crate::limits::ACCEPTED_AT_ONCE;
use crate::net::{ConnectionLimit, Listener, SlotRequest, TooMany};
use crate::route::Route;
use crate::telemetry::Outcome;

/// The running data plane.
#[derive(Debug)]
pub struct ProxyServer {
    workers: Vec<Worker>,
    context: Arc<ProxyContext>,
}

/// An open route. Dropping it closes its listeners; open connections are still served.
#[derive(Debug)]
pub struct OpenRoute {
    route: Arc<ArcSwap<ServedRoute>>,
    accepting: Vec<JoinHandle<()>>,
}

impl ProxyServer {
    /// Starts the workers.
    ///
    /// # Errors
    /// The system refuses a thread or an event queue.
    pub fn start(workers: usize, context: ProxyContext) -> io::Result<ProxyServer> {
        let workers = (0..workers).map(Worker::start).collect::<io::Result<_>>()?;
        Ok(ProxyServer { workers, context: Arc::new(context) })
    }

    /// Returns a handle that checks whether the workers respond.
    pub fn worker_health(&self) -> WorkerHealth {
        WorkerHealth::of(&self.workers)
    }

    /// Accepts connections of a route, on at least one listener per worker, until `watch` drains or the returned
    /// [`OpenRoute`] is dropped. `transparent` is the listener's address, if TPROXY delivers connections to it.
    pub fn open(
        &self,
        route: Arc<Route>,
        transparent: Option<SocketAddr>,
        listeners: Vec<TcpListener>,
        connection_limit: &ConnectionLimit,
        watch: &drain::DrainWatch,
    ) -> OpenRoute {
        let route = Arc::new(ArcSwap::from_pointee(ServedRoute::new(route, transparent)));
        let accepting = self.workers.iter().cycle().zip(listeners).map(|(worker, listener)| {
            let accepting = accept(
                listener,
                Arc::clone(&route),
                Arc::clone(&self.context),
                connection_limit.clone(),
                watch.clone(),
            );
            worker.spawn(accepting)
        });
        OpenRoute { accepting: accepting.collect(), route }
    }
}

impl OpenRoute {
    /// Replaces the route for all connections that are not established yet.
    pub fn lead(&self, route: Arc<Route>) {
        self.route.store(Arc::new(ServedRoute::new(route, None)));
    }

    /// Closes the listeners. Once this returns, no worker accepts a connection of the route any more.
    pub async fn close(mut self) {
        for accepting in &mut self.accepting {
            accepting.abort();
            // The error says that the task was aborted, or that its worker has ended.
            let _ = accepting.await;
        }
    }
}

impl Drop for OpenRoute {
    fn drop(&mut self) {
        self.accepting.iter().for_each(JoinHandle::abort);
    }
}

/// The accept loop of one worker for one route. Awaits neither peers nor slots.
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
    for accepted in 1_usize.. {
        if accepted.is_multiple_of(ACCEPTED_AT_ONCE) {
            // During a storm of new connections, established connections must not wait until all are accepted.
            yield_now().await;
        }
        let (socket, peer) = tokio::select! {
            accepted = listener.accept() => accepted,
            () = watch.draining() => return,
        };
        let record = context.observer.open(peer, route.load().record(&context.observer.metrics));
        let (route, context, watch) = (Arc::clone(&route), Arc::clone(&context), watch.clone());
        // The slot is taken after the accept; a worker that took it before would hold it without a connection.
        match connection_limit.enter(peer.ip(), |ip| context.members.load().has(ip)) {
            Ok(SlotRequest::Granted(slot)) => drop(tokio::spawn(serve(socket, record, slot, route, context, watch))),
            Ok(SlotRequest::Queued(place)) => {
                drop(tokio::spawn(wait_for_slot(
                    socket,
                    record,
                    place,
                    connection_limit.clone(),
                    route,
                    context,
                    watch,
                )));
            }
            // The connection is closed without a reply, as mongod does.
            Err(TooMany::Full) => record.close(Outcome::TooManyConnections, None),
            Err(TooMany::FromAddress) => record.close(Outcome::TooManyFromAddress, None),
        }
    }
}
