//! Events that come between the steps of a takeover.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

use std::fs;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::site::Site;
use crate::support::proxy::Signal;
use crate::support::service::*;
use crate::support::{Mark, Proxy, ProxyBuilder, admin, until};

/// The new process has read the configuration, and waits. Meanwhile the running one reloads a newer one, which must not be
/// undone.
#[test]
fn a_reload_in_between_is_not_undone() {
    until::proven(reload_in_between);
}

/// Returns `false` if the new process has read the newer configuration.
fn reload_in_between() -> bool {
    let site = Site::new();
    let file = site.folder.join("tlsramp.conf");
    let text = |limit: usize| {
        format!(
            "port = {}\nupstream = {}\nupstreamTLS = never\nadminBind = {}\ntakeover = {}\nmaxIncomingConnections = {limit}\n",
            site.inbound.port(),
            site.upstream.address,
            site.admin.address(),
            site.takeover().display()
        )
    };
    fs::write(&file, text(100)).unwrap();
    let launch = || ProxyBuilder::new(["--config".to_owned(), file.display().to_string()]).launch();
    let mut old = launch();
    old.wait_ready();
    // The running process answers one connection at a time, and waits for a request on this one.
    let first = UnixStream::connect(site.takeover()).unwrap();
    let mut new = launch();
    thread::sleep(Duration::from_secs(2));
    fs::write(&file, text(200)).unwrap();
    site.admin().post("/reload", &json!({}));
    drop(first);
    match new.wait_exit(SOON) {
        Some(status) => assert_eq!(status.code(), Some(1), "worth another try"),
        None => return false,
    }
    let _ = new.log().wait(Mark::START, SOON, |_| false);
    let log = new.log().lines(Mark::START).join("\n");
    assert!(log.contains("has reloaded its configuration since this process has read it"), "{log}");
    let status = site.admin().get("/status");
    assert_eq!((&status["pid"], &status["slots"][0]["limit"]), (&json!(old.pid()), &json!(200)), "{status}");
    let mut next = launch();
    next.wait_ready();
    assert_eq!(old.wait_exit(SOON).expect("it was replaced").code(), Some(0));
    assert_eq!(next.terminate().code(), Some(0));
    true
}

/// A stopping process hands nothing over, so a new one does not wait for it.
#[test]
fn a_process_that_stops_is_not_waited_for() {
    let site = Site::new();
    let (port, upstream) = (site.inbound.port().to_string(), site.upstream.address.to_string());
    let takeover = site.takeover().display().to_string();
    let args = ["--port", &port, "--upstream", &upstream, "--upstreamTLS", "never", "--adminBind", "none"];
    let launch = || ProxyBuilder::new([&args[..], &["--takeover", &takeover]].concat()).launch();
    let mut old = launch();
    old.wait_ready();
    let mut open = TcpStream::connect(site.inbound.address()).unwrap();
    open.set_read_timeout(Some(SOON)).unwrap();
    echoes(&mut open, b"no message, so it is waited for");
    old.signal(Signal::TERM);
    let refuses = || TcpStream::connect(site.inbound.address()).is_err();
    assert!(wait_until(SOON, refuses), "the listener is closed");
    let mut new: Proxy = launch();
    new.wait_ready();
    echoes(&mut TcpStream::connect(site.inbound.address()).unwrap(), b"by the new process");
    echoes(&mut open, b"by the old process");
    drop(open);
    assert_eq!(old.wait_exit(SOON).expect("nothing is open").code(), Some(0));
    assert_eq!(new.terminate().code(), Some(0));
}

/// A stop while the running process waits for a change before it freezes: other changes are taken during the stop.
#[test]
fn a_stop_before_the_freeze_thaws() {
    use super::site::{hear, say};
    let (site, slow) = (Site::new(), std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let upstream = slow.local_addr().unwrap().to_string();
    let mut args = site.args(&["--upstreamProbe", "off"]);
    // The check of a change waits for this server's handshake.
    let position = args.iter().position(|arg| arg == "--upstream").unwrap();
    args[position + 1].clone_from(&upstream);
    let link = args.iter().position(|arg| arg == "--upstreamTLS").unwrap();
    "policy".clone_into(&mut args[link + 1]);
    let mut old = ProxyBuilder::new(args).launch();
    old.wait_ready();
    let address = site.admin.address();
    let mut peer = TcpStream::connect(site.outbound.address()).unwrap();
    peer.set_read_timeout(Some(SOON)).unwrap();
    echoes(&mut peer, b"keeps the stop waiting");
    let prefer = json!({ "mode": "preferSSL", "persist": true });
    let change = thread::spawn(move || admin::at(address).request("PUT", "/mode", Some(&prefer)).status);
    let _unanswered = slow.accept().unwrap();
    let mut channel = UnixStream::connect(site.takeover()).unwrap();
    channel.set_read_timeout(Some(SOON)).unwrap();
    say(&mut channel, &json!({ "begin": { "protocol": 1, "version": "test" } }));
    let sockets = hear(&mut channel)["sockets"]["sockets"].as_array().unwrap().len();
    std::io::Read::read_exact(&mut channel, &mut vec![0; sockets.div_ceil(64)]).unwrap();
    say(&mut channel, &json!("freeze"));
    let lease =
        |ttl: u32| admin::at(address).request("POST", "/lease", Some(&json!({ "holder": "a", "ttlSecs": ttl })));
    thread::sleep(Duration::from_millis(300));
    old.signal(Signal::TERM);
    assert_eq!(lease(60).status, 200, "changes do not wait for a takeover that is over");
    assert!(change.join().unwrap() >= 200);
    drop(peer);
    assert!(old.wait_exit(2 * SOON).is_some());
}
