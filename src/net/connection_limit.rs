//! The connection slots of one direction: how many connections are served at a time, and which of the others wait.
//!
//! Some slots are reserved for members of the replica set. A connection that gets no slot waits in a bounded queue; the
//! accept loop never waits. A free slot goes to a waiting member first, then to a waiting client that has sent
//! something, then to a silent one; among several clients of one kind, to the one whose source holds the fewest slots.
//! If all slots are taken while a member waits, or a client that has sent something, the oldest silent connection of
//! the source with the most silent connections may be asked to close. See [`ConnectionLimit`] for the rule.

mod queue;
mod silent;
mod slots;
mod source;
mod table;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::limits::{IN_USE_AFTER, IN_USE_NOTED};
use slots::{Pool, TakenSlot};
pub use slots::{SlotLimits, SlotUsage, TooMany};
use table::SlotTable;

/// The slots of one direction, shared by all workers.
///
/// # When a silent connection is closed for another
/// Connections are counted by source: an IPv4 address, or an IPv6 /64. A slot is *silent* until the first byte of its
/// client. It is *in use* if its client has sent, within the last 30 s, a request that followed an answer and came more
/// than 10 s after the connection was established.
///
/// The silent connection to close is the oldest one of the source with the most silent connections. It must have been
/// silent for over 10 s, must not be the source's last silent connection, and must not be a member's. It is asked to
/// close only for one of these waiting connections:
///
/// - a member;
/// - a client of the same source that has sent something;
/// - a client of another source that has sent something, if U < S. U is the number of slots of that client's source
///   that are not in use, S the number of silent slots of the source that loses one.
///
/// If several clients qualify, a slot is freed for the one whose source has the fewest slots that are not in use. No
/// other waiting client gets that slot, but a waiting member does.
///
/// So an application whose connections carry requests gets the slots of a silent source, however many slots it holds
/// itself. An attacker whose connections do nothing, whether they are silent, in the handshake, or established and
/// idle, takes no further slot from a silent source once the attacker holds as many slots as that source has silent
/// ones. Only continuing requests count, since one message, or a burst of messages, costs nothing: to take more slots,
/// the attacker has to keep its own connections busy at the server, as a real application does.
#[derive(Debug, Clone)]
pub struct ConnectionLimit(Arc<Mutex<SlotTable>>);

/// The result of requesting a slot for a new connection.
#[derive(Debug)]
pub enum SlotRequest {
    /// The connection has a slot.
    Granted(ConnectionSlot),
    /// The connection waits for a slot.
    Queued(QueuePlace),
}

/// A connection slot. Dropping it returns it to the limit.
#[derive(Debug)]
pub struct ConnectionSlot(Box<SlotState>);

#[derive(Debug)]
struct SlotState {
    limit: ConnectionLimit,
    id: u64,
    ip: IpAddr,
    pool: Pool,
    silence: Option<oneshot::Receiver<()>>,
    established: Option<Instant>,
    /// When a request of the client was last recorded.
    requested: Option<Instant>,
}

/// A place in the queue. Dropping it leaves the queue.
#[derive(Debug)]
pub struct QueuePlace {
    limit: ConnectionLimit,
    id: u64,
    ip: IpAddr,
    slot: oneshot::Receiver<TakenSlot>,
}

impl ConnectionLimit {
    /// Creates a limit of `size` slots, none of them reserved, with a queue of `room` connections.
    pub fn new(size: usize, room: usize) -> ConnectionLimit {
        ConnectionLimit(Arc::new(Mutex::new(SlotTable::new(SlotLimits { size, kept: 0, per_address: None }, room))))
    }

    /// Returns the number of slots, reserved ones included.
    pub fn size(&self) -> usize {
        self.table().limits.size
    }

    /// Returns the numbers of taken slots, silent connections and waiting connections.
    pub fn usage(&self) -> SlotUsage {
        self.table().usage()
    }

    /// Changes the limits, or the addresses of members. No taken slot is revoked: a lower limit is reached as slots are
    /// returned.
    pub fn resize(&self, limits: SlotLimits, is_member: impl Fn(IpAddr) -> bool) {
        let limits = SlotLimits { kept: limits.kept.min(limits.size / 2), ..limits };
        let mut table = self.table();
        let granted = table.resize(limits, is_member);
        drop(table);
        self.deliver(granted);
    }

    /// Requests a slot for a new connection; returns the slot, or a place in the queue. `is_member` returns whether an
    /// address belongs to a member.
    ///
    /// # Errors
    /// [`TooMany`] if the connection has to be closed.
    pub fn enter(&self, ip: IpAddr, is_member: impl Fn(IpAddr) -> bool) -> Result<SlotRequest, TooMany> {
        let ip = ip.to_canonical();
        let member = is_member(ip);
        let mut table = self.table();
        let (id, now) = (table.admit(ip, member)?, Instant::now());
        if let Some(taken) = table.seat_at_once(id, ip, member, now) {
            drop(table);
            return Ok(SlotRequest::Granted(self.slot(taken)));
        }
        let slot = table.wait(id, ip, member, now)?;
        table.make_room(now, is_member);
        drop(table);
        Ok(SlotRequest::Queued(QueuePlace { limit: self.clone(), id, ip, slot }))
    }

    /// Asks silent connections to close for waiting ones, if they have been silent for long enough. Each waiting
    /// connection has to call this periodically.
    pub fn make_room(&self, is_member: impl Fn(IpAddr) -> bool) {
        self.table().make_room(Instant::now(), is_member);
    }

    /// Returns whether to warn that all slots are taken: true once, and again only after a slot that is not reserved
    /// was granted without waiting.
    pub fn says_full(&self) -> bool {
        !std::mem::replace(&mut self.table().said, true)
    }

    fn table(&self) -> MutexGuard<'_, SlotTable> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot(&self, TakenSlot { id, ip, pool, silence }: TakenSlot) -> ConnectionSlot {
        let (limit, silence) = (self.clone(), Some(silence));
        ConnectionSlot(Box::new(SlotState { limit, id, ip, pool, silence, established: None, requested: None }))
    }

    /// Sends slots to waiting connections. Must not be called with the table locked: if a receiver is gone, its slot is
    /// dropped, which locks the table.
    fn deliver(&self, granted: Vec<table::Granted>) {
        for (waiting, taken) in granted {
            if let Err(taken) = waiting.send(taken) {
                drop(self.slot(taken));
            }
        }
    }
}

impl ConnectionSlot {
    /// Resolves when the connection should close because its client is silent and others wait. Never resolves after
    /// [`heard`](ConnectionSlot::heard).
    pub async fn asked_to_leave(&mut self) {
        if let Some(silence) = &mut self.0.silence
            && silence.await.is_ok()
        {
            return;
        }
        std::future::pending().await
    }

    /// Records that the client has sent something, or has disconnected.
    pub fn heard(&mut self) {
        if self.0.silence.take().is_some() {
            self.0.limit.table().heard(self.0.id, self.0.ip);
        }
    }

    /// Records that the connection is established.
    pub fn established(&mut self) {
        self.0.established.get_or_insert_with(Instant::now);
    }

    /// Records that the client of an established connection has sent a request after an answer. Has to be called for
    /// each such request; most calls do nothing.
    pub fn requested(&mut self) {
        self.requested_at(Instant::now());
    }

    fn requested_at(&mut self, now: Instant) {
        let SlotState { limit, id, ip, established: Some(established), requested, .. } = &mut *self.0 else { return };
        let (since, pause) = requested.map_or((*established, IN_USE_AFTER), |requested| (requested, IN_USE_NOTED));
        if now.saturating_duration_since(since) > pause {
            limit.table().requested(*id, *ip, requested.replace(now), now);
        }
    }
}

impl Drop for SlotState {
    fn drop(&mut self) {
        let granted = self.limit.table().release(self.id, self.ip, self.pool, self.requested);
        self.limit.deliver(granted);
    }
}

impl QueuePlace {
    /// Records that the client has sent something, and asks a silent connection to close for it.
    pub fn spoke(&self, is_member: impl Fn(IpAddr) -> bool) {
        let mut table = self.limit.table();
        table.spoke(self.id, self.ip);
        table.make_room(Instant::now(), is_member);
    }

    /// Returns the slot if one is granted within `limit`, or else `None`.
    ///
    /// # Errors
    /// [`TooMany`] if another connection has taken the place in the queue.
    pub async fn slot_within(&mut self, limit: Duration) -> Result<Option<ConnectionSlot>, TooMany> {
        match tokio::time::timeout(limit, &mut self.slot).await {
            Ok(Ok(taken)) => Ok(Some(self.limit.slot(taken))),
            Ok(Err(_)) => Err(TooMany::Full),
            Err(_) => Ok(None),
        }
    }
}

impl Drop for QueuePlace {
    fn drop(&mut self) {
        self.limit.table().leave(self.id, self.ip);
        // A slot that was granted but not received is given back. After the close, sending a slot fails, and the sender
        // gives it back.
        self.slot.close();
        if let Ok(taken) = self.slot.try_recv() {
            drop(self.limit.slot(taken));
        }
    }
}

#[cfg(test)]
mod tests;
