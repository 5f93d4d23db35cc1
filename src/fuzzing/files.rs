//! The files that an operator names: PEM, CRL, configuration, state.

use std::fs;
use std::path::Path;

use certs_gen::PASSWORD;
use clap::Command;

use crate::config;
use crate::control::{History, NamedSets, SavedState, read_state};
use crate::files::random_name;
use crate::telemetry::Inventory;
use crate::tls::{Material, Password, Secret, TlsFiles};

/// A PEM file in each of its roles: certificate and key, CA, and revocation list.
///
/// A refused file has at least one fault, and each fault has a text.
pub fn pem(data: &[u8]) {
    with_file(data, |path| {
        let file = Some(path.to_owned());
        let password = Some(Password::Given(Secret(PASSWORD.to_owned())));
        let roles = [
            TlsFiles { certificate_key: file.clone(), certificate_key_password: password, ..TlsFiles::default() },
            TlsFiles { ca: file.clone(), crl: file, ..TlsFiles::default() },
        ];
        for files in roles {
            match Material::load_again(&files) {
                Ok((material, warnings)) => {
                    let _ = (material.can_accept(), material.can_dial(), material.unusable(0), warnings);
                }
                Err(faults) => {
                    assert!(!faults.is_empty());
                    assert!(faults.iter().all(|fault| !fault.to_string().is_empty()));
                }
            }
        }
    });
}

/// A configuration file, of either format. Without DNS: resolving a name finds no address.
///
/// A refused configuration has at least one mistake; an accepted one has a report.
pub fn config(data: &[u8]) {
    with_file(data, |path| {
        let arguments = ["run".as_ref(), "--config".as_ref(), path.as_os_str()];
        let arguments = config::with_options(Command::new("run")).try_get_matches_from(arguments);
        let arguments = arguments.unwrap_or_else(|error| panic!("{error}"));
        match config::load_offline(&arguments) {
            Ok(loaded) => assert!(!config::report(&loaded, &[]).is_empty()),
            Err(mistakes) => assert!(!mistakes.is_empty()),
        }
    });
}

/// The state file.
///
/// An accepted value is unchanged after it is written and read again.
pub fn state_file(data: &[u8]) {
    with_file(data, |path| {
        let Ok(state) = read_state(path) else { return };
        let text = json(&state);
        let again: SavedState = serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(json(&again), text);
        let _ = (NamedSets::parse(&state.members), History::from_image(state.history));
        let rows = Inventory::from_image(state.inventory).len();
        assert!(rows <= data.len());
    });
}

fn json(state: &SavedState) -> Vec<u8> {
    serde_json::to_vec(state).unwrap_or_else(|error| panic!("{error}"))
}

/// Runs with the path of a file that holds `data`, in a folder of its own, which is removed.
fn with_file(data: &[u8], run: impl FnOnce(&Path)) {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let folder = parent.join(format!("tlsramp-fuzz-{}", random_name()));
    let path = folder.join("file");
    let written = fs::create_dir(&folder).and_then(|()| fs::write(&path, data));
    assert!(written.is_ok(), "{written:?}");
    run(&path);
    let _ = fs::remove_dir_all(&folder);
}
