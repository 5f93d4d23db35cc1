//! Network namespaces by name, with the files that `ip netns exec` mounts over `/etc`.
//!
//! Every name begins with [`PREFIX`] and the id of the process that created it, so that concurrent runs have different
//! names, and namespaces of killed runs can be recognized.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use crate::support::process;

/// The beginning of the names of all namespaces of the tests.
pub(crate) const PREFIX: &str = "tlsramp-test-";

/// A unique beginning for the names of one network.
pub(crate) fn fresh_name() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("{PREFIX}{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Creates a namespace.
pub(crate) fn add(name: &str) -> Result<(), String> {
    ip(&["netns", "add", name])
}

/// Removes a namespace and its files. Processes in it keep it until they end, but can no longer be reached.
pub(crate) fn delete(name: &str) {
    let _ = ip(&["netns", "delete", name]);
    let _ = fs::remove_dir_all(files(name));
}

/// The folder of the files that are mounted over `/etc`.
pub(crate) fn files(name: &str) -> PathBuf {
    Path::new("/etc/netns").join(name)
}

/// Removes the namespaces of killed runs.
pub(crate) fn sweep() {
    let names = ["/run/netns", "/etc/netns"].map(|folder| fs::read_dir(folder).into_iter().flatten().flatten());
    for name in names.into_iter().flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
        let process = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            delete(&name);
        }
    }
}

/// Runs `ip`.
pub(crate) fn ip(args: &[&str]) -> Result<(), String> {
    let mut command = Command::new("ip");
    command.args(args);
    process::succeed(command, LIMIT).map(drop)
}

/// Runs `nft` on a script in a namespace.
pub(crate) fn nft(namespace: &str, script: &str) -> Result<(), String> {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace, "nft", "-f", "-"]);
    let output = process::output_with_input(command, script.as_bytes().to_vec(), LIMIT)?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("nft: {}: {said}in {script}", output.status)) }
}

/// Each call takes milliseconds, but a machine may run many tests at once.
const LIMIT: Duration = Duration::from_secs(60);
