//! Processor time and memory of other processes, from `/proc`.

use std::time::Duration;

use procfs::process::Process;

/// The sum over several processes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ProcessUsage {
    pub(super) user: Duration,
    pub(super) system: Duration,
    /// Proportional set size, in bytes; 0 if it cannot be read.
    pub(super) memory: u64,
}

impl ProcessUsage {
    /// # Errors
    /// The process that cannot be read, and the reason.
    pub(super) fn of(processes: &[i32]) -> Result<ProcessUsage, String> {
        let ticks = procfs::ticks_per_second();
        let time = |count: u64| Duration::from_nanos(count.saturating_mul(1_000_000_000 / ticks.max(1)));
        let mut used = ProcessUsage::default();
        for pid in processes {
            let process = Process::new(*pid).map_err(|error| format!("--cpu-of {pid}: {error}"))?;
            let stat = process.stat().map_err(|error| format!("--cpu-of {pid}: {error}"))?;
            used.user += time(stat.utime);
            used.system += time(stat.stime);
            used.memory += memory(&process).unwrap_or(0);
        }
        Ok(used)
    }

    pub(super) fn since(self, before: ProcessUsage) -> ProcessUsage {
        ProcessUsage {
            user: self.user.saturating_sub(before.user),
            system: self.system.saturating_sub(before.system),
            memory: self.memory.saturating_sub(before.memory),
        }
    }

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
    use super::ProcessUsage;

    #[test]
    fn this_process_has_used_something() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let used = ProcessUsage::of(&[pid]).unwrap();
        assert!(used.memory > 100_000, "{used:?}");
        assert!(ProcessUsage::of(&[pid, pid]).unwrap().memory > used.memory * 3 / 2);
        assert!(ProcessUsage::of(&[i32::MAX]).unwrap_err().starts_with("--cpu-of 2147483647: "));
    }
}
