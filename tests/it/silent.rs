//! Clients that connect and send nothing: they give up their slots when all are taken, silent and waiting clients are
//! counted, and connections per address can be limited.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

use std::{
    io::{Read as _, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::certs::{self, cert};
use crate::support::service::{
    HALF_AN_OPENING, SOON, Upstream, echoes, echoes_back, in_front_of, reload, tls_over, wait_until, yaml,
};
use crate::support::{Mark, Proxy, admin, until};

#[test]
fn silent_clients_of_one_address_make_room_for_another() {
    until::proven(silent_clients_make_room);
}

/// Returns `false` if a client was silent for so long that it was right to close it.
fn silent_clients_make_room() -> bool {
    let upstream = Upstream::start();
    let proxy = start(&upstream, 200, &[]);
    let began = Instant::now();
    let mut silent = many(&proxy, 2, 200);
    assert!(wait_until(SOON, || slots(&proxy) == (200, 200, 0)), "{:?}", slots(&proxy));
    // More connections from the same address wait, but do not block other clients.
    silent.extend(many(&proxy, 2, 50));
    let mut newcomer = from(&proxy, 3);
    newcomer.write_all(b"let me in").unwrap();
    let all_wait = wait_until(SILENT_LEAST, || slots(&proxy) == (200, 200, 51));
    let status = admin::of(&proxy).get("/status");
    if began.elapsed() > SILENT_LEAST {
        return false;
    }
    assert!(all_wait, "{:?}", slots(&proxy));
    let full =
        status["warnings"].as_array().unwrap().iter().filter_map(Value::as_str).find(|said| said.contains("slots"));
    assert!(full.unwrap().contains("200 of 200; 200 of them silent; 51 connections wait"), "{full:?}");

    echoes_back(&mut newcomer, b"let me in");
    let record = proxy.wait_record(Mark::START, |record| record["outcome"] == "made_room", SOON);
    assert!(record["peer"].as_str().unwrap().starts_with("127.0.0.2:"), "{record}");
    assert!(record["reason"].as_str().unwrap().contains("all connection slots were taken"), "{record}");
    assert!(metric(&proxy, "tlsramp_connections_total", "outcome=\"made_room\"") >= 1.0);
    drop((silent, newcomer));
    assert!(wait_until(SOON, || slots(&proxy) == (0, 0, 0)), "{:?}", slots(&proxy));
    true
}

#[test]
fn the_last_of_an_address_and_those_of_members_stay() {
    let upstream = Upstream::start();
    let proxy = start(&upstream, 5, &["--member", "db2.example.net:27017=127.0.0.2", "--memberReserve", "0"]);
    let mut held = many(&proxy, 2, 3);
    held.extend([from(&proxy, 3), from(&proxy, 4)]);
    assert!(wait_until(SOON, || slots(&proxy) == (5, 5, 0)), "{:?}", slots(&proxy));
    let mut newcomer = from(&proxy, 5);
    newcomer.write_all(b"waits").unwrap();
    // The time in which nothing may happen.
    thread::sleep(SILENT_LEAST + Duration::from_secs(2));
    assert_eq!(slots(&proxy), (5, 5, 1));
    held.iter_mut().for_each(|client| echoes(client, b"still here"));
    drop(held.pop());
    echoes_back(&mut newcomer, b"waits");
}

/// The time counts from the accept, whether or not the client has a slot.
#[test]
fn silent_clients_that_wait_for_a_slot_are_closed_too() {
    let upstream = Upstream::start();
    let proxy = start(&upstream, 2, &["--onSilence", "close", "--sniffTimeout", "10s"]);
    let mut busy = many(&proxy, 2, 2);
    busy.iter_mut().for_each(|client| echoes(client, b"a request"));
    let mut silent = from(&proxy, 3);
    let mut newcomer = from(&proxy, 4);
    newcomer.write_all(b"waits").unwrap();
    silent.set_read_timeout(Some(SOON)).unwrap();
    assert_eq!(silent.read(&mut [0]).unwrap_or(0), 0);
    let record = proxy.wait_record(Mark::START, |record| record["outcome"] == "sniff_timeout", SOON);
    assert!(record["peer"].as_str().unwrap().starts_with("127.0.0.3:"), "{record}");
    drop(busy.pop());
    echoes_back(&mut newcomer, b"waits");
}

/// Neither by connecting and disconnecting silently, nor by connections that send data.
#[test]
fn a_stranger_does_not_drive_out_the_pool_of_another() {
    let upstream = Upstream::start();
    for speaks in [false, true] {
        let proxy = start(&upstream, 20, &[]);
        let mut pool = many(&proxy, 2, 8);
        assert!(wait_until(SOON, || slots(&proxy).1 == 8), "{:?}", slots(&proxy));
        let mut stranger = many(&proxy, 3, 12);
        assert!(wait_until(SOON, || slots(&proxy).0 == 20), "{:?}", slots(&proxy));
        if speaks {
            stranger.iter_mut().for_each(|client| echoes(client, b"a request"));
        }
        let began = Instant::now();
        while began.elapsed() < SILENT_LEAST + Duration::from_secs(3) {
            if !speaks {
                stranger.remove(0);
            }
            stranger.push(from(&proxy, 3));
            thread::sleep(Duration::from_millis(200));
        }
        pool.iter_mut().for_each(|client| echoes(client, b"still here"));
        let driven_out = |record: &Value| {
            record["outcome"] == "made_room" && record["peer"].as_str().unwrap().starts_with("127.0.0.2:")
        };
        assert!(!proxy.records().iter().any(driven_out), "{:?}", proxy.records());
        drop((pool, stranger));
        assert!(wait_until(SOON, || slots(&proxy) == (0, 0, 0)), "{:?}", slots(&proxy));
    }
}

/// Established connections that do nothing do not evict a pool that is no larger than their number: neither in
/// plaintext nor in TLS, whether or not they have sent something after they were established.
#[test]
fn idle_established_connections_do_not_drive_out_the_pool_of_another() {
    let upstream = Upstream::start();
    let (certificate, ca) = (cert("server.pem"), cert("ca.pem"));
    for tls in [false, true] {
        let allowed = ["--sslMode", "allowSSL", "--sslPEMKeyFile", &certificate, "--sslCAFile", &ca];
        let proxy = start(&upstream, 20, &allowed);
        let mut pool = many(&proxy, 2, 8);
        assert!(wait_until(SOON, || slots(&proxy).1 == 8), "{:?}", slots(&proxy));
        let mut idle: Vec<_> = (0..12).map(|_| established(from(&proxy, 3), tls)).collect();
        assert!(wait_until(SOON, || slots(&proxy) == (20, 8, 0)), "{:?}", slots(&proxy));
        let (began, mut newcomers) = (Instant::now(), Vec::new());
        while began.elapsed() < SILENT_LEAST + Duration::from_secs(3) {
            let mut newcomer = from(&proxy, 3);
            newcomer.write_all(b"a message").unwrap();
            newcomers.push(newcomer);
            thread::sleep(Duration::from_millis(200));
        }
        let all = (20, 8, newcomers.len() as u64);
        assert!(wait_until(SOON, || slots(&proxy) == all), "{:?} instead of {all:?}", slots(&proxy));
        pool.iter_mut().for_each(|client| echoes(client, b"still here"));
        assert!(!proxy.records().iter().any(|record| record["outcome"] == "made_room"), "{:?}", proxy.records());
        idle.clear();
    }
}

/// In plaintext, the client has sent some messages at the beginning; in TLS, nothing after its handshake.
fn established(mut stream: TcpStream, tls: bool) -> Box<dyn Write> {
    if tls {
        let mut stream = tls_over(stream, certs::shared(), Some("client.pem"));
        stream.conn.complete_io(&mut stream.sock).unwrap();
        return Box::new(stream);
    }
    (0..3).for_each(|_| echoes(&mut stream, b"a message"));
    Box::new(stream)
}

/// An application whose connections carry requests is not blocked by the few slots of a silent address, nor by the
/// waiting connections of a third address that would be served before.
#[test]
fn a_busy_application_is_served() {
    let upstream = Upstream::start();
    let proxy = start(&upstream, 20, &["--sniffTimeout", "600s"]);
    let mut busy = many(&proxy, 2, 9);
    busy.iter_mut().for_each(|client| echoes(client, b"a request"));
    let mut half = many(&proxy, 3, 6);
    half.iter_mut().for_each(|client| client.write_all(HALF_AN_OPENING).unwrap());
    let silent = many(&proxy, 4, 5);
    assert!(wait_until(SOON, || slots(&proxy) == (20, 5, 0)), "{:?}", slots(&proxy));
    let mut backlog = many(&proxy, 3, 10);
    backlog.iter_mut().for_each(|client| client.write_all(HALF_AN_OPENING).unwrap());
    assert!(wait_until(SOON, || slots(&proxy) == (20, 5, 10)), "{:?}", slots(&proxy));
    let mut newcomer = from(&proxy, 2);
    newcomer.write_all(b"let me in").unwrap();
    newcomer.set_nonblocking(true).unwrap();
    let mut answer = [0; 9];
    assert!(wait_until(SOON, || {
        busy.iter_mut().for_each(|client| echoes(client, b"a request"));
        newcomer.read(&mut answer).is_ok()
    }));
    assert_eq!(&answer, b"let me in");
    assert_eq!(slots(&proxy), (20, 4, 10), "it took one, and the backlog none");
    drop((half, silent, backlog));
}

/// Lowering a limit by a reload never admits more connections than the limit.
#[test]
fn a_reload_lets_nobody_in_beyond_the_limit() {
    let upstream = Upstream::start();
    let text = |most: usize, reserve: usize, members: &str| {
        let most = format!("net:\n  maxIncomingConnections: {most}\n");
        format!("{most}{}  memberReserve: {reserve}\n  member: [{members}]\n", yaml(&upstream))
    };
    let both = "\"a.example.net:27017=127.0.0.2\", \"b.example.net:27017=127.0.0.5\"";
    let flags = ["--port", "0", "--upstreamProbe", "off", "--workers", "2"];
    let proxy = Proxy::start_with_config(&text(20, 10, both), flags);
    // Members take reserved slots only if no other slot is free.
    let mut clients = many(&proxy, 3, 10);
    assert!(wait_until(SOON, || slots(&proxy) == (10, 10, 0)), "{:?}", slots(&proxy));
    clients.extend(many(&proxy, 2, 10));
    clients.iter_mut().for_each(|client| echoes(client, b"served"));
    let mut waiting = many(&proxy, 4, 6);
    waiting.iter_mut().for_each(|client| client.write_all(b"waits").unwrap());
    assert!(wait_until(SOON, || slots(&proxy) == (20, 0, 6)), "{:?}", slots(&proxy));
    for (most, reserve, members) in [(20, 0, both), (20, 10, both), (20, 10, ""), (12, 6, both), (20, 2, both)] {
        reload(&proxy, &text(most, reserve, members));
        assert_eq!(slots(&proxy), (20, 0, 6), "{most}, {reserve}, {members}");
    }
    reload(&proxy, &text(26, 0, both));
    waiting.iter_mut().for_each(|client| echoes_back(client, b"waits"));
    assert_eq!(slots(&proxy), (26, 0, 0));
}

#[test]
fn who_waits_and_leaves_is_noticed_at_once() {
    let upstream = Upstream::start();
    let proxy = start(&upstream, 1, &[]);
    let mut served = from(&proxy, 2);
    echoes(&mut served, b"served");
    let before = proxy.open_fds();
    let mut waiting = many(&proxy, 3, 8);
    // A driver sends `hello` before it waits; these bytes do not hide that it has disconnected.
    waiting.iter_mut().step_by(2).for_each(|client| client.write_all(b"hello").unwrap());
    assert!(wait_until(SOON, || slots(&proxy) == (1, 0, 8)), "{:?}", slots(&proxy));
    let mark = proxy.mark();
    drop(waiting);
    assert!(wait_until(SOON, || slots(&proxy) == (1, 0, 0)), "{:?}", slots(&proxy));
    assert!(wait_until(SOON, || proxy.open_fds() <= before), "{} descriptors, {before} before", proxy.open_fds());
    let left = || proxy.records_since(mark).iter().filter(|record| record["outcome"] == "left_waiting").count();
    assert!(wait_until(SOON, || left() == 8), "{:?}", proxy.records_since(mark));
    assert_eq!(metric(&proxy, "tlsramp_connections_total", "outcome=\"left_waiting\""), 8.0);
    echoes(&mut served, b"as before");
}

/// Data that a client sent before it got a slot is not lost, whether it came before the client started to wait or
/// after.
#[test]
fn who_waited_is_served_with_what_it_said() {
    let upstream = Upstream::start();
    let proxy = start(&upstream, 1, &[]);
    // Workers accept concurrently: connections keep their order only if one is made after the other was seen.
    let held = from(&proxy, 2);
    assert!(wait_until(SOON, || slots(&proxy) == (1, 1, 0)), "{:?}", slots(&proxy));
    let mut early = from(&proxy, 3);
    early.write_all(b"early").unwrap();
    assert!(wait_until(SOON, || slots(&proxy) == (1, 1, 1)), "{:?}", slots(&proxy));
    let mut late = from(&proxy, 3);
    assert!(wait_until(SOON, || slots(&proxy) == (1, 1, 2)), "{:?}", slots(&proxy));
    drop(held);
    echoes_back(&mut early, b"early");
    drop(early);
    assert!(wait_until(SOON, || slots(&proxy) == (1, 1, 0)), "{:?}", slots(&proxy));
    echoes(&mut late, b"late");
}

#[test]
fn one_address_may_have_so_many_connections_and_members_are_exempt() {
    let upstream = Upstream::start();
    let text = |limit: &str| format!("{}{limit}  member: [\"db2.example.net:27017=127.0.0.2\"]\n", yaml(&upstream));
    let proxy =
        Proxy::start_with_config(&text("  maxConnectionsPerIp: 2\n"), ["--port", "0", "--upstreamProbe", "off"]);
    let mut members = many(&proxy, 2, 4);
    let mut clients = many(&proxy, 3, 2);
    clients.iter_mut().chain(&mut members).for_each(|client| echoes(client, b"served"));
    let mut third = from(&proxy, 3);
    assert!(!matches!(third.read(&mut [0]), Ok(1..)), "it is closed");
    let record = proxy.wait_record(Mark::START, |record| record["outcome"] == "too_many_from_address", SOON);
    assert!(record["peer"].as_str().unwrap().starts_with("127.0.0.3:"), "{record}");
    assert_eq!(metric(&proxy, "tlsramp_connections_total", "outcome=\"too_many_from_address\""), 1.0);
    echoes(&mut from(&proxy, 4), b"another address");
    drop(clients.pop());
    assert!(wait_until(SOON, || {
        let mut client = from(&proxy, 3);
        client.write_all(b"again").is_ok() && client.read_exact(&mut [0; 5]).is_ok()
    }));
    reload(&proxy, &text(""));
    clients.extend(many(&proxy, 3, 5));
    clients.iter_mut().for_each(|client| echoes(client, b"no limit"));
}

fn start(upstream: &Upstream, limit: usize, more: &[&str]) -> Proxy {
    let limit = limit.to_string();
    let flags = ["--maxIncomingConnections", &limit, "--workers", "2", "--upstreamProbe", "off"];
    let flags = flags.iter().chain(more).map(|&flag| flag.to_owned());
    Proxy::start(in_front_of(upstream).into_iter().chain(flags))
}

/// The inbound route's slots: taken, silent, waiting. Status and metrics must agree.
fn slots(proxy: &Proxy) -> (u64, u64, u64) {
    let status = admin::of(proxy).get("/status");
    let inbound = &status["slots"][0];
    assert_eq!(inbound["direction"], "inbound");
    let [used, silent, waiting] = ["used", "silent", "waiting"].map(|name| inbound[name].as_u64().unwrap());
    (used, silent, waiting)
}

fn metric(proxy: &Proxy, name: &str, label: &str) -> f64 {
    let page = admin::of(proxy).request("GET", "/metrics", None).body;
    let lines = page.lines().filter(|line| line.starts_with(name) && line.contains(label));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

fn many(proxy: &Proxy, address: u8, count: usize) -> Vec<TcpStream> {
    (0..count).map(|_| from(proxy, address)).collect()
}

/// A client at 127.0.0.`address`.
fn from(proxy: &Proxy, address: u8) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, address], 0)).into()).unwrap();
    socket.connect(&proxy.address("inbound").into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream
}

/// How long a client must have been silent before it may be asked to close.
const SILENT_LEAST: Duration = Duration::from_secs(10);
