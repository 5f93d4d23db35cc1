//! The complete matrix with real parts: 4 modes x 4 kinds of clients x weak validation off and on, with pymongo and the
//! official Rust driver, in front of a mongod without TLS (`--upstreamTLS never`) and one that requires TLS
//! (`--upstreamTLS policy`).
//!
//! The expected result of each cell is computed by [`Cell::verdict`] from the table in MongoDB's manual, not from
//! tlsramp's code. Each cell has a proxy of its own, so every record in its log belongs to that cell.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

use std::{
    collections::HashMap,
    path::Path,
    sync::LazyLock,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use mongodb::{
    Client,
    bson::{Binary, Document, doc, spec::BinarySubtype},
    options::{ClientOptions, ServerAddress, Tls, TlsOptions},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::{Mark, Mongod, Proxy, cert, mongod, parts, process, require, until};

#[test]
fn pymongo_before_a_mongod_without_tls() {
    let python = require!(parts::pymongo());
    require!(parts::mongod());
    run(&PLAIN, Link::Never, |cells| by_pymongo(python, cells));
}

#[test]
fn pymongo_before_a_mongod_that_requires_tls() {
    let python = require!(parts::pymongo());
    require!(parts::mongod());
    run(&TLS_ONLY, Link::Policy, |cells| by_pymongo(python, cells));
}

#[test]
fn rust_driver_before_a_mongod_without_tls() {
    require!(parts::mongod());
    run(&PLAIN, Link::Never, by_rust_driver);
}

#[test]
fn rust_driver_before_a_mongod_that_requires_tls() {
    require!(parts::mongod());
    run(&TLS_ONLY, Link::Policy, by_rust_driver);
}

/// Runs every cell in front of one mongod with one driver.
fn run(mongod: &Mongod, link: Link, clients: impl FnOnce(&[(Cell, Proxy)]) -> HashMap<String, Outcome>) {
    let cells: Vec<(Cell, Proxy)> = Cell::all(link).map(|cell| (cell, cell.proxy(mongod))).collect();
    let begun = Instant::now();
    let mut outcomes = clients(&cells);
    let wrong: Vec<String> = cells
        .iter()
        .filter_map(|(cell, proxy)| {
            let outcome = outcomes.remove(&cell.name()).ok_or("no result".to_owned());
            let checked = outcome.and_then(|outcome| cell.check(&outcome, proxy));
            checked.err().map(|why| format!("{}: should be {:?}: {why}", cell.name(), cell.verdict()))
        })
        .collect();
    println!("{} cells in {:?}", cells.len(), begun.elapsed());
    // Dropped before the panic, when each proxy would print its log: the reasons already quote the relevant records.
    drop(cells);
    assert!(wrong.is_empty(), "{} cells are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// One cell: the proxy's options and the client.
#[derive(Debug, Clone, Copy)]
struct Cell {
    link: Link,
    mode: &'static str,
    weak: bool,
    client: Opening,
}

/// The value of `--upstreamTLS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Never,
    Policy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opening {
    Plaintext,
    WithCertificate,
    WithoutCertificate,
    OfAnotherAuthority,
}

/// The expected result of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Works,
    /// The proxy refuses the client, and its records have this outcome.
    Refused(&'static str),
    /// The proxy accepts the client, and the policy makes it use plaintext to a mongod that closes such connections.
    ClosedByServer,
}

/// The result for the client.
#[derive(Debug)]
enum Outcome {
    Done { big_equal: bool, count: u64, ids_sha256: String },
    Error(String),
    Hangs,
}

impl Cell {
    fn all(link: Link) -> impl Iterator<Item = Self> {
        use Opening::{OfAnotherAuthority, Plaintext, WithCertificate, WithoutCertificate};
        let modes = ["disabled", "allowSSL", "preferSSL", "requireSSL"];
        let clients = [Plaintext, WithCertificate, WithoutCertificate, OfAnotherAuthority];
        modes.into_iter().flat_map(move |mode| {
            [false, true].into_iter().flat_map(move |weak| clients.map(|client| Self { link, mode, weak, client }))
        })
    }

    fn name(&self) -> String {
        let validation = if self.weak { "weak" } else { "strict" };
        format!("{:?}-{}-{validation}-{:?}", self.link, self.mode, self.client)
    }

    /// The truth table: first the mode decides whether the client is accepted, then its certificate is verified, then
    /// the link is made.
    fn verdict(&self) -> Verdict {
        let (takes_plaintext, takes_tls, links_by_tls) = match self.mode {
            "disabled" => (true, false, false),
            "allowSSL" => (true, true, false),
            "preferSSL" => (true, true, true),
            "requireSSL" => (false, true, true),
            other => unreachable!("{other} is no mode"),
        };
        match self.client {
            Opening::Plaintext if !takes_plaintext => Verdict::Refused("refused_plaintext"),
            Opening::Plaintext => self.linked(links_by_tls),
            _ if !takes_tls => Verdict::Refused("refused_tls"),
            // Weak validation permits a missing certificate, never a wrong one.
            Opening::WithoutCertificate if !self.weak => Verdict::Refused("client_certificate_refused"),
            Opening::OfAnotherAuthority => Verdict::Refused("client_certificate_refused"),
            Opening::WithCertificate | Opening::WithoutCertificate => self.linked(links_by_tls),
        }
    }

    /// The mongod of `Never` speaks plaintext and gets it. The mongod of `Policy` requires TLS, whatever kind of link
    /// the mode uses.
    fn linked(&self, links_by_tls: bool) -> Verdict {
        if self.link == Link::Policy && !links_by_tls { Verdict::ClosedByServer } else { Verdict::Works }
    }

    fn proxy(&self, mongod: &Mongod) -> Proxy {
        let (upstream, server, ca) = (mongod.address(), cert("server.pem"), cert("ca.pem"));
        let mut args = vec!["--port", "0", "--upstream", &upstream, "--sslMode", self.mode];
        args.extend(["--sslPEMKeyFile", &server, "--sslCAFile", &ca]);
        // The clients share a process, which may be busy with one of them.
        args.extend(["--sniffTimeout", "120s", "--handshakeTimeout", "120s", "--connectTimeout", "60s"]);
        let member = cert("member.pem");
        match self.link {
            Link::Never => args.extend(["--upstreamTLS", "never"]),
            Link::Policy => args.extend(["--upstreamTLS", "policy", "--sslClusterFile", &member]),
        }
        if self.weak {
            args.push("--sslAllowConnectionsWithoutCertificates");
        }
        Proxy::start(args)
    }

    /// The certificate that the client presents.
    fn certificate(&self) -> Option<String> {
        match self.client {
            Opening::Plaintext | Opening::WithoutCertificate => None,
            Opening::WithCertificate => Some(cert("client.pem")),
            Opening::OfAnotherAuthority => Some(cert("other-ca-client.pem")),
        }
    }

    /// How long the client tries: long enough for a refusal, or for a busy machine if it must succeed.
    fn patience(&self) -> Duration {
        let refused = if until::busy() { 20 } else { 6 };
        Duration::from_secs(if self.verdict() == Verdict::Works { 120 } else { refused })
    }

    fn check(&self, outcome: &Outcome, proxy: &Proxy) -> Result<(), String> {
        match (self.verdict(), outcome) {
            (Verdict::Works, Outcome::Done { big_equal: true, count: DOCUMENTS, ids_sha256 })
                if *ids_sha256 == ids_sha256_of(0..i64::try_from(DOCUMENTS).unwrap()) =>
            {
                self.check_works(proxy)
            }
            (Verdict::Refused(name), Outcome::Error(error)) => {
                self.check_error(error, name)?;
                self.check_refused(proxy, name)
            }
            (Verdict::ClosedByServer, Outcome::Error(_)) => self.check_closed_by_server(proxy),
            _ => Err(format!("the client got {outcome:?}; the last record: {:?}", proxy.records().last())),
        }
    }

    /// Checks that the user sees the mode's error, with mongod's text, in the driver's exception.
    fn check_error(&self, error: &str, outcome: &str) -> Result<(), String> {
        let words = "The server is configured to only allow SSL connections";
        ensure(outcome != "refused_plaintext" || error.contains(words), || format!("the client's error is {error:?}"))
    }

    /// Checks that a connection carried the large document in both directions, and that no connection was refused.
    fn check_works(&self, proxy: &Proxy) -> Result<(), String> {
        let carried = |record: &Value| {
            ["bytes_in", "bytes_out"].iter().all(|field| record[*field].as_u64() > Some(BIG_BYTES as u64))
        };
        let record = self.record(proxy, carried)?;
        ensure(record["outcome"] == "completed", || format!("the outcome of {record}"))?;
        ensure(!record["upstream_local"].is_null(), || format!("no upstream_local in {record}"))?;
        let has_certificate = self.client == Opening::WithCertificate;
        ensure(is_set(&record["client_subject"]) == has_certificate, || format!("the client_subject of {record}"))?;
        let refused = proxy.records().into_iter().find(|record| is_refusal(&record["outcome"]));
        ensure(refused.is_none(), || format!("a connection was refused: {refused:?}"))
    }

    /// Checks that every connection was refused for the same reason, and that none reached the server.
    fn check_refused(&self, proxy: &Proxy, outcome: &str) -> Result<(), String> {
        let record = self.record(proxy, |record| record["outcome"] == outcome)?;
        ensure(is_set(&record["reason"]), || format!("no reason in {record}"))?;
        let records = proxy.records();
        // A driver that got its answer on one connection may abandon another one during its handshake.
        let left = |record: &&Value| {
            let reason = record["reason"].as_str().unwrap_or_default();
            record["outcome"] == "tls_handshake_failed"
                && (reason == "the peer closed the connection during the handshake" || reason.contains("reset by peer"))
        };
        let refused = |record: &&Value| [outcome, "probe"].iter().any(|name| record["outcome"] == *name);
        let other = records.iter().find(|record| !refused(record) && !left(record));
        ensure(other.is_none(), || format!("not refused: {other:?}"))?;
        let dialled = records.iter().find(|record| is_set(&record["upstream_local"]));
        ensure(dialled.is_none(), || format!("the server was dialled: {dialled:?}"))
    }

    /// Checks that the client was accepted, linked in plaintext, and received no data. This test does not check how the
    /// record names the server's close.
    fn check_closed_by_server(&self, proxy: &Proxy) -> Result<(), String> {
        let record = self.record(proxy, |record| is_set(&record["upstream_local"]))?;
        ensure(!is_refusal(&record["outcome"]), || format!("the outcome of {record}"))?;
        ensure(record["bytes_out"].as_u64() == Some(0), || format!("bytes from a server that hung up: {record}"))
    }

    /// Waits for a record and checks what every record of the cell must contain.
    fn record(&self, proxy: &Proxy, mut wanted: impl FnMut(&Value) -> bool) -> Result<Value, String> {
        let is_it = |line: &Value| line["message"] == "connection" && wanted(line);
        let record = proxy.log().wait(Mark::START, Duration::from_secs(60), is_it)?;
        let (opening, is_tls) = match self.client {
            Opening::Plaintext => ("plaintext", false),
            Opening::WithCertificate | Opening::WithoutCertificate | Opening::OfAnotherAuthority => ("tls", true),
        };
        for (field, value) in [("route", "inbound"), ("opening", opening), ("mode", self.mode)] {
            ensure(record[field] == value, || format!("{field} is not {value:?} in {record}"))?;
        }
        if is_set(&record["upstream_local"]) {
            let by_tls = self.link == Link::Policy && matches!(self.mode, "preferSSL" | "requireSSL");
            ensure(is_set(&record["upstream_tls"]) == by_tls, || format!("upstream_tls is not {by_tls} in {record}"))?;
            ensure(is_set(&record["tls_version"]) == is_tls, || format!("the tls_version of {record}"))?;
        }
        Ok(record)
    }
}

/// Runs all cells in one Python process, several of them at a time.
fn by_pymongo(python: &Path, cells: &[(Cell, Proxy)]) -> HashMap<String, Outcome> {
    let input: String = cells.iter().map(|(cell, proxy)| format!("{}\n", pymongo_cell(cell, proxy))).collect();
    let mut command = process::tethered(python);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/py/matrix.py"));
    let limit = Duration::from_secs(900);
    let output = process::output_with_input(command, input.into_bytes(), limit).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().map(pymongo_outcome).collect()
}

fn pymongo_cell(cell: &Cell, proxy: &Proxy) -> Value {
    json!({
        "name": cell.name(),
        "host": "127.0.0.1",
        "port": proxy.port(),
        "tls": cell.client != Opening::Plaintext,
        "ca_file": cert("ca.pem"),
        "certificate_key_file": cell.certificate(),
        "timeout_ms": u64::try_from(cell.patience().as_millis()).unwrap(),
        "database": DATABASE,
        "collection": COLLECTION,
        "big_bytes": BIG_BYTES,
    })
}

fn pymongo_outcome(line: &str) -> (String, Outcome) {
    let result: Value = serde_json::from_str(line).unwrap();
    let text = |field: &str| result[field].as_str().unwrap_or_default().to_owned();
    let outcome = if result["error"].is_null() {
        Outcome::Done {
            big_equal: result["big_equal"] == true,
            count: result["count"].as_u64().unwrap_or_default(),
            ids_sha256: text("ids_sha256"),
        }
    } else {
        Outcome::Error(text("error"))
    };
    (text("name"), outcome)
}

fn by_rust_driver(cells: &[(Cell, Proxy)]) -> HashMap<String, Outcome> {
    block_on(async {
        let attempts = cells.iter().map(|(cell, proxy)| async {
            // Longer than any client's time limit, so that a client that hangs only affects its own cell.
            let attempt = tokio::time::timeout(Duration::from_secs(600), rust_client(cell, proxy.port()));
            let outcome = match attempt.await {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(error)) => Outcome::Error(error.to_string()),
                Err(_) => Outcome::Hangs,
            };
            (cell.name(), outcome)
        });
        stream::iter(attempts).buffer_unordered(8).collect().await
    })
}

async fn rust_client(cell: &Cell, port: u16) -> mongodb::error::Result<Outcome> {
    let tls = (cell.client != Opening::Plaintext).then(|| tls_options(cell.certificate()));
    let client = connect(port, tls, cell.patience())?;
    let database = client.database(DATABASE);
    let big_equal = big(&database.collection("big"), &cell.name()).await?;

    let (count, ids_sha256) = walk(&database.collection(COLLECTION)).await?;
    // Closes its connections, so that their records are logged.
    client.shutdown().immediate(true).await;
    Ok(Outcome::Done { big_equal, count, ids_sha256 })
}

/// Whether a large document is read back as it was written.
async fn big(collection: &mongodb::Collection<Document>, name: &str) -> mongodb::error::Result<bool> {
    let bytes = random_bytes(BIG_BYTES, name);
    let payload = Binary { subtype: BinarySubtype::Generic, bytes };
    let key = format!("rust {name}");
    collection.insert_one(doc! {"_id": &key, "payload": payload.clone()}).await?;
    let back = collection.find_one(doc! {"_id": &key}).await?.unwrap_or_default();
    collection.delete_one(doc! {"_id": &key}).await?;
    Ok(back.get("payload").is_some_and(|value| *value == mongodb::bson::Bson::Binary(payload)))
}

/// Number of documents of a cursor, and the SHA-256 of their ids.
async fn walk(collection: &mongodb::Collection<Document>) -> mongodb::error::Result<(u64, String)> {
    let mut cursor = collection.find(doc! {}).sort(doc! {"_id": 1}).batch_size(10_000).await?;
    let (mut count, mut ids) = (0, Sha256::new());
    while let Some(document) = cursor.try_next().await? {
        ids.update(document.get_i64("_id").unwrap().to_le_bytes());
        count += 1;
    }
    Ok((count, hex(&ids.finalize())))
}

fn connect(port: u16, tls: Option<TlsOptions>, patience: Duration) -> mongodb::error::Result<Client> {
    let address = ServerAddress::Tcp { host: "127.0.0.1".to_owned(), port: Some(port) };
    let mut options = ClientOptions::builder().hosts(vec![address]).direct_connection(true).build();
    options.server_selection_timeout = Some(patience);
    options.connect_timeout = Some(patience);
    options.tls = Some(tls.map_or(Tls::Disabled, Tls::Enabled));
    Client::with_options(options)
}

fn tls_options(certificate: Option<String>) -> TlsOptions {
    let mut options = TlsOptions::default();
    options.ca_file_path = Some(cert("ca.pem").into());
    options.cert_key_file_path = certificate.map(Into::into);
    options
}

/// Shared by two tests, each of which requires `parts::mongod()` first.
static PLAIN: LazyLock<Mongod> = LazyLock::new(|| preloaded(&mongod::Options::default(), None));

static TLS_ONLY: LazyLock<Mongod> = LazyLock::new(|| {
    let tls =
        mongod::Tls { mode: "requireTLS", certificate_key_file: cert("server.pem"), ca_file: Some(cert("ca.pem")) };
    let options = mongod::Options { tls: Some(tls), ..Default::default() };
    preloaded(&options, Some(tls_options(Some(cert("client.pem")))))
});

/// A mongod with the collection that the cursors read.
fn preloaded(options: &mongod::Options, tls: Option<TlsOptions>) -> Mongod {
    let mongod = Mongod::start(options);
    // On a separate thread, because the first caller may already be within a runtime.
    let load = || {
        block_on(async {
            let client = connect(mongod.port(), tls, Duration::from_secs(30)).unwrap();
            let collection = client.database(DATABASE).collection::<Document>(COLLECTION);
            let filling = "x".repeat(100);
            let ids = 0..i64::try_from(DOCUMENTS).unwrap();
            let documents = ids.map(|id| doc! {"_id": id, "filling": &filling});
            collection.insert_many(documents).ordered(false).await.unwrap();
            client.shutdown().immediate(true).await;
        });
    };
    std::thread::scope(|scope| scope.spawn(load).join()).unwrap();
    mongod
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// Whether a field has a value: it is not null, false, empty or missing.
fn is_set(value: &Value) -> bool {
    !matches!(value, Value::Null | Value::Bool(false)) && value != ""
}

/// Whether an outcome means that the proxy ended the connection, not a peer.
fn is_refusal(outcome: &Value) -> bool {
    [
        "refused_plaintext",
        "refused_tls",
        "client_certificate_refused",
        "tls_handshake_failed",
        "upstream_unreachable",
        "upstream_tls_failed",
    ]
    .iter()
    .any(|name| outcome == name)
}

fn ensure(holds: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why()) }
}

/// Incompressible bytes that depend on the name only (splitmix64).
fn random_bytes(count: usize, name: &str) -> Vec<u8> {
    let mut state = name.bytes().fold(0, |state: u64, byte| state.wrapping_mul(257).wrapping_add(byte.into()));
    let mut bytes = vec![0; count];
    for eight in bytes.chunks_mut(8) {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        eight.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..eight.len()]);
    }
    bytes
}

fn ids_sha256_of(ids: impl Iterator<Item = i64>) -> String {
    let mut hash = Sha256::new();
    ids.for_each(|id| hash.update(id.to_le_bytes()));
    hex(&hash.finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const DATABASE: &str = "matrix";
const COLLECTION: &str = "walked";
const DOCUMENTS: u64 = 100_000;
/// Close to the limit of 16 MiB for a document, and many times larger than any buffer on the path.
const BIG_BYTES: usize = 12 << 20;
