//! A replica set of mongods without TLS is brought to TLS only, and back, by the sidecars beside them and by
//! `tlsramp rollout`: while an application writes and reads, without a lost write, an error or an election.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

use crate::support::hosts::{self, Kind, Plan, Set, Variant};
use crate::support::require;

#[test]
fn a_set_behind_its_sidecars_goes_to_tls_only_and_back_and_nobody_notices() {
    require!(hosts::ready());
    let set = require!(Set::form(Plan::new(Variant::Explicit)));
    to_tls_and_back(&set);
}

/// The same of a set that runs: its mongods are not touched.
#[test]
fn a_running_set_gets_sidecars_goes_to_tls_only_and_back_and_nobody_notices() {
    require!(hosts::ready());
    let mut set = require!(Set::form(Plan::new(Variant::Transparent)));
    let pids = |set: &Set| set.members.iter().map(|member| member.server.pid()).collect::<Vec<_>>();
    let before = pids(&set);
    set.adopt();
    to_tls_and_back(&set);
    assert_eq!(pids(&set), before);
}

/// Up and down, with the proof on the wires.
fn to_tls_and_back(set: &Set) {
    let term = set.term();
    let marker = "Ganz-Geheim-7f3a9d-Wort";
    let wires = set.capture();
    let mut app = set.app(marker, Kind::Plaintext);
    app.wait_writes(50);
    assert!(wires.stop().total(marker) > 0, "plaintext is on the wires, or nothing is proved below");

    let mut up = set.rollout(&["--to", "requireSSL"]);
    up.wait_said("application writer");
    app.redeploy(Kind::Tls);
    up.end().assert_done();

    let wires = set.capture();
    app.wait_writes(100);
    let seen = wires.stop().count(marker);
    assert!(seen.iter().all(|(_, count)| *count == 0), "plaintext on the wires under requireSSL: {seen:?}");

    let mut back = set.rollout(&["--rollback", "--to", "disabled"]);
    back.wait_said("application writer");
    app.redeploy(Kind::Plaintext);
    back.end().assert_done();
    app.wait_writes(50);
    app.finish().assert_flawless();
    assert_eq!(set.term(), term, "an election took place");
}
