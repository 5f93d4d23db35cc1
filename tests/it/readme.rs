//! The README's chapter on replica sets: its commands are run as printed, except for those that would use ports and
//! folders of the machine.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use crate::support::{Scratch, process, require::root, require_command};

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
const LIMIT: Duration = Duration::from_secs(60);

/// The commands make the certificates, and every command line and file of the chapter passes `check` with them.
#[test]
fn the_chapter_on_replica_sets_works_as_pasted() {
    require_command!("openssl");
    let folder = Scratch::new("readme");
    let readme = fs::read_to_string(README).unwrap();
    let blocks = blocks(chapter(&readme, "## A replica set, step by step"));
    let making = block(&blocks, "sh", "openssl req -x509");
    shell(folder.path(), making);
    certificates_are_right(folder.path());

    // `app1` has a certificate like a member's.
    let like_a_member =
        "issue app1.example.net /O=Example/CN=app1 subjectAltName=DNS:app1 extendedKeyUsage=serverAuth,clientAuth";
    let (before, _) = making.split_once("for name in").unwrap();
    shell(folder.path(), &format!("{before}\n{like_a_member}"));
    fs::create_dir(folder.join("state")).unwrap();
    let here = |text: &str| {
        let at = |name: &str| folder.join(name).display().to_string();
        text.replace("/var/lib/tlsramp/", &format!("{}/", at("state"))).replace("/etc/tlsramp/", &at(""))
    };
    let runs: Vec<String> = blocks.iter().filter(|(kind, _)| *kind == "sh").flat_map(|(_, text)| runs(text)).collect();
    assert_eq!(runs.len(), 2, "transparent, and beside an application: {runs:#?}");
    for mut run in runs {
        if root().is_err() {
            // This option needs a capability; `tproxy.rs` tests it.
            run = run.replace(" --inboundTransparent", "");
        }
        check(folder.path(), &here(&run));
    }
    fs::write(folder.join("tlsramp.conf"), here(block(&blocks, "yaml", "outbound:"))).unwrap();
    check(folder.path(), "--config tlsramp.conf");
}

/// Runs `tlsramp check`, which may only report that the addresses of the chapter's hosts do not belong to this host.
#[track_caller]
fn check(folder: &Path, args: &str) {
    let others = r#"grep -v -e '^  ' -e '^tlsramp: ' -e "'10\.0\.0\.[19]:""#;
    shell(folder, &format!("tlsramp check {args} 2>said || {{ test $? = 1; cat said >&2; ! {others} said; }}"));
}

/// Each certificate is for its own name and for both uses, except the operator's; the chain verifies.
fn certificates_are_right(folder: &Path) {
    for name in ["db1", "db2", "db3"].map(|name| format!("{name}.example.net")) {
        for purpose in [format!("sslserver -verify_hostname {name}"), "sslclient".to_owned()] {
            shell(folder, &format!("openssl verify -x509_strict -CAfile ca.pem -purpose {purpose} {name}.pem"));
        }
    }
    shell(folder, "openssl verify -x509_strict -CAfile ca.pem -purpose sslclient ops.pem");
    let subject = shell(folder, "openssl x509 -in ops.pem -noout -subject -nameopt rfc2253");
    assert!(subject.contains("CN=ops,"), "--adminAllow 'CN=ops,*' fits it: {subject}");
    for name in ["ca.key", "ops.pem", "db1.example.net.pem"] {
        let text = fs::read_to_string(folder.join(name)).unwrap();
        assert!(text.contains("PRIVATE KEY"), "{name} has its key");
        let mode = fs::metadata(folder.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name} is private");
    }
}

/// Runs the commands, each of which must succeed. Returns their output.
#[track_caller]
fn shell(folder: &Path, commands: &str) -> String {
    let tlsramp = Path::new(env!("CARGO_BIN_EXE_tlsramp")).parent().unwrap().display().to_string();
    let mut shell = process::tethered("sh");
    shell.args(["-euc", commands]).current_dir(folder);
    shell.env("PATH", format!("{tlsramp}:{}", std::env::var("PATH").unwrap()));
    let output = process::succeed(shell, LIMIT).unwrap_or_else(|why| panic!("{why}"));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The text from a second-level heading to the next.
fn chapter<'a>(readme: &'a str, heading: &str) -> &'a str {
    let (_, rest) = readme.split_once(&format!("\n{heading}\n")).expect("the README has this chapter");
    rest.split("\n## ").next().unwrap()
}

/// Fenced blocks: the word after the fence, and the text.
fn blocks(chapter: &str) -> Vec<(&str, &str)> {
    let fenced = chapter.split("```").skip(1).step_by(2);
    fenced.map(|block| block.split_once('\n').expect("a fence has a line of its own")).collect()
}

fn block<'a>(blocks: &[(&str, &'a str)], kind: &str, with: &str) -> &'a str {
    let found = blocks.iter().find(|(its, text)| *its == kind && text.contains(with));
    found.unwrap_or_else(|| panic!("the chapter has no {kind} block with {with:?}")).1
}

/// The arguments of each `tlsramp run` in a block, on one line.
fn runs(block: &str) -> Vec<String> {
    let joined = block.replace("\\\n", " ");
    let args = joined.lines().filter_map(|line| line.split_once("tlsramp run ")).map(|(_, args)| args);
    args.map(|args| args.trim_end().trim_end_matches('&').to_owned()).collect()
}
