//! Runs every target on its seeds and on mutations of them. The seeds include every input that has ever failed.

use std::fs;
use std::path::Path;

use certs_gen::Set;
use proptest::prelude::{ProptestConfig, any};
use proptest::sample::{Index, select};
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

type Bytes = Vec<u8>;

#[test]
fn admin_port() {
    replay(super::admin_port, seeds("admin_port"), 50);
}

#[test]
fn client_hello() {
    replay(super::client_hello, seeds("client_hello"), 2000);
}

#[test]
fn config() {
    replay(super::config, seeds("config"), 100);
}

#[test]
fn first_message() {
    replay(super::first_message, seeds("first_message"), 1000);
}

#[test]
fn follower() {
    replay(super::follower, seeds("follower"), 1000);
}

/// Certificates and keys are made anew, and none is kept in the repository.
#[test]
fn pem() {
    let folder = tempfile::tempdir().unwrap();
    Set::full().unwrap().write(folder.path()).unwrap();
    let mut files = in_folder(folder.path());
    files.extend(seeds("pem"));
    replay(super::pem, files, 300);
}

#[test]
fn state_file() {
    replay(super::state_file, seeds("state_file"), 300);
}

#[test]
fn tls_stream() {
    replay(super::tls_stream, seeds("tls_stream"), 100);
}

/// Runs a target on each seed, then on `mutations` inputs made from seeds. They are the same every time; `cargo fuzz`
/// tries others.
fn replay(target: fn(&[u8]), seeds: Vec<Bytes>, mutations: u32) {
    assert!(!seeds.is_empty());
    seeds.iter().for_each(|seed| target(seed));
    let config = ProptestConfig { cases: mutations, failure_persistence: None, ..ProptestConfig::default() };
    let edits = proptest::collection::vec((any::<Index>(), 0..4_u8, any::<u8>()), 1..6);
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let ran = runner.run(&(select(seeds), edits), |(mut bytes, edits)| {
        for (at, kind, byte) in edits {
            edit(&mut bytes, at, kind, byte);
        }
        target(&bytes);
        Ok(())
    });
    assert!(ran.is_ok(), "{ran:?}");
}

/// Replaces or inserts a byte, cuts the end off, or appends a copy of a stretch.
fn edit(bytes: &mut Bytes, at: Index, kind: u8, byte: u8) {
    let at = at.index(bytes.len() + 1);
    match kind {
        0 if at < bytes.len() => bytes[at] = byte,
        1 => bytes.insert(at, byte),
        2 => bytes.truncate(at),
        _ => {
            let from = at.saturating_sub(usize::from(byte));
            bytes.extend_from_within(from..at);
        }
    }
}

fn seeds(target: &str) -> Vec<Bytes> {
    in_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target))
}

/// The content of each file; nothing if the folder is not there.
fn in_folder(folder: &Path) -> Vec<Bytes> {
    let files = fs::read_dir(folder).into_iter().flatten();
    files.map(|file| fs::read(file.unwrap().path()).unwrap()).collect()
}
