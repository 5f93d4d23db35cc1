//! Pages, parsing of the command line, and exit codes.

use serde_json::json;

use super::guard::{GuardedChange, OnBlockers};
use super::target::{ClientTarget, ConnectionTarget};
use super::verb::Verb;
use super::{changes, clients, command, ready, refusal};
use crate::admin::replies::{
    AcceptReply, BlockerKind, BlockerReply, ClientRow, ErrorReply, ModeReply, Ready, RecycleReply, RotateReply,
};
use crate::admin::requests::ModeRequest;
use crate::admin::requests::RecycleParameters;
use crate::admin_client::options::TlsOptions;
use crate::admin_client::{ClientError, Clients, ctl_command, quoted};
use crate::policy::{Mode, Spelling};
use crate::screen::{OutputStyle, Page};

/// 2023-11-14T22:16:20Z.
const NOW: i64 = 1_700_000_180_000;
const THREE_MINUTES_AGO: &str = "2023-11-14T22:13:20Z";
const YESTERDAY: &str = "2023-11-13T20:16:20Z";

fn piped(page: &Page) -> String {
    page.render(OutputStyle::default())
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// The mode in force has no blockers.
#[test]
fn clients_without_tls_are_no_obstacle_to_the_mode_in_force() {
    let seen = Clients { clients: vec![reports()], ssl_mode: "requireSSL".into() };
    let page = piped(&clients::page(&seen, false, NOW));
    assert!(
        page.starts_with("1 client seen without TLS: 1 with connections open now; 1 has not moved to TLS.\n"),
        "{page}"
    );
    assert!(page.contains("\nRefused without TLS:\n") && !page.contains("requireSSL"), "{page}");
    let ready = Ready { mode: "requireSSL".into(), to: "requireSSL".into(), ready: false, ..Ready::default() };
    assert!(piped(&ready::page(&ready, 0, "tlsramp ctl", NOW)).starts_with("requireSSL is in force already; "));
}

fn reports() -> ClientRow {
    ClientRow {
        key: "10.0.0.7/reports/PyMongo".into(),
        ip: "10.0.0.7".into(),
        kind: "plaintext".into(),
        application: some("reports"),
        driver: some("PyMongo"),
        driver_version: some("4.6.1"),
        open: 2,
        total: 14,
        last_seen: THREE_MINUTES_AGO.into(),
        blocks: true,
        ..ClientRow::default()
    }
}

fn blockers() -> Vec<BlockerReply> {
    let reports = BlockerReply {
        kind: BlockerKind::PlaintextOpen,
        text: "reports at 10.0.0.7 is connected without TLS".into(),
        remedy: "let it use TLS".into(),
        key: some("10.0.0.7/reports/PyMongo"),
        application: some("reports"),
        driver: some("PyMongo 4.6.1"),
        address: some("10.0.0.7"),
        open: Some(2),
        last_seen: some(YESTERDAY),
        ..BlockerReply::default()
    };
    let upstream = BlockerReply {
        kind: BlockerKind::Upstream,
        fatal: true,
        text: "db2:27017 speaks no TLS".into(),
        remedy: "give it a certificate".into(),
        address: some("db2:27017"),
        ..BlockerReply::default()
    };
    vec![reports, upstream]
}

#[test]
fn commands_to_be_typed_are_as_this_one_was() {
    let tls = TlsOptions { tls: true, ca: Some("/a b/ca.pem".into()), ..TlsOptions::default() };
    let address = "db1:28017".parse().unwrap();
    assert_eq!(ctl_command(&address, &tls), "tlsramp ctl --admin db1:28017 --tls --tlsCAFile '/a b/ca.pem'");
    assert_eq!(ctl_command(&"127.0.0.1:28017".parse().unwrap(), &TlsOptions::default()), "tlsramp ctl");
    assert_eq!((quoted("it's"), quoted("")), ("'it'\\''s'".into(), "''".into()));
}

#[test]
fn changes_say_what_was_done() {
    let mode = ModeReply { was: "allowSSL".into(), mode: "preferSSL".into(), generation: 6, ..ModeReply::default() };
    let kept = ModeReply { was: "preferSSL".into(), persisted: true, warnings: vec!["look".into()], ..mode.clone() };
    let accepted = AcceptReply { key: "::1/a/-".into(), accepted: true, known: false };
    let rotated = RotateReply { generation: 7, ..RotateReply::default() };
    for (page, expected) in [
        (changes::mode(&mode), "The mode is preferSSL from now on, generation 6; it was allowSSL.\n"),
        (
            changes::mode(&kept),
            "The mode is preferSSL already, generation 6.\nA restart keeps this mode.\nwarning: look\n",
        ),
        (
            changes::reload(&kept),
            "The configuration was read again, generation 6: the mode stays preferSSL.\nwarning: look\n",
        ),
        (
            changes::rotate(&rotated),
            "The TLS files were read again, generation 7: new connections use them from now on.\n",
        ),
        (
            changes::accept(&accepted),
            "::1/a/- is accepted: it no longer blocks requireSSL, which will refuse it.\nwarning: no client with that \
             key has been seen yet\n",
        ),
    ] {
        assert_eq!(piped(&page), expected);
    }
}

#[test]
fn recycle_counts_and_says_what_is_left() {
    let none = RecycleReply::default();
    let some = RecycleReply { moved: 4, waiting: 1, at_risk: 2, left_alone: 2, ..RecycleReply::default() };
    let forced = RecycleReply { left_alone: 0, ..some.clone() };
    let moved = RecycleReply { moved: 1, ended: 1, ..RecycleReply::default() };
    for (reply, left, expected) in [
        (&none, false, "Nothing to recycle: every open connection conforms to the mode in force.\n"),
        (&moved, false, "1 connection recycled, 1 ended by client or server.\n"),
        (
            &some,
            true,
            "4 connections recycled, 1 still waiting for a boundary, 2 left open (--force recycles them too).\nwarning: \
             2 connections at risk: the client may see an error\n",
        ),
        (
            &forced,
            true,
            "4 connections recycled, 1 still waiting for a boundary.\nwarning: 2 connections at risk: the client may \
             have seen an error\n",
        ),
    ] {
        assert_eq!(piped(&changes::recycle(reply)), expected);
        assert_eq!(changes::is_left(reply), left);
    }
    assert!(!changes::is_left(&RecycleReply { at_risk: 2, ..none }));
}

#[test]
fn failures_for_people_and_for_programs() {
    let reply = ErrorReply {
        error: format!("the guard\nrefuses it: {}; and so on", blockers()[0].text),
        code: "Guarded".into(),
        blockers: blockers(),
    };
    let raw = r#"{"error":"...","new":1}"#;
    let refused = ClientError::Refused { status: 409, reply: Box::new(reply), json: raw.into() };
    let text = piped(&refusal::page(&refused, NOW));
    assert!(
        text.starts_with("tlsramp ctl: the guard\nrefuses it\nNothing was changed. --yes makes the change anyway.\n"),
        "{text}"
    );
    assert!(
        text.contains("\n2 reasons:\n\n1 client without TLS. Remedy: let it use TLS.\n")
            && text.contains("Remedy:  give it a certificate\n"),
        "{text}"
    );
    assert_eq!(refusal::json(&refused), raw);
    let nobody = ClientError::NobodyListens { address: "127.0.0.1:1".into() };
    let expected = json!({ "error": nobody.to_string(), "code": "NobodyListens" });
    assert_eq!(serde_json::from_str::<serde_json::Value>(&refusal::json(&nobody)).unwrap(), expected);
}

#[test]
fn verbs_are_understood() {
    let change = ModeRequest { mode: "requireTLS".into(), guard: true, ..ModeRequest::default() };
    let guarded = |request: &ModeRequest, on_blockers| {
        let guard = on_blockers != OnBlockers::Proceed;
        Verb::ChangeMode(GuardedChange { request: ModeRequest { guard, ..request.clone() }, on_blockers })
    };
    let forced = ModeRequest { force: true, ..change.clone() };
    let every = ModeRequest { force: true, guard: true, persist: true, holder: some("ops"), ..change.clone() };
    let key = || ClientTarget::Key("::1/a/-".into());
    let accept = |client, accepted, unseen| Verb::Accept { client, accepted, unseen };
    for (line, verb) in [
        ("status", Verb::Status),
        ("--json status", Verb::Status),
        ("status --json --admin unix:/a.sock", Verb::Status),
        ("mode", Verb::Mode),
        ("mode requireTLS", guarded(&change, OnBlockers::Ask)),
        ("mode requireTLS --json", guarded(&change, OnBlockers::Refuse)),
        ("mode requireTLS --guard", guarded(&change, OnBlockers::Refuse)),
        ("mode requireTLS --yes", guarded(&change, OnBlockers::Proceed)),
        ("mode requireTLS --no-guard --json", guarded(&change, OnBlockers::Proceed)),
        ("mode requireTLS --force", guarded(&forced, OnBlockers::Proceed)),
        ("mode requireTLS --force --yes", guarded(&forced, OnBlockers::Proceed)),
        ("mode requireTLS --force --guard --persist --holder ops", guarded(&every, OnBlockers::Refuse)),
        ("", Verb::Status),
        ("clients --plaintext", Verb::Clients { plaintext: true }),
        ("ready", Verb::Ready(None)),
        ("ready --to preferTLS", Verb::Ready(Some((Mode::Prefer, Spelling::Tls)))),
        ("accept ::1/a/-", accept(key(), true, false)),
        ("accept ::1/a/- --unseen", accept(key(), true, true)),
        ("accept 3 --remove", accept(ClientTarget::Number(3), false, false)),
        ("connections --wide", Verb::Connections { non_conforming: false, each: false }),
        ("connections --non-conforming --each", Verb::Connections { non_conforming: true, each: true }),
        ("whois [::1]:5", Verb::Whois(ConnectionTarget::End("[::1]:5".parse().unwrap()))),
        ("whois 3", Verb::Whois(ConnectionTarget::Number(3))),
        ("rotate", Verb::Rotate { force: false }),
        ("rotate --force", Verb::Rotate { force: true }),
        ("recycle", Verb::Recycle(RecycleParameters::default())),
        (
            "recycle --force --grace 5 --wait 0",
            Verb::Recycle(RecycleParameters { force: true, grace_secs: Some(5), wait_secs: Some(0) }),
        ),
        ("reload", Verb::Reload { force: false }),
        ("reload --force", Verb::Reload { force: true }),
    ] {
        let matches = command().try_get_matches_from(["ctl"].into_iter().chain(line.split_whitespace())).unwrap();
        assert_eq!(Verb::of(&matches), Some(verb), "{line}");
    }
}

#[test]
fn what_is_not_understood_is_refused_and_says_why() {
    for (line, part) in [
        ("states", "status"),
        ("mode requiressl", "'requireSSL'"),
        ("mode --force", "required"),
        ("ready --to on", "'allowTLS'"),
        ("accept", "KEY"),
        ("accept 10.0.0.7", "IP/APPLICATION/DRIVER"),
        ("whois db1:27017", "names are not resolved"),
        ("recycle --wait 601", "600"),
        ("status --admin 28017", "HOST:PORT"),
        ("status --admin unix:a.sock", "absolute path"),
    ] {
        let error = command().try_get_matches_from(["ctl"].into_iter().chain(line.split_whitespace())).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{line}");
        let text = error.to_string().replace(['<', '>'], "").to_ascii_lowercase();
        assert!(text.contains(&part.to_ascii_lowercase()), "{line}: {text}");
    }
}

#[test]
fn the_help_is_whole() {
    let mut command = command();
    command.clone().debug_assert();
    let help = command.render_long_help().to_string();
    for part in ["Exit codes:", "TLSRAMP_ADMIN", "--tlsCAFile", "127.0.0.1:28017", "--json"] {
        assert!(help.contains(part), "{part} is not in:\n{help}");
    }
    let verbs: Vec<_> =
        command.get_subcommands().map(|verb| verb.get_name().to_owned()).filter(|verb| verb != "help").collect();
    let expected = "status mode ready clients accept connections whois history doctor rotate recycle reload"
        .split(' ')
        .collect::<Vec<_>>();
    assert_eq!(verbs, expected);
    for verb in command.get_subcommands_mut().filter(|verb| verb.get_name() != "help") {
        let help = verb.render_long_help().to_string();
        assert!(help.contains("Exit code: 0: done."), "{help}");
    }
}
