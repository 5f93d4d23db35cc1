//! One folder of certificates per run, made on first use by `certs-gen`: its whole `Set`, for the names `localhost`,
//! `127.0.0.1` and `::1`.
//!
//! `ca.pem server.pem member.pem client.pem`, and the invalid ones: `expired.pem not-yet-valid.pem wrong-name.pem
//! no-san.pem other-ca.pem other-ca-client.pem revoked.pem crl.pem crl-empty.pem crl-expired.pem encrypted.pem`
//! (password [`certs_gen::PASSWORD`]). A test that changes files makes a folder of its own, see [`folder`].

use std::{path::Path, sync::LazyLock};

use super::Scratch;

/// The path of a file in the shared folder, as used on command lines. The folder must not be written to.
///
/// # Panics
///
/// If the set has no such file: with a misspelt name, a test would silently test a missing file.
pub(crate) fn cert(name: &str) -> String {
    let path = SHARED.join(name);
    assert!(path.is_file(), "certs-gen makes no {name}");
    path.to_string_lossy().into_owned()
}

/// The shared folder itself.
pub(crate) fn shared() -> &'static Path {
    SHARED.path()
}

/// A new folder with a set of another CA that has the same name, for tests that replace, damage or rotate files.
pub(crate) fn folder() -> Scratch {
    let folder = Scratch::new("certs");
    certs_gen::Set::full().expect("certificates are made").write(folder.path()).expect("and written");
    folder
}

static SHARED: LazyLock<Scratch> = LazyLock::new(folder);
