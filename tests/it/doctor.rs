//! `tlsramp ctl doctor` and `check --network`: each finding, provoked on real parts.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

use std::thread;
use std::time::{Duration, Instant, SystemTime};

use bson::{DateTime, doc};
use certs_gen::{Authority, Request};
use serde_json::{Value, json};

use crate::support::plain::Plain;
use crate::support::set::{Hello, Member, form};
use crate::support::{
    Mongod, Proxy, ProxyBuilder, ReservedPort, Scratch, admin, cert, mongod, parts, require, require_command,
    run_to_end, until, wait,
};

/// A proxy in front of a server, with certificates.
fn flags(upstream: &str, mode: &str, more: &[&str]) -> Vec<String> {
    let (server, ca) = (cert("server.pem"), cert("ca.pem"));
    let fixed = ["--port", "0", "--upstream", upstream, "--sslMode", mode, "--sslPEMKeyFile", &server];
    fixed.iter().chain(&["--sslCAFile", &ca]).chain(more).map(|word| (*word).to_owned()).collect()
}

fn start(upstream: &str, mode: &str, more: &[&str]) -> Proxy {
    Proxy::start(flags(upstream, mode, more))
}

/// The checks by `GET /doctor`.
fn checks(proxy: &Proxy) -> Vec<Value> {
    admin::of(proxy).get("/doctor")["checks"].as_array().unwrap().clone()
}

/// The only finding of a check with this verdict whose subject or text contains a word.
#[track_caller]
fn find<'a>(checks: &'a [Value], id: &str, verdict: &str, word: &str) -> &'a Value {
    let has = |one: &Value| format!("{} {}", one["subject"], one["text"]).contains(word);
    let mut found = checks.iter().filter(|one| one["id"] == id && one["verdict"] == verdict && has(one));
    let (first, second) = (found.next(), found.next());
    assert!(second.is_none(), "{id} {verdict} {word} twice: {checks:#?}");
    let found = first.unwrap_or_else(|| panic!("no {id} {verdict} {word}: {checks:#?}"));
    assert_eq!(found["remedy"].is_string(), verdict != "ok", "{found}");
    found
}

#[track_caller]
fn assert_none(checks: &[Value], id: &str, verdict: &str) {
    assert!(!checks.iter().any(|one| one["id"] == id && one["verdict"] == verdict), "{id} {verdict}: {checks:#?}");
}

fn doctor(proxy: &Proxy, more: &[&str]) -> (i32, String) {
    let admin = proxy.address("admin").to_string();
    let output = run_to_end(["ctl", "--admin", &admin, "doctor"].iter().chain(more));
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn nothing_is_wrong_in_front_of_a_sound_mongod() {
    require!(parts::mongod());
    let mongod = Mongod::start(&mongod::Options::default());
    let proxy = start(&mongod.address(), "allowSSL", &["--upstreamTLS", "never", "--maxIncomingConnections", "100"]);
    let found = checks(&proxy);
    assert!(found.iter().all(|one| one["verdict"] == "ok"), "{found:#?}");
    find(&found, "upstream", "ok", "it answers in plaintext");
    find(&found, "members", "ok", "MongoDB 6.0.5, STANDALONE");
    find(&found, "clock", "ok", &mongod.address());
    find(&found, "localhostException", "ok", "does not demand authentication");
    find(&found, "certificates", "ok", "presented to clients, expires in 36");
    find(&found, "bypass", "ok", "no port or connection");
    find(&found, "interception", "ok", "no rules are needed");
    let (code, page) = doctor(&proxy, &[]);
    assert_eq!(code, 0, "{page}");
    assert!(page.starts_with("Checked by the proxy, in allowSSL: nothing is wrong.\n\nFine: "), "{page}");
    let (code, json) = doctor(&proxy, &["--json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((code, &json["checks"], &json["mode"]), (0, &json!(found), &json!("allowSSL")));
}

#[test]
fn a_run_dials_once_and_its_result_is_given_again() {
    let server = Hello::start();
    server.say(doc! { "setName": "rs", "secondary": true });
    let proxy = start(&server.address(), "allowSSL", &[]);
    let ask = || admin::of(&proxy).get("/doctor");
    let mut reply = ask();
    until::proven(|| {
        let began = Instant::now();
        reply = ask();
        let answers: Vec<_> = thread::scope(|scope| {
            let asking: Vec<_> = (0..6).map(|_| scope.spawn(ask)).collect();
            asking.into_iter().map(|answer| answer.join().unwrap()).collect()
        });
        // A result is given again for ten seconds.
        let in_time = began.elapsed() < Duration::from_secs(9);
        assert!(!in_time || answers.iter().all(|answer| *answer == reply), "the same run: {answers:?}");
        in_time
    });
    // A change of the mode makes the result outdated.
    admin::of(&proxy).put("/mode", &json!({ "mode": "disabled", "force": true }));
    let after = admin::of(&proxy).get("/doctor");
    assert!(after["mode"] == "disabled" && after["checked"] != reply["checked"], "{after}");
}

#[test]
fn the_localhost_exception_is_seen_without_credentials() {
    require!(parts::mongod());
    let auth = |more: &[&str]| {
        let args = ["--auth"].iter().chain(more).map(|arg| (*arg).to_owned()).collect();
        Mongod::start(&mongod::Options { args, ..mongod::Options::default() })
    };
    let fresh = auth(&[]);
    let proxy = start(&fresh.address(), "disabled", &["--upstreamTLS", "never"]);
    let found = find(&checks(&proxy), "localhostException", "failed", "may create the first user").clone();
    assert!(found["remedy"].as_str().unwrap().contains("enableLocalhostAuthBypass=0"), "{found}");
    let (code, page) = doctor(&proxy, &[]);
    assert!(code == 1 && page.contains("\nFAILED: localhost exception, "), "{page}");
    let user = doc! { "createUser": "root", "pwd": "secret", "roles": ["root"] };
    let created = Plain::connect(fresh.port()).command("admin", &user);
    assert_eq!(created.get_f64("ok").ok(), Some(1.0), "{created}");
    for server in [&fresh, &auth(&["--setParameter", "enableLocalhostAuthBypass=0"])] {
        let proxy = start(&server.address(), "disabled", &["--upstreamTLS", "never"]);
        find(&checks(&proxy), "localhostException", "ok", "the exception is closed");
    }
}

#[test]
fn servers_that_are_down_and_names_that_do_not_resolve() {
    let closed = ReservedPort::new();
    let outbound = "127.0.0.1:0=db9.invalid:27017";
    let proxy = start(&closed.address().to_string(), "disabled", &["--outbound", outbound]);
    let found = checks(&proxy);
    let down = find(&found, "upstream", "failed", &closed.address().to_string());
    assert!(down["remedy"].as_str().unwrap().contains(&format!("nc -vz 127.0.0.1 {}", closed.port())), "{down}");
    let name = find(&found, "names", "failed", "db9.invalid");
    assert!(name["remedy"].as_str().unwrap().contains("getent hosts db9.invalid"), "{name}");
    // The exception, the clock and the state of a server that does not answer are not made up.
    for id in ["localhostException", "clock", "members", "modes"] {
        assert!(found.iter().all(|one| one["id"] != id), "{id}: {found:#?}");
    }
    // A member that no route leads to. Without a CA file, only plaintext is tried.
    let server = Hello::start();
    let hosts = vec![server.address(), closed.address().to_string()];
    server.say(doc! { "me": server.address(), "hosts": hosts, "setName": "rs", "secondary": true });
    let proxy = start(&server.address(), "disabled", &[]);
    find(&checks(&proxy), "upstream", "failed", "neither in plaintext (");
    let proxy = Proxy::start(["--port", "0", "--upstream", &server.address()]);
    find(&checks(&proxy), "upstream", "failed", "); TLS was not tried, since there is no CA file");
}

#[test]
fn a_server_that_never_answers_costs_a_bounded_time() {
    let server = Hello::start();
    let proxy = start(&server.address(), "allowSSL", &["--upstreamTLS", "never"]);
    let began = Instant::now();
    find(&checks(&proxy), "upstream", "warning", "no answer within 5 s");
    assert!(began.elapsed() < Duration::from_secs(25) || until::busy(), "{:?}", began.elapsed());
}

#[test]
fn certificates_of_servers() {
    require!(parts::mongod());
    let folder = Scratch::new("doctor");
    let stranger = folder.join("stranger.pem").to_string_lossy().into_owned();
    let issued = Authority::new("Other CA").unwrap().issue(&Request::member("127.0.0.1")).unwrap();
    std::fs::write(&stranger, issued.pem()).unwrap();
    for (file, reason) in [
        (cert("wrong-name.pem"), "OpenSSL: hostname mismatch"),
        (stranger, "OpenSSL: unable to get local issuer certificate"),
    ] {
        let tls = mongod::Tls { mode: "preferTLS", certificate_key_file: file, ca_file: None };
        let mongod = Mongod::start(&mongod::Options { tls: Some(tls), ..mongod::Options::default() });
        for (mode, verdict) in [("allowSSL", "warning"), ("preferSSL", "failed")] {
            let proxy = start(&mongod.address(), mode, &[]);
            let found = checks(&proxy);
            let bad = find(&found, "peerCertificate", verdict, reason);
            assert!(bad["remedy"].as_str().unwrap().contains(&mongod.address()), "{bad}");
            assert_none(&found, "upstream", verdict);
        }
    }
    let tls =
        mongod::Tls { mode: "requireTLS", certificate_key_file: cert("member.pem"), ca_file: Some(cert("ca.pem")) };
    let mongod = Mongod::start(&mongod::Options { tls: Some(tls), ..mongod::Options::default() });
    let member = cert("member.pem");
    let proxy = start(&mongod.address(), "preferSSL", &["--sslClusterFile", &member]);
    let found = checks(&proxy);
    find(&found, "upstream", "ok", "it answers by TLS");
    find(&found, "peerCertificate", "ok", "its certificate verifies, and expires in 36");
    // In allowSSL the link is plaintext, which this mongod does not take.
    let proxy = start(&mongod.address(), "allowSSL", &["--sslClusterFile", &member]);
    find(&checks(&proxy), "upstream", "failed", "allowSSL connects to it in plaintext, which fails");
}

#[test]
fn a_server_without_tls_is_a_warning_before_it_is_a_failure() {
    require!(parts::mongod());
    let mongod = Mongod::start(&mongod::Options::default());
    for (mode, verdict) in [("allowSSL", "warning"), ("preferSSL", "failed")] {
        let proxy = start(&mongod.address(), mode, &[]);
        find(&checks(&proxy), "upstream", verdict, "by TLS");
    }
}

#[test]
fn own_certificates() {
    let folder = Scratch::new("doctor");
    let authority = Authority::new("CA").unwrap();
    let write = |name: &str, request: &Request| {
        let path = folder.join(name).to_string_lossy().into_owned();
        std::fs::write(&path, authority.issue(request).unwrap().pem()).unwrap();
        path
    };
    let soon = certs_gen::Validity::Seconds(5 * 86_400 - 3_600);
    let server = Hello::start();
    let proxy_with = |file: &str, mode: &str| {
        let outbound = format!("127.0.0.1:0={}", server.address());
        let (upstream, ca) = (server.address(), cert("ca.pem"));
        let fixed = ["--port", "0", "--upstream", &upstream, "--upstreamTLS", "never", "--sslMode", mode];
        let more = ["--sslPEMKeyFile", file, "--sslCAFile", &ca, "--outbound", &outbound];
        Proxy::start(fixed.iter().chain(&more))
    };
    server.say(doc! { "setName": "rs", "me": "db1.example:27017", "hosts": ["db1.example:27017"], "secondary": true });
    let rows = [
        (Request::member("db1.example"), "allowSSL", "ok", "valid for the name of this node"),
        (Request::member("db2.example"), "allowSSL", "failed", "not valid for db1.example"),
        (Request::member("db2.example"), "disabled", "warning", "not valid for db1.example"),
        (Request::server("db1.example"), "preferSSL", "failed", "lacks clientAuth"),
        (Request::server("db1.example"), "allowSSL", "warning", "lacks clientAuth"),
        (Request::client("db1.example").names(["db1.example"]), "allowSSL", "failed", "lacks serverAuth"),
        (Request::member("db1.example").valid(soon), "allowSSL", "warning", "expires in 4 days"),
    ];
    for (number, (request, mode, verdict, text)) in rows.iter().enumerate() {
        let proxy = proxy_with(&write(&format!("{number}.pem"), request), mode);
        find(&checks(&proxy), "certificates", verdict, text);
    }
}

#[test]
fn clocks_states_and_versions_of_the_server() {
    let ahead = |seconds: i64| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        DateTime::from_millis((i64::try_from(now).unwrap() + seconds) * 1000)
    };
    let secondary = doc! { "setName": "rs", "secondary": true, "version": "6.0.5" };
    for (offset, verdict, text) in [
        (0, "ok", "within 5 s"),
        (60, "warning", "ahead of this host's"),
        (-60, "warning", "behind this host's"),
        // The certificate is valid since an hour ago.
        (-7200, "failed", "is not valid there"),
    ] {
        let server = Hello::start();
        let proxy = start(&server.address(), "allowSSL", &["--upstreamTLS", "never"]);
        // Set after the start, because the stand-in repeats this time while the clock goes on.
        let mut hello = secondary.clone();
        hello.insert("localTime", ahead(offset));
        server.say(hello);
        find(&checks(&proxy), "clock", verdict, text);
    }
    let (server, other) = (Hello::start(), Hello::start());
    let hosts = vec![server.address(), other.address()];
    server.say(doc! { "me": server.address(), "hosts": hosts, "setName": "rs", "version": "6.0.5" });
    other.say(doc! { "setName": "rs", "secondary": true, "version": "4.4.2" });
    let proxy = start(&server.address(), "allowSSL", &["--upstreamTLS", "never"]);
    let found = checks(&proxy);
    find(&found, "members", "warning", "neither primary, secondary nor arbiter");
    find(&found, "members", "warning", "different releases (4.4, 6.0)");
    // The set advertises the server itself.
    find(&found, "bypass", "failed", "bypass tlsramp");
}

#[test]
fn modes_of_the_other_nodes() {
    let members: Vec<_> = (0..3).map(|_| Member::start(&[])).collect();
    form(&members, &[]);
    let [one, two, three] = &members[..] else { unreachable!() };
    let found = checks(&one.proxy);
    find(&found, "modes", "ok", &two.me());
    find(&found, "modes", "ok", &three.me());
    assert_none(&found, "modes", "failed");
    let put = |member: &Member, mode: &str| {
        admin::of(&member.proxy).put("/mode", &json!({ "mode": mode, "force": true }));
    };
    put(two, "allowSSL");
    put(one, "preferSSL");
    let found = checks(&one.proxy);
    find(&found, "modes", "ok", "accepts plaintext and TLS");
    let behind = find(&found, "modes", "failed", &three.me());
    assert!(behind["text"].as_str().unwrap().contains("2 steps ahead"), "{behind}");
    put(three, "requireSSL");
    find(&checks(&two.proxy), "modes", "failed", "2 steps behind");
    put(two, "preferSSL");
    let found = checks(&two.proxy);
    find(&found, "modes", "ok", "accepts TLS only");
    assert_none(&found, "modes", "failed");
    let (code, page) = doctor(&two.proxy, &[]);
    assert!(code == 0 && page.contains("modes of other nodes (2)"), "{page}");
}

#[test]
fn few_descriptors() {
    require_command!("prlimit");
    let server = Hello::start();
    server.say(doc! {});
    let limited = ["prlimit", "--nofile=1024:1024"].map(str::to_owned);
    let flags = |more: &[&str]| flags(&server.address(), "disabled", &[&["--workers", "2"], more].concat());
    let proxy = ProxyBuilder::new(flags(&[])).wrapped(&limited).start();
    let few = find(&checks(&proxy), "descriptors", "warning", "1024 descriptors are enough for 304").clone();
    assert!(few["remedy"].as_str().unwrap().contains("LimitNOFILE"), "{few}");
    let proxy = ProxyBuilder::new(flags(&["--maxIncomingConnections", "5000"])).wrapped(&limited).start();
    find(&checks(&proxy), "descriptors", "warning", "maxIncomingConnections is 5000");
}

#[test]
fn missing_interception_rules() {
    for (mode, verdict) in [("disabled", "warning"), ("preferSSL", "failed")] {
        let (certificate, ca) = (cert("member.pem"), cert("ca.pem"));
        let more =
            ["--outboundTransparent", "0", "--sslMode", mode, "--sslPEMKeyFile", &certificate, "--sslCAFile", &ca];
        let proxy = Proxy::start(more);
        wait("the rules are looked at", || !admin::of(&proxy).get("/status")["redirect"].is_null());
        let found = checks(&proxy);
        let missing = find(&found, "interception", verdict, "no interception rules are in force");
        assert_eq!(missing["remedy"], "`tlsramp netfilter --apply`");
    }
}

#[test]
fn check_says_what_needs_no_running_proxy() {
    let closed = ReservedPort::new();
    let upstream = closed.address().to_string();
    let member = format!("db1.example:{}=127.0.0.1", closed.port());
    let more = ["--upstreamTLS", "never", "--member", &member, "--outbound", "127.0.0.1:0=localhost:1"];
    let run = |more: &[&str]| {
        let args = flags(&upstream, "allowSSL", more);
        let output = run_to_end(["check".to_owned()].into_iter().chain(args));
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, text) = run(&more);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("is not valid for db1.example") && text.contains("Remedy: reissue it"), "{text}");
    assert!(!text.contains("connects to it"), "{text}");
    let began = Instant::now();
    let (code, text) = run(&[&more[..], &["--network"]].concat());
    assert_eq!(code, 0, "{text}");
    let down = format!("warning: servers, {upstream}: allowSSL connects to it in plaintext, which fails: ");
    // A warning if the lookup takes more than a second.
    let found = text.contains("checked: name resolution, localhost: ") || until::busy();
    assert!(text.contains(&down) && found, "{text}");
    assert!(began.elapsed() < Duration::from_secs(15) || until::busy());
}
