//! Limits the log lines per second that peers can cause, and counts the lines left out.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::limits::LOG_LINES_PER_SECOND;

/// Admits [`LOG_LINES_PER_SECOND`] lines in each second, and counts the others.
#[derive(Debug, Default)]
pub struct RateLimit(Mutex<RateWindow>);

#[derive(Debug, Default)]
struct RateWindow {
    began: Option<Instant>,
    lines: u32,
    left_out: u64,
}

impl RateLimit {
    /// Returns whether a line may be written now.
    pub fn admits(&self, now: Instant) -> bool {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if window.began.is_none_or(|began| now - began >= SECOND) {
            (window.began, window.lines) = (Some(now), 0);
        }
        let admitted = window.lines < LOG_LINES_PER_SECOND;
        window.lines += u32::from(admitted);
        window.left_out += u64::from(!admitted);
        admitted
    }

    /// Returns the number of lines left out since the last call.
    pub fn take_left_out(&self) -> u64 {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).left_out)
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::{RateLimit, SECOND};
    use std::time::Instant;

    #[test]
    fn ten_a_second_and_a_count_of_the_others() {
        let (limit, start) = (RateLimit::default(), Instant::now());
        let admitted = |at| (0..100).filter(|_| limit.admits(at)).count();
        assert_eq!((admitted(start), limit.take_left_out(), limit.take_left_out()), (10, 90, 0));
        assert_eq!((admitted(start + SECOND), limit.take_left_out()), (10, 90));
    }
}
