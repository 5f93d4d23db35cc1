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
    record.upstream = Some(toward.written);
    let began = Instant::now();
    let dialled = toward.way.dial(permit, timeouts.connect).await.map_err(Failure::Dial)?;
    let connected = Instant::now();
    record.latencies().dialled(connected - began);
    record.upstream_local = dialled.local;
    let dial = route.dialled(dialled.local);
    let sni = record.sni.as_deref().filter(|_| route.passes_sni());
    let stream = toward.way.link(dialled, sni, &snapshot.tls, timeouts.handshake).await?;
    record.upstream_tls = stream.tls_version();
    if record.upstream_tls.is_some() {
        record.latencies().upstream_handshake(connected.elapsed());
    }
    Ok((stream.into(), dial))
}
