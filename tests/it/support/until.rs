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

/// Generous: a machine may run many tests at once.
const PATIENCE: Duration = Duration::from_secs(30);
