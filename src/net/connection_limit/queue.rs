//! The queue of connections that wait for a slot: which connection is next, and for which ones a silent connection may
//! be asked to close.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::Instant;

use tokio::sync::oneshot;

use super::silent::Most;
use super::slots::TakenSlot;
use super::source::Source;
use crate::limits::IN_USE_FOR;

/// The slots that each source holds, and the waiting connections. Each operation takes logarithmic time.
#[derive(Debug, Default)]
pub(super) struct Queue {
    sources: HashMap<Source, Holder>,
    /// Sources with waiting connections: first those with a client that has sent something, then by the number of slots
    /// held, then by the id of the first waiting connection. The first source is served next.
    next: BTreeSet<(QueueOrder, usize, u64, Source)>,
    /// Sources for which silent connections are still to be asked to close, by the number of their slots that are not
    /// in use, then as in `next`. Slots also fall out of use by time alone, so that number may be too low; it is
    /// corrected once its entry is the first of the set.
    claims: BTreeSet<(usize, usize, u64, Source)>,
    /// Sources by their number of waiting connections. The last one has the most.
    crowd: BTreeSet<(usize, Source)>,
    /// Waiting members by id. They are served before all other connections.
    members: BTreeMap<u64, WaitingConnection>,
    /// Number of silent connections that were asked to close for members.
    coming: usize,
    count: usize,
}

#[derive(Debug, Default)]
struct Holder {
    slots: usize,
    /// The slots whose client has sent a request recently, by the time at which the last request was recorded.
    in_use: BTreeSet<(Instant, u64)>,
    /// Number of silent connections that were asked to close for this source.
    coming: usize,
    /// Number of waiting connections whose client has sent something.
    spoken: usize,
    waiting: BTreeMap<(QueueOrder, u64), WaitingConnection>,
}

/// Rank of a waiting connection. A client that has sent something can be served at once; a silent client loses nothing
/// by waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum QueueOrder {
    Spoken,
    Silent,
}

#[derive(Debug)]
pub(super) struct WaitingConnection {
    pub(super) ip: IpAddr,
    pub(super) since: Instant,
    /// Whether the client has sent something. Kept up to date only while the connection is a member's; for the others,
    /// their `QueueOrder` says it.
    pub(super) spoken: bool,
    pub(super) slot: oneshot::Sender<TakenSlot>,
}

/// The waiting connections for which a silent one was asked to close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beneficiary {
    Members,
    Source(Source),
    /// For no connection: more slots are taken than the lowered limit allows.
    Limit,
}

impl Queue {
    /// Returns the number of waiting connections.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Records that a connection of this address has taken a slot.
    pub(super) fn taken(&mut self, ip: IpAddr) {
        self.change(ip.into(), |holder| holder.slots += 1);
    }

    /// Records that a connection of this address, which has a slot, has sent a request. `before` is the time of the
    /// last recorded request.
    pub(super) fn requested(&mut self, id: u64, ip: IpAddr, before: Option<Instant>, now: Instant) {
        self.change(ip.into(), |holder| {
            holder.forget(id, before);
            holder.in_use.insert((now, id));
        });
    }

    /// Records that a connection of this address has returned its slot. `requested` is the time of the last recorded
    /// request.
    pub(super) fn released(&mut self, id: u64, ip: IpAddr, requested: Option<Instant>) {
        self.change(ip.into(), |holder| {
            holder.forget(id, requested);
            holder.slots = holder.slots.saturating_sub(1);
        });
    }

    /// Adds a waiting connection.
    pub(super) fn add(&mut self, id: u64, member: bool, waiting: WaitingConnection) {
        if member {
            self.members.insert(id, waiting);
        } else {
            self.change(waiting.ip.into(), |holder| holder.add(id, waiting));
        }
        self.count += 1;
    }

    /// Divides the waiting connections into members and others again, after a change of the members. Visits all waiting
    /// connections.
    pub(super) fn review(&mut self, is_member: &impl Fn(IpAddr) -> bool) {
        let others = self.sources.iter().flat_map(|(source, holder)| {
            holder.waiting.iter().map(|((turn, id), waiting)| (*source, *id, *turn, waiting.ip))
        });
        let newer: Vec<_> = others.filter(|(.., ip)| is_member(*ip)).collect();
        let former: Vec<u64> =
            self.members.iter().filter(|(_, waiting)| !is_member(waiting.ip)).map(|(id, _)| *id).collect();
        for (source, id, turn, _) in newer {
            if let Some(waiting) = self.change(source, |holder| holder.remove(id)) {
                self.members.insert(id, WaitingConnection { spoken: turn == QueueOrder::Spoken, ..waiting });
            }
        }
        for id in former {
            if let Some(waiting) = self.members.remove(&id) {
                self.change(waiting.ip.into(), |holder| holder.add(id, waiting));
            }
        }
    }

    /// Records that the client of a waiting connection has sent something.
    pub(super) fn spoke(&mut self, id: u64, ip: IpAddr) {
        if let Some(waiting) = self.members.get_mut(&id) {
            waiting.spoken = true;
            return;
        }
        self.change(ip.into(), |holder| {
            if let Some(waiting) = holder.waiting.remove(&(QueueOrder::Silent, id)) {
                holder.waiting.insert((QueueOrder::Spoken, id), waiting);
                holder.spoken += 1;
            }
        });
    }

    /// Removes a connection that no longer waits.
    pub(super) fn remove(&mut self, id: u64, ip: IpAddr) -> Option<WaitingConnection> {
        let removed = self.members.remove(&id).or_else(|| self.change(ip.into(), |holder| holder.remove(id)));
        self.count -= usize::from(removed.is_some());
        removed
    }

    /// Returns the waiting member that is next.
    pub(super) fn next_member(&self) -> Option<(u64, IpAddr)> {
        self.members.first_key_value().map(|(id, waiting)| (*id, waiting.ip))
    }

    /// Returns the waiting connection that is next, members excluded.
    pub(super) fn next(&self) -> Option<(u64, IpAddr)> {
        let (turn, _, id, source) = self.next.first()?;
        Some((*id, self.sources.get(source)?.waiting.get(&(*turn, *id))?.ip))
    }

    /// Returns the connection that gets the slot of a silent connection that has closed for this beneficiary. If the
    /// beneficiary is not a source, or that source no longer waits, this is the next connection for which a silent one
    /// may be asked to close.
    pub(super) fn next_for(&self, beneficiary: Beneficiary) -> Option<(u64, IpAddr)> {
        let own = match beneficiary {
            Beneficiary::Source(source) => self.sources.get(&source).and_then(Holder::first_spoken),
            Beneficiary::Members | Beneficiary::Limit => None,
        };
        own.or_else(|| {
            let (_, _, _, source) = self.claims.first()?;
            self.sources.get(source)?.first_spoken()
        })
    }

    /// Returns the beneficiary for which a connection of the source with the most silent ones may be asked to close.
    /// The rule is in the documentation of [`ConnectionLimit`](super::ConnectionLimit).
    pub(super) fn claimant(&mut self, most: Most, now: Instant) -> Option<Beneficiary> {
        if self.members.len() > self.coming {
            return Some(Beneficiary::Members);
        }
        while let Some((unused, _, _, source)) = self.claims.first().copied() {
            if self.expire(source, now) {
                continue;
            }
            if unused < most.count {
                return Some(Beneficiary::Source(source));
            }
            break;
        }
        let own = self.sources.get(&most.source)?;
        own.claim(most.source).map(|_| Beneficiary::Source(most.source))
    }

    /// Records that a silent connection was asked to close for this beneficiary.
    pub(super) fn expect(&mut self, beneficiary: Beneficiary) {
        match beneficiary {
            Beneficiary::Members => self.coming += 1,
            Beneficiary::Source(source) => self.change(source, |holder| holder.coming += 1),
            Beneficiary::Limit => {}
        }
    }

    /// Records that a silent connection that was asked to close for this beneficiary has closed, or has sent something
    /// instead.
    pub(super) fn settle(&mut self, beneficiary: Beneficiary) {
        match beneficiary {
            Beneficiary::Members => self.coming = self.coming.saturating_sub(1),
            Beneficiary::Source(source) => {
                self.change(source, |holder| holder.coming = holder.coming.saturating_sub(1));
            }
            Beneficiary::Limit => {}
        }
    }

    /// Returns the waiting connection that a new one from `ip` replaces: of the source with the most waiting
    /// connections, the latest silent one, or else the latest. `None` if that source has no more than the source of
    /// `ip` would have with the new one; a member's connection replaces one even then. Members' connections are never
    /// replaced.
    pub(super) fn displaced_by(&self, ip: IpAddr, member: bool) -> Option<(u64, IpAddr)> {
        let own = self.sources.get(&Source::from(ip)).map_or(0, |holder| holder.waiting.len());
        let (most, source) = self.crowd.last()?;
        if !member && own + 1 >= *most {
            return None;
        }
        let ((_, id), waiting) = self.sources.get(source)?.waiting.last_key_value()?;
        Some((*id, waiting.ip))
    }

    /// Removes the slots that are not in use any more from a source's `in_use`. Returns whether there were any.
    fn expire(&mut self, source: Source, now: Instant) -> bool {
        let is_over = |noted: Instant| now.saturating_duration_since(noted) > IN_USE_FOR;
        let over = |holder: &Holder| holder.in_use.first().is_some_and(|(noted, _)| is_over(*noted));
        if !self.sources.get(&source).is_some_and(over) {
            return false;
        }
        self.change(source, |holder| {
            while over(holder) {
                holder.in_use.pop_first();
            }
        });
        true
    }

    /// Changes a source and updates its ranks.
    fn change<T>(&mut self, source: Source, change: impl FnOnce(&mut Holder) -> T) -> T {
        let holder = self.sources.entry(source).or_default();
        if let Some(((turn, first), _)) = holder.waiting.first_key_value() {
            self.next.remove(&(*turn, holder.slots, *first, source));
            self.crowd.remove(&(holder.waiting.len(), source));
        }
        if let Some(claim) = holder.claim(source) {
            self.claims.remove(&claim);
        }
        let changed = change(holder);
        if let Some(claim) = holder.claim(source) {
            self.claims.insert(claim);
        }
        if let Some(((turn, first), _)) = holder.waiting.first_key_value() {
            self.next.insert((*turn, holder.slots, *first, source));
            self.crowd.insert((holder.waiting.len(), source));
        } else if holder.slots == 0 && holder.coming == 0 {
            self.sources.remove(&source);
        }
        changed
    }
}

impl Holder {
    /// Returns the source's rank among the sources for which a silent connection is to be asked to close. A slot that
    /// is being freed for the source counts as its own.
    fn claim(&self, source: Source) -> Option<(usize, usize, u64, Source)> {
        let (first, _) = self.first_spoken()?;
        let unused = self.slots.saturating_sub(self.in_use.len()) + self.coming;
        (self.spoken > self.coming).then_some((unused, self.slots, first, source))
    }

    fn first_spoken(&self) -> Option<(u64, IpAddr)> {
        let ((turn, id), waiting) = self.waiting.first_key_value()?;
        (*turn == QueueOrder::Spoken).then_some((*id, waiting.ip))
    }

    fn add(&mut self, id: u64, waiting: WaitingConnection) {
        let turn = if waiting.spoken { QueueOrder::Spoken } else { QueueOrder::Silent };
        self.spoken += usize::from(waiting.spoken);
        self.waiting.insert((turn, id), waiting);
    }

    fn remove(&mut self, id: u64) -> Option<WaitingConnection> {
        if let Some(waiting) = self.waiting.remove(&(QueueOrder::Spoken, id)) {
            self.spoken -= 1;
            return Some(waiting);
        }
        self.waiting.remove(&(QueueOrder::Silent, id))
    }

    fn forget(&mut self, id: u64, requested: Option<Instant>) {
        if let Some(requested) = requested {
            self.in_use.remove(&(requested, id));
        }
    }
}

#[cfg(test)]
impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        let ranks = self.next.is_empty() && self.claims.is_empty() && self.crowd.is_empty();
        ranks && self.sources.is_empty() && self.members.is_empty() && self.coming == 0
    }
}
