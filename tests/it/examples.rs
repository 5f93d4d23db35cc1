//! `deploy/examples/`: `check` accepts each configuration, and what it reports is what the example is for.

use std::{fs, path::Path};

use crate::support::{Scratch, cert, require::root, run_to_end};

#[test]
fn check_accepts_each_example() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/examples");
    let mut files: Vec<String> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    let mut expected: Vec<&str> = EXAMPLES.iter().map(|(file, _)| *file).chain(["README.md"]).collect();
    expected.sort_unstable();
    assert_eq!(files, expected, "every example has a row here");
    for (file, parts) in EXAMPLES {
        let text = fs::read_to_string(folder.join(file)).unwrap();
        let scratch = Scratch::new("examples");
        let config = scratch.join(file);
        fs::write(&config, usable(&text, &scratch)).unwrap();
        let output = run_to_end(["check", "--config", &config.display().to_string()]);
        let (report, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{file}: {said}");
        for part in parts {
            assert!(report.contains(part), "{file} should report {part:?}: {report}");
        }
        // A word of warning that the reader of an example would have to act on.
        for warning in report.lines().filter(|line| line.starts_with("warning: ")) {
            assert!(EXPECTED_WARNINGS.iter().any(|known| warning.contains(known)), "{file}: {warning}");
        }
        let readme = fs::read_to_string(folder.join("README.md")).unwrap();
        assert!(readme.contains(&format!("`{file}`")), "the README does not list {file}");
    }
}

/// The configuration with certificates, folders and addresses of this machine.
pub(crate) fn usable(config: &str, scratch: &Scratch) -> String {
    let here = scratch.path().to_string_lossy();
    let mut usable = config.replace("/var/lib/tlsramp", &here).replace("/run/tlsramp", &here);
    for (file, there) in [("server.pem", "member.pem"), ("ca.pem", "ca.pem")] {
        for folder in ["/etc/tlsramp/tls/", "/etc/tlsramp/"] {
            usable = usable.replace(&format!("{folder}{file}"), &cert(there));
        }
    }
    // An address of TEST-NET-1 is not one of this host.
    usable = usable.replace("192.0.2.1", "127.0.0.9");
    if root().is_err() {
        // That needs a capability, of which `tproxy.rs` has tests.
        usable = usable.replace("inboundTransparent: true", "inboundTransparent: false");
    }
    usable
}

/// Each example, and parts of the report on it.
const EXAMPLES: [(&str, &[&str]); 6] = [
    ("legacy-mongod.conf", &["tlsMode: allowTLS", "0.0.0.0:27017", "[::]:27017", "-> 127.0.0.1:27018"]),
    (
        "replica-set-member.conf",
        &["127.0.1.2:27017 -> 192.0.2.2:27017 (as db2.example.net)", "(as db1.example.net)", "(as db3.example.net)"],
    ),
    ("transparent-sidecar.conf", &["[::]:27117", "redirected to port 27217"]),
    ("passthrough.conf", &["TLS is passed through unchanged", "-> 127.0.0.1:27018", "certificates: none"]),
    ("kubernetes-sidecar.conf", &["0.0.0.0:27117", "probes: 0.0.0.0:28018", "redirected to port 27217"]),
    ("redis.conf", &["0.0.0.0:6379", "-> 127.0.0.1:6380"]),
];

/// Warnings that belong to an example, or to the certificates and limits of the tests.
const EXPECTED_WARNINGS: [&str; 3] =
    ["remote clients look local", "to which members and drivers connect", "descriptors, limit "];
