//! Graceful shutdown in three steps: start the drain, wait for the tasks, force the rest.
//!
//! The owner of a shutdown holds a [`Drain`], and each task that has to end holds a [`DrainWatch`]. [`Drain::wait`]
//! returns when the last watch is dropped. Every open connection holds a watch, so watches and pending waits are small,
//! and polling a pending wait again costs one atomic load.

use std::borrow::Borrow;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::Notify;

/// The phase of a shutdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
enum Phase {
    Running,
    Draining,
    Forced,
}

impl Phase {
    fn of(number: u8) -> Phase {
        match number {
            0 => Phase::Running,
            1 => Phase::Draining,
            _ => Phase::Forced,
        }
    }
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DrainEnd {
    /// All watches were dropped in time.
    ByThemselves,
    /// The time limit was reached, and the remaining tasks were forced to end.
    Overdue,
    /// A forced end was requested before the time limit.
    Forced,
}

/// Starts a shutdown and waits until all tasks have ended.
#[derive(Debug)]
pub struct Drain {
    watch: DrainWatch,
}

/// Observes a shutdown. The drain waits until every watch is dropped.
#[derive(Debug)]
pub struct DrainWatch(Arc<DrainState>);

#[derive(Debug)]
struct DrainState {
    /// A [`Phase`]; only increases.
    phase: AtomicU8,
    /// The number of watches, the drain's own included.
    watches: AtomicUsize,
    /// Notified when only the drain's own watch is left.
    gone: Notify,
    wakers: Mutex<WakerSlab>,
}

/// The wakers of the pending waits, one slot for each.
#[derive(Debug, Default)]
struct WakerSlab {
    slots: Vec<Option<Waker>>,
    free: Vec<u32>,
}

/// A future that resolves once a phase is reached.
#[derive(Debug)]
#[must_use]
pub struct PhaseReached<W: Borrow<DrainWatch>> {
    watch: W,
    wanted: Phase,
    registered: Option<WakerSlot>,
}

/// The slot of a wait's waker, and the phase in which it was registered.
#[derive(Debug, Clone, Copy)]
struct WakerSlot {
    number: u32,
    phase: Phase,
}

impl Drain {
    /// Creates a drain in its running phase.
    #[must_use]
    pub fn new() -> Drain {
        let shared = DrainState {
            phase: AtomicU8::new(Phase::Running as u8),
            watches: AtomicUsize::new(1),
            gone: Notify::new(),
            wakers: Mutex::default(),
        };
        Drain { watch: DrainWatch(Arc::new(shared)) }
    }

    /// Returns a new watch.
    #[must_use]
    pub fn watch(&self) -> DrainWatch {
        self.watch.clone()
    }

    /// Begins the drain: tasks accept no new work and finish open work.
    pub fn start(&self) {
        self.watch.0.raise(Phase::Draining);
    }

    /// Waits until all watches are dropped. Forces the tasks to end after `limit` (zero: no limit) or when `force`
    /// resolves.
    pub async fn wait(self, limit: Duration, force: impl Future<Output = ()>) -> DrainEnd {
        let limit =
            async { if limit.is_zero() { std::future::pending().await } else { tokio::time::sleep(limit).await } };
        let ending = tokio::select! {
            // Biased: if no watches are left, there is nothing to force.
            biased;
            () = self.emptied() => return DrainEnd::ByThemselves,
            () = limit => DrainEnd::Overdue,
            () = force => DrainEnd::Forced,
        };
        self.watch.0.raise(Phase::Forced);
        self.emptied().await;
        ending
    }

    /// Returns once only the drain's own watch is left.
    async fn emptied(&self) {
        let DrainState { watches, gone, .. } = &*self.watch.0;
        while watches.load(Ordering::Acquire) > 1 {
            // `Notify` keeps a permit, so a notification before this wait is not lost.
            gone.notified().await;
        }
    }
}

impl Drop for Drain {
    /// Forces the remaining tasks to end, because nothing waits for them any more.
    fn drop(&mut self) {
        self.watch.0.raise(Phase::Forced);
    }
}

impl Default for Drain {
    fn default() -> Drain {
        Drain::new()
    }
}

impl DrainWatch {
    /// Resolves when a drain begins. Only one task may await the returned future.
    pub fn draining(&self) -> PhaseReached<&DrainWatch> {
        PhaseReached { watch: self, wanted: Phase::Draining, registered: None }
    }

    /// Resolves `time` after a drain was seen to begin. Only one task may await the returned future.
    pub async fn draining_for(&self, time: Duration) {
        self.draining().await;
        tokio::time::sleep(time).await;
    }

    /// Resolves when open work must end at once. Only one task may await the returned future.
    pub fn forced(&self) -> PhaseReached<&DrainWatch> {
        PhaseReached { watch: self, wanted: Phase::Forced, registered: None }
    }

    /// Like [`forced`](DrainWatch::forced), but the future owns the watch.
    pub fn into_forced(self) -> PhaseReached<DrainWatch> {
        PhaseReached { watch: self, wanted: Phase::Forced, registered: None }
    }
}

impl Clone for DrainWatch {
    fn clone(&self) -> DrainWatch {
        self.0.watches.fetch_add(1, Ordering::Relaxed);
        DrainWatch(Arc::clone(&self.0))
    }
}

impl Drop for DrainWatch {
    fn drop(&mut self) {
        if self.0.watches.fetch_sub(1, Ordering::AcqRel) == 2 {
            self.0.gone.notify_one();
        }
    }
}

impl DrainState {
    fn raise(&self, to: Phase) {
        if self.phase.fetch_max(to as u8, Ordering::AcqRel) < to as u8 {
            // The tasks are woken after the lock is released, because a woken task may take the lock at once.
            let woken: Vec<_> = self.wakers().slots.iter_mut().filter_map(Option::take).collect();
            woken.into_iter().for_each(Waker::wake);
        }
    }

    fn phase(&self) -> Phase {
        Phase::of(self.phase.load(Ordering::Acquire))
    }

    fn wakers(&self) -> MutexGuard<'_, WakerSlab> {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WakerSlab {
    /// Stores a waker and returns its slot number; `None` if there are more than `u32::MAX` slots.
    fn enter(&mut self, waker: &Waker) -> Option<u32> {
        let number = self.free.pop().or_else(|| {
            let next = u32::try_from(self.slots.len()).ok()?;
            self.slots.push(None);
            Some(next)
        })?;
        *self.slots.get_mut(number as usize)? = Some(waker.clone());
        Some(number)
    }

    fn leave(&mut self, number: u32) {
        if let Some(slot) = self.slots.get_mut(number as usize) {
            *slot = None;
            self.free.push(number);
        }
    }
}

impl<W: Borrow<DrainWatch> + Unpin> Future for PhaseReached<W> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let PhaseReached { watch, wanted, registered } = self.get_mut();
        let DrainWatch(shared) = (*watch).borrow();
        let mut phase = shared.phase();
        if phase < *wanted && registered.is_none_or(|slot| slot.phase != phase) {
            let mut wakers = shared.wakers();
            if let Some(slot) = registered.take() {
                wakers.leave(slot.number);
            }
            // The phase is read under the lock, so that a later change of the phase finds the waker.
            phase = shared.phase();
            *registered = wakers.enter(cx.waker()).map(|number| WakerSlot { number, phase });
        }
        if phase >= *wanted { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl<W: Borrow<DrainWatch>> Drop for PhaseReached<W> {
    fn drop(&mut self) {
        if let Some(slot) = self.registered {
            self.watch.borrow().0.wakers().leave(slot.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::pin::Pin;
    use std::task::{Context, Waker};
    use std::time::Duration;

    use super::{Drain, DrainEnd, DrainWatch, PhaseReached};

    #[tokio::test(start_paused = true)]
    async fn waits_for_those_who_end_by_themselves() {
        let drain = Drain::new();
        let watch = drain.watch();
        tokio::spawn(async move {
            watch.draining().await;
            tokio::time::sleep(Duration::from_secs(3)).await;
        });
        drain.start();
        assert_eq!(drain.wait(Duration::from_secs(60), pending()).await, DrainEnd::ByThemselves);
        assert_eq!(Drain::new().wait(Duration::ZERO, ready(())).await, DrainEnd::ByThemselves, "there is nobody");
    }

    fn pending_now(wait: &mut PhaseReached<&DrainWatch>) -> bool {
        Pin::new(wait).poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    #[tokio::test]
    async fn a_wait_begun_before_a_phase_ends_with_the_one_it_is_for() {
        let drain = Drain::new();
        let watch = drain.watch();
        let mut forced = watch.forced();
        assert!(pending_now(&mut forced));
        drain.start();
        watch.draining().await;
        assert!(pending_now(&mut forced));
        drop(forced);
        // Slots are reused: there are as many as the largest number of waits at a time.
        for _ in 0..10 {
            assert!(pending_now(&mut watch.forced()));
        }
        assert_eq!(watch.0.wakers().slots.len(), 1);
        drop(drain);
        watch.forced().await;
    }

    #[tokio::test(start_paused = true)]
    async fn forces_those_who_do_not() {
        for (limit, ending) in [(Duration::from_secs(60), DrainEnd::Overdue), (Duration::ZERO, DrainEnd::Forced)] {
            let drain = Drain::new();
            let watch = drain.watch();
            tokio::spawn(async move { watch.forced().await });
            drain.start();
            let force = tokio::time::sleep(Duration::from_secs(100));
            assert_eq!(drain.wait(limit, force).await, ending);
        }
    }
}
