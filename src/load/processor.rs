//! What processes have used, as the operating system tells: processor time, and memory that is theirs.

use std::time::Duration;

use procfs::process::Process;

/// The sum over some processes, at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Used {
    pub(super) user: Duration,
    pub(super) system: Duration,
    /// Proportional set size, in bytes; 0 where it cannot be read.
    pub(super) memory: u64,
}

impl Used {
    /// Looks.
    ///
    /// # Errors
    /// The process that cannot be looked at, and why.
    pub(super) fn of(processes: &[i32]) -> Result<Used, String> {
        let ticks = procfs::ticks_per_second();
        let time = |count: u64| Duration::from_nanos(count.saturating_mul(1_000_000_000 / ticks.max(1)));
        let mut used = Used::default();
        for pid in processes {
            let process = Process::new(*pid).map_err(|error| format!("--cpu-of {pid}: {error}"))?;
            let stat = process.stat().map_err(|error| format!("--cpu-of {pid}: {error}"))?;
            used.user += time(stat.utime);
            used.system += time(stat.stime);
            used.memory += memory(&process).unwrap_or(0);
        }
        Ok(used)
    }

    /// What was used since an earlier look.
    pub(super) fn since(self, before: Used) -> Used {
        Used {
            user: self.user.saturating_sub(before.user),
            system: self.system.saturating_sub(before.system),
            memory: self.memory.saturating_sub(before.memory),
        }
    }

    /// Processor time.
    pub(super) fn processor(self) -> Duration {
        self.user + self.system
    }
}

fn memory(process: &Process) -> Option<u64> {
    let maps = process.smaps_rollup().ok()?.memory_map_rollup;
    maps.into_iter().map(|map| map.extension.map.get("Pss").copied()).sum()
}

#[cfg(test)]
mod tests {
    use super::Used;

    #[test]
    fn this_process_has_used_something() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let used = Used::of(&[pid]).unwrap();
        assert!(used.memory > 100_000, "{used:?}");
        assert!(Used::of(&[pid, pid]).unwrap().memory > used.memory * 3 / 2);
        assert!(Used::of(&[i32::MAX]).unwrap_err().starts_with("--cpu-of 2147483647: "));
    }
}
