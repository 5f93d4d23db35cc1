//! Clients of the last decade at a member behind its sidecar: what they are permitted, and their errors.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

use serde_json::json;

use crate::support::hosts::{self, Plan, Set, Variant, outside};
use crate::support::{parts, require, wait};

#[test]
fn pymongo_3_comes_by_tls_and_is_told_why_plaintext_is_refused() {
    require!(hosts::ready());
    let python = require!(parts::pymongo_3());
    let mut plan = Plan::new(Variant::Explicit).in_mode("allowSSL");
    plan.members = 1;
    let set = require!(Set::form(plan));
    let ask = |options: &str| {
        outside::ask(python, set.network.app(), &set.member(1).host, options, &json!({ "isMaster": 1 }))
    };
    let (tls, plaintext) = (set.by_tls(Some("client")), "tls=false");
    // The option names before version 3.9.
    let older = format!("ssl=true&ssl_ca_certs={}&ssl_certfile={}", set.identities.ca(), set.identities.file("client"));
    // An elected member does not accept writes at once.
    wait("the member is a primary", || ask(&tls).is_ok_and(|answer| answer["ismaster"] == true));
    for options in [&tls, &older, plaintext] {
        let answer = ask(options).expect("both are let in by allowSSL");
        assert_eq!(answer["ismaster"], true, "{answer}");
    }

    for mode in ["preferSSL", "requireSSL"] {
        set.sidecar(1).told(&["mode", mode, "--yes"]);
    }
    ask(&tls).expect("TLS is let in by requireSSL");
    ask(&older).expect("and by its older name");
    let refused = ask(plaintext).expect_err("plaintext is not");
    assert!(refused.contains("The server is configured to only allow SSL connections"), "{refused}");
    let stranger = ask(&set.by_tls(None)).expect_err("nor is a client without a certificate");
    assert!(!stranger.is_empty());
}
