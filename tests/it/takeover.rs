//! A new process replaces a running one by `--takeover`: nothing is refused, reset or lost, and if the new process fails,
//! the running one serves on.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

mod orders;
mod site;
mod storm;

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    os::unix::{fs::PermissionsExt as _, net::UnixStream},
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use bson::doc;
use rustix::process::{Pid, kill_process};
use serde_json::{Value, json};

use site::{Site, hear, say};
use storm::{Storm, shown};

use crate::support::{
    Mark, Mongod, Proxy, ProxyBuilder, ReservedPort, Scratch,
    admin::{self, Admin},
    mongod, parts,
    plain::Plain,
    process,
    proxy::Signal,
    require, require_command, require_root,
    service::*,
    until,
};

/// The listeners of every kind go over, to more and to fewer workers, and with them the state that a restart would lose.
#[test]
fn sockets_and_state_go_over() {
    let site = Site::new();
    let mut old = site.launch(&["--workers", "2"]);
    old.wait_ready();
    let admin = site.admin();
    admin.post("/lease", &json!({ "holder": "rollout-7", "ttlSecs": 600 }));
    admin.put("/mode", &json!({ "mode": "preferSSL", "holder": "rollout-7", "force": true }));
    admin.post("/accept", &json!({ "key": "10.0.0.7/nightly/PyMongo" }));
    admin.post("/members", &json!({ "sets": { "rs0": ["db1.example.net:27017"] }, "holder": "rollout-7" }));
    let mut open = TcpStream::connect(site.inbound.address()).unwrap();
    // A complete message identifies the client.
    echoes(&mut open, &ping());
    let rows = |admin: Admin| {
        let clients = admin.get("/clients");
        clients["clients"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| (row["number"].clone(), row["key"].clone()))
            .collect::<Vec<_>>()
    };
    let (status, history, clients) = (admin.get("/status"), admin.get("/history"), rows(admin));
    assert_eq!(clients.len(), 1, "{clients:?}");

    for workers in ["5", "1"] {
        let mut new = site.launch(&["--workers", workers]);
        new.wait_ready();
        crate::support::wait("the new process answers", || admin.get("/status")["pid"] == new.pid());
        // The messages of this client cannot be followed, so it is waited for.
        drop(std::mem::replace(&mut open, TcpStream::connect(site.inbound.address()).unwrap()));
        echoes(&mut open, b"after");
        assert_eq!(old.wait_exit(SOON).expect("it was replaced").code(), Some(0));
        let replaced = new.wait_log(|line| line["message"] == "replaced a running tlsramp", SOON);
        assert_eq!(replaced["pid"], old.pid(), "also if that one has replaced another");
        let now = admin.get("/status");
        for kept in ["sslMode", "modeSince", "modeBy", "configuredMode"] {
            assert_eq!(now[kept], status[kept], "{kept}");
        }
        assert_eq!(now["lease"]["holder"], "rollout-7", "{now}");
        assert!(now["generation"].as_u64() > status["generation"].as_u64(), "{now}");
        let (before, after) = (history["history"].as_array().unwrap(), admin.get("/history"));
        assert_eq!(after["history"].as_array().unwrap()[..before.len()], before[..]);
        assert_eq!(rows(admin), clients, "rows keep their numbers");
        assert_eq!(site.asked_by_unix("/livez").split(' ').nth(1), Some("200"));
        for address in [site.inbound.address(), site.outbound.address(), site.redirected.address()] {
            // As many as reach every worker's socket.
            let clients: Vec<_> = (0..16).map(|_| TcpStream::connect(address).unwrap()).collect();
            if address != site.redirected.address() {
                for mut client in clients {
                    client.set_read_timeout(Some(SOON)).unwrap();
                    if address == site.inbound.address() {
                        echoes(&mut client, b"served");
                    }
                }
            }
        }
        assert_eq!(admin::at(site.probes.address()).request("GET", "/livez", None).status, 200);
        old = new;
    }
    let saved: Value = serde_json::from_slice(&fs::read(site.folder.join("state")).unwrap()).unwrap();
    assert_eq!(saved["members"]["rs0"], json!(["db1.example.net:27017"]), "{saved}");
    assert_eq!(saved["inventory"]["accepted"], json!(["10.0.0.7/nightly/PyMongo"]), "{saved}");
    drop(open);
    assert_eq!(old.terminate().code(), Some(0));
    assert!(
        !site.takeover().exists() && !site.folder.join("admin.sock").exists(),
        "the last process removes the files"
    );
}

/// A new process that cannot start, or ends at any point before it is ready, changes nothing: not even an open connection
/// ends. Changes wait while the state is handed over.
#[test]
fn a_new_process_that_fails_leaves_the_running_one() {
    until::proven(new_processes_that_fail);
}

/// Returns `false` if a process that was to be killed while it started had started already.
fn new_processes_that_fail() -> bool {
    let site = Site::new();
    let mut old = site.launch(&[]);
    old.wait_ready();
    let admin = site.admin();
    let mut open = TcpStream::connect(site.inbound.address()).unwrap();
    open.set_read_timeout(Some(SOON)).unwrap();
    echoes(&mut open, b"before");
    let mut serves_on = || {
        echoes(&mut open, b"still here");
        echoes(&mut TcpStream::connect(site.inbound.address()).unwrap(), b"new here");
        assert_eq!(admin.get("/status")["pid"], old.pid());
        assert_eq!(site.asked_by_unix("/livez").split(' ').nth(1), Some("200"));
    };

    // It finds a mistake after it has received the state: the address is in use.
    let used = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut fails = site.launch(&["--outbound", &format!("{}=127.0.0.1:9", used.local_addr().unwrap())]);
    assert!(matches!(fails.wait_exit(SOON).expect("it cannot start").code(), Some(1 | 2)));
    serves_on();

    // It is killed at any time while it starts.
    for after in [0, 1, 2, 4, 8] {
        let mut killed = site.launch(&[]);
        thread::sleep(Duration::from_millis(after));
        if has_replaced(&killed, &old) {
            return false;
        }
        killed.kill();
        serves_on();
    }

    // It ends after the freeze.
    let mut channel = UnixStream::connect(site.takeover()).unwrap();
    channel.set_read_timeout(Some(SOON)).unwrap();
    say(&mut channel, &json!({ "begin": { "protocol": 1, "version": "test" } }));
    let sockets = hear(&mut channel);
    let sockets = sockets["sockets"]["sockets"].as_array().unwrap().len();
    assert!(sockets >= 6, "{sockets}");
    // One byte for each message with sockets, which are closed unless they are received.
    channel.read_exact(&mut vec![0; sockets.div_ceil(64)]).unwrap();
    say(&mut channel, &json!("freeze"));
    let state = hear(&mut channel);
    assert_eq!(state["state"]["mode"]["mode"], "allowSSL", "{state}");
    let change = thread::spawn(move || admin.put("/mode", &json!({ "mode": "preferSSL", "force": true })));
    thread::sleep(Duration::from_millis(300));
    assert!(!change.is_finished(), "changes wait");
    assert_eq!(admin.get("/status")["sslMode"], "allowSSL", "reports do not");
    drop(channel);
    assert_eq!(change.join().unwrap()["mode"], "preferSSL");
    serves_on();

    // One that speaks another version is told.
    let mut channel = UnixStream::connect(site.takeover()).unwrap();
    say(&mut channel, &json!({ "begin": { "protocol": 99, "version": "test" } }));
    let refused = hear(&mut channel);
    assert!(refused["refused"]["reason"].as_str().unwrap().contains("version 99"), "{refused}");

    // And a good one replaces it.
    let mut new = site.launch(&[]);
    new.wait_ready();
    drop(open);
    assert_eq!(old.wait_exit(SOON).expect("it was replaced").code(), Some(0));
    assert_eq!(site.admin().get("/status")["sslMode"], "preferSSL");
    let log = new.log().lines(Mark::START).join("\n");
    assert!(!log.contains("persisted mode"), "the mode comes from the old process, not from the file: {log}");
    assert_eq!(new.terminate().code(), Some(0));
    true
}

/// The first process of a container cannot be replaced, because all others end with it.
#[test]
fn the_first_process_of_a_container_starts_no_other() {
    require_root!();
    let site = Site::new();
    let launcher = ["unshare", "--pid", "--fork", "--kill-child"].map(str::to_owned);
    let mut proxy = ProxyBuilder::new(site.args(&[])).wrapped(&launcher).launch();
    proxy.wait_ready();
    assert_eq!(site.admin().get("/status")["pid"], 1);
    let launcher = proxy.pid();
    let first = fs::read_to_string(format!("/proc/{launcher}/task/{launcher}/children")).unwrap();
    let first = Pid::from_raw(first.trim().parse().unwrap()).unwrap();
    kill_process(first, Signal::USR2).unwrap();
    proxy.wait_log(|line| line["message"].as_str().is_some_and(|said| said.contains("SIGUSR2 is ignored")), SOON);
    kill_process(first, Signal::TERM).unwrap();
    assert_eq!(proxy.wait_exit(SOON).expect("it was stopped").code(), Some(0));
    let started = proxy
        .log()
        .objects(Mark::START)
        .into_iter()
        .filter(|line| line["message"].as_str().is_some_and(|said| said.contains("started a new process")));
    assert_eq!(started.count(), 0);
}

/// A listener that only the old configuration has is closed, one that only the new one has is opened, and a mode that the
/// new configuration changes is used.
#[test]
fn the_new_configuration_counts() {
    let site = Site::new();
    let mut old = site.launch(&[]);
    old.wait_ready();
    let (inbound, added) = (site.inbound.port().to_string(), ReservedPort::new());
    let upstream = site.upstream.address.to_string();
    let takeover = site.takeover().to_string_lossy().into_owned();
    let outbound = format!("{}={}", added.address(), site.peer.address);
    let mut new = ProxyBuilder::new([
        "--port",
        &inbound,
        "--upstream",
        &upstream,
        "--upstreamTLS",
        "never",
        "--takeover",
        &takeover,
        "--outbound",
        &outbound,
        "--adminBind",
        "127.0.0.1:0",
        "--sslMode",
        "disabled",
    ])
    .launch();
    new.wait_ready();
    assert_eq!(old.wait_exit(SOON).expect("it was replaced").code(), Some(0));
    for gone in [site.outbound.address(), site.redirected.address(), site.admin.address(), site.probes.address()] {
        refuses(gone);
    }
    assert!(!site.folder.join("admin.sock").exists(), "the file goes with its socket");
    let mut client = TcpStream::connect(added.address()).unwrap();
    echoes(&mut client, b"a new route");
    assert_eq!(admin::of(&new).get("/status")["sslMode"], "disabled");
    new.wait_log(|line| line["message"].as_str().is_some_and(|said| said.contains("names another mode")), SOON);
    drop(client);
    assert_eq!(new.terminate().code(), Some(0));
}

/// Only the user that runs tlsramp can connect, and no second process without the option.
#[test]
fn the_socket_is_for_the_same_user() {
    let site = Site::new();
    let mut old = site.launch(&[]);
    old.wait_ready();
    assert_eq!(fs::metadata(site.takeover()).unwrap().permissions().mode() & 0o777, 0o600);
    let inbound = site.inbound.port().to_string();
    let mut second =
        ProxyBuilder::new(["--port", &inbound, "--upstream", "127.0.0.1:9", "--upstreamTLS", "never"]).launch();
    assert_eq!(second.wait_exit(SOON).expect("the port is in use").code(), Some(2));
    require_root!();
    let setpriv = require_command!("setpriv");
    fs::set_permissions(site.folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    fs::set_permissions(site.takeover(), fs::Permissions::from_mode(0o666)).unwrap();
    let wrapper = [setpriv.to_string_lossy().into_owned(), "--reuid=65534".into(), "--clear-groups".into()];
    let takeover = site.takeover().to_string_lossy().into_owned();
    let mut other = ProxyBuilder::new([
        "--port",
        "0",
        "--upstream",
        "127.0.0.1:9",
        "--upstreamTLS",
        "never",
        "--takeover",
        &takeover,
    ])
    .wrapped(&wrapper)
    .launch();
    assert_eq!(other.wait_exit(SOON).expect("it is another user").code(), Some(1));
    let _ = other.log().wait(Mark::START, SOON, |_| false);
    let log = other.log().lines(Mark::START).join("\n");
    assert!(log.contains("run both as the same user"), "{log}");
    assert_eq!(old.terminate().code(), Some(0));
}

/// The listening sockets of a transparent route are transparent already, so the new process needs no capability.
#[test]
fn a_transparent_listener_goes_over_without_a_capability() {
    require_root!();
    let setpriv = require_command!("setpriv");
    let site = Site::new();
    let mut old = site.launch(&["--inboundTransparent"]);
    old.wait_ready();
    let wrapper = [&*setpriv.to_string_lossy(), "--bounding-set=-all", "--inh-caps=-all"].map(str::to_owned);
    let without = |args: &[&str]| ProxyBuilder::new(site.args(args)).wrapped(&wrapper).launch();
    let mut new = without(&["--inboundTransparent"]);
    new.wait_ready();
    assert_eq!(old.wait_exit(SOON).expect("it was replaced").code(), Some(0));
    echoes(&mut TcpStream::connect(site.inbound.address()).unwrap(), b"served");
    assert_eq!(new.terminate().code(), Some(0));
    let mut alone = without(&["--inboundTransparent"]);
    assert_eq!(alone.wait_exit(SOON).expect("there is nothing to take over").code(), Some(2));
}

/// Replacements under load. `TLSRAMP_STORM=full` makes it the whole of it: 1,000 connections a second, 200 busy clients, ten
/// replacements.
#[test]
fn nobody_notices_under_load() {
    let python = require!(parts::pymongo());
    require!(parts::mongod());
    let full = env::var("TLSRAMP_STORM").is_ok_and(|storm| storm == "full");
    // The pauses leave two processors enough time for the connections. No pooled connection is idle for a second.
    let (rate, workers, pause, rounds) = if full { (1000, 200, 0.25, 10) } else { (100, 20, 0.0, 3) };
    let (port, admin_port, folder) = (ReservedPort::new(), ReservedPort::new(), Scratch::new("storm"));
    let options = mongod::Options { replica_set: Some("rs".into()), ..mongod::Options::default() };
    let mongod = Mongod::start(&options);
    let takeover = folder.join("takeover.sock").to_string_lossy().into_owned();
    let args = [
        ["--port", &port.port().to_string()],
        ["--upstream", &mongod.address()],
        ["--upstreamTLS", "never"],
        ["--upstreamProbe", "on"],
        ["--adminBind", &admin_port.address().to_string()],
        ["--takeover", &takeover],
    ]
    .concat()
    .into_iter()
    .map(str::to_owned)
    .collect::<Vec<_>>();
    let mut old = Proxy::start(&args);
    let mut client = Plain::connect(port.port());
    let member = format!("127.0.0.1:{}", port.port());
    client.command("admin", &doc! { "replSetInitiate": { "_id": "rs", "members": [{ "_id": 0, "host": member }] } });
    let primary = || client.command("admin", &doc! { "hello": 1 }).get_bool("isWritablePrimary").unwrap_or(false);
    assert!(wait_until(4 * SOON, primary), "no primary");
    drop(client);
    let admin = admin::at(admin_port.address());
    let probed = || admin.get("/status")["upstreams"][0]["state"] == "PRIMARY";
    assert!(wait_until(2 * SOON, probed), "{}", admin.get("/status")["upstreams"]);

    let mut command = process::tethered(python);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/py/recycle.py"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut application = process::spawn(command).unwrap();
    let mut input = application.stdin.take().unwrap();
    let mut lines = BufReader::new(application.stdout.take().unwrap()).lines();
    let uri = format!("mongodb://127.0.0.1:{}/?replicaSet=rs", port.port());
    writeln!(input, "{}", json!({ "uri": uri, "workers": workers, "pause": pause })).unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    let storm = Storm::start(port.address(), rate);
    thread::sleep(Duration::from_secs(1));
    let quiet = storm.taken();
    let (mut longest, mut too_late, began_all) = (Duration::ZERO, 0, Instant::now());
    for round in 0..rounds {
        // A process that is killed while it starts. One that has replaced the old one already is the next one.
        let mut new = ProxyBuilder::new(&args).launch();
        thread::sleep(Duration::from_millis(round));
        if has_replaced(&new, &old) {
            new.signal(Signal::CONT);
            too_late += 1;
        } else {
            new.kill();
            new = ProxyBuilder::new(&args).launch();
        }
        new.wait_ready();
        let began = Instant::now();
        let status = old.wait_exit(4 * SOON).expect("it was replaced");
        longest = longest.max(began.elapsed());
        assert_eq!(status.code(), Some(0), "round {round}");
        old = new;
        // A driver repeats an operation once, so no operation may meet two replacements.
        writeln!(input, "again").unwrap();
        assert_eq!(lines.next().unwrap().unwrap(), "all");
    }
    let busy = storm.taken();
    let failed = storm.stop();
    drop(input);
    let report: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    println!("{rounds} replacements; the slowest old process took {longest:?} to end");
    println!("new processes killed before they were ready: {}", rounds - too_late);
    let during = began_all.elapsed().as_secs_f64();
    println!("connects before: {}; during {during:.1} s: {}", shown(quiet), shown(busy));
    println!("application: {} {}", report["done"], report["created"]);
    assert_eq!(failed, Vec::<String>::new());
    assert_eq!(report["errors"], json!([]), "{report}");
    assert_eq!((&report["events_gapless"], &report["halves_equal"]), (&json!(true), &json!(true)), "{report}");
    assert!(longest < Duration::from_secs(if full { 5 } else { 120 }), "{longest:?}");
    assert!(process::wait(&mut application, SOON).unwrap().unwrap().success());
}

/// Suspends a new process, so that its state stays as it is, and returns whether it has replaced the old one. That one may
/// be slow to log it.
fn has_replaced(new: &Proxy, old: &Proxy) -> bool {
    new.signal(Signal::STOP);
    let limit = Duration::from_millis(if until::busy() { 3_000 } else { 200 });
    old.log().wait(Mark::START, limit, is_replaced).is_ok()
}

/// Whether a log line says that the process was replaced.
fn is_replaced(line: &Value) -> bool {
    line["message"].as_str().is_some_and(|said| said.starts_with("replaced:"))
}
