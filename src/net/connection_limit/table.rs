//! The state of the slots, under one lock. Nothing here waits, and no operation looks at all connections.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Instant;

use tokio::sync::oneshot;

use super::queue::{Beneficiary, Queue, WaitingConnection};
use super::silent::{Most, Silent};
use super::slots::{Pool, SlotLimits, SlotUsage, TakenSlot, TooMany};
use crate::limits::SILENT_LEAST;

/// The slots of one direction and the queue; all tables are bounded by their sizes.
#[derive(Debug)]
pub(super) struct SlotTable {
    pub(super) limits: SlotLimits,
    /// Whether the warning that all slots are taken was logged since a slot was last free at once.
    pub(super) said: bool,
    /// The size of the queue.
    room: usize,
    open: usize,
    kept: usize,
    last_id: u64,
    /// Connections of each address: those with a slot, and those that wait.
    addresses: HashMap<IpAddr, SlotCounts>,
    silent: Silent,
    /// Silent connections that were asked to close and still hold their slot.
    leaving: HashMap<u64, Beneficiary>,
    /// How many of them close because the limit was lowered.
    surplus: usize,
    queue: Queue,
}

#[derive(Debug, Default, Clone, Copy)]
struct SlotCounts {
    taken: usize,
    waiting: usize,
}

/// A slot, and the connection that waited for it.
pub(super) type Granted = (oneshot::Sender<TakenSlot>, TakenSlot);

impl SlotTable {
    pub(super) fn new(limits: SlotLimits, room: usize) -> SlotTable {
        SlotTable {
            limits,
            said: false,
            room,
            open: 0,
            kept: 0,
            last_id: 0,
            addresses: HashMap::new(),
            silent: Silent::default(),
            leaving: HashMap::new(),
            surplus: 0,
            queue: Queue::default(),
        }
    }

    pub(super) fn usage(&self) -> SlotUsage {
        SlotUsage {
            limit: self.limits.size,
            used: self.used(),
            silent: self.silent.count() + self.leaving.len(),
            waiting: self.queue.count(),
            full: !self.has_open(),
        }
    }

    /// Changes the limits, or who is a member.
    #[must_use]
    pub(super) fn resize(&mut self, limits: SlotLimits, is_member: impl Fn(IpAddr) -> bool) -> Vec<Granted> {
        self.limits = limits;
        self.silent.review(&is_member);
        self.queue.review(&is_member);
        self.grant(None)
    }

    /// A number for a new connection, if its address may have another.
    pub(super) fn admit(&mut self, ip: IpAddr, member: bool) -> Result<u64, TooMany> {
        let SlotCounts { taken, waiting } = self.addresses.get(&ip).copied().unwrap_or_default();
        if !member && self.limits.per_address.is_some_and(|most| taken + waiting >= most) {
            return Err(TooMany::FromAddress);
        }
        self.last_id += 1;
        Ok(self.last_id)
    }

    /// A slot, if one is free. Nobody waits then: a slot that comes back is given on at once.
    pub(super) fn seat_at_once(&mut self, id: u64, ip: IpAddr, member: bool, now: Instant) -> Option<TakenSlot> {
        let pool = self.free(member)?;
        if pool == Pool::Open {
            self.said = false;
        }
        Some(self.seat(id, ip, member, pool, now))
    }

    /// A place to wait.
    pub(super) fn wait(
        &mut self,
        id: u64,
        ip: IpAddr,
        member: bool,
        now: Instant,
    ) -> Result<oneshot::Receiver<TakenSlot>, TooMany> {
        if self.queue.count() >= self.room {
            let (displaced, from) = self.queue.displaced_by(ip, member).ok_or(TooMany::Full)?;
            self.leave(displaced, from);
        }
        let (slot, given) = oneshot::channel();
        self.queue.add(id, member, WaitingConnection { ip, since: now, spoken: false, slot });
        self.addresses.entry(ip).or_default().waiting += 1;
        Ok(given)
    }

    /// One no longer waits. Its sender is dropped with it, by which it hears so.
    pub(super) fn leave(&mut self, id: u64, ip: IpAddr) -> Option<WaitingConnection> {
        let waiting = self.queue.remove(id, ip)?;
        self.count(ip, |counts| counts.waiting -= 1);
        Some(waiting)
    }

    /// The client of a connection has sent something, or has left. Returns whom it was asked to leave for, if it was.
    pub(super) fn heard(&mut self, id: u64, ip: IpAddr) -> Option<Beneficiary> {
        if self.silent.remove(id, ip) {
            return None;
        }
        let beneficiary = self.leaving.remove(&id)?;
        self.queue.settle(beneficiary);
        self.surplus -= usize::from(beneficiary == Beneficiary::Limit);
        Some(beneficiary)
    }

    /// One that waits has sent something.
    pub(super) fn spoke(&mut self, id: u64, ip: IpAddr) {
        self.queue.spoke(id, ip);
    }

    /// A connection with a slot has sent a request. `before`: the last time that this was noted.
    pub(super) fn requested(&mut self, id: u64, ip: IpAddr, before: Option<Instant>, now: Instant) {
        self.queue.requested(id, ip, before, now);
    }

    /// A slot comes back, of a connection whose last request was noted then.
    #[must_use]
    pub(super) fn release(&mut self, id: u64, ip: IpAddr, pool: Pool, requested: Option<Instant>) -> Vec<Granted> {
        let made_for = self.heard(id, ip);
        let used = match pool {
            Pool::Open => &mut self.open,
            Pool::Kept => &mut self.kept,
        };
        *used = used.saturating_sub(1);
        self.count(ip, |counts| counts.taken -= 1);
        self.queue.released(id, ip, requested);
        self.grant(made_for)
    }

    /// Gives free slots to those that wait. `made_for`: whom the first was made free for.
    fn grant(&mut self, mut made_for: Option<Beneficiary>) -> Vec<Granted> {
        let mut granted = Vec::new();
        loop {
            let (next, member) = match self.queue.next_member() {
                Some(next) => (Some(next), true),
                None => {
                    let first = made_for.take().and_then(|made_for| self.queue.next_for(made_for));
                    (first.or_else(|| self.queue.next()), false)
                }
            };
            let (Some((id, ip)), Some(pool)) = (next, self.free(member)) else { return granted };
            let Some(waiting) = self.leave(id, ip) else { return granted };
            let taken = self.seat(id, ip, member, pool, waiting.since);
            granted.push((waiting.slot, taken));
        }
    }

    /// Asks silent connections to leave, one for each that waits and has sent something: of the source with the most, as long
    /// as they are the longest silent ones, for long enough.
    pub(super) fn make_room(&mut self, now: Instant, is_member: impl Fn(IpAddr) -> bool) {
        loop {
            let Some(most) = self.silent.most(&is_member) else { return };
            let Some(beneficiary) = self.beneficiary(most, now) else { return };
            let Some(asked) = self.silent.ask_oldest(most.source, now, SILENT_LEAST) else { return };
            self.queue.expect(beneficiary);
            self.surplus += usize::from(beneficiary == Beneficiary::Limit);
            self.leaving.insert(asked, beneficiary);
        }
    }

    /// Whom one of this source is to leave for. While more are taken than the limit is by now, a slot that comes back is not
    /// given to anybody, so that many are to come back before.
    fn beneficiary(&mut self, most: Most, now: Instant) -> Option<Beneficiary> {
        let claimant = self.queue.claimant(most, now)?;
        let beyond_all = self.used().saturating_sub(self.limits.size);
        let beyond = match claimant {
            Beneficiary::Members => beyond_all,
            Beneficiary::Source(_) | Beneficiary::Limit => beyond_all.max(self.open.saturating_sub(self.open_size())),
        };
        Some(if self.surplus < beyond { Beneficiary::Limit } else { claimant })
    }

    fn seat(&mut self, id: u64, ip: IpAddr, member: bool, pool: Pool, since: Instant) -> TakenSlot {
        match pool {
            Pool::Open => self.open += 1,
            Pool::Kept => self.kept += 1,
        }
        self.addresses.entry(ip).or_default().taken += 1;
        self.queue.taken(ip);
        let silence = self.silent.add(id, ip, member, since);
        TakenSlot { id, ip, pool, silence }
    }

    /// What one may have. The two kinds are bounded together too: after the reserve was lowered, more of the kept slots may be
    /// in use than there are.
    fn free(&self, member: bool) -> Option<Pool> {
        if self.has_open() {
            return Some(Pool::Open);
        }
        (member && self.kept < self.limits.kept && self.used() < self.limits.size).then_some(Pool::Kept)
    }

    fn has_open(&self) -> bool {
        self.open < self.open_size() && self.used() < self.limits.size
    }

    fn open_size(&self) -> usize {
        self.limits.size - self.limits.kept
    }

    fn used(&self) -> usize {
        self.open + self.kept
    }

    fn count(&mut self, ip: IpAddr, change: impl FnOnce(&mut SlotCounts)) {
        if let Some(counts) = self.addresses.get_mut(&ip) {
            change(counts);
            if counts.taken + counts.waiting == 0 {
                self.addresses.remove(&ip);
            }
        }
    }
}

#[cfg(test)]
impl SlotTable {
    /// Whether nothing is left of anybody.
    pub(super) fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.leaving.is_empty() && self.queue.is_empty() && self.silent.is_empty()
    }
}
