//! The samples of the page's chart: one a second for a quarter of an hour, and one a minute for a day before that.

use std::collections::VecDeque;

use serde::Serialize;

use crate::limits::{EVENT_MINUTES, EVENT_SAMPLES};

/// The connections at one time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(into = "SampleRow")]
pub(super) struct Sample {
    /// In milliseconds since 1970.
    pub(super) at: i64,
    /// Open connections: inbound plaintext, inbound TLS, outbound.
    pub(super) open: [usize; 3],
    /// Connections accepted since the start: plaintext, TLS. The page calculates rates from the differences.
    pub(super) accepted: [u64; 2],
}

/// A sample in JSON: an array without names, because a page receives the samples of a whole day.
type SampleRow = (i64, usize, usize, usize, u64, u64);

/// The samples, oldest first. While no page is open, none are taken, and the chart has a gap.
#[derive(Debug, Default)]
pub(super) struct Samples {
    recent: VecDeque<Sample>,
    minutes: VecDeque<Sample>,
}

impl From<Sample> for SampleRow {
    fn from(Sample { at, open, accepted }: Sample) -> SampleRow {
        (at, open[0], open[1], open[2], accepted[0], accepted[1])
    }
}

impl Samples {
    /// Adds a sample. Of the samples that are no longer recent, the first of each minute is kept. If the clock was set
    /// back, later samples are removed.
    pub(super) fn push(&mut self, sample: Sample) {
        for samples in [&mut self.recent, &mut self.minutes] {
            while samples.back().is_some_and(|last| last.at >= sample.at) {
                samples.pop_back();
            }
        }
        self.recent.push_back(sample);
        if self.recent.len() <= EVENT_SAMPLES {
            return;
        }
        let Some(oldest) = self.recent.pop_front() else { return };
        if self.minutes.back().is_some_and(|kept| minute(kept) == minute(&oldest)) {
            return;
        }
        if self.minutes.len() >= EVENT_MINUTES {
            self.minutes.pop_front();
        }
        self.minutes.push_back(oldest);
    }

    /// The samples after a time, oldest first. All, if the time is later than the last sample: the clock was set back.
    pub(super) fn since(&self, at: i64) -> Vec<Sample> {
        let at = if self.recent.back().is_some_and(|last| last.at < at) { i64::MIN } else { at };
        let all = self.minutes.iter().chain(&self.recent);
        all.rev().take_while(|sample| sample.at > at).copied().collect::<Vec<_>>().into_iter().rev().collect()
    }
}

const fn minute(sample: &Sample) -> i64 {
    sample.at.div_euclid(60_000)
}

#[cfg(test)]
mod tests {
    use super::{Sample, Samples};
    use crate::limits::{EVENT_MINUTES, EVENT_SAMPLES};

    #[test]
    fn a_day_is_bounded_and_its_end_is_exact() {
        let mut samples = Samples::default();
        let second = |at: i64| Sample { at: at * 1000, open: [1, 2, 3], accepted: [4, 5] };
        let total = 30 * 3600;
        (0..total).for_each(|at| samples.push(second(at)));
        let all = samples.since(-1);
        assert_eq!(all.len(), EVENT_MINUTES + EVENT_SAMPLES);
        assert!(all.is_sorted_by_key(|sample| sample.at));
        let (minutes, recent) = all.split_at(EVENT_MINUTES);
        assert!(minutes.windows(2).all(|pair| pair[1].at - pair[0].at == 60_000), "one a minute");
        assert!(recent.windows(2).all(|pair| pair[1].at - pair[0].at == 1000), "one a second");
        assert_eq!(recent.last(), Some(&second(total - 1)));
        assert_eq!(samples.since((total - 3) * 1000), [second(total - 2), second(total - 1)]);
        assert_eq!(samples.since((total - 1) * 1000), []);
        assert_eq!(serde_json::to_string(&second(1)).unwrap(), "[1000,1,2,3,4,5]");
    }

    #[test]
    fn a_clock_that_is_set_back_removes_what_would_come_later() {
        let mut samples = Samples::default();
        let second = |at: i64| Sample { at: at * 1000, ..Sample::default() };
        (0..2000).chain([500, 501]).for_each(|at| samples.push(second(at)));
        let all = samples.since(1_999_000);
        assert!(all.is_sorted_by_key(|sample| sample.at));
        assert_eq!(all.last_chunk(), Some(&[second(500), second(501)]));
        assert_eq!(samples.since(500_000), [second(501)]);
    }

    #[test]
    fn samples_after_a_gap_are_kept() {
        let mut samples = Samples::default();
        for start in [0, 7200] {
            (0..EVENT_SAMPLES as i64)
                .for_each(|at| samples.push(Sample { at: (start + at) * 1000, ..Sample::default() }));
        }
        let minutes = EVENT_SAMPLES / 60;
        assert_eq!(samples.since(-1).len(), minutes + EVENT_SAMPLES);
    }
}
