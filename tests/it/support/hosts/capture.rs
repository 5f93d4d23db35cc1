//! Captures the traffic on the virtual cables with `tcpdump`, to search it for an application's text.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::Signal;

use super::{Host, network::CABLE, running::Running};
use crate::support::{Mark, Scratch, wait};

/// A `tcpdump` on each cable, until [`stop`](Captures::stop).
#[derive(Debug)]
pub(crate) struct Captures {
    running: Vec<(String, Running, PathBuf)>,
    folder: Scratch,
}

/// The captured traffic.
#[derive(Debug)]
pub(crate) struct Captured {
    /// Host and capture file of each cable.
    files: Vec<(String, PathBuf)>,
    _folder: Scratch,
}

impl Captures {
    pub(super) fn start<'a>(hosts: impl Iterator<Item = &'a Host>) -> Self {
        let folder = Scratch::new("capture");
        let begin = |host: &Host| {
            let file = folder.join(format!("{}.pcap", host.number));
            let mut command = host.command("tcpdump");
            // Whole packets, each written at once, as root. The buffer of 64 MiB covers a disk that is slow for a
            // while.
            command.args(["-i", CABLE, "-s", "0", "-U", "-B", "65536", "-Z", "root", "-w"]).arg(&file).arg("tcp");
            let log = folder.join(format!("{}.log", host.number));
            let running = Running::start(&format!("tcpdump on {}", host.name()), command, &log);
            (host.name(), running, file)
        };
        let captures = Self { running: hosts.map(begin).collect(), folder };
        for (host, running, _) in &captures.running {
            let said = |text: &str| running.log.lines(Mark::START).iter().any(|line| line.contains(text));
            wait(&format!("tcpdump on {host} listens"), || said("listening on"));
        }
        captures
    }

    /// Ends the capture.
    ///
    /// # Panics
    ///
    /// If a `tcpdump` has missed a packet or captured none, since it would then prove nothing.
    #[track_caller]
    pub(crate) fn stop(self) -> Captured {
        let mut files = Vec::new();
        for (host, mut running, file) in self.running {
            running.end(Signal::INT, Duration::from_secs(60));
            let count = |of: &str| counted(&running, of).unwrap_or_else(|| panic!("{host}: {}", running.log.tail()));
            wait("tcpdump has its say", || counted(&running, " dropped by kernel").is_some());
            assert_eq!(count(" dropped by kernel"), 0, "packets missed on {host}");
            assert!(count(" captured") > 0, "nothing seen on {host}");
            files.push((host, file));
        }
        Captured { files, _folder: self.folder }
    }
}

impl Captured {
    /// The number of occurrences of these bytes on each cable, with the host's name.
    pub(crate) fn count(&self, marker: &str) -> Vec<(String, usize)> {
        let of = |file: &Path| {
            let bytes = fs::read(file).expect("a capture can be read");
            bytes.windows(marker.len()).filter(|bytes| *bytes == marker.as_bytes()).count()
        };
        self.files.iter().map(|(host, file)| (host.clone(), of(file))).collect()
    }

    /// The number of occurrences on all cables.
    pub(crate) fn total(&self, marker: &str) -> usize {
        self.count(marker).iter().map(|(_, count)| count).sum()
    }
}

/// The number before these words in the lines that `tcpdump` prints at its end, such as `12 packets captured`.
fn counted(running: &Running, of: &str) -> Option<usize> {
    let lines = running.log.lines(Mark::START);
    let line = lines.iter().find(|line| line.contains(" packet") && line.ends_with(of))?;
    line.split(' ').next()?.parse().ok()
}
