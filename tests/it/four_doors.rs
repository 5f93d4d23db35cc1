//! Five hundred requests to change the mode, in all four ways at once, while two hundred clients of both kinds use a
//! real mongod. The controller processes them one after the other, makes only steps of the ladder, and no client is
//! affected.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use bson::doc;
use serde_json::{Value, json};
use tlsramp::testing::MongoClient;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinSet,
};

use crate::support::{Mark, Mongod, Proxy, admin, cert, mongod, parts, plain::Plain, proxy::Signal, require, tls};

/// Pause between requests in the ways that answer at once, so that all four take equally long.
const PACE: Duration = Duration::from_millis(25);
/// Modes that accept both kinds of clients, so that no client may fail.
const MODES: [&str; 2] = ["allowSSL", "preferSSL"];

#[test]
fn five_hundred_wishes_and_nobody_notices() {
    require!(parts::mongod());
    let mongod = Mongod::start(&mongod::Options::default());
    let text = |mode: &str| {
        let (upstream, key, ca) = (mongod.address(), cert("server.pem"), cert("ca.pem"));
        format!(
            "port = 0\nupstream = {upstream}\nupstreamTLS = never\nsslMode = {mode}\nsslPEMKeyFile = {key}\nsslCAFile = {ca}\nwatch = all\n\
             sniffTimeout = 120s\nhandshakeTimeout = 120s\nconnectTimeout = 60s\n"
        )
    };
    let proxy = Proxy::start_with_config::<&str>(&text("allowSSL"), []);
    let work = Arc::new(Work::default());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let clients = runtime.spawn(clients(proxy.address("inbound"), Arc::clone(&work)));
    work.reached(1000);

    let honoured = thread::scope(|scope| {
        let by_http = scope.spawn(|| by_http(&proxy, 200));
        scope.spawn(|| by_command(&proxy, 200));
        scope.spawn(|| by_file(&proxy, &text, 70, Some(Signal::HUP), Duration::from_millis(50)));
        scope.spawn(|| by_file(&proxy, &text, 30, None, Duration::from_millis(250)));
        by_http.join().unwrap()
    });
    step_by_file(&proxy, &text);
    let operations = work.operations.load(Ordering::SeqCst);
    work.reached(operations + 1000);
    work.stop.store(true, Ordering::SeqCst);
    runtime.block_on(clients).unwrap();

    let forced = moves(&proxy);
    assert!(forced > 20, "{forced} moves by force: hardly a storm");
    for (name, generation) in honoured {
        let record = proxy.wait_record(Mark::START, |record| record["application"] == *name, Duration::from_secs(30));
        let seen = record["generation"].as_u64().unwrap();
        assert!(seen >= generation, "told {generation}, judged by {seen}: {record}");
    }
    let records = proxy.records();
    let failed: Vec<&Value> = records.iter().filter(|record| record["outcome"] != "completed").collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(records.len() > 500, "{} connections", records.len());
}

/// Follows the audit lines from change to change. Returns the number of forced changes.
fn moves(proxy: &Proxy) -> usize {
    let lines = proxy.log().objects(Mark::START);
    let mut changes: Vec<&Value> = lines
        .iter()
        .filter(|line| line["message"].as_str().is_some_and(|said| said.starts_with("mode changed")))
        .collect();
    changes.sort_by_key(|line| line["generation"].as_u64());
    let doors: std::collections::BTreeSet<_> = changes.iter().map(|line| line["door"].as_str().unwrap()).collect();
    assert!(doors.contains("http") && doors.contains("mongodb"), "{doors:?}");
    assert!(doors.contains("signal") || doors.contains("watch"), "{doors:?}");
    let mut mode = json!("allowSSL");
    for change in &changes {
        assert_eq!(change["was"], mode, "nothing in between: {change}");
        if change["forced"] == false {
            assert_eq!((&change["was"], &change["mode"]), (&json!(MODES[0]), &json!(MODES[1])), "a step of the ladder");
        }
        mode = change["mode"].clone();
    }
    changes.iter().filter(|change| change["forced"] == true).count()
}

/// With PUT. After each change, a connection with a unique application name must be judged by the reported generation
/// or a later one.
fn by_http(proxy: &Proxy, count: usize) -> Vec<(String, u64)> {
    let admin = admin::of(proxy);
    let mut honoured = Vec::new();
    for number in 0..count {
        let wish = json!({ "mode": MODES[number % 2], "force": number % 4 < 2 });
        let answer = admin.request("PUT", "/mode", Some(&wish));
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        match answer.status {
            200 => {
                let mut client = Plain::connect(proxy.port());
                let name = format!("judged after answer {number}");
                client.hello(&name);
                honoured.push((name, body["generation"].as_u64().unwrap()));
            }
            409 => assert_eq!(body["code"], "IllegalTransition", "{body}"),
            other => panic!("{other}: {body}"),
        }
        thread::sleep(PACE);
    }
    honoured
}

/// With `setParameter`, in both spellings.
fn by_command(proxy: &Proxy, count: usize) {
    let mut client = Plain::connect(proxy.address("admin").port());
    client.hello("operator");
    for number in 0..count {
        let mode = MODES[(number / 2) % 2];
        let (name, value) =
            if number % 3 == 0 { ("tlsMode", mode.replace("SSL", "TLS")) } else { ("sslMode", mode.into()) };
        let mut wish = doc! { "setParameter": 1, name: value };
        if number % 5 < 3 {
            wish.insert("force", true);
        }
        let answer = client.command("admin", &wish);
        let illegal = answer.get_str("errmsg").is_ok_and(|text| text.starts_with("Illegal state transition"));
        assert!(illegal || answer.get_f64("ok").unwrap() == 1.0, "{answer}");
        thread::sleep(PACE);
    }
}

/// With the configuration file, by a signal or by the watch.
fn by_file(proxy: &Proxy, text: &dyn Fn(&str) -> String, count: usize, signal: Option<Signal>, pause: Duration) {
    for number in 0..count {
        replace(&proxy.config_file(), &text(MODES[number % 2]), signal.is_some());
        signal.into_iter().for_each(|signal| proxy.signal(signal));
        // The interval of this way's requests, not a wait for a state.
        thread::sleep(pause);
    }
}

/// Under load, a change by file may always have come too late or too early. Without load it is made, by the signal or
/// by the watch, whichever comes first. Requests that are still queued may make a few attempts necessary.
fn step_by_file(proxy: &Proxy, text: &dyn Fn(&str) -> String) {
    let mark = proxy.mark();
    let taken =
        |line: &Value| line["message"] == "mode changed" && (line["door"] == "signal" || line["door"] == "watch");
    for _ in 0..10 {
        admin::of(proxy).put("/mode", &json!({ "mode": MODES[0], "force": true }));
        for mode in MODES {
            replace(&proxy.config_file(), &text(mode), true);
            proxy.signal(Signal::HUP);
            if proxy.log().wait(mark, Duration::from_secs(1), taken).is_ok() {
                return;
            }
        }
    }
    panic!("no step by a file was ever taken");
}

/// Each writer renames from a name of its own.
fn replace(path: &Path, text: &str, first: bool) {
    let beside = path.with_extension(if first { "one" } else { "two" });
    fs::write(&beside, text).unwrap();
    fs::rename(beside, path).unwrap();
}

#[derive(Default)]
struct Work {
    operations: AtomicU64,
    stop: AtomicBool,
}

impl Work {
    fn reached(&self, operations: u64) {
        let until = std::time::Instant::now() + Duration::from_secs(180);
        while self.operations.load(Ordering::SeqCst) < operations {
            assert!(std::time::Instant::now() < until, "the clients do not work");
            thread::sleep(Duration::from_millis(10));
        }
    }

    async fn operate<S: AsyncRead + AsyncWrite + Unpin>(&self, mut client: MongoClient<S>) {
        for _ in 0..20 {
            if self.stop.load(Ordering::SeqCst) {
                return;
            }
            client.ping().await.unwrap();
            self.operations.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// A hundred clients without TLS and a hundred with TLS, each of which connects again after every twenty operations.
async fn clients(address: SocketAddr, work: Arc<Work>) {
    let config = tls::client(cert("ca.pem"), Some(&cert("client.pem")));
    let mut clients = JoinSet::new();
    for number in 0..200 {
        let (work, config) = (Arc::clone(&work), Arc::clone(&config));
        clients.spawn(async move {
            while !work.stop.load(Ordering::SeqCst) {
                if number % 2 == 0 {
                    work.operate(MongoClient::over(TcpStream::connect(address).await.unwrap())).await;
                } else {
                    work.operate(MongoClient::over(tls::connect(address, &config).await.unwrap())).await;
                }
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
}
