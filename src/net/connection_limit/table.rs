//! The state of the slots, protected by one lock. No operation waits, and none visits all connections, except after a
//! change of the limits or members.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Instant;

use tokio::sync::oneshot;

use super::queue::{Beneficiary, Queue, WaitingConnection};
use super::silent::{Most, Silent};
use super::slots::{Pool, SlotLimits, SlotUsage, TakenSlot, TooMany};
use crate::limits::SILENT_LEAST;

/// The slots of one direction and the queue. The number of entries in each collection is bounded by the number of slots
/// and the size of the queue.
#[derive(Debug)]
pub(super) struct SlotTable {
    pub(super) limits: SlotLimits,
    /// Whether the warning that all slots are taken was logged since a slot that is not reserved was last granted
    /// without waiting.
    pub(super) said: bool,
    /// The size of the queue.
    room: usize,
    open: usize,
    kept: usize,
    last_id: u64,
    /// Number of connections of each address, with a slot and waiting.
    addresses: HashMap<IpAddr, SlotCounts>,
    silent: Silent,
    /// Silent connections that were asked to close and still hold their slot.
    leaving: HashMap<u64, Beneficiary>,
    /// Number of connections in `leaving` that close because the limit was lowered.
    surplus: usize,
    queue: Queue,
}

#[derive(Debug, Default, Clone, Copy)]
struct SlotCounts {
    taken: usize,
    waiting: usize,
}

/// A granted slot, and the sender by which the waiting connection receives it.
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

    /// Changes the limits or the members.
    pub(super) fn resize(&mut self, limits: SlotLimits, is_member: impl Fn(IpAddr) -> bool) -> Vec<Granted> {
        self.limits = limits;
        self.silent.review(&is_member);
        self.queue.review(&is_member);
        self.grant(None)
    }

    /// Returns an id for a new connection, unless its address has reached the limit per address.
    pub(super) fn admit(&mut self, ip: IpAddr, member: bool) -> Result<u64, TooMany> {
        let SlotCounts { taken, waiting } = self.addresses.get(&ip).copied().unwrap_or_default();
        if !member && self.limits.per_address.is_some_and(|most| taken + waiting >= most) {
            return Err(TooMany::FromAddress);
        }
        self.last_id += 1;
        Ok(self.last_id)
    }

    /// Takes a slot if one is free. No connection waits for that slot then, since a returned slot is granted to a
    /// waiting connection at once.
    pub(super) fn seat_at_once(&mut self, id: u64, ip: IpAddr, member: bool, now: Instant) -> Option<TakenSlot> {
        let pool = self.free(member)?;
        if pool == Pool::Open {
            self.said = false;
        }
        Some(self.take_slot(id, ip, member, pool, now))
    }

    /// Adds a connection to the queue. If the queue is full, the connection replaces another one or is refused.
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

    /// Removes a connection that no longer waits. This drops its sender, which the receiver observes.
    pub(super) fn leave(&mut self, id: u64, ip: IpAddr) -> Option<WaitingConnection> {
        let waiting = self.queue.remove(id, ip)?;
        self.count(ip, |counts| counts.waiting -= 1);
        Some(waiting)
    }

    /// Records that the client of a connection has sent something, or has disconnected. If the connection had been
    /// asked to close, returns the beneficiary.
    pub(super) fn heard(&mut self, id: u64, ip: IpAddr) -> Option<Beneficiary> {
        if self.silent.remove(id, ip) {
            return None;
        }
        let beneficiary = self.leaving.remove(&id)?;
        self.queue.settle(beneficiary);
        self.surplus -= usize::from(beneficiary == Beneficiary::Limit);
        Some(beneficiary)
    }

    /// Records that the client of a waiting connection has sent something.
    pub(super) fn spoke(&mut self, id: u64, ip: IpAddr) {
        self.queue.spoke(id, ip);
    }

    /// Records that a connection with a slot has sent a request. `before` is the time of the last recorded request.
    pub(super) fn requested(&mut self, id: u64, ip: IpAddr, before: Option<Instant>, now: Instant) {
        self.queue.requested(id, ip, before, now);
    }

    /// Gives a slot back, and returns the slots that are granted as a result. `requested` is the time of the
    /// connection's last recorded request.
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

    /// Grants free slots to waiting connections. `made_for` is the beneficiary for which the first slot was freed.
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
            let taken = self.take_slot(id, ip, member, pool, waiting.since);
            granted.push((waiting.slot, taken));
        }
    }

    /// Asks silent connections to close, by the rule in the documentation of
    /// [`ConnectionLimit`](super::ConnectionLimit): at most one for each waiting member and each other waiting client
    /// that has sent something, and first as many as exceed a lowered limit.
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

    /// Returns the beneficiary for which a connection of this source is to close; `None` if none is to close. While
    /// more slots are taken than the current limit allows, returned slots are not granted. So the connections in excess
    /// of the limit have to close before any closes for a waiting one.
    fn beneficiary(&mut self, most: Most, now: Instant) -> Option<Beneficiary> {
        let claimant = self.queue.claimant(most, now)?;
        let beyond_all = self.used().saturating_sub(self.limits.size);
        let beyond = match claimant {
            Beneficiary::Members => beyond_all,
            Beneficiary::Source(_) | Beneficiary::Limit => beyond_all.max(self.open.saturating_sub(self.open_size())),
        };
        Some(if self.surplus < beyond { Beneficiary::Limit } else { claimant })
    }

    fn take_slot(&mut self, id: u64, ip: IpAddr, member: bool, pool: Pool, since: Instant) -> TakenSlot {
        match pool {
            Pool::Open => self.open += 1,
            Pool::Kept => self.kept += 1,
        }
        self.addresses.entry(ip).or_default().taken += 1;
        self.queue.taken(ip);
        let silence = self.silent.add(id, ip, member, since);
        TakenSlot { id, ip, pool, silence }
    }

    /// Returns the pool from which a connection may take a slot. The sum of both pools is limited too: after the
    /// reserve was lowered, more reserved slots may be taken than the reserve has.
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
    /// Returns whether all tables are empty.
    pub(super) fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.leaving.is_empty() && self.queue.is_empty() && self.silent.is_empty()
    }
}
