//! Recycles the connections that the present policy would not make, and counts those whose clients may see an error.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::caller::Caller;
use super::change::{Recycle, Recycled};
use super::checks::sync::sync_warnings;
use super::history::{Action, Event};
use super::probe::{ServerState, ServerStatus};
use super::view::View;
use crate::limits::{RECYCLE_LOOK, RECYCLE_WAIT};
use crate::policy::Link;
use crate::telemetry::{OpenConnection, Outcome};

/// The reason why a client may see an error, or lose a request, if its connection is recycled, even at a boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Risk {
    /// The server is not a member of a replica set, so drivers retry fewer operations.
    Standalone,
    /// The state of the server is unknown.
    UnknownServer,
    /// The connection does not carry MongoDB messages, so there are no message boundaries.
    NotMongodb,
    /// TLS is passed through, so message boundaries cannot be seen.
    PassedThrough,
    /// The client has sent unacknowledged requests, and would not notice that one is lost.
    Unanswered,
}

/// Recycles connections that the present policy would not make, each at a message boundary, and waits up to a bound for
/// them to end.
///
/// Connections at risk are left open, unless forced. Those with unacknowledged requests are recycled even without
/// force: such a request is still forwarded if it arrives after tlsramp has closed its sending side, so only one that
/// is in transit when the connection is reset can be lost. Connections of a member in initial sync are recycled with a
/// warning, because a rollout cannot wait for a sync of several days. Most of these connections are for heartbeats. A
/// long read of the sync is ended between two batches; the member treats this as a network error, and from MongoDB 4.4
/// on, it resumes the sync.
pub(super) async fn recycle(view: &View, request: Recycle, caller: &Caller) -> Recycled {
    view.recheck_certificates().await;
    let servers = view.servers();
    let mut risks = BTreeMap::<Risk, usize>::new();
    let non_conforming = view.connections().filter(|one| one.non_conforming.is_some());
    let mut asked: Vec<_> = non_conforming.map(|one| one.open).collect();
    let all = asked.len();
    asked.retain(|open| {
        let risk = risk(open, &servers);
        risk.inspect(|risk| *risks.entry(*risk).or_default() += 1);
        request.force || risk.is_none_or(Risk::is_moved)
    });
    let left_alone = all - asked.len();
    asked.iter().for_each(|open| open.recycling.request(request.grace));
    let warnings = if asked.is_empty() { Vec::new() } else { sync_warnings(view) };
    let (door, by, at_risk) = (caller.interface.name(), &caller.who, risks.values().sum::<usize>());
    let grace_secs = request.grace.map(|grace| grace.as_secs());
    tracing::info!(connections = asked.len(), at_risk, forced = request.force, grace_secs, door, %by, "recycling");
    ended(view, &asked, request.wait.unwrap_or(RECYCLE_WAIT)).await;
    let risks = risks.into_iter().map(|(risk, count)| risk.text(count, request.force)).collect();
    let counted = count(&asked);
    let waiting = counted.waiting + view.pending_non_conforming();
    let recycled = Recycled { at_risk, left_alone, risks, warnings, waiting, ..counted };
    note(view, &recycled, request, caller);
    recycled
}

/// Adds the request to the history, unless no connection had to be recycled.
fn note(view: &View, recycled: &Recycled, request: Recycle, caller: &Caller) {
    let Recycled { moved, cut, waiting, at_risk, .. } = *recycled;
    if moved + cut + waiting + at_risk == 0 {
        return;
    }
    let with = if request.force { ", forced" } else { "" };
    let what = format!("{moved} recycled, {cut} cut, {waiting} waiting, {at_risk} at risk{with}");
    let event = if moved + cut > 0 { Event::done } else { Event::kept };
    view.history().note(event(Action::Recycle, what), caller);
}

/// Waits until all these connections have ended and pending connections have been judged again, or until the time is
/// over.
async fn ended(view: &View, asked: &[Arc<OpenConnection>], wait: Duration) {
    let until = Instant::now() + wait;
    let is_waiting = || asked.iter().any(|open| open.ended.get().is_none()) || view.pending_non_conforming() > 0;
    while is_waiting() && Instant::now() < until {
        sleep(RECYCLE_LOOK).await;
    }
}

fn count(asked: &[Arc<OpenConnection>]) -> Recycled {
    let mut reply = Recycled::default();
    for open in asked {
        match open.ended.get() {
            None => reply.waiting += 1,
            Some(Outcome::Recycled) => reply.moved += 1,
            Some(Outcome::RecycledByForce) => reply.cut += 1,
            Some(_) => reply.ended += 1,
        }
    }
    reply
}

/// The risk of recycling a connection; `None` if drivers repeat what is lost.
pub(super) fn risk(open: &OpenConnection, upstreams: &[ServerStatus]) -> Option<Risk> {
    if open.link == Link::Untouched {
        return Some(Risk::PassedThrough);
    }
    if open.opaque.load(Ordering::Relaxed) {
        return Some(Risk::NotMongodb);
    }
    // The transparent route leads to several servers, all of one replica set.
    let mut servers = upstreams.iter().filter(|server| server.route == open.route.id);
    match servers.find_map(|server| server.state()) {
        None => Some(Risk::UnknownServer),
        Some(ServerState::Standalone) => Some(Risk::Standalone),
        Some(_) if is_unanswered(open) => Some(Risk::Unanswered),
        Some(_) => None,
    }
}

/// Whether a client has sent unacknowledged requests. Those of a member are mirrored reads, whose loss has no effect.
fn is_unanswered(open: &OpenConnection) -> bool {
    open.unanswered.load(Ordering::Relaxed) && !open.client().is_some_and(|client| client.internal)
}

impl Risk {
    /// Whether a connection with this risk is recycled without `force`.
    const fn is_moved(self) -> bool {
        match self {
            Risk::Unanswered => true,
            Risk::Standalone | Risk::UnknownServer | Risk::NotMongodb | Risk::PassedThrough => false,
        }
    }

    fn text(self, count: usize, forced: bool) -> String {
        let why = match self {
            Risk::Standalone => {
                "their server is not a member of a replica set, and drivers retry fewer operations there"
            }
            Risk::UnknownServer => "the state of their server is unknown",
            Risk::NotMongodb => "they do not carry MongoDB messages, so only a grace time can end them",
            Risk::PassedThrough => "their TLS is passed through, so only a grace time can end them",
            Risk::Unanswered => {
                "they have sent unacknowledged requests (w: 0); one that is in transit when the connection is reset is \
                 lost without an error"
            }
        };
        let done = match (self.is_moved(), forced) {
            (true, _) => "recycled anyway",
            (false, true) => "recycled by force",
            (false, false) => "left open; force recycles them too",
        };
        format!("{count} at risk, {done}: {why}")
    }
}
