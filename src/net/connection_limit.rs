//! The connection slots of one direction: how many connections are served at a time, and which of the others wait.
//!
//! Some slots are reserved for members of the replica set. A connection that gets no slot waits in a bounded queue; the
//! accept loop never waits. A free slot goes to a waiting member first, then to a waiting client that has sent
//! something; of several, to the one whose source holds the fewest slots. If all slots are taken and such a member or
//! client waits, the oldest silent connection of the source with the most silent connections is asked to close. See
//! [`ConnectionLimit`] for the rule.

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
/// The silent connection to close is the oldest one of the source with the most silent connections. It is asked to
/// close only if it has been silent for over 10 s, is not the source's last silent connection, and does not belong to a
/// member; and only for one of these: any waiting member; a waiting client of the same source that has sent something;
/// such a client of another source, if that other source has fewer slots that are not in use than the first source has
/// silent slots. If several clients qualify, the one whose source has the fewest slots not in use comes first, and it
/// gets the slot even if other clients wait.
///
/// So an application whose connections carry requests gets the slots of a silent source, however many slots it holds
/// itself. An attacker whose connections do nothing, whether they are silent, in the handshake, or established and
/// idle, takes no further slot from a silent pool once it holds as many as that pool. Only continuing requests count,
/// since one message, or a burst of messages, costs nothing: to evict a pool that is no larger than the attacker's own
/// number of connections, the attacker has to keep these connections busy at the server, as a real application does.
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

    /// Returns whether to warn that all slots are taken: true once, and again only after a slot was granted without
    /// waiting.
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
    /// [`TooMany`] if the place was lost to an address with fewer waiting connections.
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
        // A slot may have been granted that was not received. After the close, a sender gets its slot back.
        self.slot.close();
        if let Ok(taken) = self.slot.try_recv() {
            drop(self.limit.slot(taken));
        }
    }
}

#[cfg(test)]
mod tests;
