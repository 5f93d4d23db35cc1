//! The descriptor limit: raised as far as it goes, and how many connections it carries.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::limits::{DESCRIPTORS_PER_CONNECTION, MOST_CONNECTIONS, RESERVED_DESCRIPTORS};

/// Raises the soft limit to the hard one and returns how many connections the result carries.
///
/// A limit that cannot be raised stays as it is: the number returned is the truth either way.
#[must_use]
pub fn raise_descriptor_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
    let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    carried(descriptors)
}

fn carried(descriptors: u64) -> u64 {
    (descriptors.saturating_sub(RESERVED_DESCRIPTORS) / DESCRIPTORS_PER_CONNECTION).clamp(1, MOST_CONNECTIONS)
}

#[cfg(test)]
mod tests {
    use super::carried;

    #[test]
    fn what_a_limit_carries() {
        for (descriptors, connections) in [(0, 1), (64, 1), (1024, 448), (20_000, 9_936), (u64::MAX, 1_000_000)] {
            assert_eq!(carried(descriptors), connections);
        }
    }
}
