//! Many readers of the listings at once: each gets all of it or is told to come again, and the others are answered.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

use std::{net::TcpStream, thread};

use bson::doc;
use serde_json::{Value, json};

use crate::support::{
    Proxy,
    admin::{self, Answer},
    plain::Plain,
    service::{Upstream, echoes, in_front_of},
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
    // The control plane answers what is no listing, and the summaries have a lane of their own.
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
            assert!(error["error"].as_str().unwrap().contains("ask again"), "{error}");
        } else {
            assert_eq!(answer.json(200)["connections"].as_array().unwrap().len(), 200);
        }
    }
    assert!(answers.iter().any(|answer| answer.status == 200));

    // Afterwards all is as it was.
    let listed = admin.get("/connections");
    assert_eq!((listed["connections"].as_array().unwrap().len(), &listed["leftOut"]), (200, &Value::Null));
    assert_eq!(admin.get("/connections?nonConforming")["connections"], json!([]));
    assert_eq!(admin.get("/clients")["sslMode"], "disabled");
    drop(open);
}
