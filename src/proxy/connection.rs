//! One connection, from accept to record.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;

use super::admit::admit;
use super::failure::Failure;
use super::leg::Leg;
use super::reach::reach;
use super::refuse;
use super::route::Route;
use super::server::Parts;
use crate::drain;
use crate::net::{End, Ended, Slot, linger, relay};
use crate::observe::{Outcome, Record};
use crate::policy::{Admission, judge};
use crate::snapshot::Tuning;
use crate::sniff::sniff;

/// Serves one connection and closes its record with how it went.
pub(super) async fn serve(
    socket: TcpStream,
    peer: SocketAddr,
    slot: Slot,
    route: Arc<Route>,
    parts: Arc<Parts>,
    watch: drain::Watch,
) {
    let mut record = parts.observer.open(peer, &route.name);
    let tuning = *parts.tuning.borrow();
    let ended = tokio::select! {
        ended = carry(socket, &route, &parts, tuning, &watch, &mut record) => ended,
        () = watch.forced() => Err(Failure::Forced),
    };
    let (outcome, reason) = match ended {
        Ok(ended) => outcome(ended),
        Err(failure) => (failure.outcome(), Some(failure.to_string())),
    };
    record.close(outcome, reason);
    drop(slot);
}

/// The line itself. Nothing is dialled before the client is admitted, and nothing without the permit.
async fn carry(
    socket: TcpStream,
    route: &Route,
    parts: &Parts,
    tuning: Tuning,
    watch: &drain::Watch,
    record: &mut Record,
) -> Result<Ended, Failure> {
    let Tuning { timeouts, refusal } = tuning;
    let sniffed = tokio::select! {
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
    record.opening = Some(sniffed.opening);
    if let Some(hello) = sniffed.hello {
        record.versions_offered = Some(hello.versions.to_string());
        record.sni = hello.sni;
    }

    let snapshot = parts.snapshot.load();
    record.judged = Some((snapshot.mode, snapshot.generation));
    let permit = match judge(snapshot.mode, route.acceptance, route.link, sniffed.opening) {
        Ok(permit) => permit,
        Err(refused) => {
            Box::pin(refuse::by_policy(socket, refused, refusal, timeouts.sniff)).await;
            return Err(Failure::Refused(refused));
        }
    };

    let (admission, link) = (permit.admission(), permit.link());
    let mut client = admit(admission, socket, &snapshot, &timeouts, record).await?;
    let mut upstream = match reach(permit, route, &snapshot, &timeouts, record).await {
        Ok(upstream) => upstream,
        Err(failure) => {
            turn_away(client, admission, route, &failure, tuning).await;
            return Err(failure);
        }
    };
    drop(snapshot);

    record.establish(link);
    let counters = record.counters();
    let ended = relay(&mut client, &mut upstream, &counters).await;
    if matches!(ended.client, End::Failed(_)) {
        upstream.abort();
    }
    if matches!(ended.upstream, End::Failed(_)) {
        client.abort();
    }
    Ok(ended)
}

/// An upstream that cannot be reached is said to those who can be told: not to a client whose TLS is not ours.
async fn turn_away(client: Leg, admission: Admission, route: &Route, failure: &Failure, tuning: Tuning) {
    if admission != Admission::Untouched {
        let said = refuse::unreachable(client, &route.written, failure, tuning.refusal, tuning.timeouts.sniff);
        Box::pin(said).await;
    }
}

fn outcome(ended: Ended) -> (Outcome, Option<String>) {
    match (ended.client, ended.upstream) {
        (End::Failed(error), _) => (Outcome::ClientReset, Some(error.to_string())),
        (_, End::Failed(error)) => (Outcome::UpstreamReset, Some(error.to_string())),
        (End::Idle, _) | (_, End::Idle) => (Outcome::HalfClosedIdle, None),
        (End::Truncated, _) => (Outcome::Completed, Some("the client sent no close_notify".into())),
        (_, End::Truncated) => (Outcome::Completed, Some("the upstream sent no close_notify".into())),
        (End::Closed | End::Open, End::Closed | End::Open) => (Outcome::Completed, None),
    }
}
