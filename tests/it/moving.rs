//! The effects of recycling on an application: all kinds of operations on a real one-member replica set, messages that
//! a client sends after the end was signalled, and the links of a three-member set that carry mirrored reads.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use bson::{Document, RawDocumentBuf, doc};
use serde_json::{Value, json};
use tlsramp::testing::msg_command;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::recycling::{non_conforming, replica_set};
use crate::support::{
    admin::{self, Admin},
    cert,
    hosts::{self, Kind, Plan, Set, Variant},
    parts,
    plain::Plain,
    process, require, tls,
    until::wait_until,
    wait,
};

/// Operations that drivers do not repeat: one fails if its request was on its way to a connection that was being closed.
/// A driver leaves a connection in time, unless the machine stops it between its check of the connection and the request.
const NOT_REPEATED: [&str; 4] = ["getMore", "exhaust", "updateMany", "w0"];

/// One client for everything, and one for each kind of operation: no error occurs, and no write is lost, acknowledged
/// or not.
#[test]
fn operations_of_every_kind_are_moved_and_nothing_is_lost() {
    let python = require!(parts::pymongo());
    require!(parts::mongod());
    let (_mongod, proxy) = replica_set();
    let admin = admin::of(&proxy);
    // On a machine that is too slow for some of these operations, up to two rounds are repeated.
    let (mut noticed, mut repeats) = (Vec::new(), 2);
    for (apart, rounds) in [(false, 2), (true, 1)] {
        let mut command = process::tethered(python);
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/py/moved.py"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut application = process::spawn(command).unwrap();
        let mut input = application.stdin.take().unwrap();
        let mut lines = BufReader::new(application.stdout.take().unwrap()).lines();
        let uri = format!("mongodb://127.0.0.1:{}/?replicaSet=rs", proxy.port());
        let compressors = if apart { vec![""] } else { vec!["", "zstd", "zlib"] };
        writeln!(input, "{}", json!({ "uri": uri, "apart": apart, "compressors": compressors })).unwrap();
        let mut round = 0;
        while round < rounds {
            admin.put("/mode", &json!({ "mode": "allowSSL", "force": true }));
            writeln!(input, "begin").unwrap();
            assert_eq!(lines.next().unwrap().unwrap(), "ready");
            admin.put("/mode", &json!({ "mode": "preferSSL" }));
            let began = Instant::now();
            let reply = admin.post("/recycle", &json!({ "waitSecs": 80 }));
            let took = began.elapsed();
            // Continues after the move, in case it has later effects.
            thread::sleep(Duration::from_millis(500));
            writeln!(input, "end").unwrap();
            let report: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
            println!("apart {apart}, round {round}, {took:?}: {reply} {report}");
            let left = ["waiting", "cut", "leftAlone"].map(|kind| reply[kind].as_u64());
            let lost = ["lost", "lostAcknowledged"].map(|kind| report[kind].as_u64());
            assert!(report["silent"].as_u64().unwrap() > 10, "{report}");
            let mut kinds = report["errors"].as_object().unwrap().keys();
            let excused = repeats > 0 && kinds.len() > 0 && kinds.all(|kind| NOT_REPEATED.contains(&kind.as_str()));
            if left != [Some(0); 3] || lost != [Some(0); 2] || (report["errors"] != json!({}) && !excused) {
                noticed.push(format!("apart {apart}, round {round}: {reply} {report}"));
            }
            if excused {
                repeats -= 1;
            } else {
                round += 1;
            }
        }
        drop(input);
        assert!(process::wait(&mut application, Duration::from_secs(30)).unwrap().unwrap().success());
    }
    assert!(noticed.is_empty(), "{noticed:#?}");
}

/// Messages that a client sends after the end was signalled to it: those that expect no reply are forwarded, those that
/// expect a reply never, and the first of these is answered with a reset. An incomplete message is not forwarded.
#[tokio::test]
async fn what_is_sent_after_the_end_is_forwarded_only_if_it_wants_no_answer() {
    require!(parts::mongod());
    let (mongod, proxy) = replica_set();
    let admin = admin::of(&proxy);
    let config = tls::client(cert("ca.pem"), Some(&cert("client.pem")));
    for by_tls in [false, true] {
        // An attempt on a machine that is too busy to send everything within the second proves nothing.
        let mut tries = 0;
        loop {
            tries += 1;
            let name = format!("{by_tls}-{tries}");
            admin.put("/mode", &json!({ "mode": "allowSSL", "force": true }));
            let in_time = if by_tls {
                let client = tls::connect(proxy.address("inbound"), &config).await.unwrap();
                send_after_the_end(client, &admin, &name).await
            } else {
                let client = TcpStream::connect(proxy.address("inbound")).await.unwrap();
                send_after_the_end(client, &admin, &name).await
            };
            wait("the connection is moved", || non_conforming(&admin) == 0);
            let mut direct = Plain::connect(mongod.port());
            let mut is_there = |what: &str| {
                let find = doc! { "find": "late", "filter": { "_id": format!("{name}-{what}") } };
                !direct
                    .command("test", &find)
                    .get_document("cursor")
                    .unwrap()
                    .get_array("firstBatch")
                    .unwrap()
                    .is_empty()
            };
            assert!(!is_there("asking") && !is_there("after") && !is_there("half"), "a request ran that was refused");
            if in_time {
                assert!(is_there("first") && is_there("second"), "a request that wants no answer is lost");
                break;
            }
            assert!(tries < 20, "never within a second");
        }
    }
}

/// Returns true if everything was sent in time.
async fn send_after_the_end<S: AsyncRead + AsyncWrite + Unpin>(mut client: S, admin: &Admin, name: &str) -> bool {
    let insert = |what: &str, w: i32| {
        let document = doc! { "_id": format!("{name}-{what}") };
        message(&doc! { "insert": "late", "documents": [document], "writeConcern": { "w": w } })
    };
    client.write_all(&message(&doc! { "ping": 1 })).await.unwrap();
    assert!(client.read(&mut [0; 4096]).await.unwrap() > 16);
    admin.put("/mode", &json!({ "mode": "preferSSL" }));
    let reply = admin.post("/recycle", &json!({ "waitSecs": 0 }));
    assert_eq!(reply["waiting"], json!(1), "{reply}");
    assert_eq!(client.read(&mut [0; 64]).await.unwrap(), 0, "it is told of the end");
    let told = Instant::now();
    let (first, second) = (insert("first", 0), insert("second", 0));
    client.write_all(&[&first[..], &second[..30]].concat()).await.unwrap();
    client.flush().await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    client
        .write_all(&[&second[30..], &insert("asking", 1), &insert("after", 0), &insert("half", 0)[..40]].concat())
        .await
        .unwrap();
    client.flush().await.unwrap();
    let in_time = told.elapsed() < Duration::from_millis(800);
    // A client that keeps sending notices a reset.
    let until = Instant::now() + Duration::from_secs(10);
    while client.write_all(&insert("after", 0)).await.is_ok() && client.flush().await.is_ok() {
        assert!(Instant::now() < until, "no reset");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    in_time
}

/// A command as a message; with `w: 0`, one that expects no reply.
fn message(command: &Document) -> Vec<u8> {
    let silent = command.get_document("writeConcern").is_ok_and(|concern| concern.get_i32("w").is_ok_and(|w| w == 0));
    let mut message = msg_command(1, "test", &RawDocumentBuf::try_from(command).unwrap());
    message[16] = if silent { 2 } else { 0 };
    message
}

/// Some reads a second, on a machine that may run many tests at once.
const MIRRORED: Duration = Duration::from_secs(180);

/// Since 4.4, a primary mirrors its reads to its secondaries with requests that expect no reply, compressed like all
/// traffic between members. Such links are recycled like others, without force.
#[test]
fn links_of_mirrored_reads_are_moved_without_force() {
    require!(hosts::ready());
    let set = require!(Set::form(Plan::new(Variant::Explicit).in_mode("allowSSL")));
    let primary = set.primary().expect("a healthy set has one");
    let everything = doc! { "setParameter": 1, "mirrorReads": { "samplingRate": 1.0 } };
    for member in &set.members {
        member.server.ask("admin", &everything).expect("mongod mirrors reads since 4.4");
    }
    let mirrored = || {
        let status = set.member(primary).server.ask("admin", &doc! { "serverStatus": 1, "mirroredReads": 1 }).unwrap();
        status.get_document("mirroredReads").unwrap().get_i64("sent").unwrap()
    };
    let app = set.app("mirrored", Kind::Plaintext);
    assert!(wait_until(MIRRORED, || mirrored() > 100), "no reads are mirrored");
    for sidecar in set.sidecars() {
        sidecar.told(&["mode", "preferSSL", "--force"]);
    }
    let before = mirrored();
    assert!(wait_until(MIRRORED, || mirrored() > before + 100), "no reads are mirrored any more");
    let began = Instant::now();
    for sidecar in set.sidecars() {
        let left = || sidecar.status()["connections"]["nonConforming"].as_u64().unwrap();
        assert!(left() > 0, "links from before");
        while left() > 0 {
            // This fails while some links remain.
            let _ = sidecar.ctl(&["recycle", "--wait", "10"]);
            let rows = || sidecar.told(&["connections", "--non-conforming"]);
            assert!(began.elapsed() < Duration::from_secs(300), "links that do not move: {}", rows());
        }
    }
    let before = mirrored();
    assert!(wait_until(MIRRORED, || mirrored() > before + 50), "the new links mirror no reads");
    app.wait_writes(20);
    app.finish().assert_flawless();
}
