//! Describes and prepares the machine of the measurement.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tlsramp::testing::descriptor_limit;

/// Processor, cores, kernel and the descriptor limit, in one line.
pub(crate) fn text() -> String {
    let about = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = about.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, model)| model).trim();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{model}, {cores} cores, Linux {}, {} descriptors a process", kernel.trim(), descriptor_limit())
}

/// Raises the descriptor limit of this process and of the processes that it starts: beyond the hard limit as root,
/// otherwise up to the hard limit. Returns the number of connections that a proxy with two workers then accepts: three
/// quarters of what its descriptors allow, since the rest is reserved for outbound routes.
pub(crate) fn raise_descriptors(wanted: u64) -> usize {
    let hard = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX).max(wanted);
    // If this fails, the next call raises the limit as far as permitted.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(hard), maximum: Some(hard) });
    usize::try_from(tlsramp::testing::raise_descriptor_limit(2) / 4 * 3).unwrap_or(usize::MAX)
}

/// The kernel's port range for outgoing connections.
pub(crate) fn outgoing_ports() -> String {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" to ")
}
