//! `tlsramp demo`: its output, its duration, its end; and that it can fail.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};

use crate::support::{Scratch, process, until};

/// The documented duration is half a minute.
const DOCUMENTED: Duration = Duration::from_secs(30);
/// On a busy machine it takes longer.
const LIMIT: Duration = Duration::from_secs(180);

/// `tlsramp demo` whose temporary files go to `folder`.
fn demo(folder: &Scratch) -> Command {
    let mut command = process::tethered(env!("CARGO_BIN_EXE_tlsramp"));
    command.arg("demo").env("TMPDIR", folder.path());
    command
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().next().is_none()
}

#[test]
fn walks_all_modes_and_nothing_fails() {
    let folder = Scratch::new("demo");
    let began = Instant::now();
    let output = process::output(demo(&folder), LIMIT).unwrap();
    let (text, took) = (stdout(&output), began.elapsed());
    assert!(output.status.success(), "{}\n{text}", output.status);
    assert!(took < DOCUMENTED || until::busy(), "{took:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "nothing but results");
    assert!(!text.contains('\x1b'), "no colour where there is no terminal");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");

    let old = "TLS (2 old: plaintext)";
    let modes = [
        ("disabled", ["accepted", "refused: alert 49", "plaintext"]),
        ("allowSSL", ["accepted", "accepted", "plaintext"]),
        ("preferSSL", ["accepted", "accepted", old]),
        ("requireSSL", ["refused: error 141", "accepted", old]),
    ];
    for (mode, cells) in modes {
        let mut rows = text.lines().skip_while(|line| *line != format!("sslMode {mode}")).skip(1);
        for node in ["node a", "node b", "node c"] {
            let row = rows.next().unwrap_or_else(|| panic!("no row of {node} in {mode}:\n{text}"));
            let found: Vec<_> = row.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
            assert_eq!(found, [node, cells[0], cells[1], cells[2]], "{mode}:\n{text}");
        }
    }
    for part in [
        "12 of 12 moved from plaintext to TLS",
        "\"The server is configured to only allow SSL connections\"",
        "as expected",
        "as in the truth table",
    ] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
    let failed: Vec<_> = text.lines().filter_map(|line| line.split_once("failed: ")).collect();
    assert_eq!(failed.iter().map(|(_, count)| *count).collect::<Vec<_>>(), ["0", "0"], "{text}");
    for (row, _) in failed {
        let count: u64 = row.split_whitespace().nth(1).unwrap().replace(',', "").parse().unwrap();
        assert!(count > 100, "{count} in {row:?} is hardly steady");
    }
    assert!(is_empty(folder.path()), "the certificates are gone");
}

/// With too few descriptors, connections fail, as they would for any other reason.
#[test]
fn ends_with_one_where_something_fails() {
    let folder = Scratch::new("demo");
    let mut command = process::tethered("sh");
    command.args(["-c", "ulimit -n 100 && exec \"$0\" demo", env!("CARGO_BIN_EXE_tlsramp")]);
    command.env("TMPDIR", folder.path());
    let output = process::output(command, LIMIT).unwrap();
    let said = stdout(&output) + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("tlsramp demo: ") || said.contains("The upgrade was stopped"), "{said}");
    assert!(is_empty(folder.path()), "the certificates are gone");
}

#[test]
fn an_interrupt_ends_it_cleanly() {
    let folder = Scratch::new("demo");
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let mut child = process::spawn({
            let mut command = demo(&folder);
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
            command
        })
        .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "sslMode allowSSL"), "it walks");
        kill_process(process::pid(&child), signal).unwrap();
        let status = process::wait(&mut child, Duration::from_secs(60)).unwrap().expect("it ends");
        assert_eq!(status.code(), Some(code));
        assert!(is_empty(folder.path()), "the certificates are gone");
    }
}

/// The commands that `--keep` prints can be pasted and work. Ctrl-C ends it with the exit code of the demo itself.
#[test]
fn keeps_running_when_asked_to() {
    let folder = Scratch::new("demo");
    let mut command = demo(&folder);
    command.arg("--keep").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = process::spawn(command).unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let lines: Vec<_> = lines.take_while(|line| !line.contains("refused with the reason")).collect();
    let pasted: Vec<_> = lines.iter().filter(|line| line.trim().starts_with("openssl s_client")).collect();
    assert_eq!(pasted.len(), 1, "{lines:#?}");
    for line in pasted {
        let mut shell = process::tethered("sh");
        shell.args(["-c", line]);
        let output = process::succeed(shell, Duration::from_secs(60)).unwrap();
        assert!(stdout(&output).contains("Verify return code: 0"), "{line}");
    }
    kill_process(process::pid(&child), Signal::INT).unwrap();
    let status = process::wait(&mut child, Duration::from_secs(60)).unwrap().expect("it ends");
    assert_eq!(status.code(), Some(0));
    assert!(is_empty(folder.path()), "the certificates are gone");
}
