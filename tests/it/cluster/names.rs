//! A hidden member, which no `hello` lists: a step does not cut off its links, and they use TLS once its name is known.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use tlsramp::testing::AdminClient;

use crate::support::hosts::{self, Plan, Set, Variant};
use crate::support::require;
use crate::support::service::wait_until;

#[test]
fn a_hidden_member_without_a_name_is_not_cut_off() {
    require!(hosts::ready());
    let mut plan = Plan::new(Variant::Transparent);
    plan.members = 4;
    plan.hidden = vec![HIDDEN];
    let mut set = require!(Set::form(plan));
    set.adopt();
    step(&set, "allowSSL");
    let mend = "--member h4.example:27017=10.77.0.4";

    // Its connections are older than the redirect: no step cuts them off, and a guarded step reports them.
    let ready = || set.sidecar(1).told_or_not(&["ready", "--to", "preferSSL"]);
    let warned = wait_until(LIMIT, || ready().contains("made before the redirect") && ready().contains(mend));
    assert!(warned, "{}", ready());

    // New connections are redirected.
    remake(&mut set);
    for number in [1, 2, 3] {
        let refused = set.sidecar(number).told_or_not(&["mode", "preferSSL"]);
        assert!(refused.contains("Unreachable") && refused.contains(mend), "{refused}");
        assert!(refused.contains("its certificate is for h4.example, but no name of 10.77.0.4 is known"), "{refused}");
        assert_eq!(set.sidecar(number).mode(), "allowSSL");
    }

    name_all(&set);
    step(&set, "preferSSL");
    remake(&mut set);
    for sidecar in set.sidecars() {
        let links = || sidecar.status()["links"].as_array().unwrap().clone();
        let by_tls = || links().iter().all(|link| link["up"] == true && link["link"] == "tls") && !links().is_empty();
        assert!(wait_until(LIMIT, by_tls), "{:?}", links());
    }

    // Three of four votes are a majority, so the hidden member's vote is needed.
    let primary = set.primary().expect("the set has a primary");
    set.member_mut(primary).server.kill();
    let began = Instant::now();
    let elected = wait_until(LIMIT, || set.primary().is_some_and(|now| now != primary));
    assert!(elected, "no primary without member {primary}, {:?} after it was killed", began.elapsed());
    eprintln!("a primary after {:?}", began.elapsed());
}

/// Makes all connections to the hidden member anew.
fn remake(set: &mut Set) {
    let server = &mut set.member_mut(HIDDEN).server;
    server.kill();
    server.restart();
    set.wait_healthy();
    for number in 1..HIDDEN {
        let link = |set: &Set| {
            let links = set.sidecar(number).status()["links"].clone();
            let found = links.as_array().unwrap().iter().find(|link| link["destination"] == "10.77.0.4:27017").cloned();
            found.is_some_and(|link| link["open"].as_u64() > Some(0) && link["up"] == true)
        };
        assert!(wait_until(LIMIT, || link(set)), "{}", set.sidecar(number).status()["links"]);
    }
}

/// Gives every sidecar the names of all members, as a rollout does.
fn name_all(set: &Set) {
    let names = set.members.iter().map(|member| member.host.member()).collect();
    let sets = BTreeMap::from([("rs".to_owned(), names)]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for sidecar in set.sidecars() {
        let client = AdminClient::new(sidecar.admin().parse().unwrap(), None);
        let reply = runtime.block_on(client.set_members(&sets, None)).unwrap().value;
        assert_eq!(reply.members.len(), set.members.len(), "{reply:?}");
        assert!(reply.warnings.is_empty(), "{reply:?}");
        assert!(reply.members.iter().all(|member| member.addresses.len() == 1), "{reply:?}");
    }
}

fn step(set: &Set, mode: &str) {
    for sidecar in set.sidecars() {
        sidecar.told(&["mode", mode, "--yes"]);
    }
}

const HIDDEN: u8 = 4;
/// Heartbeats are sent every two seconds and an election takes about ten seconds, all of it longer on a busy machine.
const LIMIT: Duration = Duration::from_secs(90);
