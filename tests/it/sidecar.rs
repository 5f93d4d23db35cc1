//! A replica set of mongods without TLS is brought to TLS only, and back, by the sidecars beside them: while an
//! application writes and reads, without a lost write, an error or an election.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

use std::time::Instant;

use crate::support::hosts::{self, Kind, Plan, Set, Variant};
use crate::support::{require, wait};

/// Mode by mode over all nodes, as the tutorial has it; the application follows when the servers take both.
#[test]
fn a_set_behind_its_sidecars_goes_to_tls_only_and_back_and_nobody_notices() {
    require!(hosts::ready());
    let set = require!(Set::form(Plan::new(Variant::Explicit)));
    to_tls_and_back(&set);
}

/// Up and down, with the proof on the wires.
fn to_tls_and_back(set: &Set) {
    let started = Instant::now();
    let term = set.term();
    let marker = "Ganz-Geheim-7f3a9d-Wort";
    let wires = set.capture();
    let mut app = set.app(marker, Kind::Plaintext);
    app.wait_writes(50);
    assert!(wires.stop().total(marker) > 0, "plaintext is on the wires, or nothing is proved below");

    step(set, "allowSSL", &[]);
    step(set, "preferSSL", &[]);
    app.redeploy(Kind::Tls);
    step(set, "requireSSL", &["--guard"]);

    let wires = set.capture();
    app.wait_writes(100);
    let seen = wires.stop().count(marker);
    assert!(seen.iter().all(|(_, count)| *count == 0), "plaintext on the wires under requireSSL: {seen:?}");

    step(set, "preferSSL", &["--force"]);
    step(set, "allowSSL", &["--force"]);
    app.redeploy(Kind::Plaintext);
    step(set, "disabled", &["--force"]);
    app.wait_writes(50);
    let beat = app.beat();
    app.finish().assert_flawless();
    assert_eq!(set.term(), term, "an election took place");
    eprintln!("there and back in {:?}, {beat:?}", started.elapsed());
}

/// One mode on every node, then the connections that it would not make are moved over.
#[track_caller]
fn step(set: &Set, mode: &str, how: &[&str]) {
    for sidecar in set.sidecars() {
        sidecar.told(&[&["mode", mode, "--persist"][..], how].concat());
        assert_eq!(sidecar.mode(), mode);
    }
    for sidecar in set.sidecars() {
        wait(&format!("connections are moved to {mode}"), || sidecar.ctl(&["recycle"]).status.success());
    }
}
