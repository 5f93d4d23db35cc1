//! Waits for a state that no log line reports, by polling for a limited time.

use std::{
    thread,
    time::{Duration, Instant},
};

/// Waits for a condition.
///
/// # Panics
///
/// If it does not hold within half a minute.
#[track_caller]
pub(crate) fn wait(what: &str, is: impl FnMut() -> bool) {
    assert!(wait_until(PATIENCE, is), "{what}: it does not come to be");
}

/// Waits for a condition. Returns whether it holds within the limit. The condition is checked once more when the limit
/// is reached.
///
/// Each pause is an eighth of the time waited so far: a condition that soon holds is noticed at once, and one that
/// takes long is not checked hundreds of times per second, each time at the cost of a process or a request.
pub(crate) fn wait_until(limit: Duration, mut is: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    loop {
        let waited = began.elapsed();
        if is() {
            return true;
        }
        if waited >= limit {
            return false;
        }
        thread::sleep((waited / 8).clamp(SHORTEST_PAUSE, LONGEST_PAUSE));
    }
}

/// Repeats an attempt that returns `false`, because the machine was too slow for it to prove anything.
///
/// # Panics
///
/// If none of twenty attempts proves anything.
#[track_caller]
pub(crate) fn proven(mut attempt: impl FnMut() -> bool) {
    assert!((0..20).any(|_| attempt()), "the machine is too slow for this test");
}

/// Whether this machine is overloaded: more threads run than it has processors, now or on average. Time limits of a few
/// seconds are then not tested.
pub(crate) fn busy() -> bool {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut words = load.split([' ', '/']);
    let average: f64 = words.next().and_then(|load| load.parse().ok()).unwrap_or_default();
    let running: f64 = words.nth(2).and_then(|count| count.parse().ok()).unwrap_or_default();
    let load = average.max(running);
    let processors =
        thread::available_parallelism().map_or(1.0, |count| f64::from(u16::try_from(count.get()).unwrap_or(1)));
    load > 1.5 * processors
}

const SHORTEST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
/// Long, because a machine may run many tests at once.
const PATIENCE: Duration = Duration::from_secs(30);
