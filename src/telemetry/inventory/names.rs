//! Estimates the number of applications in a shared row by linear counting: each name sets the bit of its hash.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::limits::INVENTORY_NAME_WORDS;
use crate::mongo::ClientMetadata;

/// A bit set of name hashes.
#[derive(Debug, Default)]
pub(super) struct Names {
    bits: [AtomicU64; INVENTORY_NAME_WORDS],
    /// The number of names counted before a restart, or in rows that were merged. The bits of these names are not known, so
    /// this is only an estimate: a name in two merged rows counts twice, and new names may be among these.
    before: AtomicU64,
}

impl Names {
    pub(super) fn add(&self, client: &ClientMetadata) {
        let mut hasher = DefaultHasher::new();
        client.hash(&mut hasher);
        let hash = hasher.finish();
        let words = INVENTORY_NAME_WORDS as u64;
        // The value is below the number of words, so the conversion does not fail.
        let word = usize::try_from(hash / 64 % words).unwrap_or_default();
        self.bits[word].fetch_or(1 << (hash % 64), Ordering::Relaxed);
    }

    pub(super) fn add_count(&self, count: u64) {
        self.before.fetch_max(count, Ordering::Relaxed);
    }

    /// The approximate number of names, at least `before`.
    pub(super) fn count(&self) -> u64 {
        let set: u32 = self.bits.iter().map(|word| word.load(Ordering::Relaxed).count_ones()).sum();
        let all = 64 * INVENTORY_NAME_WORDS as u64;
        // The expected number of names that set this many bits, in 256ths.
        let expected: u64 = (0..u64::from(set)).map(|had| 256 * all / (all - had)).sum();
        (expected / 256).max(self.before.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::Names;
    use crate::mongo::ClientMetadata;

    #[test]
    fn counts_are_near_enough() {
        for (count, most_off) in [(0, 0), (1, 0), (10, 1), (100, 10), (1000, 100), (4000, 800)] {
            let names = Names::default();
            for number in (0..count).chain(0..count) {
                names.add(&ClientMetadata { application: Some(format!("name-{number}")), ..ClientMetadata::default() });
            }
            let got = names.count();
            assert!(got.abs_diff(count) <= most_off, "{got} for {count}");
        }
        let names = Names::default();
        for number in 0..100_000 {
            names.add(&ClientMetadata { application: Some(number.to_string()), ..ClientMetadata::default() });
        }
        assert!((7_000..10_000).contains(&names.count()), "{}: bounded", names.count());
        names.add_count(20_000);
        assert_eq!(names.count(), 20_000);
    }
}
