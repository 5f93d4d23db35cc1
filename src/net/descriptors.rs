//! Raising the descriptor limit, and the number of connections that it allows.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::limits::{
    DESCRIPTORS_PER_CONNECTION, DESCRIPTORS_PER_RUNTIME, DESCRIPTORS_PER_WORKER, DOOR_DESCRIPTORS, LEAST_CONNECTIONS,
    MOST_CONNECTIONS, OWN_DESCRIPTORS, RESERVED_DESCRIPTORS,
};

/// Raises the soft limit to the hard limit and returns how many connections the result allows, after subtracting the
/// descriptors of the workers and everything else.
///
/// If the limit cannot be raised, it stays as it is, and the returned number is based on it.
pub fn raise_descriptor_limit(workers: usize) -> u64 {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
    carried(descriptor_limit(), workers as u64)
}

/// Returns how many descriptors this process may open.
pub fn descriptor_limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Returns how many descriptors this process may open once it has raised its limit.
pub fn descriptors_at_most() -> u64 {
    getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX)
}

/// Returns how many descriptors are open; `None` if `/proc` is hidden.
#[must_use]
pub fn open_descriptors() -> Option<u64> {
    // One of them is the folder that is read.
    std::fs::read_dir("/proc/self/fd").ok().map(|entries| (entries.count() as u64).saturating_sub(1))
}

/// Returns how many descriptors the process needs to start: for `workers` workers, each with a listener for each
/// address of a route, for the listeners of the control plane, and for a few connections.
pub fn descriptors_needed(workers: usize, routes: usize, admin_listeners: usize) -> u64 {
    let least = LEAST_CONNECTIONS * DESCRIPTORS_PER_CONNECTION;
    OWN_DESCRIPTORS + admin_listeners as u64 + workers as u64 * (DESCRIPTORS_PER_RUNTIME + routes as u64) + least
}

/// Returns how many connections this many descriptors allow, with this many workers.
#[must_use]
pub fn carried(descriptors: u64, workers: u64) -> u64 {
    // The admin and probe ports take no more than a quarter, even if there are few descriptors.
    let reserved = RESERVED_DESCRIPTORS + DOOR_DESCRIPTORS.min(descriptors / 4) + workers * DESCRIPTORS_PER_WORKER;
    (descriptors.saturating_sub(reserved) / DESCRIPTORS_PER_CONNECTION).clamp(1, MOST_CONNECTIONS)
}

#[cfg(test)]
mod tests {
    use super::carried;

    #[test]
    fn what_a_limit_carries() {
        for (descriptors, workers, connections) in [
            (0, 1, 1),
            (64, 2, 1),
            (224, 1, 12),
            (1024, 2, 304),
            (1024, 16, 192),
            (20_000, 2, 9_792),
            (u64::MAX, 2, 1_000_000),
        ] {
            assert_eq!(carried(descriptors, workers), connections);
        }
    }
}
