//! Logs refused connections, at most [`LOG_LINES_PER_SECOND`]; the next line has the number of those left out.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::limits::LOG_LINES_PER_SECOND;
use crate::text::printable;

/// The limit, for all listeners together.
#[derive(Debug, Default)]
pub(super) struct LogLimit(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    began: Option<Instant>,
    lines: u32,
    left_out: u64,
}

impl LogLimit {
    /// Logs a refused client, with the subject of its certificate if it has one.
    pub(super) fn refused(&self, peer: Option<SocketAddr>, subject: Option<&str>, reason: &str) {
        if let Some(left_out) = self.admits(Instant::now()) {
            let (peer, subject) = (peer.map(tracing::field::display), subject.map(printable));
            let reason = printable(reason);
            let left_out = (left_out > 0).then_some(left_out);
            tracing::warn!(peer, subject, reason, left_out, "admin connection refused");
        }
    }

    /// The number of lines left out before this one, or `None` if this one is left out too.
    fn admits(&self, now: Instant) -> Option<u64> {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if window.began.is_none_or(|began| now - began >= SECOND) {
            (window.began, window.lines) = (Some(now), 0);
        }
        if window.lines >= LOG_LINES_PER_SECOND {
            window.left_out += 1;
            return None;
        }
        window.lines += 1;
        Some(std::mem::take(&mut window.left_out))
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::{LogLimit, SECOND};
    use std::time::Instant;

    #[test]
    fn ten_a_second_and_how_many_were_left_out() {
        let (log_limit, start) = (LogLimit::default(), Instant::now());
        let written: Vec<_> = (0..100).filter_map(|_| log_limit.admits(start)).collect();
        assert_eq!(written, [0; 10]);
        assert_eq!(log_limit.admits(start + SECOND), Some(90));
        assert_eq!(log_limit.admits(start + SECOND), Some(0));
    }
}
