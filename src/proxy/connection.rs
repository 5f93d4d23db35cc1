//! Serves one connection, from accept to its record.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arc_swap::ArcSwap;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::context::{AcceptedConnection, ProxyContext};
use super::establish::{Legs, establish};
use super::failure::ServeError;
use super::recycle::{cut_off, move_on};
use super::route::ServedRoute;
use super::watcher::Watcher;
use crate::drain;
use crate::limits::{DRAIN_SPEAK, FAREWELL};
use crate::net::{ConnectionSlot, End, Relay, RelayEnds, Relayed, Stop, linger};
use crate::sniff::{SniffError, Sniffed, sniff_first};
use crate::state::Tuning;
use crate::stream::Stream;
use crate::telemetry::{Outcome, Record};

/// Serves one connection and closes its record with the outcome. State that is needed only until the connection is
/// established is boxed, so that it can be freed at that time: many open connections are idle, and each should take
/// little memory.
pub(super) fn serve(
    socket: TcpStream,
    mut record: Record,
    mut slot: ConnectionSlot,
    route: Arc<ArcSwap<ServedRoute>>,
    context: Arc<ProxyContext>,
    watch: drain::DrainWatch,
) -> impl Future<Output = ()> + Send {
    // Created outside the block below: that block would hold the arguments for the life of the connection.
    let begun = Box::pin(async move {
        let (peer, accepted) = record.info().map(|known| (known.peer, known.accepted))?;
        let mut tuning = *context.tuning.borrow();
        let not_intercepted = match route.load().connected_to(&socket, peer) {
            Ok(destination) => {
                record.note(|known| known.destination = destination.map(Box::new));
                None
            }
            Err(error) => {
                // The connection will be refused whatever the client sends, so a silent client must not hold a slot.
                tuning.timeouts.close_silent = true;
                Some(error)
            }
        };
        let opening = async {
            let (socket, first) = silence(socket, accepted, &mut slot, &mut tuning, &watch).await?;
            let accepted = AcceptedConnection { peer, not_intercepted, route: &route, context: &context, tuning };
            establish(socket, first, &accepted, &watch, &mut record).await
        };
        let established = tokio::select! {
            // Biased: a connection that is established is kept even if a stop is forced at the same time.
            biased;
            established = opening => established,
            () = watch.forced() => Err(ServeError::Forced),
        };
        match established {
            Ok(Legs { client, upstream, record, dial }) => {
                slot.established();
                let watcher = Watcher::new(record, dial, watch, slot);
                Some(Relay::new(client, upstream, watcher))
            }
            Err(failure) => {
                record.close(failure.outcome(), Some(failure.to_string()));
                None
            }
        }
    });
    async move {
        let mut established = begun.await;
        // Polled in place and not moved: a move would store the relay twice in the future of every open connection.
        let Some(relay) = &mut established else { return };
        let relayed = relay.await;
        Box::pin(end(established, relayed)).await;
    }
}

/// Waits until the client sends data or closes the connection, without reading the data. Returns the opening if the
/// first bytes show it, as they usually do. Fails if the slot is needed for another connection; if a drain has begun
/// and the connection was accepted over a second ago; and at the time limit, if silent clients are closed.
async fn silence(
    socket: TcpStream,
    accepted: std::time::Instant,
    slot: &mut ConnectionSlot,
    tuning: &mut Tuning,
    watch: &drain::DrainWatch,
) -> Result<(TcpStream, Option<Sniffed>), ServeError> {
    let began = Instant::now();
    let limit = tuning.timeouts.sniff;
    let overdue = async {
        if tuning.timeouts.close_silent {
            // The limit counts from the accept, so it includes the wait for a slot.
            sleep(limit.saturating_sub(accepted.elapsed())).await;
        } else {
            pending::<()>().await;
        }
    };
    tokio::select! {
        // Biased: a client that has sent data is served.
        biased;
        first = sniff_first(&socket) => {
            slot.heard();
            if tuning.timeouts.close_silent {
                tuning.timeouts.sniff = limit.saturating_sub(began.elapsed());
            }
            Ok((socket, first))
        }
        () = too_late(watch, accepted) => Err(ServeError::Draining),
        () = overdue => {
            Box::pin(linger(socket)).await;
            Err(ServeError::Sniff(SniffError::TimedOut(0)))
        }
        // The connection is closed at once, because the slot is needed. A silent client has sent no data, so there is
        // none that, unread, would turn the close into a reset.
        () = slot.asked_to_leave() => Err(ServeError::MadeRoom(began.elapsed())),
    }
}

/// Resolves when a drain has begun and the connection was accepted over a second ago.
async fn too_late(watch: &drain::DrainWatch, accepted: std::time::Instant) {
    watch.draining().await;
    sleep(DRAIN_SPEAK.saturating_sub(accepted.elapsed())).await;
}

/// Ends both legs and closes the record with the outcome.
async fn end(established: Option<Relay<Stream, Stream, Watcher>>, relayed: Relayed) {
    // The slot is held until this function returns.
    let Some(Relay { client, upstream, tap: Watcher { record, forced, slot: _slot, .. }, .. }) = established else {
        return;
    };
    let late = part(client, upstream, &relayed).await;
    record.open().counters.inbound.fetch_add(late, Ordering::Relaxed);
    let (outcome, reason) = outcome(relayed, record.open().recycling.is_draining());
    record.close(outcome, reason);
    // Dropped last: a stop waits until this watch is dropped, and the record must have been written by then.
    drop(forced);
}

/// Ends both legs so that each peer can see how the connection ended: a reset is passed on as a reset, and a peer whose
/// connection tlsramp ends receives `close_notify` if the leg is TLS. Returns the number of bytes that were forwarded
/// from the client meanwhile.
async fn part(mut client: Stream, mut upstream: Stream, relayed: &Relayed) -> u64 {
    match relayed {
        Relayed::Stopped(Stop::Boundary) => return move_on(client, upstream).await as u64,
        Relayed::Ended(RelayEnds { client: End::Failed(_), .. }) => upstream.abort(),
        Relayed::Ended(RelayEnds { upstream: End::Failed(_), .. }) => client.abort(),
        Relayed::Stopped(Stop::Overdue) => cut_off(client, upstream).await,
        Relayed::Ended(RelayEnds { client: End::Idle, .. } | RelayEnds { upstream: End::Idle, .. })
        | Relayed::Stopped(Stop::Forced) => farewell(&mut client, &mut upstream).await,
        Relayed::Ended(_) => {}
    }
    0
}

/// Shuts down the sending direction of both legs, including `close_notify`.
async fn farewell(client: &mut Stream, upstream: &mut Stream) {
    let both = async { tokio::join!(client.shutdown(), upstream.shutdown()) };
    // A peer that does not accept the data in time is disconnected without `close_notify`.
    let _ = timeout(FAREWELL, both).await;
}

fn outcome(relayed: Relayed, draining: bool) -> (Outcome, Option<String>) {
    let ended = match relayed {
        Relayed::Ended(ended) => ended,
        Relayed::Stopped(Stop::Boundary) if draining => return (Outcome::Drained, None),
        Relayed::Stopped(Stop::Boundary) => return (Outcome::Recycled, None),
        Relayed::Stopped(Stop::Overdue) => return (Outcome::RecycledByForce, None),
        Relayed::Stopped(Stop::Forced) => return (Outcome::Forced, Some(ServeError::Forced.to_string())),
    };
    match (ended.client, ended.upstream) {
        (End::Failed(error), _) => (Outcome::ClientReset, Some(error.to_string())),
        (_, End::Failed(error)) => (Outcome::UpstreamReset, Some(error.to_string())),
        (End::Idle, End::Idle) => (Outcome::Stalled, None),
        (End::Idle, _) | (_, End::Idle) => (Outcome::HalfClosedIdle, None),
        (End::Truncated, _) => (Outcome::Completed, Some("the client sent no close_notify".into())),
        (_, End::Truncated) => (Outcome::Completed, Some("the upstream sent no close_notify".into())),
        (End::Closed | End::Open, End::Closed | End::Open) => (Outcome::Completed, None),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arc_swap::ArcSwap;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::watch;

    use super::serve;
    use crate::config::InboundSettings;
    use crate::drain::Drain;
    use crate::net::{ConnectionLimit, OwnDials, Resolvers, SlotRequest};
    use crate::policy::{Acceptance, LinkRule, Mode};
    use crate::proxy::ProxyContext;
    use crate::proxy::route::ServedRoute;
    use crate::route::Route;
    use crate::state::MemberListWriter;
    use crate::state::{SnapshotWriter, Tuning};
    use crate::telemetry::Observer;
    use crate::tls::{Material, TlsFiles};

    /// Every open connection holds one such future, even while idle, so its size is multiplied by the number of
    /// connections. Rarely used state is boxed where it is awaited.
    #[tokio::test]
    async fn a_connection_is_no_larger_than_it_has_to_be() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let peer = socket.local_addr().unwrap();
        let inbound = InboundSettings {
            binds: vec![peer],
            transparent: false,
            upstream: "127.0.0.1:1".parse().unwrap(),
            link: LinkRule::Never,
            acceptance: Acceptance::Terminate,
            source: None,
        };
        let material = Arc::new(Material::load(&TlsFiles::default()).unwrap().0);
        let (_tuned, tuning) = watch::channel(Tuning::default());
        let context = ProxyContext {
            observer: Arc::new(Observer::default()),
            snapshot: SnapshotWriter::new(Mode::Allow, material).reader(),
            tuning,
            members: MemberListWriter::new().reader(),
            dials: OwnDials::default(),
        };
        let route = Route::inbound(&inbound, &Resolvers::default()).unwrap();
        let route = Arc::new(ArcSwap::from_pointee(ServedRoute::new(Arc::new(route), None)));
        let Ok(SlotRequest::Granted(slot)) = ConnectionLimit::new(1, 0).enter(peer.ip(), |_| false) else {
            panic!("a slot is free")
        };
        let record = context.observer.open(peer, route.load().record(&context.observer.metrics));
        let connection = serve(socket, record, slot, route, Arc::new(context), Drain::new().watch());
        let size = size_of_val(&connection);
        assert!(size <= MOST_BYTES, "{size} bytes; before this, {MOST_BYTES} were enough");
    }

    /// Together with 104 bytes of the runtime, this fills an allocation of 512 bytes: tasks are allocated in multiples
    /// of 128.
    const MOST_BYTES: usize = 408;
}
