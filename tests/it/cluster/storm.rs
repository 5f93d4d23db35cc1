//! More clients than connection slots: members of the set and the operator are still served.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use bson::doc;
use serde_json::Value;

use crate::support::hosts::{self, Plan, Set, Variant, running::Running};
use crate::support::{Mark, Scratch, parts, require, run_to_end};

/// Four hundred clients and two hundred slots for 40 seconds, during which a member has to connect again.
#[test]
fn a_storm_of_clients_keeps_out_neither_members_nor_operators() {
    require!(hosts::ready());
    let mut plan = Plan::new(Variant::Explicit).in_mode("allowSSL");
    plan.sidecar.extend(["--maxIncomingConnections", "200"].map(str::to_owned));
    let mut set = require!(Set::form(plan));
    let (term, primary) = (set.term(), set.primary().expect("a healthy set has one"));
    let (storm, _folder) = storm(&set, primary);
    let hit = |line: &Value| line["open"].as_u64().is_some_and(|open| open >= 400);
    storm.wait(Mark::START, Duration::from_secs(90), hit);

    let (began, mut answers, mut idle, mut restarted) = (Instant::now(), Vec::new(), Vec::new(), false);
    while began.elapsed() < Duration::from_secs(40) {
        let asked = Instant::now();
        let status = set.sidecar(primary).status();
        answers.push(asked.elapsed());
        // Allows for the start and end of a process on a machine that may run many tests at once.
        let started = Instant::now();
        run_to_end(["--version"]);
        idle.push(started.elapsed());
        assert!(status["connections"]["open"].as_u64().unwrap() >= 100, "there is no storm: {status}");
        written(&set, primary);
        if !restarted && began.elapsed() > Duration::from_secs(10) {
            restarted = true;
            let secondary = set.secondaries()[0];
            set.member_mut(secondary).sidecar.as_mut().unwrap().restart();
        }
        thread::sleep(Duration::from_secs(1));
    }
    set.wait_healthy();
    assert_eq!((set.term(), set.primary()), (term, Some(primary)), "an election took place");
    let [median, idle] = [&mut answers, &mut idle].map(|times| {
        times.sort();
        times[times.len() / 2]
    });
    let worst = answers.last();
    assert!(
        median < Duration::from_secs(1) + idle,
        "the admin port takes {median:?}, at worst {worst:?}; idle {idle:?}"
    );
}

/// Clients that send a request twenty times a second if they are answered, and connect again if they are not.
fn storm(set: &Set, primary: u8) -> (Running, Scratch) {
    let folder = Scratch::new("storm");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/py/storm.py");
    let mut command = set.network.app().command(parts::pymongo().expect("required first"));
    command.arg(script).args([set.member(primary).host.address().to_string(), "27017".into(), "400".into()]);
    let storm = Running::start("the storm", command, &folder.join("log"));
    (storm, folder)
}

/// A write that a majority acknowledges: it is replicated over the members' links.
#[track_caller]
fn written(set: &Set, primary: u8) {
    let concern = doc! { "w": "majority", "wtimeout": 30_000 };
    let insert = doc! { "insert": "storm", "documents": [{ "text": "written" }], "writeConcern": concern };
    let answer = set.member(primary).server.ask("app", &insert).expect("the primary takes it");
    assert!(!answer.contains_key("writeConcernError"), "{answer}");
}
