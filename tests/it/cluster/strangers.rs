//! Clients and servers that do not belong to the cluster are refused by its members' sidecars in both directions,
//! whatever name they use.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

use certs_gen::Request;
use serde_json::{Value, json};

use crate::support::hosts::{self, Plan, Set, Variant, sidecar::Sidecar};
use crate::support::service::SOON;
use crate::support::{Mark, log::Log, require};

#[test]
fn strangers_forged_members_and_wrong_names_are_refused_under_require_ssl() {
    require!(hosts::ready());
    let mut set = require!(Set::form(Plan::new(Variant::Explicit).in_mode("requireSSL")));
    strangers_are_refused(&set);
    let term = set.term();
    let odd = set.secondaries()[0];
    a_forged_member_is_refused(&mut set, odd);
    a_wrong_name_is_refused_unless_names_do_not_matter(&mut set, odd);
    assert_eq!(set.term(), term, "an election took place");
}

/// Clients without a certificate, with one of another CA, and without TLS. The other CA has the same name as the
/// cluster's; only the signature differs.
fn strangers_are_refused(set: &Set) {
    let log = set.sidecar(1).log();
    let hello = json!({ "hello": 1 });
    let own = set.ask_from_outside(1, &set.by_tls(Some("client")), &hello).expect("a client with its certificate");
    assert_eq!(own["setName"], "rs", "{own}");

    for (options, outcome, reason) in [
        (set.by_tls(None), "client_certificate_refused", "the client presented no certificate"),
        (set.by_tls(Some("stranger")), "client_certificate_refused", "its signature does not verify"),
        ("tls=false".to_owned(), "refused_plaintext", ""),
    ] {
        let from = log.mark();
        set.ask_from_outside(1, &options, &hello).expect_err("a stranger is refused");
        let record =
            record(log, from, |record| record["peer"].as_str().is_some_and(|peer| peer.starts_with("10.77.0.100")));
        assert_eq!(record["outcome"], outcome, "{record}");
        assert!(record["reason"].as_str().unwrap_or_default().contains(reason), "{record}");
    }
}

/// A certificate with a member's name and another CA's signature: no member accepts it or connects to it.
fn a_forged_member_is_refused(set: &mut Set, odd: u8) {
    let forged = set.identities.file(&format!("forged-h{odd}"));
    let own = shows(set, odd, &forged);
    let primary = set.primary().unwrap();
    let log = set.sidecar(primary).log();
    let route = format!("outbound 10.77.0.{odd}:27017");
    let record = record(log, log.mark(), |record| record["route"] == route.as_str() && record["outcome"] == UNTRUSTED);
    assert!(record["reason"].as_str().unwrap().contains("its signature does not verify"), "{record}");
    refused_by(log, odd);
    shows(set, odd, &own);
    set.wait_healthy();
}

/// A certificate of the cluster's CA for another name: it is accepted like a client's, but members do not connect to it
/// unless `--sslAllowInvalidHostnames` is set.
fn a_wrong_name_is_refused_unless_names_do_not_matter(set: &mut Set, odd: u8) {
    let wrong = set.identities.issue("wrong-name", &Request::member("elsewhere.example").organization("members"));
    let own = shows(set, odd, &wrong);
    let primary = set.primary().unwrap();
    let log = set.sidecar(primary).log();
    let route = format!("outbound 10.77.0.{odd}:27017");
    let record = record(log, log.mark(), |record| record["route"] == route.as_str() && record["outcome"] == UNTRUSTED);
    let reason = record["reason"].as_str().unwrap();
    assert!(reason.contains(&format!("h{odd}.example")), "it names who was meant: {record}");

    for number in 1..=3 {
        let sidecar = set.member_mut(number).sidecar.as_mut().unwrap();
        sidecar.restart_at_once_with(|args| args.push("--sslAllowInvalidHostnames".to_owned()));
    }
    set.wait_healthy();
    shows(set, odd, &own);
    set.wait_healthy();
}

/// Restarts a sidecar with another certificate. Returns the previous one.
fn shows(set: &mut Set, number: u8, certificate: &str) -> String {
    let sidecar: &mut Sidecar = set.member_mut(number).sidecar.as_mut().unwrap();
    let mut before = String::new();
    sidecar.restart_at_once_with(|args| {
        let at = args.iter().position(|arg| arg == "--sslPEMKeyFile").unwrap() + 1;
        before = std::mem::replace(&mut args[at], certificate.to_owned());
    });
    before
}

#[track_caller]
fn refused_by(log: &Log, odd: u8) {
    let peer = format!("10.77.0.{odd}:");
    record(log, log.mark(), |record| {
        let from_it = record["peer"].as_str().is_some_and(|address| address.starts_with(&peer));
        from_it && record["outcome"] == "client_certificate_refused"
    });
}

#[track_caller]
fn record(log: &Log, from: Mark, wanted: impl Fn(&Value) -> bool) -> Value {
    let found = log.wait(from, SOON, |line| line["message"] == "connection" && wanted(line));
    found.unwrap_or_else(|why| panic!("no such record: {why}"))
}

const UNTRUSTED: &str = "upstream_tls_failed";
