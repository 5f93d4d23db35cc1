//! One folder of certificates per run, made when first asked for by `certs-gen`: all that its `Set` has, for the names
//! `localhost`, `127.0.0.1` and `::1`.
//!
//! `ca.pem server.pem member.pem client.pem`, and the wrong ones: `expired.pem not-yet-valid.pem wrong-name.pem
//! no-san.pem other-ca.pem other-ca-client.pem revoked.pem crl.pem crl-empty.pem crl-expired.pem encrypted.pem`
//! (password [`certs_gen::PASSWORD`]). A test that changes files makes a folder of its own: see [`folder`].

use std::{path::Path, sync::LazyLock};

use super::Scratch;

/// The path of a file of the shared folder, as a command line takes it. The folder must not be written to.
///
/// # Panics
///
/// Where the set has no such file: a misspelt name must not become a test of missing files.
pub(crate) fn cert(name: &str) -> String {
    let path = SHARED.join(name);
    assert!(path.is_file(), "certs-gen makes no {name}");
    path.to_string_lossy().into_owned()
}

/// The shared folder itself.
pub(crate) fn shared() -> &'static Path {
    SHARED.path()
}

/// A folder of its own, by another authority of the same name: for tests that replace, break or rotate files.
pub(crate) fn folder() -> Scratch {
    let folder = Scratch::new("certs");
    certs_gen::Set::full().expect("certificates are made").write(folder.path()).expect("and written");
    folder
}

static SHARED: LazyLock<Scratch> = LazyLock::new(folder);
