//! The requirements of a test, which are stated at its top.
//!
//! If a requirement is not met, the test prints `SKIPPED <test>: <reason>` to the real stderr, bypassing the harness's
//! capture, and returns. It never passes silently: with `TLSRAMP_TEST_ALL=1` in the environment, as in CI, it fails
//! instead.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

/// Unwraps a `Result<T, impl Display>`, or skips the test that contains the macro. The test must return `()`.
///
/// `let mongod = require!(parts::mongod());`
macro_rules! require {
    ($wanted:expr) => {
        match $wanted {
            Ok(wanted) => wanted,
            Err(reason) => {
                // The path of a function that is declared here contains the name of the enclosing function, whatever
                // thread runs it.
                fn here() {}
                $crate::support::require::skipped(::std::any::type_name_of_val(&here), &reason);
                return;
            }
        }
    };
}

/// Skips the test unless it runs as root (namespaces, packet filters).
macro_rules! require_root {
    () => {
        $crate::support::require::require!($crate::support::require::root())
    };
}

/// Skips the test unless this command is on the `PATH`. Returns the command's path.
macro_rules! require_command {
    ($name:expr) => {
        $crate::support::require::require!($crate::support::require::command($name))
    };
}

pub(crate) use {require, require_command, require_root};

/// Reports a skipped test. `place` is the path of an item inside it.
///
/// # Panics
///
/// If `TLSRAMP_TEST_ALL=1` requires every test to run.
pub(crate) fn skipped(place: &str, reason: &dyn std::fmt::Display) {
    let test = place.trim_end_matches("::here").replace("::{{closure}}", "");
    let test = test.split_once("::").map_or(test.as_str(), |(_crate, path)| path);
    assert!(!all_wanted(), "{test} cannot run, and TLSRAMP_TEST_ALL=1 asks for every test: {reason}");
    // Not `eprintln!`, because the harness captures its output and shows it only for a test that fails.
    let _ = std::io::stderr().write_all(format!("SKIPPED {test}: {reason}\n").as_bytes());
}

/// Whether the tests run as root.
pub(crate) fn root() -> Result<(), &'static str> {
    if rustix::process::geteuid().is_root() { Ok(()) } else { Err("needs root") }
}

/// The path of a command.
pub(crate) fn command(name: &str) -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // An ordinary user's PATH often lacks the folders where `ip` and `nft` are.
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders
        .map(|folder| folder.join(name))
        .find(|file| is_executable(file))
        .ok_or_else(|| format!("no command `{name}` on the PATH"))
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    file.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

fn all_wanted() -> bool {
    std::env::var("TLSRAMP_TEST_ALL").is_ok_and(|value| value == "1")
}
