//! A replica set of mongods without TLS is changed to TLS only, and back, by sidecars and `tlsramp rollout`, while an
//! application performs all kinds of operations, without a lost write, an error or an election.
//!
//! Tests every release of mongod with each variant. The members compress traffic between each other, as they do by
//! default, and those from 4.4 on mirror every read to their secondaries.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

use crate::support::hosts::{self, App, Kind, Plan, Set, Variant};
use crate::support::{parts::Release, require};

#[test]
fn a_set_of_4_2_behind_its_sidecars_goes_to_tls_only_and_back_and_nobody_notices() {
    to_tls_and_back(Release::V4_2, Variant::Explicit);
}

#[test]
fn a_set_of_4_4_behind_its_sidecars_goes_to_tls_only_and_back_and_nobody_notices() {
    to_tls_and_back(Release::V4_4, Variant::Explicit);
}

#[test]
fn a_set_of_6_0_behind_its_sidecars_goes_to_tls_only_and_back_and_nobody_notices() {
    to_tls_and_back(Release::V6_0, Variant::Explicit);
}

/// As above for running sets, whose mongods are not touched.
#[test]
fn a_running_set_of_4_2_gets_sidecars_goes_to_tls_only_and_back_and_nobody_notices() {
    to_tls_and_back(Release::V4_2, Variant::Transparent);
}

#[test]
fn a_running_set_of_4_4_gets_sidecars_goes_to_tls_only_and_back_and_nobody_notices() {
    to_tls_and_back(Release::V4_4, Variant::Transparent);
}

#[test]
fn a_running_set_of_6_0_gets_sidecars_goes_to_tls_only_and_back_and_nobody_notices() {
    to_tls_and_back(Release::V6_0, Variant::Transparent);
}

/// Rolls out and back, and checks the captured traffic.
fn to_tls_and_back(release: Release, variant: Variant) {
    require!(hosts::ready_for(release));
    let mut plan = Plan::new(variant);
    (plan.release, plan.compressed) = (release, true);
    if release != Release::V4_2 {
        plan.server.extend(["--setParameter", "mirrorReads={samplingRate: 1.0}"].map(str::to_owned));
    }
    let mut set = require!(Set::form(plan));
    let before = pids(&set);
    if variant == Variant::Transparent {
        set.adopt();
    }

    let term = set.term();
    // Snappy, which members prefer, does not change text at its first occurrence.
    let marker = "Ganz-Geheim-7f3a9d-Wort";
    let wires = set.capture();
    let mut app = App::start_operations(&set, marker, Kind::Plaintext);
    app.wait_writes(30);
    let seen = wires.stop().count(marker);
    assert!(
        seen.iter().all(|(_, count)| *count > 0),
        "plaintext is on every wire, or nothing is proved below: {seen:?}"
    );

    let mut up = set.rollout(&["--to", "requireSSL"]);
    up.wait_said("application writer");
    app.redeploy(Kind::Tls);
    set.end_bypass();
    up.end().assert_done_but_for_flags();

    let wires = set.capture();
    app.wait_writes(50);
    let seen = wires.stop().count(marker);
    assert!(seen.iter().all(|(_, count)| *count == 0), "plaintext on the wires under requireSSL: {seen:?}");

    let mut back = set.rollout(&["--rollback", "--to", "disabled"]);
    back.wait_said("application writer");
    app.redeploy(Kind::Plaintext);
    back.end().assert_done();
    app.wait_writes(30);
    let summary = app.finish();
    summary.assert_flawless();
    assert_eq!(summary.beat.done.len(), 9, "every kind was at work: {:?}", summary.beat.done);
    assert_eq!(set.term(), term, "an election took place");
    assert_eq!(pids(&set), before, "a mongod was restarted");
}

fn pids(set: &Set) -> Vec<u32> {
    set.members.iter().map(|member| member.server.pid()).collect()
}
