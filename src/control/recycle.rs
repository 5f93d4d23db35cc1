//! Moving connections that today's policy would not make: which they are, whose clients might notice, and how far it
//! has come.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::caller::Caller;
use super::change::Recycle;
use super::controller::Controller;
use super::history::Event;
use super::views::{Action, RecycleReply, UpstreamStatus};
use crate::limits::{RECYCLE_LOOK, RECYCLE_WAIT, RECYCLE_WAIT_MOST};
use crate::policy::Link;
use crate::telemetry::{OpenConnection, Outcome};

/// Why a client may see an error if its connection is moved, even at a message boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Risk {
    /// Its server is no member of a set, so that drivers retry less.
    Standalone,
    /// It is not known what its server is.
    UnknownServer,
    /// It does not speak MongoDB, so that there is no boundary.
    NotMongodb,
    /// Its TLS is not ours to see into.
    PassedThrough,
    /// Its client has sent requests that want no answer, and would not learn of a loss.
    Unanswered,
}

impl Controller {
    /// Asks connections that today's policy would not make to move, each at a message boundary, and waits a while for
    /// them. Those at risk are left alone without `force`, but for clients whose requests want no answer: those are forwarded
    /// after our end too, and only one that is under way at the reset can be lost. Those of a member in initial sync are moved too, with a warning:
    /// most of them are heartbeats, the long reads of a sync end between two batches, which their server takes for a
    /// network error and, from MongoDB 4.4 on, resumes; and a sync may take days that a rollout does not have.
    pub async fn recycle(&self, wish: Recycle, caller: &Caller) -> RecycleReply {
        self.recheck_certificates().await;
        let upstreams = self.prober.status();
        let mut risks = BTreeMap::<Risk, usize>::new();
        let mut asked = self.non_conforming();
        let all = asked.len();
        asked.retain(|open| {
            let risk = risk(open, &upstreams);
            risk.inspect(|risk| *risks.entry(*risk).or_default() += 1);
            wish.force || risk.is_none_or(Risk::is_moved)
        });
        let left_alone = all - asked.len();
        let grace = wish.grace_secs.map(Duration::from_secs);
        asked.iter().for_each(|open| open.recycling.request(grace));
        let warnings = if asked.is_empty() { Vec::new() } else { self.sync_warnings() };
        let (door, by, at_risk) = (caller.door.name(), &caller.who, risks.values().sum::<usize>());
        tracing::info!(connections = asked.len(), at_risk, forced = wish.force, grace_secs = wish.grace_secs, door, %by, "recycling");
        let wait = wish.wait_secs.map_or(RECYCLE_WAIT, Duration::from_secs).min(RECYCLE_WAIT_MOST);
        self.ended(&asked, wait).await;
        let risks = risks.into_iter().map(|(risk, count)| risk.text(count, wish.force)).collect();
        let counted = count(&asked);
        let waiting = counted.waiting + self.pending_non_conforming();
        let reply = RecycleReply { at_risk, left_alone, risks, warnings, waiting, ..counted };
        self.note_recycle(&reply, wish, caller);
        reply
    }

    /// Into the history, unless there was nothing to move.
    fn note_recycle(&self, reply: &RecycleReply, wish: Recycle, caller: &Caller) {
        let RecycleReply { moved, cut, waiting, at_risk, .. } = *reply;
        if moved + cut + waiting + at_risk == 0 {
            return;
        }
        let with = if wish.force { ", forced" } else { "" };
        let what = format!("{moved} moved, {cut} cut, {waiting} waiting, {at_risk} at risk{with}");
        let event = if moved + cut > 0 { Event::done } else { Event::kept };
        self.history.note(event(Action::Recycle, what), caller);
    }

    /// The open connections that today's policy would not make.
    pub(crate) fn non_conforming(&self) -> Vec<Arc<OpenConnection>> {
        let snapshot = self.snapshot();
        let open = self.observer.open_connections.list();
        open.into_iter().filter(|open| self.misfit(open, &snapshot).is_some()).collect()
    }

    /// Waits until all have ended, and those under way have been judged again; for so long at most.
    async fn ended(&self, asked: &[Arc<OpenConnection>], wait: Duration) {
        let until = Instant::now() + wait;
        let is_waiting = || asked.iter().any(|open| open.ended.get().is_none()) || self.pending_non_conforming() > 0;
        while is_waiting() && Instant::now() < until {
            sleep(RECYCLE_LOOK).await;
        }
    }
}

fn count(asked: &[Arc<OpenConnection>]) -> RecycleReply {
    let mut reply = RecycleReply::default();
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

fn risk(open: &OpenConnection, upstreams: &[UpstreamStatus]) -> Option<Risk> {
    if open.link == Link::Untouched {
        return Some(Risk::PassedThrough);
    }
    if open.opaque.load(Ordering::Relaxed) {
        return Some(Risk::NotMongodb);
    }
    // The route of redirected connections has several servers, all of one set.
    let mut servers = upstreams.iter().filter(|server| *server.route == *open.route.name);
    match servers.find_map(|server| server.state.as_deref()) {
        None => Some(Risk::UnknownServer),
        Some("STANDALONE") => Some(Risk::Standalone),
        Some(_) if is_unanswered(open) => Some(Risk::Unanswered),
        Some(_) => None,
    }
}

/// Whether a client has sent requests that want no answer. Those of a member are mirrored reads, which nobody misses.
fn is_unanswered(open: &OpenConnection) -> bool {
    open.unanswered.load(Ordering::Relaxed) && !open.client().is_some_and(|client| client.internal)
}

impl Risk {
    /// Whether it is moved without `force`.
    const fn is_moved(self) -> bool {
        match self {
            Risk::Unanswered => true,
            Risk::Standalone | Risk::UnknownServer | Risk::NotMongodb | Risk::PassedThrough => false,
        }
    }

    fn text(self, count: usize, forced: bool) -> String {
        let why = match self {
            Risk::Standalone => "their server is no member of a replica set, and drivers do not retry everything there",
            Risk::UnknownServer => "what their server is, the probe has not learnt",
            Risk::NotMongodb => "they do not speak MongoDB, so that only a grace can cut them",
            Risk::PassedThrough => "their TLS is passed through, so that only a grace can cut them",
            Risk::Unanswered => {
                "they have sent requests that want no answer (w: 0), and do not learn of one that is lost on its way when \
                 they are reset"
            }
        };
        let done = match (self.is_moved(), forced) {
            (true, _) => "moved all the same",
            (false, true) => "moved by force",
            (false, false) => "left alone; force moves them too",
        };
        format!("{count} at risk, {done}: {why}")
    }
}
