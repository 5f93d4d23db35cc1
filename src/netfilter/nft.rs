//! Runs nft and iptables with a time limit and an output limit, and parses the listing of tlsramp's table.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::limits::{NETFILTER_LISTING_BYTES, NETFILTER_TOOL_WAIT};
use crate::text::printable;

use super::script::MARK;

/// Why a tool failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ToolError {
    /// The tool was not found.
    #[error("{0} is not in PATH, /usr/sbin or /sbin: install its package (nftables, iptables)")]
    Missing(String),
    /// The tool could not be run, or was killed at a limit.
    #[error("{0}: {1}")]
    Broken(String, String),
    /// The tool exited with an error.
    #[error("{shown}: {said}{}", if *.unprivileged { "; run this as root, or with CAP_NET_ADMIN" } else { "" })]
    Failed {
        /// The tool's command line.
        shown: String,
        /// The tool's standard error, on one line.
        said: String,
        /// Whether a privilege was missing.
        unprivileged: bool,
    },
}

/// Returns the path of a command. Searches more than PATH, because an ordinary user's PATH often lacks the folders of
/// these tools.
pub(super) fn find(command: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]).collect();
    folders
        .into_iter()
        .map(|folder| folder.join(command))
        .find(|file| file.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0))
}

/// Runs a command until it exits, and returns its standard output.
///
/// # Errors
/// See [`ToolError`].
pub(super) fn run(command: &str, arguments: &[&str], input: &str) -> Result<String, ToolError> {
    let shown = [&[command], arguments].concat().join(" ");
    let broken = |why: String| ToolError::Broken(shown.clone(), why);
    let file = find(command).ok_or_else(|| ToolError::Missing(command.to_owned()))?;
    let mut process = Command::new(file);
    process.args(arguments).env("LC_ALL", "C");
    process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = process.spawn().map_err(|error| broken(format!("cannot run it: {error}")))?;
    let (stdin, input) = (child.stdin.take(), input.to_owned());
    // Errors are ignored: a tool that does not read its input reports its own error.
    let feeder = thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(input.as_bytes())));
    let (stdout, stderr) = (reader(child.stdout.take()), reader(child.stderr.take()));
    let status = wait(&mut child, NETFILTER_TOOL_WAIT).map_err(broken)?;
    let _ = feeder.join();
    let [printed, said] = [stdout, stderr].map(|reader| reader.join().unwrap_or_default());
    if printed.len() as u64 > NETFILTER_LISTING_BYTES {
        return Err(broken(format!("it printed more than {NETFILTER_LISTING_BYTES} bytes")));
    }
    if status {
        return Ok(String::from_utf8_lossy(&printed).into_owned());
    }
    let said = String::from_utf8_lossy(&said).into_owned();
    let unprivileged =
        ["Operation not permitted", "must be root", "Permission denied"].iter().any(|no| said.contains(no));
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    Err(ToolError::Failed { shown, said: printable(&lines.join("; ")), unprivileged })
}

/// Waits until the process exits and returns whether it succeeded. Kills the process at the time limit.
fn wait(child: &mut Child, limit: Duration) -> Result<bool, String> {
    let deadline = Instant::now() + limit;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status.success()),
            Ok(None) if Instant::now() < deadline => thread::sleep(LOOK),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("it took longer than {} s, and was stopped", limit.as_secs()));
            }
            Err(error) => return Err(format!("it cannot be waited for: {error}")),
        }
    }
}

fn reader(from: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(from) = from {
            let _ = from.take(NETFILTER_LISTING_BYTES + 1).read_to_end(&mut bytes);
        }
        bytes
    })
}

/// Returns the listing of a table, without counters; `None` if there is no such table.
///
/// # Errors
/// See [`ToolError`].
pub(super) fn table(name: &str) -> Result<Option<String>, ToolError> {
    match run("nft", &["-s", "list", "table", "inet", name], "") {
        Ok(listing) => Ok(Some(listing)),
        Err(ToolError::Failed { said, .. }) if said.contains("No such file or directory") => Ok(None),
        Err(ToolError::Failed { shown, said, .. }) if said.contains("syntax error") => {
            Err(ToolError::Broken(shown, format!("--table {name} is a reserved word of nft: give another name")))
        }
        Err(error) => Err(error),
    }
}

/// Returns the first line of a listing that tlsramp has not written. Tables of tlsramp only contain rules with
/// tlsramp's comment, in chains of known names with policy accept.
pub(super) fn foreign(listing: &str) -> Option<&str> {
    let lines = listing.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.into_iter().find(|line| {
        let frame = ["table ", "chain prerouting {", "chain input {", "chain output {", "flags ", "}"];
        let is_frame = frame.iter().any(|start| line.starts_with(start))
            || (line.starts_with("type ") && line.ends_with("policy accept;"));
        !is_frame && !is_own_rule(line)
    })
}

/// Returns the number of tlsramp's rules in a script or a listing.
pub(super) fn own_rules(text: &str) -> usize {
    text.lines().filter(|line| is_own_rule(line)).count()
}

fn is_own_rule(line: &str) -> bool {
    line.contains(&format!("comment \"{MARK}"))
}

/// The interval at which the process is polled, because the standard library has no wait with a time limit.
const LOOK: Duration = Duration::from_millis(2);

#[cfg(test)]
mod tests {
    use super::foreign;

    #[test]
    fn a_table_is_ours_if_all_of_its_rules_are() {
        let ours = "table inet tlsramp {\n\tchain prerouting {\n\t\ttype filter hook prerouting priority mangle; policy accept;\n\
                    \t\ttcp dport 27017 tproxy to :27117 accept comment \"tlsramp: inbound\"\n\t}\n}\n";
        assert_eq!(foreign(ours), None);
        for line in [
            "tcp dport 22 accept",
            "chain forward {",
            "set ports {",
            "type filter hook input priority filter; policy drop;",
            "tcp dport 1 accept comment \"mine\"",
        ] {
            let mixed = ours.replace("\t}\n", &format!("\t\t{line}\n\t}}\n"));
            assert_eq!(foreign(&mixed), Some(line));
        }
    }
}
