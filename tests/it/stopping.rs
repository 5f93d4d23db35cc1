//! Stops: what still works, what is cut and when, and the exit code that says so.

use std::time::Duration;

use crate::support::proxy::Signal;
use crate::support::service::*;
use crate::support::{Mark, Proxy, cert, certs};

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
    // One that came between the signal and the end of listening has said nothing, and is ended.
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
    // One that came between the signal and the end of listening has said nothing, and is ended.
    assert_eq!(outcomes(&proxy).into_iter().filter(|outcome| outcome != "drained").collect::<Vec<_>>(), ["completed"]);
}

#[test]
fn a_client_that_has_said_nothing_is_ended_at_once_by_a_stop() {
    let upstream = Upstream::start();
    let mut proxy = Proxy::start([&in_front_of(&upstream)[..], &["--workers".into(), "1".into()]].concat());
    let mut silent = connect(&proxy);
    // Accepted for certain once another, which came later to the only worker, has been served.
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

/// Cut off, and told so: a TLS peer must be able to tell a stop from an attack.
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
    // rustls makes an end without close_notify an error.
    assert_eq!(std::io::Read::read(&mut client, &mut [0; 16]).unwrap(), 0);
    assert_eq!(proxy.wait_exit(SOON).unwrap().code(), Some(1));
}
