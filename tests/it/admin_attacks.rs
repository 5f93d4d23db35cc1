//! Malicious input to the admin port: it answers or closes, its memory is bounded, and honest clients are served.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
    time::{Duration, Instant},
};

use bson::raw::RawDocumentBuf;
use bson::rawdoc;
use tlsramp::testing::{msg_command, query_command};

use crate::support::service::*;
use crate::support::{Proxy, admin, cert, raw};

#[test]
fn whatever_is_sent_it_answers_or_closes() {
    let proxy = start();
    let set = msg_command(1, "admin", &rawdoc! { "setParameter": 1, "sslMode": "preferSSL" });
    let hello = query_command(1, "admin", &rawdoc! { "isMaster": 1 });
    for message in [&set, &hello] {
        // The message is cut, with and without a matching length, and then the connection ends.
        for cut in 0..message.len() {
            ends(&proxy, &message[..cut]);
            let mut lying = message[..cut.max(16)].to_vec();
            let length = u32::try_from(lying.len()).unwrap().to_le_bytes();
            lying[..4].copy_from_slice(&length);
            if lying.len() < message.len() {
                ends(&proxy, &lying);
            }
        }
        for length in [0, 1, 15, 16, 17, 20, 48_000_000, 48_000_001, i32::MAX, -1, i32::MIN] {
            let mut lying = message.clone();
            lying[..4].copy_from_slice(&length.to_le_bytes());
            ends(&proxy, &lying);
        }
    }
    for garbage in
        [&b"\0\0\0\0\0\0\0\0"[..], b"GET / HTTP/9\r\n\r\n", b"\r\n\r\n\r\n", b"\x80\x2e\x01\x03\x01", b"\xff"]
    {
        ends(&proxy, garbage);
    }
    honest(&proxy);
    assert_eq!(admin::of(&proxy).get("/status")["sslMode"], "allowSSL", "nothing of it had an effect");
}

#[test]
fn a_large_message_is_refused_in_words_and_never_kept() {
    let proxy = start();
    let before = resident(&proxy);
    let length: i32 = 40 * 1024 * 1024;
    let header = [length, 7, 0, 2013, 0].map(i32::to_le_bytes).concat();
    let mut open = Vec::new();
    for _ in 0..50 {
        let mut large = raw::connect(proxy.address("admin"));
        let refused = large.message(&header).document;
        assert_eq!(refused.get_i32("code").unwrap(), 17, "{refused:?}");
        assert!(refused.get_str("errmsg").unwrap().contains("65536"), "{refused:?}");
        let _ = large.0.write_all(&[0; 64 * 1024]);
        open.push(large);
    }
    honest(&proxy);
    assert!(resident(&proxy) < before + 16 * 1024, "{} KiB, and before {before}", resident(&proxy));
}

#[test]
fn a_deep_value_is_shown_no_deeper_than_mongod_does() {
    let proxy = start();
    let mut deep: RawDocumentBuf = rawdoc! { "a": 1 };
    for _ in 0..6_000 {
        deep = rawdoc! { "a": deep };
    }
    let mut client = raw::connect(proxy.address("admin"));
    let refused = client.command("admin", &rawdoc! { "setParameter": 1, "sslMode": deep.clone() });
    assert!(refused.get_str("errmsg").unwrap().contains("{ ... }"), "{refused:?}");
    let known = client.command("admin", &rawdoc! { "getParameter": deep.clone(), "sslMode": 1 });
    assert_eq!(known.get_i32("code").unwrap(), 40_415);
    assert_eq!(client.command("admin", &rawdoc! { "ping": 1, "lsid": deep }).get_f64("ok").unwrap(), 1.0);
    honest(&proxy);
}

/// Connections that send nothing, or only the beginning of a request, give way to a connection that sends a request.
#[test]
fn thousands_of_half_open_connections_do_not_keep_an_honest_request_out() {
    raise_descriptors();
    let proxy = start();
    let before = resident(&proxy);
    let mut kept = raw::connect(proxy.address("admin"));
    assert_eq!(kept.command("admin", &rawdoc! { "hello": 1 }).get_f64("ok").unwrap(), 1.0);
    let openings = [&b""[..], b"\x16", b"GET /sta", b"PUT /mode HTTP/1.1\r\nHost: localhost\r\nX", b"\x40\0\0\0\x01\0"];
    let mut open = Vec::new();
    for number in 0..HALF_OPEN {
        let mut stream = TcpStream::connect(proxy.address("admin")).unwrap();
        // The connection may already have been closed to make room.
        let _ = stream.write_all(openings[number % openings.len()]);
        open.push(stream);
        if number % 1_000 == 999 {
            honest(&proxy);
        }
    }
    honest(&proxy);
    assert!(proxy.open_fds() < 300, "{} descriptors", proxy.open_fds());
    assert!(resident(&proxy) < before + 64 * 1024, "{} KiB, and before {before}", resident(&proxy));
    let pong = kept.command("admin", &rawdoc! { "ping": 1 });
    assert_eq!(pong.get_f64("ok").unwrap(), 1.0, "one that was served before is still here");
    drop(open);
}

#[test]
fn a_stop_waits_for_nobody_at_the_doors() {
    let mut proxy = start();
    let silent = TcpStream::connect(proxy.address("admin")).unwrap();
    let mut idle = raw::connect(proxy.address("admin"));
    let _ = idle.command("admin", &rawdoc! { "ping": 1 });
    let mut slow = TcpStream::connect(proxy.address("admin")).unwrap();
    slow.write_all(b"GET /status HTTP/1.1\r\nHost").unwrap();
    honest(&proxy);
    assert_eq!(proxy.terminate().code(), Some(0));
    drop((silent, slow));
}

fn start() -> Proxy {
    let (server, ca) = (cert("server.pem"), cert("ca.pem"));
    let tls = ["--sslMode", "allowSSL", "--sslPEMKeyFile", &server, "--sslCAFile", &ca];
    let route = ["--port", "0", "--upstream", "127.0.0.1:9", "--upstreamTLS", "never"];
    Proxy::start(route.iter().chain(&tls))
}

/// Sends these bytes, closes the sending direction, and waits until the admin port closes the connection.
#[track_caller]
fn ends(proxy: &Proxy, bytes: &[u8]) {
    let mut stream = TcpStream::connect(proxy.address("admin")).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let _ = read_to_end(&mut stream);
}

/// A request that is answered before any time limit of the admin port has passed: the shortest is ten seconds.
#[track_caller]
fn honest(proxy: &Proxy) {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(proxy.address("admin")).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut start = [0; 12];
    stream.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 200");
    assert!(begun.elapsed() < Duration::from_secs(8), "answered after {:?}", begun.elapsed());
}

/// Resident memory, in KiB.
fn resident(proxy: &Proxy) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", proxy.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// This process needs a descriptor for each of its connections.
fn raise_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(HALF_OPEN as u64 * 2, |most| most.min(HALF_OPEN as u64 * 2));
    // The limit applies to the whole process and its children, and other tests run concurrently, so it is never
    // lowered.
    if limit.current.is_some_and(|current| current < wanted) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum }).unwrap();
    }
    assert!(wanted > HALF_OPEN as u64 + 500, "the descriptor limit is too low for this test: {wanted}");
}

/// Far more connections than the admin port has slots.
const HALF_OPEN: usize = 10_000;
