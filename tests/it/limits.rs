//! Limits on connections, descriptors and log lines, none of which leads to an outage.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    process::Command,
    thread,
    time::Duration,
};

use serde_json::Value;

use crate::support::service::{SOON, Upstream, connect, echoes, echoes_back, in_front_of, reload, wait_until, yaml};
use crate::support::{Mark, Proxy, ProxyBuilder, admin, cert, require_command, run_to_end, until};

#[test]
fn a_connection_too_many_waits_and_is_served_when_one_ends() {
    let upstream = Upstream::start();
    let proxy = Proxy::start(with(&upstream, &["--maxIncomingConnections", "3", "--workers", "1"]));
    let mut open = served(&proxy, 3);
    let mut waiting = connect(&proxy);
    waiting.write_all(b"waits").unwrap();
    proxy.wait_log(is_full, SOON);
    assert_eq!(upstream.accepted(), 3);
    shown_as_waiting(&proxy, waiting.local_addr().unwrap());
    drop(open.pop());
    echoes_back(&mut waiting, b"waits");
    assert!(listed(&proxy).iter().all(|row| row.get("waiting").is_none()), "it has a slot now");
    for client in &mut open {
        echoes(client, b"as before");
    }
    assert_eq!(upstream.accepted(), 4);
}

/// The only connection that waits is listed with its address and age, but not as non-conforming.
fn shown_as_waiting(proxy: &Proxy, peer: SocketAddr) {
    let rows = listed(proxy);
    let waiting: Vec<_> = rows.iter().filter(|row| row["waiting"] == true).collect();
    assert_eq!((rows.len(), waiting.len()), (4, 1), "{rows:?}");
    let row = waiting[0];
    assert_eq!((&row["peer"], &row["route"]), (&peer.to_string().into(), &"inbound".into()), "{row}");
    assert!(row["ageSecs"].is_u64() && row.get("opening").is_none() && row.get("mode").is_none(), "{row}");
    for (command, texts) in [
        ("connections --each", &["3 connections open", "1 connection waits for a", "waits for a slot"][..]),
        ("connections --non-conforming", &["Every open connection conforms"]),
        (&format!("whois {peer}"), &["waits for a connection slot on inbound, for "]),
    ] {
        let shown = ctl(proxy, command);
        assert!(texts.iter().all(|text| shown.contains(text)), "{command}: {shown}");
    }
}

fn listed(proxy: &Proxy) -> Vec<Value> {
    let reply: Value = serde_json::from_str(&ctl(proxy, "connections --json")).unwrap();
    reply["connections"].as_array().unwrap().clone()
}

fn ctl(proxy: &Proxy, command: &str) -> String {
    let admin = proxy.address("admin").to_string();
    let output = run_to_end(["ctl", "--admin", &admin].into_iter().chain(command.split(' ')));
    String::from_utf8(output.stdout).unwrap()
}

/// The kernel distributes connections over the workers arbitrarily: any worker must be able to use any free slot.
#[test]
fn every_slot_can_be_had_whatever_worker_a_connection_comes_to() {
    let upstream = Upstream::start();
    let proxy = Proxy::start(with(&upstream, &["--maxIncomingConnections", "3", "--workers", "16"]));
    for _ in 0..10 {
        drop(served(&proxy, 3));
    }
}

#[test]
fn a_silent_client_takes_a_slot() {
    let upstream = Upstream::start();
    let proxy = Proxy::start(with(&upstream, &["--maxIncomingConnections", "1", "--workers", "1"]));
    let silent = connect(&proxy);
    let mut waiting = connect(&proxy);
    waiting.write_all(b"waits").unwrap();
    proxy.wait_log(is_full, SOON);
    assert_eq!(upstream.accepted(), 0);
    drop(silent);
    echoes_back(&mut waiting, b"waits");
}

#[test]
fn outbound_connections_are_served_while_all_inbound_slots_are_taken() {
    let upstream = Upstream::start();
    let route = format!("127.0.0.1:0={}", upstream.address);
    let proxy =
        Proxy::start(with(&upstream, &["--maxIncomingConnections", "3", "--workers", "1", "--outbound", &route]));
    let _open = served(&proxy, 3);
    let mut waiting = connect(&proxy);
    waiting.write_all(b"waits").unwrap();
    proxy.wait_log(is_full, SOON);
    let mut local = Vec::new();
    for _ in 0..10 {
        let mut client = TcpStream::connect(proxy.outbound(0)).unwrap();
        client.set_read_timeout(Some(SOON)).unwrap();
        echoes(&mut client, b"from the local server");
        local.push(client);
    }
    assert_eq!(upstream.accepted(), 13, "and the fourth inbound one still waits");
}

#[test]
fn a_limit_raised_by_a_reload_lets_those_in_that_wait() {
    let upstream = Upstream::start();
    let proxy = Proxy::start_with_config(&limited(&upstream, 2), ["--port", "0", "--workers", "1"]);
    let mut open = served(&proxy, 2);
    let mut waiting = connect(&proxy);
    waiting.write_all(b"waits").unwrap();
    proxy.wait_log(is_full, SOON);
    reload(&proxy, &limited(&upstream, 4));
    echoes_back(&mut waiting, b"waits");
    open.extend(served(&proxy, 1));

    let from = proxy.mark();
    let _fifth = connect(&proxy);
    let full = proxy.wait_log_since(from, is_full, SOON);
    assert_eq!(full["limit"], 4, "{full}");
    assert_eq!(upstream.accepted(), 4);
}

#[test]
fn a_limit_lowered_by_a_reload_ends_nobody_and_holds_once_enough_have_left() {
    let upstream = Upstream::start();
    let proxy = Proxy::start_with_config(&limited(&upstream, 3), ["--port", "0", "--workers", "1"]);
    let mut open = served(&proxy, 3);
    reload(&proxy, &limited(&upstream, 1));
    for client in &mut open {
        echoes(client, b"still served");
    }
    let mut waiting = connect(&proxy);
    waiting.write_all(b"waits").unwrap();
    for _ in 0..2 {
        let from = proxy.mark();
        drop(open.pop());
        proxy.wait_record(from, |record| record["outcome"] == "completed", SOON);
    }
    for _ in 0..100 {
        echoes(&mut open[0], b"still served");
    }
    assert_eq!(upstream.accepted(), 3, "the one that is left is the one that there may be");
    drop(open);
    echoes_back(&mut waiting, b"waits");
    let _other = connect(&proxy);
    let waiting = || admin::of(&proxy).get("/status")["slots"][0]["waiting"] == 1;
    assert!(wait_until(SOON, waiting), "the other one does not wait");
    // Logged for the first or the second that waits, whichever is still waiting a second later.
    assert_eq!(proxy.log().wait(Mark::START, SOON, is_full).unwrap()["limit"], 1);
    assert_eq!(upstream.accepted(), 4);
}

#[test]
fn the_soft_descriptor_limit_is_raised_to_the_hard_one() {
    let upstream = Upstream::start();
    let proxy = start_under("ulimit -Sn 256 && ulimit -Hn 4096", &in_front_of(&upstream));
    let limits = fs::read_to_string(format!("/proc/{}/limits", proxy.pid())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let numbers: Vec<&str> = line.split_whitespace().filter(|word| word.parse::<u64>().is_ok()).collect();
    assert_eq!(numbers, ["4096", "4096"], "{line}");
}

/// By default, the proxy accepts no more connections than its descriptors allow, so it never runs out of them.
#[test]
fn by_itself_it_takes_no_more_connections_than_its_descriptors_carry() {
    let upstream = Upstream::start();
    let args = with(&upstream, &["--workers", "1"]);
    let proxy = start_under("ulimit -n 235", &args);
    // 235 less 128 reserved, less a quarter for the admin port, less 16 for the worker, leaves 16 connections of two
    // descriptors each. 80 % of them, 12, are for inbound connections, less two, whose descriptors are for the four
    // connections that may wait.
    let mut open = (0..10).map(|_| connect(&proxy)).collect::<Vec<_>>();
    for client in &mut open {
        echoes(client, b"served");
    }
    let mut waiting = connect(&proxy);
    waiting.write_all(b"waits").unwrap();
    let full = proxy.log().wait(Mark::START, SOON, is_full).unwrap();
    assert_eq!(full["limit"], 10, "{full}");
    drop(open.pop());
    echoes_back(&mut waiting, b"waits");
    assert!(!proxy.log().objects(Mark::START).iter().any(is_out_of_descriptors));
}

/// Clients fill their slots and the queue; further ones are closed, as by mongod. Members still get the slots that are
/// reserved for them.
#[test]
fn a_storm_of_clients_does_not_starve_members() {
    let upstream = Upstream::start();
    let member = ["--member", "db2.example.net:27017=127.0.0.2", "--member", "db3.example.net:27017=127.0.0.3"];
    let more = [&member[..], &["--memberReserve", "3", "--maxIncomingConnections", "8"]].concat();
    let proxy = start_under("ulimit -n 400", &with(&upstream, &more));
    // Five slots are for all clients, and some connections wait.
    let storm =
        (0..400).map(|_| TcpStream::connect(proxy.address("inbound"))).map_while(Result::ok).collect::<Vec<_>>();
    let turned_away = |line: &serde_json::Value| line["outcome"] == "too_many_connections";
    proxy.log().wait(Mark::START, SOON, turned_away).unwrap();
    let mut members: Vec<_> = (0..3).map(|_| from([127, 0, 0, 2], proxy.address("inbound"))).collect();
    for member in &mut members {
        echoes(member, b"heartbeat");
    }
    assert_eq!(upstream.accepted(), 3);
    // Once a reserved slot is free, the next member gets it in spite of the waiting clients.
    drop(members.pop());
    assert!(wait_until(SOON, || {
        let mut another = from([127, 0, 0, 3], proxy.address("inbound"));
        another.write_all(b"heartbeat").is_ok() && another.read_exact(&mut [0; 9]).is_ok()
    }));
    drop(storm);
}

fn from(source: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream
}

/// As mongod does, the number is reduced: more slots than descriptors would lead to errors.
#[test]
fn a_number_that_the_descriptors_do_not_carry_is_cut_with_a_word() {
    let upstream = Upstream::start();
    let proxy =
        start_under("ulimit -n 235", &with(&upstream, &["--maxIncomingConnections", "10000", "--workers", "1"]));
    let cut = proxy.log().wait(Mark::START, SOON, |line| line["asked"] == 10_000).unwrap();
    assert_eq!((&cut["most"], &cut["level"]), (&10.into(), &"WARN".into()), "{cut}");
    let mut open = (0..10).map(|_| connect(&proxy)).collect::<Vec<_>>();
    for client in &mut open {
        echoes(client, b"served");
    }
    let mut waiting = connect(&proxy);
    waiting.write_all(b"waits").unwrap();
    assert_eq!(proxy.log().wait(Mark::START, SOON, is_full).unwrap()["limit"], 10);
}

#[test]
fn out_of_descriptors_it_does_not_spin_and_serves_again_when_clients_leave() {
    let upstream = Upstream::start();
    require_command!("prlimit");
    let proxy = start_under("ulimit -n 4096", &with(&upstream, &["--maxIncomingConnections", "1000"]));
    // The proxy relies on the limit under which it was started; this removes most of it.
    let mut lower = Command::new("prlimit");
    lower.args(["--pid", &proxy.pid().to_string(), "--nofile=128:128"]);
    assert!(lower.status().unwrap().success());
    // Silent clients: each takes one descriptor, and no dial can fail for lack of another one.
    let clients = (0..400).map(|_| connect(&proxy)).collect::<Vec<_>>();
    proxy.log().wait(Mark::START, SOON, is_out_of_descriptors).unwrap();
    // On a slow machine, the first of these times may still be spent on accepting the clients.
    until::proven(|| {
        let before = proxy.cpu();
        // The time that is measured, not a wait for a state.
        thread::sleep(Duration::from_secs(2));
        let spent = proxy.cpu() - before;
        println!("{spent} of 200 ticks of CPU while out of descriptors");
        spent <= 20
    });
    assert_eq!(upstream.accepted(), 0);

    drop(clients);
    // Connections that still wait in the accept queue are refused first, which takes descriptors for a while.
    let served_again = || {
        let (mut client, mut back) = (connect(&proxy), [0; 5]);
        client.write_all(b"again").is_ok() && client.read_exact(&mut back).is_ok() && &back == b"again"
    };
    assert!(wait_until(SOON, served_again), "it serves nobody any more");
}

#[test]
fn a_flood_of_refused_clients_leaves_few_lines_and_a_count_of_the_rest() {
    let proxy = Proxy::start(refusing());
    let from = proxy.mark();
    flood(&proxy, FLOOD);
    let mut told = Told::default();
    proxy.wait_log_since(from, |line| told.add(line) == FLOOD, SOON);
    told.is_bounded();
}

#[test]
fn a_stop_right_after_a_flood_still_counts_what_was_left_out() {
    let mut proxy = Proxy::start(refusing());
    let from = proxy.mark();
    flood(&proxy, FLOOD);
    assert_eq!(proxy.terminate().code(), Some(0));
    let mut told = Told::default();
    // The whole log, which ends when the process has ended.
    let _ = proxy.log().wait(from, SOON, |line| {
        told.add(line);
        false
    });
    assert_eq!(told.total(), FLOOD, "{told:?}");
    told.is_bounded();
}

#[test]
fn fifty_silent_clients_do_not_delay_one_that_speaks() {
    let upstream = Upstream::start();
    let proxy = Proxy::start(with(&upstream, &["--workers", "1", "--sniffTimeout", "10m"]));
    let silent = (0..50).map(|_| connect(&proxy)).collect::<Vec<_>>();
    // Some clients have sent a first byte: waiting for them must not delay others.
    let mut begun = (0..50).map(|_| connect(&proxy)).collect::<Vec<_>>();
    begun.iter_mut().for_each(|client| client.write_all(b"\x16").unwrap());
    for _ in 0..10 {
        drop(served(&proxy, 1));
    }
    assert_eq!(upstream.accepted(), 10);
    assert!(proxy.records().iter().all(|record| record["outcome"] == "completed"), "{:?}", proxy.records());
    drop((silent, begun));
}

fn with(upstream: &Upstream, more: &[&str]) -> Vec<String> {
    let more = more.iter().chain(&["--upstreamProbe", "off"]).map(|&arg| arg.to_owned());
    in_front_of(upstream).into_iter().chain(more).collect()
}

fn limited(upstream: &Upstream, limit: usize) -> String {
    format!("net: {{maxIncomingConnections: {limit}}}\n{}", yaml(upstream))
}

/// Makes this number of connections, each of them served and kept open.
#[track_caller]
fn served(proxy: &Proxy, count: usize) -> Vec<TcpStream> {
    let mut clients = Vec::new();
    for _ in 0..count {
        let mut client = connect(proxy);
        echoes(&mut client, b"served");
        clients.push(client);
    }
    clients
}

fn is_full(line: &Value) -> bool {
    line["message"].as_str().is_some_and(|said| said.starts_with("all connection slots are taken"))
}

fn is_out_of_descriptors(line: &Value) -> bool {
    line["message"].as_str().is_some_and(|said| said.starts_with("cannot accept connections, pausing"))
}

/// The flags of a proxy that refuses plaintext; its upstream must not be dialled.
fn refusing() -> Vec<String> {
    let (server, ca) = (cert("server.pem"), cert("ca.pem"));
    let front = ["--port", "0", "--upstream", "127.0.0.1:9", "--upstreamTLS", "never", "--sslMode", "requireSSL"];
    front.into_iter().chain(["--sslPEMKeyFile", &server, "--sslCAFile", &ca]).map(str::to_owned).collect()
}

/// Makes this number of plaintext connections, eight at a time, each of which waits until it is refused.
fn flood(proxy: &Proxy, count: u64) {
    let address = proxy.address("inbound");
    let client = move || {
        let mut client = TcpStream::connect(address).unwrap();
        client.set_read_timeout(Some(SOON)).unwrap();
        client.write_all(b"no message, and no TLS either").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let _ = client.read_to_end(&mut Vec::new());
    };
    let threads = (0..8).map(|_| thread::spawn(move || (0..count / 8).for_each(|_| client())));
    threads.collect::<Vec<_>>().into_iter().for_each(|thread| thread.join().unwrap());
}

/// The log lines about refused plaintext.
#[derive(Debug, Default)]
struct Told {
    /// Number of lines, by the second in their timestamp.
    lines: BTreeMap<String, u64>,
    left_out: u64,
}

impl Told {
    /// Counts a line. Returns the total so far.
    fn add(&mut self, line: &Value) -> u64 {
        if line["outcome"] == "refused_plaintext" {
            match line["message"].as_str() {
                Some("connection") => {
                    let second = line["timestamp"].as_str().unwrap()[..19].to_owned();
                    *self.lines.entry(second).or_default() += 1;
                }
                Some("connection lines left out") => self.left_out += line["connections"].as_u64().unwrap(),
                other => panic!("{other:?}"),
            }
        }
        self.total()
    }

    fn total(&self) -> u64 {
        self.lines.values().sum::<u64>() + self.left_out
    }

    /// Ten lines per second are allowed; a second of the clock may include parts of two seconds of the rate limit.
    #[track_caller]
    fn is_bounded(&self) {
        assert!(self.lines.values().all(|count| *count <= 20), "{self:?}");
        assert!(self.left_out > FLOOD / 2, "{self:?}");
    }
}

const FLOOD: u64 = 2000;

/// Starts a proxy under these limits, through a shell that sets them and then executes the proxy.
fn start_under(ulimit: &str, args: &[String]) -> Proxy {
    let script = format!("{ulimit} && exec \"$0\" \"$@\"");
    ProxyBuilder::new(args).wrapped(&["sh", "-c", &script].map(str::to_owned)).start()
}
