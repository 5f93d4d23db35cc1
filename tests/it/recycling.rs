//! Connections that the current policy would not make are moved at message boundaries, and the applications notice
//! nothing: with a real one-member replica set and pymongo as users run it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::Stdio,
    time::{Duration, Instant},
};

use bson::doc;
use serde_json::{Value, json};

use crate::support::{
    Mongod, Proxy,
    admin::{self, Admin},
    cert, mongod, parts,
    plain::Plain,
    process, require,
    until::wait_until,
};

/// A hundred busy connections, a change stream, monitors, compressed clients and open transactions, while the link to
/// the server changes from plaintext to TLS: all of them are moved, and the application sees no error.
#[test]
fn a_busy_application_is_moved_and_does_not_notice() {
    let python = require!(parts::pymongo());
    require!(parts::mongod());
    let (_mongod, proxy) = replica_set();
    let admin = admin::of(&proxy);
    let mut command = process::tethered(python);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/py/recycle.py"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut application = process::spawn(command).unwrap();
    let mut input = application.stdin.take().unwrap();
    let mut lines = BufReader::new(application.stdout.take().unwrap()).lines();
    let uri = format!("mongodb://127.0.0.1:{}/?replicaSet=rs", proxy.port());
    writeln!(input, "{}", json!({ "uri": uri, "workers": 100, "pause": 0.0 })).unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");

    let changed = admin.put("/mode", &json!({ "mode": "preferSSL" }));
    assert_eq!(changed["mode"], "preferSSL", "{changed}");
    let before = non_conforming(&admin);
    // Fewer than the workers: those that are between two operations have given their connection back.
    assert!(before >= 50, "{before} connections to move");
    let reply = admin.post("/recycle", &json!({ "waitSecs": 60 }));
    assert_eq!((&reply["waiting"], &reply["cut"], &reply["atRisk"]), (&json!(0), &json!(0), &json!(0)), "{reply}");
    // A driver that has lost one connection closes the other ones of its pool itself. These count as ended, and have
    // moved too.
    let number = |name: &str| reply[name].as_u64().unwrap();
    assert!(number("moved") >= 3 && number("moved") + number("ended") >= 50, "{reply}");
    assert_eq!(non_conforming(&admin), 0);

    drop(input);
    let report: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(report["errors"], json!([]), "{report}");
    assert_eq!((&report["events_gapless"], &report["halves_equal"]), (&json!(true), &json!(true)), "{report}");
    assert!(report["events"].as_u64().unwrap() > 10 && report["done"]["compressed"].as_u64().unwrap() > 10, "{report}");
    assert!(process::wait(&mut application, Duration::from_secs(30)).unwrap().unwrap().success());
    let moved = || proxy.records().iter().filter(|record| record["outcome"] == "recycled").count();
    assert!(
        wait_until(Duration::from_secs(30), || Some(moved() as u64) == reply["moved"].as_u64()),
        "{} records: {reply}",
        moved()
    );
}

/// Drivers do not retry everything on a standalone server: the number of connections at risk is reported first, and
/// nothing is moved unless forced.
#[test]
fn on_a_standalone_the_number_at_risk_comes_first() {
    require!(parts::mongod());
    let mongod = Mongod::start(&mongod::Options { tls: Some(tls()), ..mongod::Options::default() });
    let proxy = proxy(&mongod, 0);
    let admin = admin::of(&proxy);
    let mut client = Plain::connect(proxy.port());
    client.hello("on a standalone");
    admin.put("/mode", &json!({ "mode": "preferSSL" }));
    let reply = admin.post("/recycle", &json!({}));
    assert_eq!((&reply["atRisk"], &reply["moved"], &reply["waiting"]), (&json!(1), &json!(0), &json!(0)), "{reply}");
    assert_eq!(client.command("admin", &doc! { "ping": 1 }).get_f64("ok").unwrap(), 1.0, "it was left alone");
    let reply = admin.post("/recycle", &json!({ "force": true }));
    assert_eq!((&reply["atRisk"], &reply["moved"]), (&json!(1), &json!(1)), "{reply}");
    assert!(client.is_ended());
}

/// A request in progress is waited for; requests that the client sends after the end are never run.
#[test]
fn a_request_under_way_is_waited_for_unless_a_grace_is_given() {
    require!(parts::mongod());
    let (_mongod, proxy) = replica_set();
    let admin = admin::of(&proxy);
    let sleep = doc! { "find": "c", "filter": { "$where": "sleep(10000) || true" }, "limit": 1 };
    let mut patient = Plain::connect(proxy.port());
    patient.command("test", &doc! { "insert": "c", "documents": [{ "_id": 1 }] });
    admin.put("/mode", &json!({ "mode": "preferSSL" }));
    patient.send("test", &sleep).unwrap();
    let began = Instant::now();
    let reply = admin.post("/recycle", &json!({ "waitSecs": 20 }));
    assert_eq!((&reply["waiting"], &reply["cut"]), (&json!(0), &json!(0)), "{reply}");
    assert!(began.elapsed() > Duration::from_secs(1), "the answer was waited for");
    assert_eq!(patient.answer().unwrap().get_f64("ok").unwrap(), 1.0);
    assert!(patient.is_ended());

    // A connection from before the change, as the mode goes down and up again.
    admin.put("/mode", &json!({ "mode": "allowSSL", "force": true }));
    let mut cut = Plain::connect(proxy.port());
    cut.command("admin", &doc! { "ping": 1 });
    admin.put("/mode", &json!({ "mode": "preferSSL" }));
    cut.send("test", &sleep).unwrap();
    let reply = admin.post("/recycle", &json!({ "graceSecs": 1, "waitSecs": 20 }));
    assert_eq!((&reply["waiting"], &reply["cut"]), (&json!(0), &json!(1)), "{reply}");
    assert!(cut.answer().is_err(), "cut in the middle, as asked");
}

pub(crate) fn non_conforming(admin: &Admin) -> u64 {
    admin.get("/status")["connections"]["nonConforming"].as_u64().unwrap()
}

fn tls() -> mongod::Tls {
    mongod::Tls { mode: "allowTLS", certificate_key_file: cert("server.pem"), ca_file: Some(cert("ca.pem")) }
}

/// A proxy whose link follows the policy, in front of a mongod that accepts both kinds of links.
fn proxy(mongod: &Mongod, port: u16) -> Proxy {
    let upstream = format!("localhost:{}", mongod.port());
    let port = port.to_string();
    let flags = ["--port", &port, "--upstream", &upstream, "--sslMode", "allowSSL", "--upstreamProbe", "on"];
    let files = [("--sslPEMKeyFile", "server.pem"), ("--sslCAFile", "ca.pem"), ("--sslClusterFile", "member.pem")];
    let files = files.map(|(flag, file)| [flag.to_owned(), cert(file)]);
    Proxy::start(flags.into_iter().map(str::to_owned).chain(files.into_iter().flatten()))
}

/// A one-member set that advertises the proxy's address.
pub(crate) fn replica_set() -> (Mongod, Proxy) {
    replica_set_on(0)
}

/// The same, where the proxy listens on a port of the caller's; 0: on any.
pub(crate) fn replica_set_on(port: u16) -> (Mongod, Proxy) {
    let options = mongod::Options { tls: Some(tls()), replica_set: Some("rs".into()), ..mongod::Options::default() };
    let mongod = Mongod::start(&options);
    let proxy = proxy(&mongod, port);
    let mut client = Plain::connect(proxy.port());
    let member = format!("127.0.0.1:{}", proxy.port());
    let config = doc! { "_id": "rs", "members": [{ "_id": 0, "host": member }] };
    let reply = client.command("admin", &doc! { "replSetInitiate": config });
    assert_eq!(reply.get_f64("ok").unwrap(), 1.0, "{reply}");
    let until = Instant::now() + Duration::from_secs(120);
    while !client.command("admin", &doc! { "hello": 1 }).get_bool("isWritablePrimary").unwrap_or(false) {
        assert!(Instant::now() < until, "no primary");
        std::thread::sleep(Duration::from_millis(50));
    }
    let admin = admin::of(&proxy);
    while admin.get("/status")["upstreams"][0]["state"] != "PRIMARY" {
        assert!(Instant::now() < until, "the probe does not see the primary");
        std::thread::sleep(Duration::from_millis(50));
    }
    (mongod, proxy)
}
