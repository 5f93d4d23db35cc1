//! One connection, from accept to record.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arc_swap::ArcSwap;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::admit::admit;
use super::failure::Failure;
use super::leg::Leg;
use super::moving::{cut_off, move_on};
use super::reach::reach;
use super::refuse;
use super::route::Route;
use super::server::Parts;
use super::watcher::Watcher;
use crate::drain;
use crate::limits::FAREWELL;
use crate::net::{End, Ended, OwnDial, Relay, Relayed, Slot, Stop, linger};
use crate::observe::{ClientTls, Judged, Outcome, Record};
use crate::policy::{Admission, Refused, judge};
use crate::snapshot::Tuning;
use crate::sniff::{SniffError, sniff};

/// Serves one connection and closes its record with how it went. What only its beginning takes is boxed and given back
/// once it is established: most of its life, a connection waits.
pub(super) fn serve(
    socket: TcpStream,
    mut record: Record,
    mut slot: Slot,
    route: Arc<ArcSwap<Route>>,
    parts: Arc<Parts>,
    watch: drain::Watch,
) -> impl Future<Output = ()> + Send {
    // Made here and not in the block below, which would hold what it is given for as long as it lives.
    let begun = Box::pin(async move {
        let peer = record.known()?.peer;
        let mut tuning = *parts.tuning.borrow();
        let opening = async {
            let socket = silence(socket, &mut slot, &mut tuning, &watch).await?;
            establish(socket, peer, &route, &parts, tuning, &watch, &mut record).await
        };
        let established = tokio::select! {
            // What is complete is complete, stop or no stop.
            biased;
            established = opening => established,
            () = watch.forced() => Err(Failure::Forced),
        };
        match established {
            Ok(Legs { client, upstream, judged, dial }) => {
                let watcher = Watcher::new(record.establish(judged)?, dial, watch);
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

/// Waits until a client has sent something, or has ended: for as long as its slot is not needed, unless silent clients are
/// closed. What it has sent is not read.
async fn silence(
    socket: TcpStream,
    slot: &mut Slot,
    tuning: &mut Tuning,
    watch: &drain::Watch,
) -> Result<TcpStream, Failure> {
    let began = Instant::now();
    let limit = tuning.timeouts.sniff;
    let overdue = async {
        if tuning.timeouts.close_silent {
            sleep(limit).await;
        } else {
            pending::<()>().await;
        }
    };
    let mut first = [0];
    tokio::select! {
        // A client that has spoken is served.
        biased;
        _ = socket.peek(&mut first) => {
            slot.heard();
            if tuning.timeouts.close_silent {
                tuning.timeouts.sniff = limit.saturating_sub(began.elapsed());
            }
            Ok(socket)
        }
        () = watch.draining() => Err(Failure::Draining),
        () = overdue => {
            Box::pin(linger(socket)).await;
            Err(Failure::Sniff(SniffError::TimedOut(0)))
        }
        // Closed at once: there is nothing unread that could make a reset of it, and the slot is needed.
        () = slot.asked_to_leave() => Err(Failure::MadeRoom(began.elapsed())),
    }
}

/// Both legs of a connection, and what it was judged by.
struct Legs {
    client: Leg,
    upstream: Leg,
    judged: Judged,
    dial: Option<OwnDial>,
}

/// An established connection.
struct Established {
    relay: Relay<Leg, Leg, Watcher>,
    /// Held to the end.
    _slot: Slot,
}

/// The line to both legs. Nothing is dialled before the client is admitted, and nothing without the permit.
async fn establish(
    socket: TcpStream,
    peer: SocketAddr,
    route: &ArcSwap<Route>,
    parts: &Parts,
    tuning: Tuning,
    watch: &drain::Watch,
    record: &mut Record,
) -> Result<Legs, Failure> {
    let Tuning { timeouts, refusal } = tuning;
    let sniffed = tokio::select! {
        // A client whose opening is complete is served, stop or no stop.
        biased;
        sniffed = sniff(&socket, timeouts.sniff, timeouts.close_silent) => sniffed,
        () = watch.draining() => return Err(Failure::Draining),
    };
    let sniffed = match sniffed {
        Ok(sniffed) => sniffed,
        Err(error) => {
            Box::pin(linger(socket)).await;
            return Err(error.into());
        }
    };
    record.note(|known| parts.observer.metrics.sniffed(known.accepted.elapsed()));

    // Both as of now, not as of accept: a silent client may have waited through any number of changes.
    let snapshot = parts.snapshot.load();
    let route = &*route.load_full();
    let opening = sniffed.opening;
    record.note(|known| {
        known.opening = Some(opening);
        known.mode = Some(snapshot.mode);
        known.generation = snapshot.generation;
        known.route = Arc::clone(route.record(&parts.observer.metrics));
        if let Some(hello) = sniffed.hello {
            let versions_offered = Some(hello.versions.to_string());
            known.tls = Some(Box::new(ClientTls { versions_offered, sni: hello.sni, ..ClientTls::default() }));
        }
    });
    let permit = match judge(snapshot.mode, route.acceptance, route.link, opening) {
        Ok(permit) => permit,
        Err(refused) => {
            if refused == Refused::Plaintext {
                record.turned_away(Box::pin(refuse::who(&socket)).await);
            }
            Box::pin(refuse::by_policy(socket, refused, refusal, timeouts.sniff)).await;
            return Err(Failure::Refused(refused));
        }
    };

    let (admission, link) = (permit.admission(), permit.link());
    let toward = route.toward(&socket, peer, &parts.dials);
    let client = admit(admission, socket, &snapshot, &timeouts, record).await?;
    let reached = match toward {
        Ok(toward) => reach(permit, route, toward, &snapshot, &timeouts, &parts.dials, record).await,
        Err(astray) => Err(Failure::Astray(astray)),
    };
    match reached {
        Ok((upstream, dial)) => {
            let (acceptance, rule, mode) = (route.acceptance, route.link, snapshot.mode);
            Ok(Legs { client, upstream, judged: Judged { acceptance, rule, opening, link, mode }, dial })
        }
        Err(failure) => {
            let upstream = record.known().and_then(|known| known.upstream.as_deref()).map(|upstream| &*upstream.name);
            turn_away(client, admission, upstream, &failure, tuning).await;
            Err(failure)
        }
    }
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

/// An upstream that cannot be reached is said to those who can be told: not to a client whose TLS is not ours.
async fn turn_away(client: Leg, admission: Admission, upstream: Option<&str>, failure: &Failure, tuning: Tuning) {
    if admission != Admission::Untouched {
        let said = refuse::unreachable(client, upstream, failure, tuning.refusal, tuning.timeouts.sniff);
        Box::pin(said).await;
    }
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
    use crate::net::{Entry, OwnDials, Seats};
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
        let Ok(Entry::Seat(slot)) = Seats::new(1, 0).enter(peer.ip(), |_| false) else { panic!("a slot is free") };
        let record = parts.observer.open(peer, route.load().record(&parts.observer.metrics));
        let connection = serve(socket, record, slot, route, Arc::new(parts), Drain::new().watch());
        let size = size_of_val(&connection);
        assert!(size <= MOST_BYTES, "{size} bytes; before this, {MOST_BYTES} were enough");
    }

    /// With 104 of the runtime's own, these fill an allocation of 512: tasks take multiples of 128.
    const MOST_BYTES: usize = 408;
}
