//! Which connections show that a client has moved to TLS, so that the guard of `requireSSL` permits the step.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    path::Path,
};

use bson::{RawDocumentBuf, doc, rawdoc};
use serde_json::{Value, json};
use tlsramp::testing::{msg_command, query_command};

use crate::support::{
    Mongod, Proxy, Scratch,
    admin::{self, Admin},
    cert, mongod, openssl, parts,
    plain::Plain,
    process, require, require_command, run_to_end,
    service::{SOON, Upstream, echoes, tls_over},
    wait,
};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// A client without a name counts until the window is over or the client is accepted: no other connection from its
/// address shows that it has moved.
#[test]
fn nothing_speaks_for_a_client_without_a_name() {
    require_command!("openssl");
    require_command!("curl");
    let upstream = Upstream::start();
    let folder = Scratch::new("guard");
    let state = folder.join("state").display().to_string();
    let mut proxy = start(&upstream, &["--stateFile", &state]);
    let mut admin = admin::of(&proxy);
    plaintext(&proxy, HERE, &[legacy_hello()]);
    let key = "127.0.0.1/-/-";
    still_blocks(&admin, key, "the legacy client");
    let mut listed = rows(&admin).len();

    // TLS connections that send no request leave no row in the inventory.
    let inbound = proxy.address("inbound");
    let ends = |what: &str, run: &dyn Fn()| {
        let mark = proxy.mark();
        run();
        proxy.wait_record(mark, |record| record["opening"] == "tls", SOON);
        still_blocks(&admin, key, what);
        assert_eq!(rows(&admin).len(), listed, "{what}: {:#?}", rows(&admin));
    };
    let certificate = ["-cert", &cert("client.pem"), "-key", &cert("client.pem")];
    ends("a handshake", &|| drop(openssl::s_client(inbound, &[])));
    ends("a handshake with a certificate", &|| drop(openssl::s_client(inbound, &certificate)));
    ends("a handshake of TLS 1.2", &|| drop(openssl::s_client(inbound, &["-tls1_2"])));
    ends("HTTP", &|| drop(curl(inbound)));
    let half = legacy_hello()[..40].to_vec();
    let garbage = [&[40, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0xdd, 7, 0, 0][..], &[0xff; 24]].concat();
    for (what, bytes) in [("garbage", vec![0; 64]), ("half a request", half), ("an OP_MSG of garbage", garbage)] {
        ends(what, &|| tls(&proxy, HERE, std::slice::from_ref(&bytes)));
    }

    // TLS requests leave a row, which does not count for another client.
    let hello = |document: RawDocumentBuf| msg_command(1, "admin", &document);
    let internal = || rawdoc! { "minWireVersion": 0, "maxWireVersion": 8 };
    for (what, message) in [
        ("a hello without a name", legacy_hello()),
        ("a ping", hello(rawdoc! { "ping": 1 })),
        ("a member's hello", hello(rawdoc! { "isMaster": 1, "internalClient": internal() })),
        ("a server that looks for itself", hello(rawdoc! { "_isSelf": 1 })),
        ("an application", named_hello("reports", "PyMongo")),
    ] {
        tls(&proxy, HERE, std::slice::from_ref(&message));
        still_blocks(&admin, key, what);
        // A server's plaintext connection does not hide the client either.
        if what.contains("member") || what.contains("server") {
            plaintext(&proxy, HERE, &[message]);
            still_blocks(&admin, key, what);
        }
    }
    tls(&proxy, THERE, &[legacy_hello()]);
    still_blocks(&admin, key, "another address");

    // A restart changes nothing; an acceptance removes the blocker.
    listed = rows(&admin).len();
    assert!(proxy.terminate().success());
    proxy = start(&upstream, &["--stateFile", &state]);
    admin = admin::of(&proxy);
    assert_eq!(rows(&admin).len(), listed);
    still_blocks(&admin, key, "a restart");
    assert_eq!(admin.post("/accept", &json!({ "key": key }))["known"], true);
    assert_eq!(admin.put("/mode", &json!({ "mode": "requireSSL", "guard": true }))["mode"], "requireSSL");
}

/// A client with a name has moved when the same name uses TLS from the same address.
#[test]
fn the_same_name_at_the_same_address_shows_a_move() {
    let upstream = Upstream::start();
    let proxy = start(&upstream, &[]);
    let admin = admin::of(&proxy);
    plaintext(&proxy, HERE, &[named_hello("reports", "PyMongo")]);
    let key = "127.0.0.1/reports/PyMongo";
    still_blocks(&admin, key, "without TLS");
    let member = rawdoc! {
        "hello": 1, "internalClient": { "minWireVersion": 0, "maxWireVersion": 8 },
        "client": { "application": { "name": "reports" }, "driver": { "name": "PyMongo", "version": "4" } },
    };
    for (what, from, message) in [
        ("another application", HERE, named_hello("orders", "PyMongo")),
        ("another driver", HERE, named_hello("reports", "mongo-java-driver")),
        ("another address", THERE, named_hello("reports", "PyMongo")),
        ("a member of that name", HERE, msg_command(1, "admin", &member)),
        ("no name", HERE, legacy_hello()),
    ] {
        tls(&proxy, from, &[message]);
        still_blocks(&admin, key, what);
    }
    tls(&proxy, HERE, &[named_hello("reports", "PyMongo")]);
    assert_eq!(blockers(&admin), [""; 0], "the same name by TLS");
    plaintext(&proxy, HERE, &[named_hello("reports", "PyMongo")]);
    still_blocks(&admin, key, "without TLS again");
}

/// Open plaintext connections count from their first byte, and members are distinguished from clients.
#[test]
fn open_connections_count_whatever_they_have_said() {
    let upstream = Upstream::start();
    let proxy = start(&upstream, &["--guardWindow", "0"]);
    let admin = admin::of(&proxy);
    let mut slow = TcpStream::connect(proxy.address("inbound")).unwrap();
    slow.set_read_timeout(Some(SOON)).unwrap();
    let hello = named_hello("slow", "PyMongo");
    echoes(&mut slow, &hello[..20]);
    still_blocks(&admin, "127.0.0.1/-/-", "half a message");
    echoes(&mut slow, &hello[20..]);
    assert_eq!(blockers(&admin), ["127.0.0.1/slow/PyMongo"]);
    drop(slow);
    wait("it has left", || blockers(&admin).is_empty());

    let mut member = TcpStream::connect(proxy.address("inbound")).unwrap();
    echoes(&mut member, &msg_command(1, "admin", &rawdoc! { "_isSelf": 1 }));
    admin.post("/accept", &json!({ "key": "127.0.0.1/-/-" }));
    let found = admin.get("/ready?to=requireSSL")["blockers"].clone();
    assert_eq!(
        (&found[0]["key"], &found[0]["member"]),
        (&json!("127.0.0.1/-/-/member"), &json!(true)),
        "a client that was accepted is no member: {found:#}"
    );
}

/// TLS that is passed through has no client name, so it does not show a move.
#[test]
fn tls_that_is_passed_through_shows_no_move() {
    let upstream = Upstream::start();
    let address = upstream.address.to_string();
    let passthrough = ["--port", "0", "--upstream", &address, "--inboundTLS", "passthrough", "--upstreamTLS", "never"];
    let proxy = Proxy::start(passthrough.iter().chain(&["--sslMode", "preferSSL"]));
    let admin = admin::of(&proxy);
    plaintext(&proxy, HERE, &[legacy_hello()]);
    plaintext(&proxy, HERE, &[named_hello("reports", "PyMongo")]);
    let mark = proxy.mark();
    let mut client = TcpStream::connect(proxy.address("inbound")).unwrap();
    // The beginning of a ClientHello, which the echo server sends back.
    client.set_read_timeout(Some(SOON)).unwrap();
    echoes(&mut client, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03abcdefgh");
    drop(client);
    proxy.wait_record(mark, |record| record["opening"] == "tls", SOON);
    assert_eq!(blockers(&admin), ["127.0.0.1/-/-", "127.0.0.1/reports/PyMongo"]);
}

/// With real parts: a mongod that connects to itself through the proxy, and pymongo with TLS, beside a legacy client.
#[test]
fn a_real_member_and_a_real_driver_do_not_speak_for_a_legacy_client() {
    require!(parts::mongod());
    let python = require!(parts::pymongo());
    let set = mongod::Options { replica_set: Some("rs".into()), ..mongod::Options::default() };
    let mongod = Mongod::start(&set);
    let proxy = Proxy::start(terminating(&mongod.address()));
    let admin = admin::of(&proxy);
    let name = format!("127.0.0.1:{}", proxy.port());
    let mut client = Plain::connect(mongod.port());
    let config = doc! { "_id": "rs", "members": [{ "_id": 0, "host": &name }] };
    let started = client.command("admin", &doc! { "replSetInitiate": config });
    assert_eq!(started.get_f64("ok").unwrap(), 1.0, "{started}");
    wait("mongod has dialled itself", || rows(&admin).iter().any(|row| row["member"] == true));

    let mut legacy = TcpStream::connect(proxy.address("inbound")).unwrap();
    legacy.write_all(&legacy_hello()).unwrap();
    assert!(legacy.read(&mut [0; 16]).unwrap() > 0);
    drop(legacy);
    let key = "127.0.0.1/-/-";
    wait("the legacy client has left", || {
        rows(&admin).iter().any(|row| row["key"] == key && row["kind"] == "plaintext" && row["open"] == 0)
    });
    assert!(blockers(&admin).contains(&key.to_owned()), "{:?}", blockers(&admin));

    let script = "import sys, pymongo; c = pymongo.MongoClient(sys.argv[1]); c.admin.command('ping'); c.close()";
    let uri = format!(
        "mongodb://{name}/?directConnection=true&tls=true&tlsCAFile={}&tlsCertificateKeyFile={}",
        cert("ca.pem"),
        cert("client.pem")
    );
    let mut command = process::tethered(python);
    command.args(["-c", script, &uri]);
    process::succeed(command, 4 * SOON).unwrap();
    wait("pymongo is seen", || rows(&admin).iter().any(|row| row["kind"] == "TLS1.3" && row["driver"] != Value::Null));
    assert!(blockers(&admin).contains(&key.to_owned()), "{:?}", blockers(&admin));
    assert_eq!(guarded(&admin), 409);
}

fn start(upstream: &Upstream, more: &[&str]) -> Proxy {
    let more = more.iter().map(|arg| (*arg).to_owned());
    Proxy::start(terminating(&upstream.address.to_string()).into_iter().chain(more))
}

fn terminating(upstream: &str) -> Vec<String> {
    let fixed = ["--sslMode", "preferSSL", "--sslAllowConnectionsWithoutCertificates", "--port", "0"];
    let files = ["--sslPEMKeyFile".to_owned(), cert("server.pem"), "--sslCAFile".to_owned(), cert("ca.pem")];
    let upstream = ["--upstream", upstream, "--upstreamTLS", "never"];
    fixed.iter().chain(&upstream).map(|arg| (*arg).to_owned()).chain(files).collect()
}

/// `isMaster` of a driver that does not send the `client` document.
fn legacy_hello() -> Vec<u8> {
    query_command(1, "admin", &rawdoc! { "isMaster": 1 })
}

fn named_hello(application: &str, driver: &str) -> Vec<u8> {
    let client = rawdoc! { "application": { "name": application }, "driver": { "name": driver, "version": "4" } };
    msg_command(1, "admin", &rawdoc! { "hello": 1, "client": client })
}

/// Makes a connection from an address that sends these messages and receives them back. It has a record when this
/// returns.
fn plaintext(proxy: &Proxy, from: IpAddr, messages: &[Vec<u8>]) {
    let mark = proxy.mark();
    let mut stream = dial(proxy, from);
    messages.iter().for_each(|message| echoes(&mut stream, message));
    let peer = stream.local_addr().unwrap().to_string();
    drop(stream);
    proxy.wait_record(mark, |record| record["peer"] == *peer, SOON);
}

/// As [`plaintext`], with TLS.
fn tls(proxy: &Proxy, from: IpAddr, messages: &[Vec<u8>]) {
    let mark = proxy.mark();
    let certificate = cert("ca.pem");
    let mut stream = tls_over(dial(proxy, from), Path::new(&certificate).parent().unwrap(), Some("client.pem"));
    messages.iter().for_each(|message| echoes(&mut stream, message));
    let peer = stream.sock.local_addr().unwrap().to_string();
    drop(stream);
    proxy.wait_record(mark, |record| record["peer"] == *peer, SOON);
}

fn dial(proxy: &Proxy, from: IpAddr) -> TcpStream {
    let address = proxy.address("inbound");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(from, 0)).unwrap();
        socket.connect(address).await.unwrap().into_std().unwrap()
    });
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream
}

fn curl(address: SocketAddr) -> String {
    let mut command = process::tethered("curl");
    command.args(["-sk", "--max-time", "20", &format!("https://{address}/")]);
    format!("{:?}", process::output(command, SOON))
}

#[track_caller]
fn still_blocks(admin: &Admin, key: &str, what: &str) {
    assert_eq!(blockers(admin), [key], "{what}");
    assert_eq!(guarded(admin), 409, "{what}");
}

/// The status of a guarded change to `requireSSL` that has blockers.
fn guarded(admin: &Admin) -> u16 {
    admin.request("PUT", "/mode", Some(&json!({ "mode": "requireSSL", "guard": true }))).status
}

fn rows(admin: &Admin) -> Vec<Value> {
    admin.get("/clients")["clients"].as_array().unwrap().clone()
}

/// The keys of the blockers, sorted.
fn blockers(admin: &Admin) -> Vec<String> {
    let ready = admin.get("/ready?to=requireSSL");
    let key = |blocker: &Value| blocker["key"].as_str().unwrap_or("none").to_owned();
    let mut keys: Vec<_> = ready["blockers"].as_array().unwrap().iter().map(key).collect();
    keys.sort_unstable();
    keys
}

/// Thousands of names from one address become 64 rows and a shared one. Another client's row remains, and all names can
/// be accepted at once.
#[test]
fn a_stranger_with_thousands_of_names_hides_nobody() {
    let upstream = Upstream::start();
    let proxy = start(&upstream, &[]);
    let admin = admin::of(&proxy);
    let send = |from: IpAddr, message: &[u8]| echoes(&mut dial(&proxy, from), message);
    send(HERE, &named_hello("job", "PyMongo"));
    let hostile = "\u{1b}[2J$(reboot)\n";
    for number in 0..2000 {
        send(THERE, &named_hello(&format!("{hostile}{number}"), &"d".repeat(300)));
    }
    for number in 0..100 {
        send(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3)), &named_hello(&number.to_string(), "PyMongo"));
    }
    send(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 4)), &named_hello("late", "PyMongo"));
    wait("all have left", || rows(&admin).iter().all(|row| row["open"] == 0));
    assert_eq!(admin.get("/status")["inventory"], json!({ "rows": 1 + 65 + 65 + 1, "unmoved": 132, "lost": 0 }));
    let shared = rows(&admin).into_iter().find(|row| row["key"] == "127.0.0.2/-/-/more").unwrap();
    assert!(shared["moreNames"].as_u64().unwrap().abs_diff(1936) < 400, "{shared}");
    assert!(rows(&admin).iter().all(|row| row["driver"].as_str().is_none_or(|driver| driver.len() <= 128)));

    // Up to a hundred blockers are shown, and the other client is among them.
    let shown = blockers(&admin);
    assert!(
        shown.contains(&"127.0.0.1/job/PyMongo".to_owned()) && shown.contains(&"127.0.0.4/late/PyMongo".to_owned())
    );
    for args in [&["ready", "--to", "requireSSL"][..], &["clients"]] {
        let page = ctl(&proxy, args);
        assert!(page.contains("job"), "{page}");
        assert!(page.chars().all(|char| char == '\n' || !char.is_control()), "{page:?}");
        assert!(page.contains("more names"), "{page}");
    }
    for key in ["127.0.0.2/-/-/all", "127.0.0.3/-/-/all"] {
        assert_eq!(admin.post("/accept", &json!({ "key": key }))["known"], true);
    }
    assert_eq!(blockers(&admin), ["127.0.0.1/job/PyMongo", "127.0.0.4/late/PyMongo"]);
    for key in blockers(&admin) {
        admin.post("/accept", &json!({ "key": key }));
    }
    assert_eq!(guarded(&admin), 200);
}

fn ctl(proxy: &Proxy, args: &[&str]) -> String {
    let port = proxy.address("admin").to_string();
    let output = run_to_end(["ctl", "--admin", &port].iter().chain(args));
    String::from_utf8(output.stdout).unwrap()
}
