//! Stops: what still works, what is cut off and when, and the exit code.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use crate::support::proxy::Signal;
use crate::support::service::*;
use crate::support::{Mark, Proxy, Scratch, cert, certs, until};

#[test]
fn a_stop_with_nothing_open_is_clean_and_at_once() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut proxy = Proxy::start(["--port", "0", "--upstream", "127.0.0.1:9", "--upstreamTLS", "never"]);
        proxy.signal(signal);
        let status = proxy.wait_exit(SOON).expect("nothing is waited for");
        assert_eq!(status.code(), Some(0));
        proxy.wait_log(|line| line["message"] == "stopped", SOON);
    }
}

#[test]
fn a_stop_takes_no_new_connections_and_lets_open_ones_end_by_themselves() {
    let upstream = Upstream::start();
    let mut proxy = Proxy::start(in_front_of(&upstream));
    let mut open = connect(&proxy);
    echoes(&mut open, b"before");
    proxy.signal(Signal::TERM);
    proxy.wait_log(|line| line["message"].as_str().is_some_and(|said| said.starts_with("stopping")), SOON);
    refuses(proxy.address("inbound"));
    echoes(&mut open, b"while stopping");
    assert_eq!(proxy.wait_exit(Duration::ZERO), None, "a connection is open");
    drop(open);
    let status = proxy.wait_exit(SOON).expect("the last connection is over");
    assert_eq!(status.code(), Some(0));
    // A connection that was accepted between the signal and the closing of the listener is silent and was ended.
    assert_eq!(outcomes(&proxy).into_iter().filter(|outcome| outcome != "drained").collect::<Vec<_>>(), ["completed"]);
}

#[test]
fn a_connection_that_stays_is_forced_at_the_end_of_the_drain_time() {
    let upstream = Upstream::start();
    let mut proxy = Proxy::start([&in_front_of(&upstream)[..], &["--drainTimeout".into(), "1s".into()]].concat());
    let mut open = connect(&proxy);
    echoes(&mut open, b"before");
    proxy.signal(Signal::TERM);
    let status = proxy.wait_exit(SOON).expect("a stop is over after its time");
    assert_eq!(status.code(), Some(1));
    assert!(ended(&mut open), "a forced connection is cut");
    assert_eq!(outcomes(&proxy), ["forced"]);
}

#[test]
fn a_second_signal_forces_a_stop_at_once() {
    let upstream = Upstream::start();
    for (first, second) in [
        (Signal::TERM, Signal::TERM),
        (Signal::TERM, Signal::INT),
        (Signal::INT, Signal::INT),
        (Signal::INT, Signal::TERM),
    ] {
        let never = ["--drainTimeout".into(), "0".into()];
        let mut proxy = Proxy::start([&in_front_of(&upstream)[..], &never].concat());
        let mut open = connect(&proxy);
        echoes(&mut open, b"before");
        proxy.signal(first);
        proxy.wait_log(|line| line["message"].as_str().is_some_and(|said| said.starts_with("stopping")), SOON);
        echoes(&mut open, b"while stopping");
        proxy.signal(second);
        let status = proxy.wait_exit(SOON).expect("a second signal does not wait");
        assert_eq!(status.code(), Some(1), "{first:?}, {second:?}");
        assert!(ended(&mut open), "a forced connection is cut");
        assert_eq!(outcomes(&proxy), ["forced"], "{first:?}, {second:?}");
    }
}

#[test]
fn a_stop_without_a_drain_time_forces_nothing_by_itself() {
    let upstream = Upstream::start();
    let mut proxy = Proxy::start([&in_front_of(&upstream)[..], &["--drainTimeout".into(), "0".into()]].concat());
    let mut open = connect(&proxy);
    echoes(&mut open, b"before");
    proxy.signal(Signal::TERM);
    refuses(proxy.address("inbound"));
    for _ in 0..1000 {
        echoes(&mut open, b"while stopping");
    }
    drop(open);
    let status = proxy.wait_exit(SOON).expect("the last connection is over");
    assert_eq!(status.code(), Some(0));
    // A connection that was accepted between the signal and the closing of the listener is silent and was ended.
    assert_eq!(outcomes(&proxy).into_iter().filter(|outcome| outcome != "drained").collect::<Vec<_>>(), ["completed"]);
}

#[test]
fn a_client_that_has_said_nothing_is_ended_at_once_by_a_stop() {
    let upstream = Upstream::start();
    let mut proxy = Proxy::start([&in_front_of(&upstream)[..], &["--workers".into(), "1".into()]].concat());
    let mut silent = connect(&proxy);
    // The connection was certainly accepted once a later one to the only worker was served.
    let mut other = connect(&proxy);
    echoes(&mut other, b"served");
    drop(other);
    proxy.wait_record(Mark::START, |record| record["outcome"] == "completed", SOON);
    proxy.signal(Signal::TERM);
    let status = proxy.wait_exit(SOON).expect("a silent client is not waited for");
    assert_eq!(status.code(), Some(0), "nothing had to be forced");
    assert!(ended(&mut silent));
    assert_eq!(outcomes(&proxy), ["completed", "drained"]);
    assert_eq!(upstream.accepted(), 1, "the silent client has no upstream");
}

/// A client that has connected right before a stop is served if it speaks within a second.
#[test]
fn a_client_that_has_just_connected_may_speak() {
    let upstream = Upstream::start();
    // A machine that is too busy to send within the second proves nothing.
    until::proven(|| {
        let mut proxy = Proxy::start([&in_front_of(&upstream)[..], &["--workers".into(), "1".into()]].concat());
        let mut other = connect(&proxy);
        let mut new = connect(&proxy);
        let connected = Instant::now();
        echoes(&mut other, b"served");
        // The only worker accepts in order.
        let mut last = connect(&proxy);
        echoes(&mut last, b"served");
        drop((other, last));
        proxy.signal(Signal::TERM);
        wait_phase(&proxy, "inbound");
        std::thread::sleep(Duration::from_millis(300));
        let sent = new.write_all(b"late");
        if connected.elapsed() < Duration::from_millis(900) {
            sent.unwrap();
            echoes_back(&mut new, b"late");
            drop(new);
            assert_eq!(proxy.wait_exit(SOON).expect("all have ended").code(), Some(0));
            return true;
        }
        false
    });
}

/// A forced end is signalled in TLS, so that the peer can tell a stop from an attack.
#[test]
fn a_forced_tls_client_gets_its_close_notify() {
    let upstream = Upstream::start();
    let (key, ca) = (cert("server.pem"), cert("ca.pem"));
    let tls = ["--sslMode", "requireSSL", "--sslPEMKeyFile", &key, "--sslCAFile", &ca, "--drainTimeout", "1s"];
    let args = [in_front_of(&upstream), tls.map(str::to_owned).to_vec()].concat();
    let mut proxy = Proxy::start(args);
    let mut client = tls_client(proxy.address("inbound"), certs::shared(), Some("client.pem"));
    echoes(&mut client, b"before");
    proxy.signal(Signal::TERM);
    // rustls reports an end without `close_notify` as an error.
    assert_eq!(std::io::Read::read(&mut client, &mut [0; 16]).unwrap(), 0);
    assert_eq!(proxy.wait_exit(SOON).unwrap().code(), Some(1));
}

/// A server that shuts down contacts its peers through the outbound routes, which are therefore served until it has
/// ended.
#[test]
fn outbound_routes_serve_until_inbound_is_done_and_then_drain_too() {
    let (upstream, peer) = (Upstream::start(), Upstream::start());
    let mut proxy = Proxy::start(both_ways(&upstream, &peer, "0"));
    let outbound = proxy.outbound(0);
    let mut client = connect(&proxy);
    echoes(&mut client, b"before");
    proxy.signal(Signal::TERM);
    wait_phase(&proxy, "inbound");
    refuses(proxy.address("inbound"));
    let mut goodbye = TcpStream::connect(outbound).expect("outbound still listens");
    goodbye.set_read_timeout(Some(SOON)).unwrap();
    echoes(&mut goodbye, b"goodbye, peer");
    echoes(&mut client, b"while stopping");

    drop(client);
    wait_phase(&proxy, "outbound");
    refuses(outbound);
    echoes(&mut goodbye, b"last words");
    assert_eq!(proxy.wait_exit(Duration::ZERO), None, "an outbound connection is open");
    drop(goodbye);
    assert_eq!(proxy.wait_exit(SOON).expect("the last connection is over").code(), Some(0));
    assert!(outcomes(&proxy).iter().all(|outcome| outcome == "completed" || outcome == "drained"));
}

/// The drain time is for both directions: clients that stay do not use the part reserved for outbound routes.
#[test]
fn connections_that_stay_are_forced_inbound_first_within_one_drain_time() {
    let (upstream, peer) = (Upstream::start(), Upstream::start());
    let mut proxy = Proxy::start(both_ways(&upstream, &peer, "1s"));
    let (mut client, mut outbound) = (connect(&proxy), TcpStream::connect(proxy.outbound(0)).unwrap());
    outbound.set_read_timeout(Some(SOON)).unwrap();
    echoes(&mut client, b"in");
    echoes(&mut outbound, b"out");
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.wait_exit(SOON).expect("a stop is over after its time").code(), Some(1));
    assert!(ended(&mut client) && ended(&mut outbound));
    assert_eq!(outcomes(&proxy), ["forced", "forced"]);
    let lines = proxy.log().objects(Mark::START);
    let turn = lines.iter().position(|line| line["message"] == phase("outbound")).expect("outbound has its turn");
    let cut = |lines: &[serde_json::Value]| -> Vec<String> {
        lines.iter().filter(|line| line["message"] == "connection").map(|line| line["route"].to_string()).collect()
    };
    assert_eq!(cut(&lines[..turn]), ["\"inbound\""]);
    assert!(cut(&lines[turn..])[0].starts_with("\"outbound "));
}

#[test]
fn a_second_signal_forces_both_directions() {
    let (upstream, peer) = (Upstream::start(), Upstream::start());
    for inbound_too in [true, false] {
        let mut proxy = Proxy::start(both_ways(&upstream, &peer, "0"));
        let client = inbound_too.then(|| {
            let mut client = connect(&proxy);
            echoes(&mut client, b"in");
            client
        });
        let mut outbound = TcpStream::connect(proxy.outbound(0)).unwrap();
        outbound.set_read_timeout(Some(SOON)).unwrap();
        echoes(&mut outbound, b"out");
        proxy.signal(Signal::TERM);
        wait_phase(&proxy, if inbound_too { "inbound" } else { "outbound" });
        proxy.signal(Signal::TERM);
        assert_eq!(proxy.wait_exit(SOON).expect("a second signal does not wait").code(), Some(1));
        assert!(ended(&mut outbound) && client.is_none_or(|mut client| ended(&mut client)));
        assert!(outcomes(&proxy).iter().all(|outcome| outcome == "forced"));
    }
}

/// As the last step of a Kubernetes Job: requested through the Unix socket, it drains as after a signal and exits with
/// 0.
#[test]
fn a_quit_drains_and_is_a_clean_exit() {
    let (upstream, folder) = (Upstream::start(), Scratch::new("quit"));
    let socket = folder.join("admin.sock");
    let admin = ["--adminBind".into(), format!("unix:{}", socket.display()), "--drainTimeout".into(), "0".into()];
    let mut proxy = Proxy::start([&in_front_of(&upstream)[..], &admin].concat());
    let mut open = connect(&proxy);
    echoes(&mut open, b"before");

    let mut quit = UnixStream::connect(&socket).unwrap();
    let request = "POST /quit HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
                   Content-Length: 2\r\n\r\n{}";
    quit.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    quit.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 202 ") && answer.ends_with("{\"quitting\":true}\n"), "{answer}");

    wait_phase(&proxy, "inbound");
    refuses(proxy.address("inbound"));
    echoes(&mut open, b"while stopping");
    drop(open);
    assert_eq!(proxy.wait_exit(SOON).expect("the last connection is over").code(), Some(0));
    assert!(!socket.exists(), "it is gone with its socket");
}

fn both_ways(upstream: &Upstream, peer: &Upstream, drain: &str) -> Vec<String> {
    let outbound = format!("127.0.0.1:0={}", peer.address);
    [in_front_of(upstream), ["--outbound", &outbound, "--drainTimeout", drain].map(str::to_owned).to_vec()].concat()
}

/// Waits until a direction drains.
fn wait_phase(proxy: &Proxy, direction: &str) {
    proxy.wait_log(|line| line["message"] == phase(direction), SOON);
}

fn phase(direction: &str) -> String {
    format!("stopping: no new {direction} connections, waiting for open ones")
}
