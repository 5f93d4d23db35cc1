//! Tests of the whole module: flags and files in, settings or mistakes out.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgMatches, Command};
use tracing::level_filters::LevelFilter;

use super::check::{Loaded, load_with, reload_with};
use super::mistake::Mistake;
use super::options::{Form, OptionSpec, ValueKind};
use super::raw::{Raw, RawValue};
use super::settings::{LogFormat, Settings};
use super::table::TABLE;
use super::validate::validate;
use super::{cli, file, report, warnings, with_options};
use crate::policy::{Acceptance, LinkRule, Mode, RefusalStyle, Spelling};

mod mistakes;
mod reference;
mod reloads;
mod same;
mod table;

/// A resolver that knows four names, so that no test uses DNS.
fn names(host: &str) -> Vec<IpAddr> {
    let addresses: &[&str] = match host {
        "localhost" => &["::1", "127.0.0.1"],
        "db1" => &["10.0.0.1"],
        "db2" => &["127.0.0.2"],
        "six" => &["2001:db8::6"],
        _ => &[],
    };
    addresses.iter().map(|address| address.parse().unwrap()).collect()
}

fn matches(args: &[&str]) -> ArgMatches {
    with_options(Command::new("run")).try_get_matches_from([&["run"], args].concat()).unwrap()
}

/// The settings and mistakes of flags and a file's text. TLS files are not read.
fn judged(args: &[&str], text: &str) -> (Raw, Settings, Vec<Mistake>) {
    let mut mistakes = Vec::new();
    let path = PathBuf::from("/etc/tlsramp.conf");
    let entries = file::entries(text, &path, &mut mistakes);
    let raw = Raw::merge((!text.is_empty()).then_some(path), cli::entries(&matches(args)), entries, &mut mistakes);
    let (settings, wrong) = validate(&raw, names, None);
    mistakes.extend(wrong);
    (raw, settings, mistakes)
}

fn good(args: &[&str], text: &str) -> Settings {
    let (_, settings, mistakes) = judged(args, text);
    assert_eq!(mistakes, [], "{args:?} {text}");
    settings
}

fn loaded(args: &[&str]) -> Result<Loaded, Vec<Mistake>> {
    load_with(&matches(args), names)
}

#[test]
fn defaults_are_those_of_the_table() {
    let written = TABLE.iter().filter(|opt| !opt.default.is_empty() && !opt.default.starts_with('('));
    let written = written.map(|opt| format!("--{}={}", opt.flags[0], opt.default)).collect::<Vec<_>>();
    let written = written.iter().map(String::as_str).chain(["--upstream=db1:27017"]).collect::<Vec<_>>();
    let settings = good(&["--upstream=db1:27017"], "");
    assert_eq!(good(&written, ""), settings);
    let inbound = settings.inbound.unwrap();
    assert_eq!((inbound.link, inbound.acceptance), (LinkRule::Policy, Acceptance::Terminate));
    assert_eq!((settings.mode, settings.refusal), (Mode::Disabled, RefusalStyle::Reply));
    assert_eq!((settings.log.format, settings.log.level), (LogFormat::Text, LevelFilter::INFO));
    assert_eq!(settings.timeouts.connect, Duration::from_secs(5));
    assert!(settings.workers > 0 && settings.max_incoming.is_none());
}

#[test]
fn each_spelling_has_its_own_modes() {
    for (args, mode, spelling) in [
        (&["--sslMode=disabled"][..], Mode::Disabled, Spelling::Ssl),
        (&["--tlsMode=allowTLS", "--tlsCertificateKeyFile=k"], Mode::Allow, Spelling::Tls),
        (&["--sslMode=requireSSL", "--sslPEMKeyFile=k", "--sslCAFile=c"], Mode::Require, Spelling::Ssl),
        (&["--sslMode=allowSSL", "--tlsMode=allowTLS", "--tlsCertificateKeyFile=k"], Mode::Allow, Spelling::Ssl),
        (&["--tlsCertificateKeyFile=k"], Mode::Disabled, Spelling::Tls),
    ] {
        let settings = good(&[args, &["--upstream=db1:1"]].concat(), "");
        assert_eq!((settings.mode, settings.spelling), (mode, spelling), "{args:?}");
    }
}

#[test]
fn where_to_listen() {
    let rows: &[(&str, &[&str])] = &[
        ("127.0.0.1", &["127.0.0.1:7"]),
        ("localhost", &["127.0.0.1:7"]),
        (" localhost , 127.0.0.1,::1,", &["127.0.0.1:7", "[::1]:7"]),
        ("six", &["[2001:db8::6]:7"]),
        ("10.0.0.1,0.0.0.0,::1", &["0.0.0.0:7", "[::1]:7"]),
        ("::,0.0.0.0", &["[::]:7", "0.0.0.0:7"]),
    ];
    for (text, expected) in rows {
        let binds = good(&["--upstream=db1:1", "--port=7", "--bind_ip", text], "").inbound.unwrap().binds;
        assert_eq!(binds.iter().map(ToString::to_string).collect::<Vec<_>>(), *expected, "{text}");
    }
}

#[test]
fn what_is_legal_though_it_looks_odd() {
    for args in [
        // mongod dials its own name: out through the outbound route, and in again through the inbound route, as the
        // policy allows.
        &["--upstream=db1:1", "--outbound=127.0.0.2:5=127.0.0.1:27017"][..],
        &["--upstream=127.0.0.1:27018", "--port=0", "--outbound=127.0.0.1:0=db2:27017"],
        &["--outbound=127.0.0.1:5=nowhere:5"],
        &["--outbound=127.0.0.1:5=db2:5"],
        &["--upstream=unix:/run/m.sock", "--upstreamTLS=never", "--sslMode=requireSSL", "--sslPEMKeyFile=k"],
        &["--upstream=db1:1", "--inboundTLS=passthrough", "--upstreamTLS=never", "--sslMode=requireSSL"],
        &["--upstream=db1:1", "--sslMode=preferSSL", "--sslPEMKeyFile=k", "--sslAllowInvalidCertificates"],
        &[
            "--upstream=db1:1",
            "--sslCAFile=c",
            "--sslCRLFile=r",
            "--sslClusterCAFile=cc",
            "--sslDisabledProtocols=none",
        ],
        &["--upstream=127.0.0.1:1", "--upstreamBind=10.0.0.5"],
        &["--outbound=127.0.0.1:5=db1:1", "--sslMode=allowSSL"],
        // A passthrough route under requireSSL admits no plaintext, so tlsramp itself makes no TLS link for it.
        &["--upstream=db1:1", "--inboundTLS=passthrough", "--upstreamTLS=always", "--sslMode=requireSSL"],
    ] {
        good(args, "");
    }
}

#[test]
fn flags_win_and_lists_are_replaced() {
    let text = "upstream = db1:1\nport = 5\nsslWeakCertificateValidation = true\noutbound = 127.0.0.1:8=db1:1\n\
                outbound = 127.0.0.1:9=db1:1\n";
    assert_eq!(good(&[], text).outbound.len(), 2);
    let settings = good(&["--port=6", "--outbound=127.0.0.1:7=db1:1", "--tlsWeakCertificateValidation=false"], text);
    assert_eq!(settings.outbound.iter().map(|route| route.listen.port()).collect::<Vec<_>>(), [7]);
    assert_eq!(settings.inbound.unwrap().binds[0].port(), 6);
    assert!(!settings.tls.allow_connections_without_certificates);
}

#[test]
fn links_and_certificates_by_mode() {
    let rows = [
        (&["--upstream=db1:1"][..], [false, false, true, true], [false, true, true, true]),
        (&["--upstream=db1:1", "--upstreamTLS=never"], [false; 4], [false, true, true, true]),
        (&["--upstream=db1:1", "--upstreamTLS=always", "--sslCAFile=c"], [true; 4], [false, true, true, true]),
        (&["--outbound=127.0.0.1:5=db1:1"], [false, false, true, true], [false; 4]),
        (&["--upstream=db1:1", "--upstreamTLS=never", "--inboundTLS=passthrough"], [false; 4], [false; 4]),
        (
            &["--upstream=db1:1", "--upstreamTLS=always", "--inboundTLS=passthrough", "--sslCAFile=c"],
            [true, true, true, false],
            [false; 4],
        ),
    ];
    for (args, links, certificates) in rows {
        let settings = good(args, "");
        assert_eq!(Mode::ALL.map(|mode| settings.links_by_tls(mode)), links, "{args:?}");
        assert_eq!(Mode::ALL.map(|mode| settings.needs_certificate(mode)), certificates, "{args:?}");
    }
}

#[test]
fn each_warning() {
    let rows = [
        (&["--upstream=db1:1"][..], &[][..]),
        (&["--upstream=db1:1", "--upstreamTLS=never"], &["--upstreamTLS never: all data to db1:1 crosses the network"]),
        (&["--upstream=localhost:1", "--upstreamTLS=never"], &["enableLocalhostAuthBypass=0"]),
        (&["--upstream=127.0.0.1:1", "--upstreamBind=127.0.0.5"], &["--upstreamBind"]),
        (&["--upstream=127.0.0.1:1", "--upstreamBind=10.0.0.5"], &[]),
        (&["--upstream=unix:/m.sock", "--upstreamTLS=never"], &["localhost exception"]),
        (
            &["--upstream=db1:1", "--tlsAllowInvalidCertificates"],
            &["--tlsAllowInvalidCertificates: no certificate is verified"],
        ),
        (&["--upstream=db1:1", "--sslAllowInvalidHostnames"], &["--sslAllowInvalidHostnames: a server may present"]),
        (&["--upstream=db1:1", "--sslMode=allowSSL", "--sslPEMKeyFile=k"], &["No client certificate validation"]),
        (&["--upstream=db1:1", "--sslDisabledProtocols=none"], &["--sslDisabledProtocols none: TLS 1.0 and 1.1"]),
        (&["--outbound=127.0.0.1:5=db1:1", "--port=5"], &["these options have no effect: --port"]),
    ];
    for (args, expected) in rows {
        let (raw, settings, mistakes) = judged(args, "");
        assert_eq!(mistakes, []);
        let warnings = warnings::warnings(&raw, &settings);
        assert_eq!(warnings.len(), expected.len(), "{args:?}: {warnings:#?}");
        for (warning, expected) in warnings.iter().zip(expected) {
            assert!(warning.contains(expected), "{warning}");
        }
    }
}

#[test]
fn the_report_says_what_each_route_does() {
    let loaded = loaded(&["--upstream=10.0.0.9:1", "--outbound=127.0.0.1:5=db1:1,name=one", "--tlsMode=disabled"]);
    let text = loaded.map(|loaded| report(&loaded, &[])).map_err(|mistakes| format!("{mistakes:?}")).unwrap();
    let expected = "configuration: flags only\n\
                    tlsMode: disabled\n\
                    inbound: 127.0.0.1:27017 -> 10.0.0.9:1; plaintext is forwarded in plaintext; TLS is refused\n\
                    outbound: 127.0.0.1:5 -> db1:1 (as one); plaintext is forwarded in plaintext\n\
                    certificates: none\n\
                    admin: 127.0.0.1:28017; state file: none\n";
    assert_eq!(text, expected);
}

#[test]
fn passwords_are_not_in_debug_output() {
    let (raw, settings, _) = judged(&["--upstream=db1:1", "--sslPEMKeyFile=k", "--sslPEMKeyPassword=hunter2"], "");
    assert!(!format!("{raw:?} {settings:?}").contains("hunter2"));
}

proptest::proptest! {
    #[test]
    fn no_panic_on_arbitrary_text(text in ".{0,200}", lines in "([a-zA-Z_:.]{0,12}[ =:\\[{&*!\"'-]{0,4}[a-z0-9#\\\\]{0,8}\n){0,8}") {
        judged(&[], &text);
        judged(&[], &lines);
    }

    #[test]
    fn no_panic_on_arbitrary_values(values in proptest::collection::vec("[ -~é\u{7f}]{0,24}", TABLE.len())) {
        let entries = TABLE.iter().zip(&values).map(|(opt, value)| entry(opt, value)).collect::<Vec<_>>();
        let mut mistakes = Vec::new();
        let raw = Raw::merge(None, entries, Some(vec![]), &mut mistakes);
        let (settings, wrong) = validate(&raw, names, None);
        for mistake in mistakes.iter().chain(&wrong) {
            let lines = mistake.to_string().lines().count();
            proptest::prop_assert_eq!(lines, 2);
        }
        warnings::warnings(&raw, &settings);
    }
}

fn entry(opt: &'static OptionSpec, value: &str) -> RawValue {
    RawValue { opt, form: Form::Flag, variant: 0, value: value.to_owned() }
}
