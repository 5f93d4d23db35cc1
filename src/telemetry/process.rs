//! What Linux says of this process. What cannot be read is left out: a container may hide `/proc`.

use std::fs;

use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

/// This process, now.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Process {
    /// Processor time of all threads, user and system.
    pub(super) cpu_seconds: Option<f64>,
    /// Memory that is resident.
    pub(super) resident_bytes: Option<u64>,
    /// Descriptors that are open.
    pub(super) open_fds: Option<u64>,
    /// Descriptors that it may have; nothing where there is no limit.
    pub(super) max_fds: Option<u64>,
}

/// The numbers of `/proc/self/stat` that are used here, in the kernel's units (proc_pid_stat(5)).
#[derive(Debug, PartialEq)]
struct Stat {
    /// Fields 14 and 15, in ticks.
    cpu: u64,
    /// Field 22, in ticks since the machine began.
    started: u64,
    /// Field 24, in pages.
    resident: u64,
}

impl Process {
    pub(super) fn read() -> Process {
        let stat = fs::read_to_string("/proc/self/stat").ok().and_then(|text| Stat::parse(&text));
        Process {
            cpu_seconds: stat.as_ref().map(|stat| seconds(stat.cpu)),
            resident_bytes: stat.map(|stat| stat.resident.saturating_mul(page_size() as u64)),
            open_fds: open_fds(),
            max_fds: getrlimit(Resource::Nofile).current,
        }
    }
}

/// When this process began, in seconds since 1970.
pub(super) fn started() -> Option<f64> {
    let stat = Stat::parse(&fs::read_to_string("/proc/self/stat").ok()?)?;
    let machine = fs::read_to_string("/proc/stat").ok()?;
    let booted = machine.lines().find_map(|line| line.strip_prefix("btime "))?;
    Some(booted.trim().parse::<f64>().ok()? + seconds(stat.started))
}

impl Stat {
    fn parse(text: &str) -> Option<Stat> {
        // The second field is the program's name, and may hold anything, parentheses too.
        let (_, fields) = text.rsplit_once(')')?;
        let fields: Vec<_> = fields.split_ascii_whitespace().collect();
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        Some(Stat { cpu: number(14)?.checked_add(number(15)?)?, started: number(22)?, resident: number(24)? })
    }
}

/// From Linux 6.2 on, the directory's size is the number of descriptors; before, it is 0 and they must be listed, which
/// takes long where there are a hundred thousand.
fn open_fds() -> Option<u64> {
    let known = fs::metadata("/proc/self/fd").ok().map(|directory| directory.len()).filter(|size| *size > 0);
    let listed = || fs::read_dir("/proc/self/fd").ok().map(|list| list.count().saturating_sub(1) as u64);
    known.or_else(listed)
}

#[expect(clippy::cast_precision_loss, reason = "52 bits of hundredths of a second are a million years")]
fn seconds(ticks: u64) -> f64 {
    ticks as f64 / clock_ticks_per_second().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::{Process, Stat, started};
    use std::time::{SystemTime, UNIX_EPOCH};

    #[test]
    fn a_name_may_hold_anything() {
        let rest = "S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 3 0 1518033 3133440 382 18446744073709551615";
        for name in ["tlsramp", "a b", ") R 1 (", ""] {
            let stat = Stat::parse(&format!("7 ({name}) {rest} 0"));
            assert_eq!(stat, Some(Stat { cpu: 300, started: 1_518_033, resident: 382 }));
        }
        for text in ["", "7 (x)", "7 (x) S 1", "7 x S 1 7 7", &format!("7 (x) {}", rest.replace("382", "-1"))] {
            assert_eq!(Stat::parse(text), None, "{text}");
        }
    }

    #[test]
    fn this_process() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        let began = started().unwrap();
        assert!(began > now - 86_400.0 && began < now + 60.0, "{began} is not near {now}");
        let before = Process::read();
        assert!(before.resident_bytes.unwrap() > 100_000 && before.cpu_seconds.is_some());
        let files: Vec<_> = (0..64).map(|_| std::fs::File::open("/proc/self/stat").unwrap()).collect();
        // Other tests of this process open and close theirs; so many more are ours.
        assert!(Process::read().open_fds.unwrap() >= files.len() as u64);
        assert!(before.max_fds.is_none_or(|most| most >= files.len() as u64));
    }
}
