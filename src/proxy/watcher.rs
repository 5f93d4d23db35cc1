//! Observes a connection's relay: identifies the client, counts bytes, and, once the connection is to be recycled,
//! waits for a message boundary. At a boundary, every request has its reply, and no message is in transit.
//!
//! - A driver's monitoring connection is closed between any two messages, also while a reply is due, once it has been
//!   quiet for 20 ms. The driver then closes the other connections of its pool without an error.
//! - Other connections are closed at a boundary after 1.2 s without traffic; time before the request to recycle counts
//!   too. Drivers check whether a pooled connection is still open if it has been idle for a second.
//! - Five seconds after the request to recycle, a connection is closed at any boundary; one with an open cursor, or
//!   whose client sends requests that expect no reply, after a minute. If the proxy stops, a connection is closed at
//!   any boundary after two seconds; one with a cursor or with such requests, and one whose server is outside of a
//!   replica set or in an unknown state, shortly before the end of the drain time.
//! - A connection in a transaction is closed at a boundary only after a minute of silence; if the proxy stops, also
//!   shortly before the end of the drain time.

use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

use crate::drain::{DrainWatch, PhaseReached};
use crate::limits::{RECYCLE_MONITORS_FIRST, RECYCLE_QUIET, RECYCLE_QUIET_MONITOR, RECYCLE_TRANSACTION};
use crate::mongo::{FirstMessage, Follower, Transaction};
use crate::net::{ConnectionSlot, Direction, OwnDial, RelayTap, Stop, Young};
use crate::policy::Link;
use crate::telemetry::{OpenRecord, RecycleRegistration, RecycleRequest};

pub(super) struct Watcher {
    pub(super) record: OpenRecord,
    first: FirstMessage,
    /// `None` if TLS is passed through.
    follower: Option<Follower>,
    seen: RecycleRegistration,
    moving: Option<Box<Moving>>,
    /// Whether bytes were relayed since the last poll.
    progressed: bool,
    /// Whether the upstream has sent data since the client last sent data.
    answered: bool,
    /// Whether the connection is no longer young, so that the detection of a dead upstream was switched on.
    grown: bool,
    young: Option<Young>,
    /// Held until the connection ends.
    pub(super) slot: ConnectionSlot,
    /// Held until the upstream's first answer. Boxed, because it is `None` for most of a connection's life.
    dial: Option<Box<OwnDial>>,
    /// Dropped last: a drain waits until this watch is dropped, and the record must have been written by then.
    pub(super) forced: PhaseReached<DrainWatch>,
}

/// The state of a connection that is to be recycled. Boxed, because most connections are never recycled.
struct Moving {
    quiet_since: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Watcher {
    pub(super) fn new(
        mut record: OpenRecord,
        dial: Option<OwnDial>,
        watch: DrainWatch,
        slot: ConnectionSlot,
    ) -> Watcher {
        let untouched = record.open().link == Link::Untouched;
        if untouched {
            record.identify(None);
        }
        let first = if untouched { FirstMessage::Known } else { FirstMessage::default() };
        let follower = (!untouched).then(Follower::default);
        let (seen, forced) = (RecycleRegistration::default(), watch.into_forced());
        let dial = dial.map(Box::new);
        Watcher {
            record,
            first,
            follower,
            seen,
            moving: None,
            progressed: false,
            answered: false,
            grown: false,
            young: None,
            slot,
            dial,
            forced,
        }
    }

    fn count(&mut self, direction: Direction, count: usize) {
        let counters = &self.record.open().counters;
        let counter = if direction == Direction::ToUpstream { &counters.inbound } else { &counters.outbound };
        counter.fetch_add(count as u64, Ordering::Relaxed);
        self.progressed = true;
        match direction {
            Direction::ToUpstream if self.answered => {
                self.answered = false;
                self.record.open().busy();
                self.slot.requested();
            }
            Direction::ToUpstream => {}
            Direction::ToClient if self.answered => self.record.open().busy(),
            Direction::ToClient => {
                self.answered = true;
                self.record.open().answered();
                self.dial = None;
            }
        }
    }

    /// Records whether the connection uses the MongoDB protocol; in other protocols, there are no message boundaries.
    fn note_language(&self) {
        if let Some(follower) = &self.follower {
            self.record.open().opaque.store(!follower.speaks_mongodb(), Ordering::Relaxed);
        }
    }

    /// Returns the time from which on the connection may be closed in its present state; `None` if it must not be. A
    /// monitoring connection need not be at a boundary.
    fn due(&self, wish: &RecycleRequest, quiet_since: Instant, now: Instant) -> Option<Instant> {
        let follower = self.follower.as_ref()?;
        if follower.is_monitor() {
            return Some(quiet_since + RECYCLE_QUIET_MONITOR);
        }
        if !follower.at_boundary() {
            return None;
        }
        if follower.transaction() == Transaction::Open {
            let silent = quiet_since + RECYCLE_TRANSACTION;
            return Some(wish.last_boundary().map_or(silent, |last| silent.min(last.max(now))));
        }
        // A member's requests that expect no reply are mirrored reads, whose loss is harmless.
        let delicate = follower.has_cursor() || (follower.sends_unanswered() && !self.is_member());
        let quiet = (quiet_since + RECYCLE_QUIET).max(wish.since + RECYCLE_MONITORS_FIRST);
        Some(wish.any_boundary(delicate).map_or(quiet, |any| quiet.min(any.max(now))))
    }

    fn is_member(&self) -> bool {
        self.record.open().client().is_some_and(|client| client.internal)
    }

    /// Records that the client sends requests that expect no reply.
    fn note_unanswered(&self) {
        let noted = &self.record.open().unanswered;
        if self.follower.as_ref().is_some_and(Follower::has_unanswered) && !noted.load(Ordering::Relaxed) {
            noted.store(true, Ordering::Relaxed);
        }
    }
}

impl RelayTap for Watcher {
    fn see(&mut self, direction: Direction, bytes: &[u8]) {
        match (direction, &mut self.follower) {
            (Direction::ToUpstream, Some(follower)) => {
                follower.sent(bytes);
                self.note_unanswered();
            }
            (Direction::ToClient, Some(follower)) => follower.received(bytes),
            (Direction::ToUpstream | Direction::ToClient, None) => {}
        }
        if direction == Direction::ToUpstream
            && let Some(greeting) = self.first.take(bytes)
        {
            self.record.identify(Some(greeting));
            self.note_language();
        }
        self.count(direction, bytes.len());
    }

    fn unseen(&self, direction: Direction) -> usize {
        match (direction, &self.follower) {
            (Direction::ToUpstream, _) if !self.first.is_known() => 0,
            (Direction::ToUpstream, Some(follower)) => follower.unseen_up(),
            (Direction::ToClient, Some(follower)) => follower.unseen_down(),
            (Direction::ToUpstream | Direction::ToClient, None) => usize::MAX,
        }
    }

    fn pass(&mut self, direction: Direction, count: usize) {
        match (direction, &mut self.follower) {
            (Direction::ToUpstream, Some(follower)) => follower.passed_up(count),
            (Direction::ToClient, Some(follower)) => follower.passed_down(count),
            (Direction::ToUpstream | Direction::ToClient, None) => {}
        }
        self.count(direction, count);
    }

    fn has_grown(&mut self, cx: &mut Context<'_>) -> bool {
        if self.grown {
            return false;
        }
        self.grown = !self.young.get_or_insert_with(|| Young::new(cx.waker())).lasts();
        if self.grown {
            self.young = None;
        }
        self.grown
    }

    fn poll_stop(&mut self, cx: &mut Context<'_>, clear: bool) -> Poll<Stop> {
        if Pin::new(&mut self.forced).poll(cx).is_ready() {
            return Poll::Ready(Stop::Forced);
        }
        let Poll::Ready(wish) = self.record.open().recycling.poll(cx, &mut self.seen) else { return Poll::Pending };
        if let Some(follower) = &mut self.follower {
            follower.watch();
        }
        self.note_language();
        let now = Instant::now();
        let progressed = std::mem::take(&mut self.progressed);
        let quiet_since = match &mut self.moving {
            Some(moving) if progressed => {
                moving.quiet_since = now;
                now
            }
            Some(moving) => moving.quiet_since,
            None => {
                let idle = self.record.open().idle_for().unwrap_or_default();
                let quiet_since = now.checked_sub(idle).unwrap_or(now);
                self.moving = Some(Box::new(Moving { quiet_since, timer: Box::pin(sleep_until(now)) }));
                quiet_since
            }
        };
        let due = if clear { self.due(&wish, quiet_since, now) } else { None };
        if due.is_some_and(|due| due <= now) {
            return Poll::Ready(Stop::Boundary);
        }
        if wish.cut_at.is_some_and(|cut_at| cut_at <= now) {
            return Poll::Ready(Stop::Overdue);
        }
        let next = [due, wish.cut_at].into_iter().flatten().min();
        if let (Some(next), Some(moving)) = (next, &mut self.moving) {
            moving.timer.as_mut().reset(next);
            if moving.timer.as_mut().poll(cx).is_ready() {
                // The timer expired after `now` was read, so poll once more.
                cx.waker().wake_by_ref();
            }
        }
        Poll::Pending
    }
}
