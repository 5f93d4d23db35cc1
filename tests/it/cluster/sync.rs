//! A new, empty member copies a gigabyte through the sidecars in `requireSSL`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

use std::{path::Path, time::Duration};

use bson::doc;

use crate::support::hosts::{self, Plan, Set, Variant};
use crate::support::service::wait_until;
use crate::support::{parts, process, require};

#[test]
fn a_fourth_member_copies_a_gigabyte_under_require_ssl() {
    require!(hosts::ready());
    let mut plan = Plan::new(Variant::Explicit).in_mode("requireSSL");
    plan.spare = 1;
    let mut set = require!(Set::form(plan));
    let (term, primary) = (set.term(), set.primary().expect("a healthy set has one"));
    fill(&set, primary);

    set.start_member(4);
    set.reconfigure();
    let state = |set: &Set| set.state_of(4);
    assert!(wait_until(Duration::from_secs(90), || state(&set).as_deref() == Some("STARTUP2")), "{:?}", state(&set));
    let refused = set.rollout(&["--to", "requireSSL", "--dry-run"]).end();
    assert_eq!(refused.code, Some(1), "a rollout starts in the middle of a copy: {}", refused.said);
    assert!(refused.said.contains(&set.sidecar(4).admin()), "{}", refused.said);
    assert_eq!(state(&set).as_deref(), Some("STARTUP2"), "it was in the middle");
    let copied = wait_until(Duration::from_secs(900), || state(&set).as_deref() == Some("SECONDARY"));
    assert!(copied, "the copy does not come to its end: {:?}", state(&set));
    set.wait_healthy();
    let hashes: Vec<String> = set.members.iter().map(|member| hash(&member.server)).collect();
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
    assert_eq!((set.term(), set.primary()), (term, Some(primary)), "an election took place");
    let record = set.sidecar(4).told(&["connections"]);
    let links = record["connections"].as_array().unwrap();
    let outbound =
        |link: &&serde_json::Value| link["route"].as_str().is_some_and(|route| route.starts_with("outbound"));
    assert!(links.iter().filter(outbound).all(|link| link["upstreamLink"] == "tls"), "{record}");
}

/// Inserts a gigabyte of documents of 64 KiB, which the server may compress.
fn fill(set: &Set, primary: u8) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/py/fill.py");
    let mut command = process::tethered(parts::pymongo().expect("required first"));
    command.arg(script).arg(set.member(primary).server.socket()).arg("1024");
    process::succeed(command, Duration::from_secs(900)).expect("a gigabyte is written");
}

fn hash(server: &hosts::server::Server) -> String {
    let answer = server.ask("filled", &doc! { "dbHash": 1 }).expect("a hash");
    answer.get_str("md5").expect("its digest").to_owned()
}
