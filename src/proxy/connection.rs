//! One connection, from accept to record.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arc_swap::ArcSwap;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::establish::{Legs, Way, establish};
use super::failure::Failure;
use super::leg::Leg;
use super::moving::{cut_off, move_on};
use super::route::Route;
use super::server::Parts;
use super::watcher::Watcher;
use crate::drain;
use crate::limits::FAREWELL;
use crate::net::{End, Ended, Relay, Relayed, Slot, Stop};
use crate::observe::Outcome;

/// Serves one connection and closes its record with how it went. What only its beginning takes is boxed and given back
/// once it is established: most of its life, a connection waits.
pub(super) fn serve(
    socket: TcpStream,
    peer: SocketAddr,
    slot: Slot,
    route: Arc<ArcSwap<Route>>,
    parts: Arc<Parts>,
    watch: drain::Watch,
) -> impl Future<Output = ()> + Send {
    // Made here and not in the block below, which would hold what it is given for as long as it lives.
    let begun = Box::pin(async move {
        let mut record = parts.observer.open(peer, route.load().record(&parts.observer.metrics));
        let way = Way { peer, route: &route, parts: &parts, tuning: *parts.tuning.borrow() };
        let established = tokio::select! {
            // What is complete is complete, stop or no stop.
            biased;
            established = establish(socket, &way, &watch, &mut record) => established,
            () = watch.forced() => Err(Failure::Forced),
        };
        match established {
            Ok(Legs { client, upstream, record, dial }) => {
                let watcher = Watcher::new(record, dial, watch);
                let relay = Relay::new(client, upstream, watcher);
                Some(Established { relay, _slot: slot })
            }
            Err(failure) => {
                record.close(failure.outcome(), Some(failure.to_string()));
                None
            }
        }
    });
    async move {
        let mut established = begun.await;
        // In its place, not moved: every byte that is held twice is held by every open connection.
        let Some(Established { relay, .. }) = &mut established else { return };
        let relayed = relay.await;
        Box::pin(end(established, relayed)).await;
    }
}

/// An established connection.
struct Established {
    relay: Relay<Leg, Leg, Watcher>,
    /// Held to the end.
    _slot: Slot,
}

/// Parts with both legs and closes the record with how it went.
async fn end(established: Option<Established>, relayed: Relayed) {
    let Some(Established { relay, _slot }) = established else { return };
    let Relay { client, upstream, tap: Watcher { record, forced, .. }, .. } = relay;
    let late = part(client, upstream, &relayed).await;
    record.open().counters.inbound.fetch_add(late, Ordering::Relaxed);
    let (outcome, reason) = outcome(relayed);
    record.close(outcome, reason);
    // A stop waits for the record too.
    drop(forced);
}

/// An end that each peer can tell from another: a reset is passed on as a reset, and who is cut off by us is told so
/// where TLS has a word for it. Returns how many more bytes of the client's were forwarded meanwhile.
async fn part(mut client: Leg, mut upstream: Leg, relayed: &Relayed) -> u64 {
    match relayed {
        Relayed::Stopped(Stop::Boundary) => return move_on(client, upstream).await as u64,
        Relayed::Ended(Ended { client: End::Failed(_), .. }) => upstream.abort(),
        Relayed::Ended(Ended { upstream: End::Failed(_), .. }) => client.abort(),
        Relayed::Stopped(Stop::Overdue) => cut_off(client, upstream).await,
        Relayed::Ended(Ended { client: End::Idle, .. } | Ended { upstream: End::Idle, .. })
        | Relayed::Stopped(Stop::Forced) => farewell(&mut client, &mut upstream).await,
        Relayed::Ended(_) => {}
    }
    0
}

/// Ends our direction of both legs, `close_notify` included.
async fn farewell(client: &mut Leg, upstream: &mut Leg) {
    let both = async { tokio::join!(client.shutdown(), upstream.shutdown()) };
    // Who does not take it in time is cut off without.
    let _ = timeout(FAREWELL, both).await;
}

fn outcome(relayed: Relayed) -> (Outcome, Option<String>) {
    let ended = match relayed {
        Relayed::Ended(ended) => ended,
        Relayed::Stopped(Stop::Boundary) => return (Outcome::Recycled, None),
        Relayed::Stopped(Stop::Overdue) => return (Outcome::RecycledByForce, None),
        Relayed::Stopped(Stop::Forced) => return (Outcome::Forced, Some(Failure::Forced.to_string())),
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
    use crate::config::Inbound;
    use crate::drain::Drain;
    use crate::members;
    use crate::net::{OwnDials, Slots};
    use crate::observe::Observer;
    use crate::policy::{Acceptance, LinkRule, Mode};
    use crate::proxy::{Parts, Route};
    use crate::snapshot::{Tuning, Writer};
    use crate::tls::{Material, TlsFiles};

    /// Every open connection is one of these, idle or not: what grows here is multiplied by all of them. What is rare is
    /// boxed where it is awaited.
    #[tokio::test]
    async fn a_connection_is_no_larger_than_it_has_to_be() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let peer = socket.local_addr().unwrap();
        let inbound = Inbound {
            binds: vec![peer],
            upstream: "127.0.0.1:1".parse().unwrap(),
            link: LinkRule::Never,
            acceptance: Acceptance::Terminate,
            source: None,
        };
        let material = Arc::new(Material::load(&TlsFiles::default()).unwrap().0);
        let (_tuned, tuning) = watch::channel(Tuning::default());
        let parts = Parts {
            observer: Arc::new(Observer::default()),
            snapshot: Writer::new(Mode::Allow, material).reader(),
            tuning,
            members: members::Writer::new().reader(),
            dials: OwnDials::default(),
        };
        let route = Arc::new(ArcSwap::from_pointee(Route::inbound(&inbound).unwrap()));
        let slot = Slots::new(1).try_take().unwrap();
        let connection = serve(socket, peer, slot, route, Arc::new(parts), Drain::new().watch());
        let size = size_of_val(&connection);
        assert!(size <= MOST_BYTES, "{size} bytes; before this, {MOST_BYTES} were enough");
    }

    /// With 104 of the runtime's own, these fill an allocation of 512: tasks take multiples of 128.
    const MOST_BYTES: usize = 408;
}
