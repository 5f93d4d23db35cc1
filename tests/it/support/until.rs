//! Waiting for something to be so that nobody tells of: looked at often, within a bound.

use std::{
    thread,
    time::{Duration, Instant},
};

/// Waits until something is so.
///
/// # Panics
///
/// Where it is not within half a minute.
#[track_caller]
pub(crate) fn wait(what: &str, mut is: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < until, "{what}: it does not come to be");
        thread::sleep(Duration::from_millis(50));
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

/// Generous: a machine may run many tests at once.
const PATIENCE: Duration = Duration::from_secs(30);
