//! What the figures were measured on.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tlsramp::net::descriptor_limit;

/// Processor, cores, kernel and the descriptor limit, in one line.
pub(crate) fn text() -> String {
    let about = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = about.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, model)| model).trim();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{model}, {cores} cores, Linux {}, {} descriptors a process", kernel.trim(), descriptor_limit())
}

/// Raises the descriptor limit of this process, and so of all that it starts, to what a bench wants: beyond the hard limit
/// where it may (as root), up to it where not. How many connections a proxy of two workers then takes:
/// three quarters of what its descriptors carry, the rest being kept back for outbound routes.
pub(crate) fn raise_descriptors(wanted: u64) -> usize {
    let hard = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX).max(wanted);
    // Where this is not allowed, the next does what is.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(hard), maximum: Some(hard) });
    usize::try_from(tlsramp::net::raise_descriptor_limit(2) / 4 * 3).unwrap_or(usize::MAX)
}

/// From where to where the kernel takes ports of outgoing connections.
pub(crate) fn outgoing_ports() -> String {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" to ")
}
