//! Network faults in a set behind its sidecars: the set continues or recovers, and nothing leaks.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use crate::support::hosts::{self, Kind, Plan, Set, Variant, host::Names, links, network, sidecar::Sidecar};
use crate::support::require;

/// The secondary that loses its primary can never become primary, so an election would have another cause: otherwise
/// mongod would let it try as long as it reaches a majority.
#[test]
fn packets_that_vanish_for_ninety_seconds_change_nothing_and_leak_nothing() {
    require!(hosts::ready());
    let mut plan = Plan::new(Variant::Explicit).in_mode("requireSSL");
    (plan.passive, plan.by_name) = (vec![3], true);
    let mut set = require!(Set::form(plan));
    let (term, primary) = (set.term(), set.primary().expect("a healthy set has one"));
    let app = set.app("vanishing", Kind::Tls);
    app.wait_writes(20);
    let before: Vec<Descriptors> = set.sidecars().map(own_descriptors).collect();

    let [lost, found] = [primary, 3].map(|number| set.member(number).host.clone());
    network::drop_between(&lost, &found);
    let until = Instant::now() + Duration::from_secs(90);
    while Instant::now() < until {
        assert_eq!(set.primary(), Some(primary), "the majority's side has its primary");
        thread::sleep(Duration::from_secs(1));
    }
    app.wait_writes(20);
    network::let_pass(&lost, &found);
    set.wait_healthy();
    back_to(&set, &before);

    names_are_gone(&mut set);
    app.wait_writes(20);
    back_to(&set, &before);
    app.finish().assert_flawless();
    assert_eq!((set.term(), set.primary()), (term, Some(primary)), "an election took place");
}

/// DNS fails for the sidecars: a member that returns is still found.
fn names_are_gone(set: &mut Set) {
    let hosts = set.network.members().to_vec();
    for host in &hosts {
        host.set_names(Names::LoopbackAlone, &hosts);
    }
    set.member_mut(3).server.kill();
    set.member_mut(3).server.restart();
    set.wait_healthy();
    for host in &hosts {
        host.set_names(Names::Loopback, &hosts);
    }
}

/// A sidecar's open descriptors by kind, except those of its connections.
type Descriptors = BTreeMap<String, usize>;

/// Counts the descriptors once the sidecar has reached every server that it probes, since each probe has a connection.
///
/// Connections, including that of the query itself, come and go between two readings. Each may make a count wrong, but
/// seldom by the same number, so a number that was counted five times is right.
fn own_descriptors(sidecar: &Sidecar) -> Descriptors {
    let mut seen: BTreeMap<Descriptors, u8> = BTreeMap::new();
    let until = Instant::now() + COUNTED_WITHIN;
    while Instant::now() < until {
        thread::sleep(Duration::from_millis(50));
        let status = sidecar.status();
        let connections: usize = status["connections"]["open"].as_u64().unwrap().try_into().unwrap();
        let mut own = sidecar.open_fds();
        let sockets = own.remove("socket").and_then(|sockets| sockets.checked_sub(2 * connections));
        let probed = status["upstreams"].as_array().unwrap().iter().all(|upstream| upstream["up"] == true);
        if let (true, Some(sockets)) = (probed, sockets) {
            own.insert("socket".to_owned(), sockets);
            let times = seen.entry(own.clone()).or_default();
            *times += 1;
            if *times == 5 {
                return own;
            }
        }
    }
    panic!("no five counts are the same within {COUNTED_WITHIN:?}: {seen:?}; {}", sidecar.status());
}

/// Waits until no connection exists at one end only, and every sidecar has as many descriptors as before, except those
/// of connections. The number of connections depends on mongod and the drivers: on a busy machine, pools grow.
#[track_caller]
fn back_to(set: &Set, before: &[Descriptors]) {
    let hosts = || set.network.members().iter().chain([set.network.app()]);
    let mut alone = links::one_sided(hosts());
    // Keepalive detects a leg whose peer is gone two minutes after its last packet. Connections that are listed while
    // they open or close differ each time.
    let until = Instant::now() + Duration::from_secs(300);
    while !alone.is_empty() {
        assert!(Instant::now() < until, "these connections have one end: {alone:#?}");
        thread::sleep(Duration::from_millis(500));
        let now = links::one_sided(hosts());
        alone.retain(|link| now.contains(link));
    }
    for (sidecar, before) in set.sidecars().zip(before) {
        // An accepted connection that is silent so far has a descriptor but is not listed; a connection whose server is
        // being dialled has only one of its two descriptors.
        let fits = |now: &Descriptors| now.iter().all(|(kind, count)| before.get(kind).is_some_and(|had| count <= had));
        let mut now = own_descriptors(sidecar);
        let until = Instant::now() + COUNTED_WITHIN;
        while !fits(&now) {
            let links = sidecar.told(&["connections"]);
            assert!(Instant::now() < until, "descriptors leak: {before:?} before, {now:?} now; {links}");
            now = own_descriptors(sidecar);
        }
    }
}

/// Long: each count starts a process, on a machine that may run many tests at once.
const COUNTED_WITHIN: Duration = Duration::from_secs(120);
