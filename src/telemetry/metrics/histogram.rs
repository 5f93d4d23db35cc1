//! Latency histograms with fixed buckets, which take no lock. The histograms of prometheus-client are as fast (about 50
//! ns for one latency, with two workers), but take a lock, and a worker that is preempted while it holds the lock stops
//! the others.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counts by bucket, and the sum of the latencies.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    /// One bucket for each bound, and one for longer latencies.
    buckets: [AtomicU64; BOUNDS_MICROS.len() + 1],
    /// The sum of all latencies in nanoseconds. 64 bits hold 584 years.
    nanos: AtomicU64,
}

/// The values of a histogram.
#[derive(Debug, Clone)]
pub(super) struct Latencies {
    /// The sum of all latencies, in seconds.
    pub(super) sum: f64,
    /// The number of latencies.
    pub(super) count: u64,
    /// The upper bound in seconds and the count of each bucket.
    pub(super) buckets: Vec<(f64, u64)>,
}

impl Histogram {
    /// Counts a latency. Upper bounds are inclusive.
    pub(super) fn observe(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_MICROS.partition_point(|bound| bound * 1000 < nanos);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// Reads the values. The count is the sum of the buckets, so that they agree even during updates.
    pub(super) fn read(&self) -> Latencies {
        let bounds = BOUNDS_MICROS.into_iter().map(|bound| Duration::from_micros(bound).as_secs_f64());
        let counts = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed));
        let buckets: Vec<_> = bounds.chain([f64::INFINITY]).zip(counts).collect();
        let sum = Duration::from_nanos(self.nanos.load(Ordering::Relaxed)).as_secs_f64();
        Latencies { sum, count: buckets.iter().map(|(_, count)| count).sum(), buckets }
    }
}

/// The upper bounds of the buckets, in microseconds: from less than a handshake on the same host takes (0.3 ms or more)
/// to the default timeouts (10 s).
const BOUNDS_MICROS: [u64; 16] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000,
];

#[cfg(test)]
mod tests {
    use super::{BOUNDS_MICROS, Histogram};
    use std::time::Duration;

    #[test]
    fn a_latency_is_in_the_first_bucket_that_holds_it() {
        assert!(BOUNDS_MICROS.is_sorted());
        for (nanos, bucket) in
            [(0, 0), (100_000, 0), (100_001, 1), (1_000_000, 3), (10_000_000_000, 15), (u64::MAX, 16)]
        {
            let histogram = Histogram::default();
            histogram.observe(Duration::from_nanos(nanos));
            let read = histogram.read();
            assert_eq!(read.count, 1);
            assert_eq!(read.buckets.iter().position(|(_, count)| *count == 1), Some(bucket), "{nanos} ns");
        }
    }

    #[test]
    fn the_sum_is_in_seconds() {
        let histogram = Histogram::default();
        histogram.observe(Duration::from_millis(250));
        histogram.observe(Duration::from_secs(2));
        assert!((histogram.read().sum - 2.25).abs() < 1e-9);
    }
}
