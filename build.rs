//! The texts of `tlsramp --version`: the commit with its date, and the versions of the TLS stack.
//!
//! The commit comes from the environment variable `TLSRAMP_COMMIT`, for builds outside of a clone, else from git. A
//! debug build does not ask git, because the crate would then be compiled again after every commit.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

fn main() {
    let folder = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=Cargo.lock");
    println!("cargo::rerun-if-env-changed=TLSRAMP_COMMIT");
    let version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let debug = env::var("PROFILE").is_ok_and(|profile| profile == "debug");
    let given = env::var("TLSRAMP_COMMIT").ok().filter(|commit| !commit.is_empty());
    let commit = match given {
        None if debug => Some("debug build".to_owned()),
        None => commit(&folder),
        given => given,
    };
    println!(
        "cargo::rustc-env=TLSRAMP_VERSION={version}{}",
        commit.map_or_else(String::new, |commit| format!(" ({commit})"))
    );
    println!("cargo::rustc-env=TLSRAMP_TLS_STACK={}", tls_stack(&folder));
}

/// The commit of this clone and its date, marked if tracked files differ from it; `None` if the folder is no clone,
/// such as an unpacked archive, even within another repository.
fn commit(folder: &Path) -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").arg("-C").arg(folder).args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    if !folder.join(".git").exists() {
        return None;
    }
    // These files change with a commit or a checkout. A missing file is not named, because it would make cargo run this
    // script at every build.
    let of_git = ["HEAD", "refs/heads", "packed-refs"].map(|name| git(&["rev-parse", "--git-path", name]));
    let sources = ["src", "certs-gen/src", "Cargo.toml"].map(|name| Some(name.to_owned()));
    for path in of_git.into_iter().chain(sources).flatten().map(|path| folder.join(path)).filter(|path| path.exists()) {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    let commit = git(&["log", "-1", "--format=%h %cs", "--abbrev=12"])?;
    let modified = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|files| !files.is_empty());
    Some(commit + if modified { ", modified" } else { "" })
}

/// The versions of the TLS stack in the lock file.
fn tls_stack(folder: &Path) -> String {
    let lock = fs::read_to_string(folder.join("Cargo.lock")).unwrap_or_default();
    let stack = ["rustls", "aws-lc-rs", "aws-lc-sys"].iter().filter_map(|name| {
        let (_, entry) = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?;
        Some(format!("{name} {}", entry.split('"').next()?))
    });
    format!("TLS by {}", stack.collect::<Vec<_>>().join(", "))
}
