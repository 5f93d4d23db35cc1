//! The intervals of the tasks.

use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};

/// An interval that skips ticks while the task is busy. The first tick is immediate.
pub(super) fn ticks(every: Duration) -> Interval {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
