//! What has been counted and timed: one tally for each client, added up in the end.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use hdrhistogram::{CreationError, Histogram};

use super::exchange::Moved;
use crate::limits::{LOAD_KINDS, LOAD_LATENCY};
use crate::text::printable;

/// Why an operation failed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// The name has no address.
    Resolve(String),
    /// Nobody listens there.
    Refused,
    /// No connection for another reason.
    Connect(String),
    /// The TLS handshake failed.
    Handshake(String),
    /// The connection was reset.
    Reset,
    /// It was closed before the answer was there.
    Closed,
    /// It failed for another reason.
    Socket(String),
    /// No answer in time.
    TimedOut,
    /// The server's own error.
    Server { code: i32, text: String },
    /// An answer that is none.
    Wrong(String),
}

/// Counts and times.
#[derive(Debug, Clone)]
pub(super) struct Tally {
    pub(super) moved: Moved,
    pub(super) errors: BTreeMap<String, u64>,
    /// Times of operations that succeeded, in nanoseconds.
    latencies: Histogram<u64>,
}

impl Kind {
    pub(super) fn connect(error: &io::Error) -> Kind {
        let refused = error.kind() == io::ErrorKind::ConnectionRefused;
        if refused { Kind::Refused } else { Kind::Connect(error.to_string()) }
    }

    pub(super) fn of_io(error: &io::Error) -> Kind {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        if matches!(error.kind(), ConnectionReset | BrokenPipe | ConnectionAborted) {
            Kind::Reset
        } else if error.kind() == UnexpectedEof {
            Kind::Closed
        } else {
            Kind::Socket(error.to_string())
        }
    }

    /// In words that are the same for the same fault.
    pub(super) fn text(&self) -> String {
        match self {
            Kind::Resolve(why) => format!("the name does not resolve: {}", printable(why)),
            Kind::Refused => "connection refused".into(),
            Kind::Connect(why) => format!("cannot connect: {}", printable(why)),
            Kind::Handshake(why) => format!("TLS handshake: {}", printable(why)),
            Kind::Reset => "connection reset".into(),
            Kind::Closed => "connection closed before the answer".into(),
            Kind::Socket(why) => format!("connection failed: {}", printable(why)),
            Kind::TimedOut => "no answer in time".into(),
            Kind::Server { code, text } => format!("server error {code}: {}", printable(text)),
            Kind::Wrong(why) => format!("not an answer: {}", printable(why)),
        }
    }
}

impl Tally {
    /// An empty one. Beyond the bound, times count as the bound.
    ///
    /// # Errors
    /// If the crate does not take our bounds.
    pub(super) fn new() -> Result<Tally, CreationError> {
        let most = u64::try_from(LOAD_LATENCY.as_nanos()).unwrap_or(u64::MAX);
        let latencies = Histogram::new_with_max(most, DIGITS)?;
        Ok(Tally { moved: Moved::default(), errors: BTreeMap::new(), latencies })
    }

    pub(super) fn succeeded(&mut self, moved: Moved, took: Duration) {
        self.moved.sent += moved.sent;
        self.moved.received += moved.received;
        self.latencies.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(super) fn failed(&mut self, kind: &Kind) {
        self.count(kind.text(), 1);
    }

    /// Adds what another has.
    pub(super) fn add(&mut self, other: &Tally) {
        self.moved.sent += other.moved.sent;
        self.moved.received += other.moved.received;
        for (kind, count) in &other.errors {
            self.count(kind.clone(), *count);
        }
        // Both have the same bounds, so nothing can be out of them.
        let _ = self.latencies.add(&other.latencies);
    }

    fn count(&mut self, kind: String, count: u64) {
        let kind = if self.errors.len() < LOAD_KINDS || self.errors.contains_key(&kind) { kind } else { OTHERS.into() };
        *self.errors.entry(kind).or_default() += count;
    }

    /// Operations that succeeded.
    pub(super) fn operations(&self) -> u64 {
        self.latencies.len()
    }

    /// The time that so many in a hundred did not exceed.
    pub(super) fn at(&self, percentile: f64) -> Duration {
        Duration::from_nanos(self.latencies.value_at_percentile(percentile))
    }

    /// The longest.
    pub(super) fn longest(&self) -> Duration {
        Duration::from_nanos(self.latencies.max())
    }

    /// The mean.
    pub(super) fn mean(&self) -> Duration {
        Duration::try_from_secs_f64(self.latencies.mean() / 1e9).unwrap_or_default()
    }
}

/// Significant digits of a time.
const DIGITS: u8 = 3;
const OTHERS: &str = "other errors";

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};
    use std::time::Duration;

    use super::{Kind, OTHERS, Tally};
    use crate::limits::{LOAD_KINDS, LOAD_LATENCY};
    use crate::load::exchange::Moved;

    #[test]
    fn times_and_bytes_add_up() {
        let (mut one, mut other) = (Tally::new().unwrap(), Tally::new().unwrap());
        for millis in 1..=99 {
            one.succeeded(Moved { sent: 2, received: 3 }, Duration::from_millis(millis));
        }
        other.succeeded(Moved { sent: 1, received: 1 }, Duration::from_secs(3600));
        other.failed(&Kind::Refused);
        one.add(&other);
        assert_eq!(
            (one.operations(), one.errors.values().sum(), one.moved),
            (100, 1_u64, Moved { sent: 199, received: 298 })
        );
        let close = |time: Duration, to: Duration| time.abs_diff(to) <= to / 500;
        assert!(close(one.at(50.0), Duration::from_millis(50)), "{:?}", one.at(50.0));
        assert!(close(one.longest(), LOAD_LATENCY), "{:?}", one.longest());
    }

    #[test]
    fn kinds_are_bounded_and_none_is_lost() {
        let mut tally = Tally::new().unwrap();
        for code in 0..1000 {
            tally.failed(&Kind::Server { code, text: "no".into() });
        }
        assert_eq!((tally.errors.values().sum::<u64>(), tally.errors.len()), (1000, LOAD_KINDS + 1));
        assert_eq!(tally.errors[OTHERS], 1000 - LOAD_KINDS as u64);
    }

    #[test]
    fn the_same_fault_has_the_same_words() {
        for (kind, expected) in [
            (ErrorKind::ConnectionReset, Kind::Reset),
            (ErrorKind::BrokenPipe, Kind::Reset),
            (ErrorKind::UnexpectedEof, Kind::Closed),
        ] {
            assert_eq!(Kind::of_io(&Error::from(kind)), expected);
        }
        assert_eq!(Kind::connect(&Error::from(ErrorKind::ConnectionRefused)).text(), "connection refused");
    }
}
