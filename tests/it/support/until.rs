//! Waiting for a state that no line of a log tells of: polled, within a bound.

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

/// Waits for a condition; whether it holds within the limit. It is asked last when the limit is over.
///
/// Pauses grow with the time waited, by an eighth: what takes a moment is seen at once, and what takes long is not asked
/// hundreds of times a second, each time at the cost of a process or a request.
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

/// Whether this machine has more to do than its processors can: no promise of so many seconds can be looked at then.
pub(crate) fn busy() -> bool {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: f64 = load.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or_default();
    let processors =
        thread::available_parallelism().map_or(1.0, |count| f64::from(u16::try_from(count.get()).unwrap_or(1)));
    load > 1.5 * processors
}

const SHORTEST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
/// Generous: a machine may run many tests at once.
const PATIENCE: Duration = Duration::from_secs(30);
