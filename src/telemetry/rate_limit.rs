//! The bound on log lines that peers cause: so many a second for each outcome, then a summary.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Outcome;
use crate::limits::LOG_LINES_PER_SECOND;

/// Counts lines per outcome and second.
#[derive(Debug, Default)]
pub(super) struct Limiter(Mutex<[Window; Outcome::ALL.len()]>);

#[derive(Debug, Clone, Copy, Default)]
struct Window {
    began: Option<Instant>,
    lines: u32,
    suppressed: u64,
}

impl Limiter {
    /// Whether a line of this outcome may be written now.
    pub(super) fn admits(&self, outcome: Outcome, now: Instant) -> bool {
        if !outcome.is_limited() {
            return true;
        }
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let window = &mut windows[outcome as usize];
        if window.began.is_none_or(|began| now - began >= SECOND) {
            *window = Window { began: Some(now), lines: 0, suppressed: window.suppressed };
        }
        let admitted = window.lines < LOG_LINES_PER_SECOND;
        window.lines += u32::from(admitted);
        window.suppressed += u64::from(!admitted);
        admitted
    }

    /// How many lines of each outcome were not written since this was last asked.
    pub(super) fn suppressed(&self) -> Vec<(Outcome, u64)> {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = Outcome::ALL.into_iter().zip(windows.iter_mut());
        counts
            .map(|(outcome, window)| (outcome, std::mem::take(&mut window.suppressed)))
            .filter(|(_, count)| *count > 0)
            .collect()
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::{Limiter, Outcome};
    use std::time::{Duration, Instant};

    #[test]
    fn ten_a_second_then_a_summary() {
        let limiter = Limiter::default();
        let start = Instant::now();
        let admitted = |outcome, at| (0..100).filter(|_| limiter.admits(outcome, at)).count();
        assert_eq!(admitted(Outcome::RefusedPlaintext, start), 10);
        assert_eq!(admitted(Outcome::RefusedTls, start), 10);
        assert_eq!(admitted(Outcome::Completed, start), 100);
        assert_eq!(limiter.suppressed(), [(Outcome::RefusedPlaintext, 90), (Outcome::RefusedTls, 90)]);
        assert_eq!(limiter.suppressed(), []);
        assert_eq!(admitted(Outcome::RefusedPlaintext, start + Duration::from_secs(1)), 10);
    }
}
