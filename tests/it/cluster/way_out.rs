//! Removing tlsramp: mongod gets TLS of its own, and tlsramp is removed member by member. Nothing is lost, and no
//! traffic is in plaintext before, during and after the change.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

use bson::doc;

use crate::support::hosts::{self, Kind, Plan, Set, Variant};
use crate::support::{require, wait};

#[test]
fn mongod_takes_over_with_tls_of_its_own_and_nothing_is_lost() {
    require!(hosts::ready());
    let mut plan = Plan::new(Variant::Transparent).in_mode("requireSSL");
    // Connections stay open, so a drain would wait in vain.
    plan.sidecar.extend(["--drainTimeout", "1s"].map(str::to_owned));
    let mut set = require!(Set::form(plan));
    set.adopt();
    set.end_bypass();
    set.wait_healthy();
    let marker = "Der-Weg-hinaus-5c81e0";
    let wires = set.capture();
    let app = set.app(marker, Kind::Tls);
    app.wait_writes(20);

    let last = set.primary().expect("a healthy set has one");
    for number in set.secondaries() {
        own_tls(&mut set, number);
    }
    step_down(&set, last);
    own_tls(&mut set, last);
    app.wait_writes(20);

    set.dismiss();
    set.wait_healthy();
    app.wait_writes(50);
    let seen = wires.stop().count(marker);
    assert!(seen.iter().all(|(_, count)| *count == 0), "plaintext on the wires: {seen:?}");
    app.finish().assert_flawless();
}

/// Restarts a member with its own TLS; its sidecar passes TLS through.
fn own_tls(set: &mut Set, number: u8) {
    let (own, ca) = (set.identities.file(&format!("h{number}")), set.identities.ca());
    let member = set.member_mut(number);
    let tls = ["--tlsMode", "preferTLS", "--tlsCertificateKeyFile", &own, "--tlsCAFile", &ca].map(str::to_owned);
    member.server.restart_with(|args| args.extend(tls));
    let sidecar = member.sidecar.as_mut().expect("it has one");
    sidecar.restart_with(|args| args.extend(["--inboundTLS", "passthrough"].map(str::to_owned)));
    set.wait_healthy();
}

fn step_down(set: &Set, primary: u8) {
    set.member(primary)
        .server
        .ask("admin", &doc! { "replSetStepDown": 120, "secondaryCatchUpPeriodSecs": 60 })
        .expect("it steps down");
    wait("another becomes primary", || set.primary().is_some_and(|number| number != primary));
    set.wait_healthy();
}
