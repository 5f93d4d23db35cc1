//! Rollouts include every server that another one connects to: hidden voters, arbiters, and the config servers and
//! shards of a sharded cluster. They follow the guide (docs/src/how-to/rollout.md) exactly, with the admin ports' names and TLS.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

use std::{
    thread,
    time::{Duration, Instant},
};

use bson::{Bson, Document, doc};

use crate::support::hosts::{self, App, Kind, Plan, Set, Variant};
use crate::support::{parts::Release, require, until};

/// Four votes: without the hidden voter or the arbiter, the death of one more member would leave the set without a
/// primary.
#[test]
fn a_hidden_voter_and_an_arbiter_are_brought_along_and_a_dead_primary_has_its_successor() {
    require!(hosts::ready_for(Release::V4_4));
    let mut plan = Plan::new(Variant::Transparent);
    (plan.members, plan.hidden, plan.arbiters, plan.admin_by_tls) = (4, vec![3], vec![4], true);
    (plan.release, plan.compressed) = (Release::V4_4, true);
    let mut set = require!(Set::form(plan));
    set.adopt();
    to_tls(&set);

    let primary = set.primary().expect("a healthy set has one");
    set.member_mut(primary).server.kill();
    let killed = Instant::now();
    while set.primary().is_none_or(|number| number == primary) {
        let limit = Duration::from_secs(if until::busy() { 90 } else { 15 });
        assert!(killed.elapsed() < limit, "no primary within {limit:?}: {:?}", set.member(3).server.status());
        thread::sleep(Duration::from_millis(100));
    }
}

/// Config servers connect to shards, and shards to config servers and to each other; no `hello` lists them.
#[test]
fn the_servers_of_a_sharded_cluster_are_brought_along_and_each_reaches_all_others() {
    require!(hosts::ready_for(Release::V4_2));
    let mut plan = Plan::sharded(Variant::Transparent);
    (plan.admin_by_tls, plan.release) = (true, Release::V4_2);
    let mut set = require!(Set::form(plan));
    add_shards(&set);
    wait_reached(&set);
    set.adopt();
    to_tls(&set);

    // New links use TLS.
    for part in set.parts() {
        let last = *part.members.last().unwrap();
        set.member_mut(last).server.restart();
    }
    set.wait_healthy();
    wait_reached(&set);
}

/// A running set, with an application, that was not prepared for tlsramp: it moves to the explicit variant member by
/// member.
#[test]
fn a_live_set_moves_into_the_explicit_variant_member_by_member_and_loses_nothing() {
    require!(hosts::ready());
    let mut set = require!(Set::form(Plan::new(Variant::Transparent)));
    let app = App::start(&set, "moving", Kind::Plaintext);
    app.wait_writes(20);
    let first = set.primary().expect("a healthy set has one");
    for number in set.secondaries() {
        set.move_to_explicit(number);
        app.wait_writes(20);
    }
    set.member(first)
        .server
        .ask("admin", &doc! { "replSetStepDown": 120, "secondaryCatchUpPeriodSecs": 60 })
        .expect("it steps down");
    crate::support::wait("another becomes primary", || set.primary().is_some_and(|number| number != first));
    set.move_to_explicit(first);
    app.wait_writes(20);
    set.rollout(&["--to", "allowSSL"]).end().assert_done_but_for_flags();
    app.finish().assert_flawless();
}

/// Follows the guide exactly: one rollout over all nodes, and `ss -K` for connections that are older than the rules.
fn to_tls(set: &Set) {
    let mut rollout = set.rollout(&["--to", "requireSSL"]);
    // tlsramp looks for such connections every few seconds, so not all are known at once. If a node were asked earlier,
    // while other nodes still refuse TLS, it would try its links to them, and try again only after a minute.
    while !rollout.has_ended() {
        if rollout.said().contains(" bypass tlsramp") {
            set.end_bypass_of(&[" member ", " client "]);
        }
        thread::sleep(Duration::from_secs(1));
    }
    rollout.end().assert_done_but_for_flags();
    assert!(set.sidecars().all(|sidecar| sidecar.mode() == "requireSSL"));
    set.wait_healthy();
}

fn add_shards(set: &Set) {
    let parts = set.parts();
    let config = &set.member(parts[0].members[0]).server;
    for shard in &parts[1..] {
        let hosts: Vec<String> = shard.members.iter().map(|&number| set.member(number).host.member()).collect();
        let hosts = format!("{}/{}", shard.name, hosts.join(","));
        let added = config.ask("admin", &doc! { "_configsvrAddShard": hosts, "writeConcern": { "w": "majority" } });
        added.expect("a shard is added without a mongos");
    }
}

/// Waits until every server reaches each server of the other sets that it knows, and the config servers know all of
/// them.
#[track_caller]
fn wait_reached(set: &Set) {
    let until = Instant::now() + Duration::from_secs(120);
    while let Err(why) = reached(set) {
        assert!(Instant::now() < until, "{why}");
        thread::sleep(Duration::from_millis(200));
    }
}

fn reached(set: &Set) -> Result<(), String> {
    for part in set.parts() {
        for &number in &part.members {
            let name = set.member(number).host.name();
            let known = set.member(number).server.ask("admin", &doc! { "connPoolStats": 1 })?;
            let sets = known.get_document("replicaSets").map_err(|error| error.to_string())?;
            // A shard knows the config servers, whose primary knows all shards.
            let wanted = if part.role == Some("--configsvr") { 2 } else { 1 };
            if sets.keys().filter(|set| *set != part.name).count() < wanted {
                return Err(format!("{name} does not know the others yet: {sets}"));
            }
            for host in sets.values().filter_map(Bson::as_document).flat_map(hosts_of) {
                if !host.get_bool("ok").unwrap_or(false) {
                    return Err(format!("{name} does not reach {host}"));
                }
            }
        }
    }
    Ok(())
}

fn hosts_of(set: &Document) -> Vec<Document> {
    let hosts = set.get_array("hosts").into_iter().flatten();
    hosts.filter_map(|host| host.as_document().cloned()).collect()
}
