//! What the figures were measured on.

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
