//! What happens to a set behind its sidecars when the network does: it goes on, it recovers, and nothing leaks.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::support::hosts::{self, Kind, Plan, Set, Variant, host::Names, network, sidecar::Sidecar};
use crate::support::require;
use crate::support::service::wait_until;

/// The secondary that loses its primary is never one itself, so that an election would be somebody's fault: without
/// that, mongod would let it try, as long as it reaches a majority.
#[test]
fn packets_that_vanish_for_ninety_seconds_change_nothing_and_leak_nothing() {
    require!(hosts::ready());
    let mut plan = Plan::new(Variant::Explicit).in_mode("requireSSL");
    (plan.passive, plan.by_name) = (vec![3], true);
    let mut set = require!(Set::form(plan));
    let (term, primary) = (set.term(), set.primary().expect("a healthy set has one"));
    let app = set.app("vanishing", Kind::Tls);
    app.wait_writes(20);
    let before: Vec<Descriptors> = set.sidecars().map(Descriptors::of).collect();

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

/// DNS is dead where the sidecars look for members: a member that comes back is found all the same.
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

/// What a sidecar has open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Descriptors {
    /// Beside connections.
    own: usize,
    /// Connections, which mongod opens and closes as it likes.
    connections: usize,
}

impl Descriptors {
    fn of(sidecar: &Sidecar) -> Self {
        let mut seen = None;
        // The two are not counted at one moment: what is the same twice was.
        let stands = wait_until(Duration::from_secs(10), || {
            let connections = sidecar.status()["connections"]["open"].as_u64().unwrap().try_into().unwrap();
            let all = sidecar.open_fds();
            let now = all.checked_sub(2 * connections).map(|own| Self { own, connections });
            let same = now.is_some() && seen == now;
            seen = now;
            same
        });
        assert!(stands, "connections come and go");
        seen.unwrap()
    }
}

/// Waits until every sidecar has about as many connections as before, and exactly as many descriptors beside them.
#[track_caller]
fn back_to(set: &Set, before: &[Descriptors]) {
    for (sidecar, before) in set.sidecars().zip(before) {
        let mut now = Descriptors::of(sidecar);
        // A leg whose peer has gone is found by keepalive: two minutes after its last word.
        let is_back = wait_until(Duration::from_secs(150), || {
            now = Descriptors::of(sidecar);
            now.own == before.own && now.connections <= before.connections + 6
        });
        assert!(is_back, "{now:?} now, {before:?} before; {}", sidecar.told(&["connections"]));
    }
}
