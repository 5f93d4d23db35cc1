//! A rollout over a set's sidecars that cannot continue: it reports the reason, nothing is lost, and the next one
//! finishes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

use crate::support::hosts::{self, App, Kind, Plan, Set, Variant, rolling::Rollout};
use crate::support::require;

/// No `hello` lists a hidden member. Of two concurrent rollouts, one has to wait.
#[test]
fn a_hidden_member_stops_a_rollout_by_name_and_so_does_another_rollout() {
    require!(hosts::ready());
    let mut plan = Plan::new(Variant::Explicit);
    plan.hidden = vec![3];
    let set = require!(Set::form(plan));
    let ended = set.rollout_over(&[1, 2], &["--to", "requireSSL"]).end();
    ended.assert_stopped("10.77.0.3");
    assert!(set.sidecars().all(|sidecar| sidecar.mode() == "disabled"), "and nothing was changed");

    let app = set.app("hidden", Kind::Plaintext);
    let first = begun(&set);
    let second = set.rollout(&["--to", "requireSSL"]).end();
    second.assert_stopped(&format!("pid {}", first.pid()));
    finish(&set, first, app);
}

/// A secondary is killed during the rollout, in each possible way, and then cut off.
#[test]
fn a_node_that_fails_in_mid_rollout_stops_it_and_the_next_one_finishes() {
    require!(hosts::ready());
    let mut set = require!(Set::form(Plan::new(Variant::Explicit)));
    let app = set.app("failing", Kind::Plaintext);
    let (term, odd) = (set.term(), set.secondaries()[0]);
    let failures: [(&str, &[&str]); 3] = [
        ("the server behind is down", &["server"]),
        ("the sidecar is down", &["sidecar"]),
        ("the host is down", &["server", "sidecar"]),
    ];
    for (what, killed) in failures {
        let rollout = begun_for(&set, "30s");
        let member = set.member_mut(odd);
        if killed.contains(&"server") {
            member.server.kill();
        }
        if killed.contains(&"sidecar") {
            member.sidecar.as_mut().unwrap().kill();
        }
        let reason = match killed.contains(&"sidecar") {
            true => format!("nothing listens on {}", set.sidecar(odd).admin()),
            false => format!("10.77.0.{odd}:27017 (outbound 10.77.0.{odd}:27017) use TLS, which fails"),
        };
        eprintln!("{what}");
        rollout.end().assert_stopped(&reason);
        let member = set.member_mut(odd);
        member.server.restart();
        member.sidecar.as_mut().unwrap().restart();
        assert_eq!(set.sidecar(odd).mode(), "preferSSL", "it comes back in the mode that it had");
        set.wait_healthy();
    }
    finish_over_a_cut(&set, odd, app);
    assert_eq!(set.term(), term, "an election took place");
}

/// A host is cut off while the rollout waits for clients. When these have moved, the rollout must not continue.
fn finish_over_a_cut(set: &Set, odd: u8, mut app: App) {
    let rollout = begun_for(set, "30s");
    set.network.cut(&set.member(odd).host);
    app.redeploy(Kind::Tls);
    rollout.end().assert_stopped(&format!("10.77.0.{odd}:27017 (outbound 10.77.0.{odd}:27017) use TLS, which fails"));
    set.network.mend(&set.member(odd).host);
    set.wait_healthy();
    set.rollout(&["--to", "requireSSL"]).end().assert_done_but_for_flags();
    app.finish().assert_flawless();
}

/// A rollout that waits for the application.
fn begun(set: &Set) -> Rollout {
    begun_for(set, "10m")
}

/// As [`begun`], with this time limit.
fn begun_for(set: &Set, wait: &str) -> Rollout {
    let mut rollout = set.rollout(&["--to", "requireSSL", "--wait", wait]);
    rollout.wait_said("application writer");
    rollout
}

/// The application moves, and the rollout finishes.
fn finish(set: &Set, rollout: Rollout, mut app: App) {
    app.redeploy(Kind::Tls);
    rollout.end().assert_done_but_for_flags();
    assert!(set.sidecars().all(|sidecar| sidecar.mode() == "requireSSL"));
    app.finish().assert_flawless();
}
