//! Counts and latencies: one set per thread, added up at the end.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use hdrhistogram::{CreationError, Histogram};
use rustls::AlertDescription;

use super::limits::{FAILURE_KINDS, LATENCY};
use crate::text::printable;

/// Number of bytes of requests and answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Transferred {
    pub(super) sent: u64,
    pub(super) received: u64,
}

/// Why an operation failed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum FailureKind {
    /// The name could not be resolved to an address.
    Resolve(String),
    /// The connection was refused, usually because nothing listens on the port.
    Refused,
    /// Connecting failed for another reason.
    Connect(String),
    /// The TLS handshake failed.
    Handshake(String),
    /// The connection was reset.
    Reset,
    /// The connection was closed before the answer was complete.
    Closed,
    /// The server requires a client certificate.
    CertificateRequired,
    /// The operation failed for another reason.
    Socket(String),
    /// There was no answer in time.
    TimedOut,
    /// The MongoDB server returned an error.
    Server { code: i32, text: String },
    /// The answer was malformed or unexpected.
    Wrong(String),
}

/// Counts and latencies.
#[derive(Debug, Clone)]
pub(super) struct Measurements {
    pub(super) transferred: Transferred,
    pub(super) errors: BTreeMap<String, u64>,
    /// Latencies of successful operations, in nanoseconds.
    latencies: Histogram<u64>,
}

impl FailureKind {
    pub(super) fn connect(error: &io::Error) -> FailureKind {
        let refused = error.kind() == io::ErrorKind::ConnectionRefused;
        if refused { FailureKind::Refused } else { FailureKind::Connect(error.to_string()) }
    }

    pub(super) fn of_io(error: &io::Error) -> FailureKind {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        if matches!(tls, Some(rustls::Error::AlertReceived(AlertDescription::CertificateRequired))) {
            return FailureKind::CertificateRequired;
        }
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        if matches!(error.kind(), ConnectionReset | BrokenPipe | ConnectionAborted) {
            FailureKind::Reset
        } else if error.kind() == UnexpectedEof {
            FailureKind::Closed
        } else {
            FailureKind::Socket(error.to_string())
        }
    }

    /// Describes the kind of failure; equal kinds have equal texts.
    pub(super) fn text(&self) -> String {
        match self {
            FailureKind::Resolve(why) => format!("the name does not resolve: {}", printable(why)),
            FailureKind::Refused => "connection refused".into(),
            FailureKind::Connect(why) => format!("cannot connect: {}", printable(why)),
            FailureKind::Handshake(why) => format!("TLS handshake: {}", printable(why)),
            FailureKind::Reset => "connection reset".into(),
            FailureKind::Closed => "connection closed before the answer".into(),
            FailureKind::CertificateRequired => {
                "the server requires a client certificate: give --tlsCertificateKeyFile".into()
            }
            FailureKind::Socket(why) => format!("connection failed: {}", printable(why)),
            FailureKind::TimedOut => "no answer in time".into(),
            FailureKind::Server { code, text } => format!("server error {code}: {}", printable(text)),
            FailureKind::Wrong(why) => format!("invalid answer: {}", printable(why)),
        }
    }
}

impl Measurements {
    /// # Errors
    /// The histogram refuses the bounds.
    pub(super) fn new() -> Result<Measurements, CreationError> {
        let most = u64::try_from(LATENCY.as_nanos()).unwrap_or(u64::MAX);
        let latencies = Histogram::new_with_max(most, DIGITS)?;
        Ok(Measurements { transferred: Transferred::default(), errors: BTreeMap::new(), latencies })
    }

    pub(super) fn succeeded(&mut self, transferred: Transferred, took: Duration) {
        self.transferred.sent += transferred.sent;
        self.transferred.received += transferred.received;
        self.latencies.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(super) fn failed(&mut self, kind: &FailureKind) {
        self.count(kind.text(), 1);
    }

    pub(super) fn add(&mut self, other: &Measurements) {
        self.transferred.sent += other.transferred.sent;
        self.transferred.received += other.transferred.received;
        for (kind, count) in &other.errors {
            self.count(kind.clone(), *count);
        }
        // Both histograms have the same bounds.
        let _ = self.latencies.add(&other.latencies);
    }

    fn count(&mut self, kind: String, count: u64) {
        let kind =
            if self.errors.len() < FAILURE_KINDS || self.errors.contains_key(&kind) { kind } else { OTHERS.into() };
        *self.errors.entry(kind).or_default() += count;
    }

    /// Number of successful operations.
    pub(super) fn operations(&self) -> u64 {
        self.latencies.len()
    }

    pub(super) fn percentile(&self, percent: f64) -> Duration {
        Duration::from_nanos(self.latencies.value_at_percentile(percent))
    }

    pub(super) fn longest(&self) -> Duration {
        Duration::from_nanos(self.latencies.max())
    }

    pub(super) fn mean(&self) -> Duration {
        Duration::try_from_secs_f64(self.latencies.mean() / 1e9).unwrap_or_default()
    }
}

/// Number of significant digits of a latency.
const DIGITS: u8 = 3;
const OTHERS: &str = "other errors";

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};
    use std::time::Duration;

    use super::{FailureKind, Measurements, OTHERS, Transferred};
    use crate::load::limits::{FAILURE_KINDS, LATENCY};

    #[test]
    fn times_and_bytes_add_up() {
        let (mut one, mut other) = (Measurements::new().unwrap(), Measurements::new().unwrap());
        for millis in 1..=99 {
            one.succeeded(Transferred { sent: 2, received: 3 }, Duration::from_millis(millis));
        }
        other.succeeded(Transferred { sent: 1, received: 1 }, Duration::from_secs(3600));
        other.failed(&FailureKind::Refused);
        one.add(&other);
        assert_eq!(
            (one.operations(), one.errors.values().sum(), one.transferred),
            (100, 1_u64, Transferred { sent: 199, received: 298 })
        );
        let close = |time: Duration, to: Duration| time.abs_diff(to) <= to / 500;
        assert!(close(one.percentile(50.0), Duration::from_millis(50)), "{:?}", one.percentile(50.0));
        assert!(close(one.longest(), LATENCY), "{:?}", one.longest());
    }

    #[test]
    fn kinds_are_bounded_and_none_is_lost() {
        let mut measurements = Measurements::new().unwrap();
        for code in 0..1000 {
            measurements.failed(&FailureKind::Server { code, text: "no".into() });
        }
        assert_eq!((measurements.errors.values().sum::<u64>(), measurements.errors.len()), (1000, FAILURE_KINDS + 1));
        assert_eq!(measurements.errors[OTHERS], 1000 - FAILURE_KINDS as u64);
    }

    #[test]
    fn the_same_failure_has_the_same_text() {
        for (kind, expected) in [
            (ErrorKind::ConnectionReset, FailureKind::Reset),
            (ErrorKind::BrokenPipe, FailureKind::Reset),
            (ErrorKind::UnexpectedEof, FailureKind::Closed),
        ] {
            assert_eq!(FailureKind::of_io(&Error::from(kind)), expected);
        }
        assert_eq!(FailureKind::connect(&Error::from(ErrorKind::ConnectionRefused)).text(), "connection refused");
    }
}
