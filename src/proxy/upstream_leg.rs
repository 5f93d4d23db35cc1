//! The upstream's leg, and what the record is told of it.

use std::sync::Arc;
use std::time::Instant;

use super::failure::ServeError;
use super::leg::Leg;
use super::route::Destination;
use crate::limits::Timeouts;
use crate::net::{OwnDial, OwnDials};
use crate::policy::{Acceptance, Permit};
use crate::route::Route;
use crate::state::Snapshot;
use crate::telemetry::{LinkFailure, LinkKey, Record, UpstreamInfo};

/// Makes the upstream's leg, and notes what came of it if the route is outbound.
pub(super) async fn reach(
    permit: Permit,
    route: &Route,
    toward: Destination,
    snapshot: &Snapshot,
    timeouts: &Timeouts,
    dials: &OwnDials,
    record: &mut Record,
) -> Result<(Leg, Option<OwnDial>), ServeError> {
    let link = permit.link();
    let reached = leg(permit, route, &toward, snapshot, timeouts, dials, record).await;
    if route.acceptance == Acceptance::Outbound {
        let failure = reached.as_ref().err();
        let failure = failure.map(|failure| LinkFailure { text: failure.to_string(), fault: failure.fault() });
        let key = LinkKey { route: route.id.clone(), destination: Arc::clone(&toward.upstream.name) };
        record.links().dialled(key, toward.redirected, toward.upstream.names(), link, failure);
    }
    reached
}

/// The server hears the client's own SNI, where the route passes it on and there is one.
async fn leg(
    permit: Permit,
    route: &Route,
    toward: &Destination,
    snapshot: &Snapshot,
    timeouts: &Timeouts,
    dials: &OwnDials,
    record: &mut Record,
) -> Result<(Leg, Option<OwnDial>), ServeError> {
    let name = Arc::clone(&toward.upstream.name);
    record.note(|known| known.upstream = Some(Box::new(UpstreamInfo { name, local: None, tls_version: None })));
    let began = Instant::now();
    let dialled = toward.upstream.dial(permit, timeouts.connect).await.map_err(ServeError::Dial)?;
    let connected = Instant::now();
    record.latencies().dialled(connected - began);
    let local = dialled.local;
    note(record, |reached| reached.local = local);
    let dial = local.zip(dialled.remote).map(|(local, remote)| dials.note(local, remote, route.acceptance));
    let tls = record.info().and_then(|known| known.tls.as_deref()).filter(|_| route.passes_sni());
    let sni = tls.and_then(|tls| tls.sni.as_deref());
    let stream = toward.upstream.link(dialled, sni, &snapshot.tls, timeouts.handshake).await?;
    if let Some(version) = stream.tls_version() {
        note(record, |reached| reached.tls_version = Some(version));
        record.latencies().upstream_handshake(connected.elapsed());
        // The server has answered.
        return Ok((stream.into(), None));
    }
    Ok((stream.into(), dial))
}

/// Notes what has become known of the upstream.
fn note(record: &mut Record, note: impl FnOnce(&mut UpstreamInfo)) {
    record.note(|known| {
        if let Some(reached) = &mut known.upstream {
            note(reached);
        }
    });
}
