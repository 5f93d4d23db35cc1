//! Clients that are still on plaintext: real clients of four kinds are listed, block `requireSSL`, and stop blocking
//! when they move or are accepted. All of this survives a restart.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpStream,
    process::{Child, Stdio},
};

use mongodb::{
    Client,
    bson::doc,
    options::{ClientOptions, Tls, TlsOptions},
};
use serde_json::{Value, json};

use crate::support::{
    Mongod, Proxy, Scratch,
    admin::{self, Admin},
    cert, mongod, parts, process, require, until, wait,
};

#[test]
fn each_client_is_named_and_in_the_way_until_it_has_moved_or_is_accepted() {
    let python = require!(parts::pymongo());
    let mongosh = require!(parts::mongosh());
    require!(parts::mongod());
    let mongod = Mongod::start(&mongod::Options::default());
    let folder = Scratch::new("still");
    let state = folder.join("state").display().to_string();
    let mut proxy = start(&mongod, &state, &[]);
    let port = proxy.port();

    let uri = |name: &str| format!("mongodb://127.0.0.1:{port}/?directConnection=true&appName={name}");
    let pymongo = stays(python, &[concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/py/client.py"), &uri("reports")]);
    let script = "db.adminCommand({ping: 1}); print('ready'); while (true) { sleep(1000) }";
    let shell = stays(mongosh, &["--quiet", &uri("shell"), "--eval", script]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let driver = runtime.block_on(rust_driver(&uri("orders"), false));
    let mut netcat = TcpStream::connect(("127.0.0.1", port)).unwrap();
    netcat.write_all(b"hello, is this telnet?\r\n").unwrap();

    let mut admin = admin::of(&proxy);
    admin.put("/mode", &json!({ "mode": "preferSSL" }));
    let named = |name: &'static str| move |row: &Value| row["application"] == name;
    let nameless = |row: &Value| row["application"].is_null();
    wait("the nameless one is seen", || rows(&admin).iter().any(nameless));
    let reports = row(&admin, named("reports"));
    assert!(reports["driver"].as_str().unwrap().starts_with("PyMongo"), "{reports}");
    assert!(reports["driverVersion"].as_str().unwrap().starts_with("4.20.0"), "{reports}");
    let orders = row(&admin, named("orders"));
    assert!(orders["driver"].as_str().unwrap().contains("mongo-rust-driver"), "{orders}");
    assert!(row(&admin, named("shell"))["driver"].as_str().unwrap().contains("mongosh"));
    let unknown = row(&admin, nameless);
    assert_eq!((&unknown["key"], &unknown["driver"]), (&json!("127.0.0.1/-/-"), &Value::Null));
    for row in rows(&admin) {
        assert_eq!(
            (&row["kind"], &row["blocks"], &row["ip"]),
            (&json!("plaintext"), &json!(true), &json!("127.0.0.1"))
        );
        assert!(row["open"].as_u64().unwrap() > 0, "{row}");
    }
    assert_eq!(blockers(&admin), ["nobody", "orders", "reports", "shell"]);
    let refused = admin.request("PUT", "/mode", Some(&json!({ "mode": "requireSSL", "guard": true }))).json(409);
    assert_eq!((&refused["code"], refused["blockers"].as_array().unwrap().len()), (&json!("Guarded"), 4));

    // One client moves to TLS; its old connections end.
    drop(driver);
    let driver = runtime.block_on(rust_driver(&uri("orders"), true));
    wait("one has moved", || blockers(&admin) == ["nobody", "reports", "shell"]);
    let kinds: Vec<_> = rows(&admin).into_iter().filter(named("orders")).map(|row| row["kind"].clone()).collect();
    assert_eq!(kinds, ["plaintext", "TLS1.3"]);

    // Clients that have disconnected still block until they are accepted by name.
    end(pymongo);
    end(shell);
    drop(netcat);
    wait("all have left", || rows(&admin).iter().all(|row| row["kind"] != "plaintext" || row["open"] == 0));
    assert_eq!(blockers(&admin), ["nobody", "reports", "shell"]);
    let accepted = admin.post("/accept", &json!({ "key": reports["key"] }));
    assert_eq!((&accepted["accepted"], &accepted["known"]), (&json!(true), &json!(true)));
    assert_eq!(admin.request("POST", "/accept", Some(&json!({ "key": "reports" }))).json(400)["code"], "BadRequest");
    assert_eq!(blockers(&admin), ["nobody", "shell"]);

    // Everything is there after a restart.
    drop(driver);
    // The driver's monitor may be waiting for an answer, and a stop would wait for it.
    wait("the driver has left", || rows(&admin).iter().all(|row| row["open"] == 0));
    let before = without_times(rows(&admin));
    assert!(proxy.terminate().success());
    proxy = start(&mongod, &state, &["--sslMode", "preferSSL"]);
    admin = admin::of(&proxy);
    assert_eq!(without_times(rows(&admin)), before);
    assert_eq!(blockers(&admin), ["nobody", "shell"]);
    for blocker in admin.get("/ready?to=requireSSL")["blockers"].as_array().unwrap() {
        admin.post("/accept", &json!({ "key": blocker["key"] }));
    }
    let required = admin.put("/mode", &json!({ "mode": "requireSSL", "guard": true }));
    assert_eq!((&required["mode"], &required["warnings"]), (&json!("requireSSL"), &Value::Null));
    assert!(proxy.terminate().success());

    // A plaintext client is now refused, and recorded with its name.
    proxy = start(&mongod, &state, &["--sslMode", "requireSSL", "--guardWindow", "0"]);
    admin = admin::of(&proxy);
    let uri = format!(
        "mongodb://127.0.0.1:{}/?directConnection=true&appName=late&serverSelectionTimeoutMS=2000",
        proxy.port()
    );
    until::proven(|| {
        runtime.block_on(async {
            let client = Client::with_uri_str(&uri).await.unwrap();
            client.database("admin").run_command(doc! { "ping": 1 }).await.unwrap_err()
        });
        rows(&admin).iter().any(named("late"))
    });
    let late = row(&admin, named("late"));
    assert!(late["refused"].as_u64().unwrap() > 0 && late["refused"] == late["total"], "{late}");
    assert_eq!(blockers(&admin), [""; 0], "a window of zero counts open connections only");
}

fn start(mongod: &Mongod, state: &str, more: &[&str]) -> Proxy {
    let (upstream, files) = (mongod.address(), [cert("server.pem"), cert("ca.pem")]);
    let base = ["--port", "0", "--upstream", &upstream, "--upstreamTLS", "never", "--stateFile", state];
    let tls = ["--sslPEMKeyFile", &files[0], "--sslCAFile", &files[1]];
    let mode = if more.contains(&"--sslMode") { &[][..] } else { &["--sslMode", "allowSSL"] };
    Proxy::start(base.iter().chain(&tls).chain(mode).chain(more))
}

async fn rust_driver(uri: &str, by_tls: bool) -> Client {
    let mut options = ClientOptions::parse(uri).await.unwrap();
    if by_tls {
        let files = TlsOptions::builder()
            .ca_file_path(std::path::PathBuf::from(cert("ca.pem")))
            .cert_key_file_path(std::path::PathBuf::from(cert("client.pem")))
            .build();
        options.tls = Some(Tls::Enabled(files));
    }
    let client = Client::with_options(options).unwrap();
    client.database("admin").run_command(doc! { "ping": 1 }).await.unwrap();
    client
}

/// A program that prints `ready` and stays until its input ends or it is killed.
fn stays(program: &std::path::Path, args: &[&str]) -> Child {
    let mut command = process::tethered(program);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = process::spawn(command).unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line.trim(), "ready");
    child
}

fn end(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

fn rows(admin: &Admin) -> Vec<Value> {
    admin.get("/clients")["clients"].as_array().unwrap().clone()
}

fn row(admin: &Admin, wanted: impl Fn(&Value) -> bool) -> Value {
    let rows = rows(admin);
    rows.iter().find(|row| wanted(row)).unwrap_or_else(|| panic!("no such row: {rows:#?}")).clone()
}

/// The parts of rows that a restart does not change.
fn without_times(mut rows: Vec<Value>) -> Vec<Value> {
    for row in &mut rows {
        for field in ["lastSeen", "open"] {
            row.as_object_mut().unwrap().remove(field);
        }
    }
    rows
}

/// The names of the blockers, sorted.
fn blockers(admin: &Admin) -> Vec<String> {
    let ready = admin.get("/ready?to=requireSSL");
    let name = |blocker: &Value| blocker["application"].as_str().unwrap_or("nobody").to_owned();
    let mut names: Vec<_> = ready["blockers"].as_array().unwrap().iter().map(name).collect();
    names.sort_unstable();
    assert_eq!(ready["ready"], names.is_empty());
    names
}
