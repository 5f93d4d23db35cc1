//! The upstream's leg, and what the record is told of it.

use super::failure::Failure;
use super::leg::Leg;
use super::route::Route;
use crate::limits::Timeouts;
use crate::observe::Record;
use crate::policy::Permit;
use crate::snapshot::Snapshot;

/// Makes the upstream's leg. The server hears the client's own SNI, where the route passes it on and there is one.
pub(super) async fn reach(
    permit: Permit,
    route: &Route,
    snapshot: &Snapshot,
    timeouts: &Timeouts,
    record: &mut Record,
) -> Result<Leg, Failure> {
    record.upstream = Some(route.written.clone());
    let dialled = route.way.dial(permit, timeouts.connect).await.map_err(Failure::Dial)?;
    record.upstream_local = dialled.local;
    let sni = record.sni.as_deref().filter(|_| route.passes_sni());
    let stream = route.way.link(dialled, sni, &snapshot.tls, timeouts.handshake).await?;
    record.upstream_tls = stream.tls_version();
    Ok(stream.into())
}
