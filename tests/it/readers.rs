//! Many concurrent readers of listings: each receives the whole listing or is told to retry, and other requests are
//! answered.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    thread,
};

use bson::doc;
use serde_json::{Value, json};

use crate::support::{
    Proxy,
    admin::{self, Answer},
    plain::Plain,
    proxy::Signal,
    service::{SOON, Upstream, echoes, in_front_of},
    wait,
};

#[test]
fn a_crowd_of_readers_gets_whole_listings_or_is_told_to_come_again() {
    let upstream = Upstream::start();
    let proxy = Proxy::start(in_front_of(&upstream).into_iter().chain(["--sslMode".into(), "disabled".into()]));
    let admin = admin::of(&proxy);
    let open: Vec<_> = (0..200)
        .map(|number| {
            let mut stream = TcpStream::connect(proxy.address("inbound")).unwrap();
            echoes(&mut stream, format!("client {number} here\n").as_bytes());
            stream
        })
        .collect();

    let crowd: Vec<_> = (0..60).map(|_| thread::spawn(move || admin.request("GET", "/connections", None))).collect();
    // The control plane answers requests that are not listings, and summaries have a queue of their own.
    assert_eq!(admin.request("GET", "/livez", None).status, 200);
    assert_eq!(admin.get("/status")["connections"]["open"], 200);
    assert!(admin.request("GET", "/metrics", None).body.contains("tlsramp_inventory_rows"));
    let mut shell = Plain::connect(proxy.address("admin").port());
    let answer = shell.command("admin", &doc! { "plaintextClients": 1 });
    assert!(answer.get_f64("ok").is_ok_and(|ok| ok > 0.5) || answer.get_i32("code").unwrap() == 46, "{answer}");
    let answers: Vec<Answer> = crowd.into_iter().map(|reader| reader.join().unwrap()).collect();
    for answer in &answers {
        if answer.status == 503 {
            let error = answer.json(503);
            assert_eq!(error["code"], "Busy");
            assert!(error["error"].as_str().unwrap().contains("try again"), "{error}");
        } else {
            assert_eq!(answer.json(200)["connections"].as_array().unwrap().len(), 200);
        }
    }
    assert!(answers.iter().any(|answer| answer.status == 200));

    // Afterwards everything is as before.
    let listed = admin.get("/connections");
    assert_eq!((listed["connections"].as_array().unwrap().len(), &listed["leftOut"]), (200, &Value::Null));
    assert_eq!(admin.get("/connections?nonConforming")["connections"], json!([]));
    assert_eq!(admin.get("/clients")["sslMode"], "disabled");
    drop(open);
}

/// The proxy is stopped while requests for listings arrive, so that it finds all of them at once: more than may wait.
#[test]
fn listings_beyond_those_that_may_wait_are_refused_and_later_ones_are_not() {
    let upstream = Upstream::start();
    let proxy = Proxy::start(in_front_of(&upstream));
    let admin = admin::of(&proxy);
    let _open: Vec<_> = (0..100)
        .map(|number| {
            let mut stream = TcpStream::connect(proxy.address("inbound")).unwrap();
            echoes(&mut stream, format!("client {number}\n").as_bytes());
            stream
        })
        .collect();
    for path in ["/connections", "/clients"] {
        let request = |path: &str, more: &str| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n");
        let mut readers: Vec<_> = (0..50).map(|_| TcpStream::connect(proxy.address("admin")).unwrap()).collect();
        for reader in &mut readers {
            reader.set_read_timeout(Some(SOON)).unwrap();
            reader.write_all(request("/livez", "").as_bytes()).unwrap();
            assert!(reader.read(&mut [0; 4096]).unwrap() > 0, "it is served");
        }
        proxy.signal(Signal::STOP);
        wait("the proxy stands still", || {
            fs::read_to_string(format!("/proc/{}/stat", proxy.pid())).unwrap().contains(") T ")
        });
        for reader in &mut readers {
            reader.write_all(request(path, "Connection: close\r\n").as_bytes()).unwrap();
        }
        proxy.signal(Signal::CONT);
        let (mut served, mut refused) = (0, 0);
        for mut reader in readers {
            let mut answer = String::new();
            reader.read_to_string(&mut answer).unwrap();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            if head.starts_with("HTTP/1.1 200 ") {
                served += 1;
            } else {
                assert!(head.starts_with("HTTP/1.1 503 ") && body.contains("\"Busy\""), "{path}: {answer}");
                refused += 1;
            }
        }
        assert!(served > 16 && refused > 0, "{path}: {served} served, {refused} refused");
        assert_eq!(admin.request("GET", path, None).status, 200, "{path}");
    }
}
