//! Network namespaces by name, with the files that `ip netns exec` lays over `/etc`.
//!
//! Every name begins with [`PREFIX`] and the id of the process that made it, so that runs side by side do not meet, and
//! what a killed run has left is known as such.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use crate::support::process;

/// What all of our namespaces begin with.
pub(crate) const PREFIX: &str = "tlsramp-test-";

/// A beginning for the names of one network, which no other has.
pub(crate) fn fresh_name() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("{PREFIX}{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Makes a namespace.
pub(crate) fn add(name: &str) -> Result<(), String> {
    ip(&["netns", "add", name])
}

/// Removes a namespace and its files. What runs there keeps it until it ends, but nothing comes to it any more.
pub(crate) fn delete(name: &str) {
    let _ = ip(&["netns", "delete", name]);
    let _ = fs::remove_dir_all(files(name));
}

/// The folder of the files that are laid over `/etc`.
pub(crate) fn files(name: &str) -> PathBuf {
    Path::new("/etc/netns").join(name)
}

/// Removes what runs have left that were killed.
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

/// Each takes milliseconds; a machine may run many tests at once.
const LIMIT: Duration = Duration::from_secs(20);
