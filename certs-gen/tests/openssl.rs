//! Checks the certificates with OpenSSL, which legacy servers use on their side of every handshake.
//!
//! The tests are skipped, with a message, if there is no `openssl` command.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::{os::unix::fs::PermissionsExt, path::Path, process::Command};

use certs_gen::{PASSWORD, Set};

/// Runs openssl in `dir`. Returns whether it succeeded, and its output.
fn openssl(dir: &Path, args: &str) -> (bool, String) {
    let run = Command::new("openssl").current_dir(dir).args(args.split_whitespace()).output().unwrap();
    let said = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
    (run.status.success(), said)
}

/// Writes a full set to a new folder; `None` if there is no openssl.
fn full_set() -> Option<tempfile::TempDir> {
    if Command::new("openssl").arg("version").output().is_err() {
        eprintln!("skipped: no openssl on this machine");
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    Set::full().unwrap().write(dir.path()).unwrap();
    Some(dir)
}

#[test]
fn chains_verify_and_the_wrong_ones_say_why() {
    let Some(dir) = full_set() else { return };
    for (args, expected) in [
        ("-purpose sslserver -verify_hostname localhost server.pem", Ok(())),
        ("-purpose sslserver -verify_ip 127.0.0.1 server.pem", Ok(())),
        ("-purpose sslserver -verify_ip ::1 member.pem", Ok(())),
        ("-purpose sslclient member.pem", Ok(())),
        ("-purpose sslclient client.pem", Ok(())),
        ("-purpose sslclient encrypted.pem", Ok(())),
        ("-purpose sslclient server.pem", Err("unsuitable certificate purpose")),
        ("-purpose sslserver client.pem", Err("unsuitable certificate purpose")),
        ("expired.pem", Err("certificate has expired")),
        ("not-yet-valid.pem", Err("certificate is not yet valid")),
        ("-verify_hostname localhost wrong-name.pem", Err("hostname mismatch")),
        ("other-ca-client.pem", Err("unable to get local issuer certificate")),
        ("-crl_check -CRLfile crl.pem server.pem", Ok(())),
        ("-crl_check -CRLfile crl.pem revoked.pem", Err("certificate revoked")),
        ("-crl_check -CRLfile crl-empty.pem revoked.pem", Ok(())),
        ("-crl_check -CRLfile crl-expired.pem server.pem", Err("CRL has expired")),
    ] {
        let (ok, said) = openssl(dir.path(), &format!("verify -x509_strict -CAfile ca.pem {args}"));
        match expected {
            Ok(()) => assert!(ok, "{args}: {said}"),
            Err(reason) => assert!(!ok && said.contains(reason), "{args}: {said}"),
        }
    }
    assert!(!openssl(dir.path(), "x509 -in no-san.pem -noout -ext subjectAltName").1.contains("localhost"));
}

#[test]
fn members_and_clients_have_files_of_their_own() {
    let Some(dir) = full_set() else { return };
    let [members, clients] =
        [["db1.example.net", "db2.example.net"], ["ops", "writer"]].map(|names| names.map(str::to_owned));
    Set::new(&["localhost".to_owned()], false, &members, &clients).unwrap().write(dir.path()).unwrap();
    for (args, fine) in [
        ("-purpose sslserver -verify_hostname db2.example.net db2.example.net.pem", true),
        ("-purpose sslclient db2.example.net.pem", true),
        ("-verify_hostname db1.example.net db2.example.net.pem", false),
        ("-purpose sslclient ops.pem", true),
        ("-purpose sslserver ops.pem", false),
    ] {
        let (ok, said) = openssl(dir.path(), &format!("verify -x509_strict -CAfile ca.pem {args}"));
        assert_eq!(ok, fine, "{args}: {said}");
    }
    assert!(openssl(dir.path(), "x509 -in ops.pem -noout -subject -nameopt rfc2253").1.contains("CN=ops,"));
    for wrong in ["", "../ops", ".ops", "a/b", "client", "db1.example.net"] {
        let refused = Set::new(&["localhost".to_owned()], false, &members, &[wrong.to_owned()]);
        assert!(refused.is_err(), "{wrong:?} is no name for a file");
    }
}

/// Runs the command lines that CONTRIBUTING.md shows.
#[test]
fn contributing_shows_commands_that_work() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../CONTRIBUTING.md")).unwrap();
    let shown = page.lines().filter_map(|line| line.trim_start().strip_prefix("cargo run -p certs-gen -- "));
    let shown: Vec<&str> = shown.collect();
    assert!(shown.len() >= 2, "for one server, and for a replica set");
    for args in shown {
        let dir = tempfile::tempdir().unwrap();
        let run =
            Command::new(env!("CARGO_BIN_EXE_certs-gen")).current_dir(&dir).args(args.split(' ')).output().unwrap();
        assert!(run.status.success(), "{args}: {}", String::from_utf8_lossy(&run.stderr));
    }
}

#[test]
fn keys_belong_to_their_certificates_and_are_private() {
    let Some(dir) = full_set() else { return };
    for file in ["server.pem", "member.pem", "client.pem", "revoked.pem", "encrypted.pem"] {
        let (_, of_key) = openssl(dir.path(), &format!("pkey -in {file} -pubout -passin pass:{PASSWORD}"));
        let (_, of_cert) = openssl(dir.path(), &format!("x509 -in {file} -noout -pubkey"));
        assert!(of_key.contains("BEGIN PUBLIC KEY"), "{file}: {of_key}");
        assert_eq!(of_key, of_cert, "{file}");
        let mode = std::fs::metadata(dir.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let text = std::fs::read_to_string(dir.path().join("encrypted.pem")).unwrap();
    assert!(text.contains("BEGIN ENCRYPTED PRIVATE KEY") && !text.contains("BEGIN PRIVATE KEY"));
    assert!(!openssl(dir.path(), "pkey -in encrypted.pem -noout -passin pass:wrong").0);
}

#[test]
fn the_command_refuses_to_overwrite_and_bad_input() {
    let dir = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_certs-gen")).current_dir(dir.path()).args(args).output().unwrap()
    };
    let first = run(&["--name", "node1.example", "10.0.0.1"]);
    assert_eq!(first.status.code(), Some(0));
    let listing = String::from_utf8(first.stdout).unwrap();
    assert_eq!(
        listing.lines().map(|line| line.split_whitespace().next().unwrap()).collect::<Vec<_>>(),
        ["certs/ca.pem", "certs/server.pem", "certs/member.pem", "certs/client.pem"]
    );
    let ca = || std::fs::read_to_string(dir.path().join("certs/ca.pem")).unwrap();
    let before = ca();
    for (args, code, text) in [
        (vec![], 2, "--force"),
        (vec!["--name", "two words", "--force"], 2, "two words"),
        (vec!["--nonsense"], 2, "--nonsense"),
        (vec!["--out", "/proc/certs"], 1, "/proc/certs"),
    ] {
        let run = run(&args);
        assert_eq!(run.status.code(), Some(code), "{args:?}");
        assert!(String::from_utf8_lossy(&run.stderr).contains(text), "{args:?}");
    }
    assert_eq!(ca(), before, "refused means untouched");
    assert_eq!(run(&["--force", "--wrong"]).status.code(), Some(0));
    assert_ne!(ca(), before);
}
