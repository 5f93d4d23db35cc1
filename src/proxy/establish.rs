//! The way of a connection from its first bytes to both its legs.
//!
//! A connection is judged by the snapshot and the route in force once its opening is known. Its handshakes and its dial
//! may take seconds, in which a change can be acknowledged, so the two are compared once more right before the first
//! byte is relayed. Where one of them has changed, the connection is judged again: by the mode, its client by the new CAs
//! and revocation lists, and its server is dialled anew where the link would be another.
//!
//! The comparison is made under the lock of the table of established connections, in one piece with the connection's
//! entry there. So a change that comes after it finds the connection in the table, and counts it if it does not conform;
//! and of a change that was acknowledged before, the comparison sees the snapshot, because the lock, or the answer to
//! whoever asked for the change, comes in between. Until then the connection is counted with the snapshot that it was
//! judged by.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::client_leg::{admit, admit_again};
use super::failure::ServeError;
use super::interception::NotIntercepted;
use super::leg::Leg;
use super::refusal;
use super::route::{Destination, ServedRoute};
use super::server::ProxyContext;
use super::upstream_leg::reach;
use crate::drain;
use crate::limits::{FAREWELL, JUDGED_MOST};
use crate::net::{OwnDial, linger};
use crate::policy::{Admission, Link, Opening, Permit, Refused, judge, non_conforming_modes};
use crate::route::Route;
use crate::sniff::{Sniffed, sniff};
use crate::state::{PendingConnection, Snapshot, Tuning};
use crate::telemetry::{ClientTls, ConnectionVerdict, OpenRecord, Record};
use crate::tls::Material;

/// Both legs of a connection, and its entry among the established ones.
pub(super) struct Legs {
    pub(super) client: Leg,
    pub(super) upstream: Leg,
    pub(super) record: OpenRecord,
    pub(super) dial: Option<OwnDial>,
}

/// What every step of the way needs.
pub(super) struct AcceptedConnection<'a> {
    pub(super) peer: SocketAddr,
    /// Set if it has come around the rules that lead to a transparent route.
    pub(super) not_intercepted: Option<NotIntercepted>,
    pub(super) route: &'a ArcSwap<ServedRoute>,
    pub(super) context: &'a ProxyContext,
    pub(super) tuning: Tuning,
}

/// What a connection is judged by.
struct Policy {
    snapshot: Arc<Snapshot>,
    route: Arc<ServedRoute>,
    /// Its place in the count of those that the snapshot has let in, and that are not established yet.
    pending: Option<PendingConnection>,
}

/// The client's leg, and what it was admitted by.
struct ClientLeg {
    leg: Leg,
    admission: Admission,
    material: Arc<Material>,
}

/// The upstream's leg, and what it was dialled by.
struct UpstreamLeg {
    leg: Leg,
    link: Link,
    dial: Option<OwnDial>,
    route: Arc<ServedRoute>,
    material: Arc<Material>,
}

/// Makes both legs. Nothing is dialled before the client is admitted, and nothing without the permit.
pub(super) async fn establish(
    socket: TcpStream,
    accepted: &AcceptedConnection<'_>,
    watch: &drain::DrainWatch,
    record: &mut Record,
) -> Result<Legs, ServeError> {
    let (socket, opening) = opened(socket, accepted, watch, record).await?;
    if let Some(error) = accepted.not_intercepted {
        let (failure, Tuning { refusal, timeouts }) = (ServeError::NotIntercepted(error), accepted.tuning);
        Box::pin(refusal::not_intercepted(socket, opening, &failure, refusal, timeouts.sniff)).await;
        return Err(failure);
    }
    // Both as of now, not as of accept: a silent client may have waited through any number of changes.
    let mut policy = Policy::now(accepted);
    let permit = match policy.judge(opening, accepted, record) {
        Ok(permit) => permit,
        Err(refused) => return Err(turn_away(Leg::Tcp(socket), refused, accepted, record).await),
    };
    // Asked before the handshake: a dial of tlsramp's own is known until the dialler's handshake is over.
    let toward = policy.destination(&socket, accepted);
    let mut client = ClientLeg::admit(permit.admission(), socket, &policy, accepted, record).await?;
    let mut toward = match toward {
        Ok(toward) => Some(toward),
        Err(failure) => return Err(unreachable(client, failure, accepted, record).await),
    };
    let mut permit = permit;
    let mut upstream = None;
    for _ in 0..JUDGED_MOST {
        // The handshake may have taken its time: nothing is dialled by what is no longer in force.
        if policy.is_in_force(accepted) && !client.leg.is_outlived() {
            match UpstreamLeg::fitting(upstream, permit, toward.take(), &client, &policy, accepted, record).await {
                Ok(reached) => {
                    let outlived = client.leg.is_outlived() || reached.leg.is_outlived();
                    let judgement = policy.judgement(opening, reached.link);
                    if !outlived && let Some(record) = record.establish(judgement, || policy.is_in_force(accepted)) {
                        return Ok(Legs { client: client.leg, upstream: reached.leg, record, dial: reached.dial });
                    }
                    upstream = Some(reached);
                }
                // By the newer policy it may be reached.
                Err(_) if !policy.is_in_force(accepted) => upstream = None,
                Err(failure) => {
                    drop(policy);
                    return Err(unreachable(client, failure, accepted, record).await);
                }
            }
        }
        policy = Policy::now(accepted);
        toward = None;
        permit = match policy.judge(opening, accepted, record) {
            Ok(permit) => permit,
            Err(refused) => {
                part(upstream).await;
                return Err(turn_away(client.leg, refused, accepted, record).await);
            }
        };
        if let Err(failure) = client.admit_again(permit.admission(), &policy, record) {
            drop(policy);
            part(upstream).await;
            return Err(say(client, failure, accepted).await);
        }
    }
    drop(policy);
    part(upstream).await;
    Err(say(client, ServeError::Unsettled, accepted).await)
}

/// Waits until it is known how a client opens.
async fn opened(
    socket: TcpStream,
    accepted: &AcceptedConnection<'_>,
    watch: &drain::DrainWatch,
    record: &mut Record,
) -> Result<(TcpStream, Opening), ServeError> {
    let timeouts = accepted.tuning.timeouts;
    let sniffed = tokio::select! {
        // A client whose opening is complete is served, stop or no stop.
        biased;
        sniffed = sniff(&socket, timeouts.sniff, timeouts.close_silent) => sniffed,
        () = watch.draining() => return Err(ServeError::Draining),
    };
    let Sniffed { opening, hello } = match sniffed {
        Ok(sniffed) => sniffed,
        Err(error) => {
            Box::pin(linger(socket)).await;
            return Err(error.into());
        }
    };
    record.note(|known| {
        accepted.context.observer.metrics.sniffed(known.accepted.elapsed());
        known.opening = Some(opening);
        if let Some(hello) = hello {
            let versions_offered = Some(hello.versions.to_string());
            known.tls = Some(Box::new(ClientTls { versions_offered, sni: hello.sni, ..ClientTls::default() }));
        }
    });
    Ok((socket, opening))
}

impl Policy {
    fn now(accepted: &AcceptedConnection<'_>) -> Policy {
        Policy { snapshot: accepted.context.snapshot.load(), route: accepted.route.load_full(), pending: None }
    }

    fn is_in_force(&self, accepted: &AcceptedConnection<'_>) -> bool {
        accepted.context.snapshot.is_in_force(&self.snapshot) && Arc::ptr_eq(&accepted.route.load(), &self.route)
    }

    /// Judges an opening, and counts the connection as one that is under way.
    fn judge(
        &mut self,
        opening: Opening,
        accepted: &AcceptedConnection<'_>,
        record: &mut Record,
    ) -> Result<Permit, Refused> {
        let Policy { snapshot, route, pending } = self;
        record.note(|known| {
            known.mode = Some(snapshot.mode);
            known.generation = snapshot.generation;
            known.route = Arc::clone(route.record(&accepted.context.observer.metrics));
        });
        let rules = &route.route;
        let permit = judge(snapshot.mode, rules.acceptance, rules.link_rule, opening)?;
        let non_conforming_modes = non_conforming_modes(rules.acceptance, rules.link_rule, opening, permit.link());
        *pending =
            Some(PendingConnection::count(snapshot, non_conforming_modes, permit.admission() == Admission::Terminated));
        Ok(permit)
    }

    fn destination(&self, socket: &TcpStream, accepted: &AcceptedConnection<'_>) -> Result<Destination, ServeError> {
        let ProxyContext { dials, members, .. } = accepted.context;
        self.route.destination(socket, accepted.peer, dials, members).map_err(ServeError::Redirect)
    }

    fn judgement(&self, opening: Opening, link: Link) -> ConnectionVerdict {
        let Policy { snapshot, route, .. } = self;
        let Route { acceptance, link_rule: rule, .. } = *route.route;
        ConnectionVerdict { acceptance, rule, opening, link, mode: snapshot.mode }
    }
}

impl ClientLeg {
    async fn admit(
        admission: Admission,
        socket: TcpStream,
        policy: &Policy,
        accepted: &AcceptedConnection<'_>,
        record: &mut Record,
    ) -> Result<ClientLeg, ServeError> {
        let leg = admit(admission, socket, &policy.snapshot, &accepted.tuning.timeouts, record).await?;
        Ok(ClientLeg { leg, admission, material: Arc::clone(&policy.snapshot.tls) })
    }

    /// Whether it may stay, by a newer policy.
    fn admit_again(&mut self, admission: Admission, policy: &Policy, record: &mut Record) -> Result<(), ServeError> {
        if admission != self.admission {
            // TLS that ends here cannot be passed through any more, nor the reverse.
            return Err(ServeError::Unsettled);
        }
        if self.leg.is_outlived() || !Arc::ptr_eq(&self.material, &policy.snapshot.tls) {
            admit_again(&mut self.leg, &policy.snapshot, record)?;
            self.material = Arc::clone(&policy.snapshot.tls);
        }
        Ok(())
    }
}

impl UpstreamLeg {
    /// The one that was reached before, if this policy would dial it, or else another.
    async fn fitting(
        reached: Option<UpstreamLeg>,
        permit: Permit,
        toward: Option<Destination>,
        client: &ClientLeg,
        policy: &Policy,
        accepted: &AcceptedConnection<'_>,
        record: &mut Record,
    ) -> Result<UpstreamLeg, ServeError> {
        if let Some(reached) = reached {
            if reached.fits(permit.link(), policy) {
                return Ok(reached);
            }
            part(Some(reached)).await;
        }
        let Policy { snapshot, route, .. } = policy;
        let toward = match (toward, client.leg.socket()) {
            (Some(toward), _) => toward,
            (None, Some(socket)) => policy.destination(socket, accepted)?,
            (None, None) => return Err(ServeError::Unsettled),
        };
        let link = permit.link();
        let (leg, dial) =
            reach(permit, &route.route, toward, snapshot, &accepted.tuning.timeouts, &accepted.context.dials, record)
                .await?;
        Ok(UpstreamLeg { leg, link, dial, route: Arc::clone(route), material: Arc::clone(&snapshot.tls) })
    }

    /// Whether it is the one that would be dialled by this policy.
    fn fits(&self, link: Link, policy: &Policy) -> bool {
        let verified =
            link != Link::Tls || (Arc::ptr_eq(&self.material, &policy.snapshot.tls) && !self.leg.is_outlived());
        link == self.link && Arc::ptr_eq(&self.route, &policy.route) && verified
    }
}

/// Leaves a server that was sent nothing, `close_notify` included.
async fn part(upstream: Option<UpstreamLeg>) {
    if let Some(mut upstream) = upstream {
        let _ = Box::pin(timeout(FAREWELL, upstream.leg.shutdown())).await;
    }
}

/// Refuses by policy.
async fn turn_away(
    client: Leg,
    refused: Refused,
    accepted: &AcceptedConnection<'_>,
    record: &mut Record,
) -> ServeError {
    let (failure, Tuning { refusal, timeouts }) = (ServeError::Refused(refused), accepted.tuning);
    match client {
        Leg::Tcp(socket) => {
            if refused == Refused::Plaintext {
                record.turned_away(Box::pin(refusal::who(&socket)).await);
            }
            Box::pin(refusal::by_policy(socket, refused, refusal, timeouts.sniff)).await;
        }
        Leg::Unix(_) | Leg::FromClient(_) | Leg::ToServer(_) => {
            Box::pin(refusal::after_admission(client, &failure, refusal, timeouts.sniff)).await;
        }
    }
    failure
}

/// Tells a client that was admitted why it is not served, if its TLS is ours or it has none.
async fn say(client: ClientLeg, failure: ServeError, accepted: &AcceptedConnection<'_>) -> ServeError {
    if client.admission != Admission::Untouched {
        let Tuning { refusal, timeouts } = accepted.tuning;
        Box::pin(refusal::after_admission(client.leg, &failure, refusal, timeouts.sniff)).await;
    }
    failure
}

/// An upstream that cannot be reached is said to those who can be told: not to a client whose TLS is not ours.
async fn unreachable(
    client: ClientLeg,
    failure: ServeError,
    accepted: &AcceptedConnection<'_>,
    record: &Record,
) -> ServeError {
    if client.admission != Admission::Untouched {
        let upstream = record.info().and_then(|known| known.upstream.as_deref()).map(|upstream| &*upstream.name);
        let Tuning { refusal, timeouts } = accepted.tuning;
        Box::pin(refusal::unreachable(client.leg, upstream, &failure, refusal, timeouts.sniff)).await;
    }
    failure
}
