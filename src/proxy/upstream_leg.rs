//! The upstream's leg: dials the server, establishes the link that the permit demands, and notes it in the record.

use std::sync::Arc;
use std::time::Instant;

use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::client_leg::ClientLeg;
use super::context::{AcceptedConnection, Policy};
use super::failure::ServeError;
use super::route::{Destination, ServedRoute};
use crate::limits::{FAREWELL, Timeouts};
use crate::net::{OwnDial, OwnDials};
use crate::policy::{Acceptance, Link, Permit};
use crate::route::Route;
use crate::state::Snapshot;
use crate::stream::Stream;
use crate::telemetry::{LinkFailure, LinkKey, Record, UpstreamInfo, now_millis};
use crate::tls::Material;

/// The upstream's leg, with the link, the route and the TLS material with which it was dialled.
pub(super) struct UpstreamLeg {
    pub(super) leg: Stream,
    pub(super) link: Link,
    pub(super) dial: Option<OwnDial>,
    pub(super) route: Arc<ServedRoute>,
    pub(super) material: Arc<Material>,
}

impl UpstreamLeg {
    /// Returns `reached` if it fits this policy; otherwise closes it and dials.
    pub(super) async fn fitting(
        reached: Option<UpstreamLeg>,
        permit: Permit,
        destination: Option<Destination>,
        client: &ClientLeg,
        policy: &Policy,
        accepted: &AcceptedConnection<'_>,
        record: &mut Record,
    ) -> Result<UpstreamLeg, ServeError> {
        if let Some(reached) = reached {
            if reached.fits(permit.link(), policy) {
                return Ok(reached);
            }
            reached.close().await;
        }
        let Policy { snapshot, route, .. } = policy;
        let destination = match (destination, client.leg.socket()) {
            (Some(destination), _) => destination,
            (None, Some(socket)) => policy.destination(socket, accepted)?,
            (None, None) => return Err(ServeError::Unsettled),
        };
        let link = permit.link();
        let (leg, dial) = reach(
            permit,
            &route.route,
            destination,
            snapshot,
            &accepted.tuning.timeouts,
            &accepted.context.dials,
            record,
        )
        .await?;
        Ok(UpstreamLeg { leg, link, dial, route: Arc::clone(route), material: Arc::clone(&snapshot.tls) })
    }

    /// Returns whether this policy would dial in the same way: by the same route, over the same kind of link and, for
    /// TLS, with the same material. A TLS link does not fit once a certificate or revocation list by which the server
    /// was verified has expired.
    fn fits(&self, link: Link, policy: &Policy) -> bool {
        let verified =
            link != Link::Tls || (Arc::ptr_eq(&self.material, &policy.snapshot.tls) && !self.leg.is_outlived());
        link == self.link && Arc::ptr_eq(&self.route, &policy.route) && verified
    }

    /// Closes a connection on which no data was sent; if it uses TLS, with `close_notify`.
    pub(super) async fn close(mut self) {
        let _ = Box::pin(timeout(FAREWELL, self.leg.shutdown())).await;
    }
}

/// Establishes the upstream's leg. If the route is outbound, notes the result of the dial.
async fn reach(
    permit: Permit,
    route: &Route,
    destination: Destination,
    snapshot: &Snapshot,
    timeouts: &Timeouts,
    dials: &OwnDials,
    record: &mut Record,
) -> Result<(Stream, Option<OwnDial>), ServeError> {
    let link = permit.link();
    let reached = leg(permit, route, &destination, snapshot, timeouts, dials, record).await;
    if route.acceptance == Acceptance::Outbound {
        let failure = reached.as_ref().err();
        let failure = failure.map(|failure| LinkFailure { text: failure.to_string(), fault: failure.fault() });
        let key = LinkKey { route: route.id.clone(), destination: Arc::clone(&destination.upstream.name) };
        let names = destination.upstream.names();
        record.links().dialled(key, destination.redirected, names, link, failure, now_millis());
    }
    reached
}

/// Dials the upstream and establishes the link. The server receives the client's SNI if the client sent one and the
/// route passes it on.
async fn leg(
    permit: Permit,
    route: &Route,
    destination: &Destination,
    snapshot: &Snapshot,
    timeouts: &Timeouts,
    dials: &OwnDials,
    record: &mut Record,
) -> Result<(Stream, Option<OwnDial>), ServeError> {
    let name = Arc::clone(&destination.upstream.name);
    record.note(|known| known.upstream = Some(Box::new(UpstreamInfo { name, local: None, tls_version: None })));
    let began = Instant::now();
    let dialled = destination.upstream.dial(permit, timeouts.connect).await.map_err(ServeError::Dial)?;
    let connected = Instant::now();
    record.latencies().dialled(connected - began);
    let local = dialled.local;
    note(record, |reached| reached.local = local);
    let dial = local.zip(dialled.remote).map(|(local, remote)| dials.note(local, remote, route.acceptance));
    let tls = record.info().and_then(|known| known.tls.as_deref()).filter(|_| route.passes_sni());
    let sni = tls.and_then(|tls| tls.sni.as_deref());
    let stream = destination.upstream.link(dialled, sni, &snapshot.tls, timeouts.handshake).await?;
    if let Some(version) = stream.tls_version() {
        note(record, |reached| reached.tls_version = Some(version));
        record.latencies().upstream_handshake(connected.elapsed());
        // The server has answered, so the dial need not be remembered.
        return Ok((stream, None));
    }
    Ok((stream, dial))
}

/// Updates the upstream's entry in the record.
fn note(record: &mut Record, note: impl FnOnce(&mut UpstreamInfo)) {
    record.note(|known| {
        if let Some(reached) = &mut known.upstream {
            note(reached);
        }
    });
}
