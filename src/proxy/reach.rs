//! The upstream's leg, and what the record is told of it.

use std::time::Instant;

use super::failure::Failure;
use super::leg::Leg;
use super::redirected::Dial;
use super::route::{Route, Toward};
use crate::limits::Timeouts;
use crate::observe::Record;
use crate::policy::Permit;
use crate::snapshot::Snapshot;

/// Makes the upstream's leg. The server hears the client's own SNI, where the route passes it on and there is one.
pub(super) async fn reach(
    permit: Permit,
    route: &Route,
    toward: Toward,
    snapshot: &Snapshot,
    timeouts: &Timeouts,
    record: &mut Record,
) -> Result<(Leg, Option<Dial>), Failure> {
    record.note(|known| known.upstream = Some(toward.written));
    let began = Instant::now();
    let dialled = toward.way.dial(permit, timeouts.connect).await.map_err(Failure::Dial)?;
    let connected = Instant::now();
    record.latencies().dialled(connected - began);
    let local = dialled.local;
    record.note(|known| known.upstream_local = local);
    let dial = route.dialled(local);
    let tls = record.known().tls.as_deref().filter(|_| route.passes_sni());
    let sni = tls.and_then(|tls| tls.sni.as_deref());
    let stream = toward.way.link(dialled, sni, &snapshot.tls, timeouts.handshake).await?;
    if let Some(version) = stream.tls_version() {
        record.note(|known| known.upstream_tls = Some(version));
        record.latencies().upstream_handshake(connected.elapsed());
    }
    Ok((stream.into(), dial))
}
