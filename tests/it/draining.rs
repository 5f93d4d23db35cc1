//! A stop moves connections at message boundaries, as a recycle does: with real servers, pymongo, and commands by hand.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use bson::{Binary, Document, doc, spec::BinarySubtype};
use serde_json::{Value, json};

use crate::recycling::{replica_set, replica_set_on};
use crate::support::{
    Mongod, Proxy, ReservedPort, mongod, parts, plain::Plain, process, proxy::Signal, require, service::*, until,
};

/// The application does not notice: with the next use of its pool it connects to the next process.
#[test]
fn an_idle_pool_is_moved_at_once() {
    let python = require!(parts::pymongo());
    require!(parts::mongod());
    let reserved = ReservedPort::new();
    let port = reserved.port();
    let (mongod, mut proxy) = replica_set_on(port);
    let mut command = process::tethered(python);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/py/pool.py"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut application = process::spawn(command).unwrap();
    let mut input = application.stdin.take().unwrap();
    let mut lines = BufReader::new(application.stdout.take().unwrap()).lines();
    let mut used = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
    writeln!(input, "{}", json!({ "uri": format!("mongodb://127.0.0.1:{port}/?replicaSet=rs"), "size": 20 })).unwrap();
    let first = used();
    assert_eq!((&first["done"], &first["errors"]), (&json!(20), &json!([])));

    // The pool is idle by the driver's own measure.
    thread::sleep(Duration::from_secs(2));
    let began = Instant::now();
    proxy.signal(Signal::TERM);
    let status = proxy.wait_exit(SOON).expect("no request is in progress");
    let took = began.elapsed();
    println!("a stop with 20 idle pooled connections took {took:?}");
    assert_eq!(status.code(), Some(0));
    // One second of it is for requests that the clients may still send.
    assert!(took < Duration::from_secs(5) || until::busy(), "{took:?}");
    // The monitor's connection is moved first; a driver that loses it closes its pool itself.
    let ended = outcomes(&proxy);
    assert!(ended.iter().any(|outcome| outcome == "drained"), "{ended:?}");
    assert!(ended.iter().all(|outcome| outcome == "drained" || outcome == "completed"), "{ended:?}");

    let upstream = mongod.address();
    let next = ["--port", &port.to_string(), "--upstream", &upstream, "--upstreamTLS", "never"];
    let _next = Proxy::start(next.map(str::to_owned).into_iter().chain(["--adminBind".into(), "127.0.0.1:0".into()]));
    writeln!(input).unwrap();
    let second = used();
    assert_eq!((&second["done"], &second["errors"]), (&json!(20), &json!([])));
    // None of the old ones serves on. On a slow machine, a new one may serve two operations.
    assert!(second["made"].as_u64() > first["made"].as_u64(), "{first} {second}");
    drop(input);
    assert!(process::wait(&mut application, SOON).unwrap().unwrap().success());
}

/// Requests in progress are answered, and a connection in a transaction serves until the transaction has ended.
#[test]
fn requests_and_transactions_are_waited_for() {
    require!(parts::mongod());
    until::proven(requests_and_transactions);
}

/// Returns `false` if the connection was idle for so long that it was right to close it.
fn requests_and_transactions() -> bool {
    let (_mongod, mut proxy) = replica_set();
    let (mut slow, mut within, mut idle) =
        (Plain::connect(proxy.port()), Plain::connect(proxy.port()), Plain::connect(proxy.port()));
    idle.command("test", &doc! { "insert": "c", "documents": [{ "_id": 1 }] });
    let session = doc! { "id": Binary { subtype: BinarySubtype::Uuid, bytes: vec![7; 16] } };
    let part = |command: Document, first: bool| {
        let mut command = command;
        command.extend(doc! { "lsid": session.clone(), "txnNumber": 1_i64, "autocommit": false });
        if first {
            command.insert("startTransaction", true);
        }
        command
    };
    let insert = |id: i32| doc! { "insert": "c", "documents": [{ "_id": id }] };
    slow.send("test", &doc! { "find": "c", "filter": { "$where": "sleep(3000) || true" }, "limit": 1 }).unwrap();
    within.command("test", &doc! { "ping": 1 });
    let last = Instant::now();
    proxy.signal(Signal::TERM);
    proxy.wait_log(|line| line["message"].as_str().is_some_and(|said| said.starts_with("stopping")), SOON);
    let began = Instant::now();
    // A request is looked at if it begins after the stop; see the interval at which a stop looks for connections.
    thread::sleep(Duration::from_millis(300));
    let begun = within.try_command("test", &part(insert(2), true));
    if begun.is_err() && last.elapsed() > NEARLY_IDLE {
        return false;
    }
    assert_eq!(begun.unwrap().get_f64("ok").unwrap(), 1.0);
    assert!(idle.is_ended(), "an idle connection is closed at once");
    assert_eq!(slow.answer().unwrap().get_f64("ok").unwrap(), 1.0);
    assert!(slow.is_ended());
    // Past the time after which a connection is closed at any boundary.
    thread::sleep(Duration::from_secs(4).saturating_sub(began.elapsed()));
    assert_eq!(within.command("test", &part(insert(3), false)).get_f64("ok").unwrap(), 1.0);
    let commit = part(doc! { "commitTransaction": 1 }, false);
    assert_eq!(within.command("admin", &commit).get_f64("ok").unwrap(), 1.0);
    assert!(within.is_ended());
    assert_eq!(proxy.wait_exit(SOON).expect("the transaction is over").code(), Some(0));
    true
}

/// Drivers retry nothing on a standalone server, so only idle connections are closed early. What is at risk is logged.
#[test]
fn on_a_standalone_only_idle_connections_are_closed_early() {
    require!(parts::mongod());
    until::proven(standalone);
}

/// Returns `false` if the busy connection was idle for so long that it was right to close it.
fn standalone() -> bool {
    let mongod = Mongod::start(&mongod::Options::default());
    let upstream = mongod.address();
    let flags = ["--port", "0", "--upstream", &upstream, "--upstreamTLS", "never", "--upstreamProbe", "on"];
    let mut proxy = Proxy::start(flags);
    let (mut busy, mut idle) = (Plain::connect(proxy.port()), Plain::connect(proxy.port()));
    let ping = doc! { "ping": 1 };
    idle.command("admin", &ping);
    busy.command("admin", &ping);
    proxy.signal(Signal::TERM);
    let risk =
        |line: &Value| line["message"].as_str().is_some_and(|said| said.contains("closed once they have been idle"));
    assert_eq!(proxy.wait_log(risk, SOON)["connections"], 2);
    let (began, mut last) = (Instant::now(), Instant::now());
    while began.elapsed() < Duration::from_secs(5) {
        let answer = busy.try_command("admin", &ping);
        if answer.is_err() && last.elapsed() > NEARLY_IDLE {
            return false;
        }
        assert_eq!(answer.expect("it is busy all the time").get_f64("ok").unwrap(), 1.0);
        last = Instant::now();
        thread::sleep(Duration::from_millis(50));
    }
    assert!(idle.is_ended());
    assert!(busy.is_ended(), "idle now");
    assert_eq!(proxy.wait_exit(SOON).expect("nothing is open").code(), Some(0));
    true
}

/// A stop closes connections that were idle for a second.
const NEARLY_IDLE: Duration = Duration::from_millis(800);
