//! Processor time, memory and descriptors of this process. Values that cannot be read are left out: a container may
//! hide `/proc`.

use procfs::process::Process;
use rustix::process::{Resource, getrlimit};

/// Resources that this process uses now.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct ProcessFigures {
    /// Processor time of all threads, user and system, in seconds.
    pub(super) cpu_seconds: Option<f64>,
    pub(super) resident_bytes: Option<u64>,
    pub(super) open_fds: Option<u64>,
    /// The limit of open descriptors; `None` if there is no limit.
    pub(super) max_fds: Option<u64>,
}

impl ProcessFigures {
    pub(super) fn read() -> ProcessFigures {
        let process = Process::myself().ok();
        let stat = process.as_ref().and_then(|process| process.stat().ok());
        ProcessFigures {
            cpu_seconds: stat.as_ref().map(|stat| seconds(stat.utime.saturating_add(stat.stime))),
            resident_bytes: stat.map(|stat| stat.rss.saturating_mul(procfs::page_size())),
            open_fds: process.and_then(|process| process.fd_count().ok()).map(|count| count as u64),
            max_fds: getrlimit(Resource::Nofile).current,
        }
    }
}

/// When this process was started, in seconds since 1970.
pub(super) fn started() -> Option<f64> {
    let ticks = Process::myself().ok()?.stat().ok()?.starttime;
    Some(seconds(procfs::boot_time_secs().ok()?.saturating_mul(procfs::ticks_per_second())) + seconds(ticks))
}

#[expect(clippy::cast_precision_loss, reason = "52 bits of hundredths of a second are a million years")]
fn seconds(ticks: u64) -> f64 {
    ticks as f64 / procfs::ticks_per_second().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::{ProcessFigures, started};
    use std::time::{SystemTime, UNIX_EPOCH};

    #[test]
    fn this_process() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        let began = started().unwrap();
        assert!(began > now - 86_400.0 && began < now + 60.0, "{began} is not near {now}");
        let before = ProcessFigures::read();
        assert!(before.resident_bytes.unwrap() > 100_000 && before.cpu_seconds.is_some());
        let files: Vec<_> = (0..64).map(|_| std::fs::File::open("/proc/self/stat").unwrap()).collect();
        // Other tests of this process open and close files too, but at least these files are open.
        assert!(ProcessFigures::read().open_fds.unwrap() >= files.len() as u64);
        assert!(before.max_fds.is_none_or(|most| most >= files.len() as u64));
    }
}
