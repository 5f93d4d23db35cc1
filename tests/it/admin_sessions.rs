//! Open connections to the admin port: each request is judged by the settings and certificates that are in force when
//! the request has arrived completely. A client that is no longer allowed receives an error and is disconnected.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use bson::rawdoc;
use certs_gen::{Authority, Issued, Request, Validity};
use rustls::{ClientConnection, StreamOwned};
use serde_json::json;
use tlsramp::testing::msg_command;

use crate::support::raw::{self, Wire};
use crate::support::service::*;
use crate::support::{Proxy, Scratch, admin, wait};

type Tls = StreamOwned<ClientConnection, TcpStream>;

/// A proxy with a remote admin port with TLS, a local one, and files of its own.
struct Place {
    folder: Scratch,
    ca: Authority,
    client: Issued,
    upstream: Upstream,
    proxy: Proxy,
}

/// Events that end a client's permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Revoked,
    CaChanged,
    PatternTaken,
    PatternChanged,
    Expired,
}

const ALLOWED: &str = "CN=ops";
const SECONDS: u32 = 15;

impl Place {
    fn new(validity: Validity) -> Place {
        let (folder, ca, upstream) = (Scratch::new("sessions"), Authority::new("CA").unwrap(), Upstream::start());
        let write = |name: &str, pem: &str| fs::write(folder.join(name), pem).unwrap();
        let server = ca.issue(&Request::server("localhost").names(["localhost"])).unwrap();
        write("server.pem", &server.pem());
        write("ca.pem", ca.pem());
        write("crl.pem", &ca.revoke(&[], Validity::Now).unwrap());
        let text = text(folder.path(), &upstream, &[ALLOWED, "CN=other"], "");
        let proxy = Proxy::start_with_config(&text, [""; 0]);
        // Last, because it may expire soon.
        let client = ca.issue(&Request::client("ops").valid(validity)).unwrap();
        write("client.pem", &client.pem());
        Place { folder, ca, client, upstream, proxy }
    }

    /// The remote admin port. A wildcard address counts as remote, even if it is reached by loopback.
    fn remote(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.proxy.address("admin").port()).into()
    }

    fn local(&self) -> SocketAddr {
        let mut admins = self.proxy.listeners().iter().filter(|(route, _)| route == "admin");
        admins.nth(1).expect("the second admin address").1
    }

    fn connect(&self, address: SocketAddr) -> Tls {
        tls_client(address, self.folder.path(), Some("client.pem"))
    }

    fn reload(&self, allow: &[&str], more: &str) {
        reload(&self.proxy, &text(self.folder.path(), &self.upstream, allow, more));
    }

    fn happen(&self, event: Event) {
        let rotate = || admin::at(self.local()).post("/rotate", &json!({}));
        let write = |name: &str, pem: &str| fs::write(self.folder.join(name), pem).unwrap();
        match event {
            Event::Revoked => {
                write("crl.pem", &self.ca.revoke(&[&self.client], Validity::Now).unwrap());
                drop(rotate());
            }
            Event::CaChanged => {
                let other = Authority::new("another CA").unwrap();
                write("crl.pem", &other.revoke(&[], Validity::Now).unwrap());
                write("ca.pem", other.pem());
                drop(rotate());
            }
            Event::PatternTaken => self.reload(&["CN=other"], ""),
            Event::PatternChanged => self.reload(&["CN=other", "CN=op"], ""),
            Event::Expired => {
                let folder = self.folder.path();
                wait("the certificate expires", || {
                    let mut stream = tls_client(self.remote(), folder, Some("client.pem"));
                    stream.write_all(STATUS).and_then(|()| stream.read(&mut [0; 1])).is_err()
                });
            }
        }
    }
}

fn text(folder: &Path, upstream: &Upstream, allow: &[&str], more: &str) -> String {
    let file = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let (server, ca, crl) = (file("server.pem"), file("ca.pem"), file("crl.pem"));
    format!(
        "net:\n  port: 0\n  tls: {{mode: allowTLS, certificateKeyFile: {server}, CAFile: {ca}, CRLFile: {crl}}}\n{}admin:\n  \
         watch: \"off\"\n  bind: [\"0.0.0.0:0\", \"127.0.0.1:0\"]\n  allow: {}\n{more}",
        yaml(upstream),
        json!(allow)
    )
}

const STATUS: &[u8] = b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n";
const PUT: &[u8] =
    b"PUT /mode HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n\
    {\"mode\":\"preferSSL\"}";

/// Reads one answer of a persistent HTTP connection: its head and its body.
fn answer(stream: &mut impl std::io::Read) -> (String, String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("an answer");
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    (head, String::from_utf8(body).unwrap())
}

#[track_caller]
fn is_forbidden_and_ends(stream: &mut Tls, reason: &str) {
    let (head, body) = answer(stream);
    assert!(head.starts_with("http/1.1 403") && head.contains("connection: close"), "{head}{body}");
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert!(body["code"] == "Forbidden" && body["error"].as_str().unwrap().contains(reason), "{reason}: {body}");
    assert_eq!(read_to_end(stream), b"", "the connection ends");
}

#[track_caller]
fn is_unauthorized_and_ends(mongo: &mut Wire<Tls>, reason: &str) {
    let refused = mongo.answer().expect("an answer").document;
    assert_eq!(refused.get_i32("code").unwrap(), 13, "{refused:?}");
    let said = refused.get_str("errmsg").unwrap();
    assert!(said.starts_with("not authorized on admin to execute command") && said.contains(reason), "{said}");
    assert_eq!(read_to_end(&mut mongo.0), b"", "the connection ends");
}

/// Both protocols, changes and queries, on the remote address and, for events that depend on the certificate alone, on
/// loopback.
#[test]
fn an_open_session_ends_with_its_permission() {
    for (event, reason) in [
        (Event::Revoked, "it is revoked"),
        (Event::CaChanged, "not signed by a CA in the CA file"),
        (Event::PatternTaken, "no pattern of --adminAllow matches"),
        (Event::PatternChanged, "no pattern of --adminAllow matches"),
        (Event::Expired, "it has expired"),
    ] {
        let place = Place::new(if event == Event::Expired { Validity::Seconds(SECONDS) } else { Validity::Now });
        let by_certificate = !matches!(event, Event::PatternTaken | Event::PatternChanged);
        let addresses = if by_certificate { vec![place.remote(), place.local()] } else { vec![place.remote()] };
        let both = |address: &SocketAddr| [place.connect(*address), place.connect(*address)];
        let mut https: Vec<_> = addresses.iter().flat_map(both).collect();
        let mut mongos: Vec<_> = addresses.iter().flat_map(both).map(Wire).collect();
        for stream in &mut https {
            stream.write_all(STATUS).unwrap();
            assert!(answer(stream).0.starts_with("http/1.1 200"));
        }
        for mongo in &mut mongos {
            assert_eq!(mongo.command("admin", &rawdoc! { "hello": 1 }).get_f64("ok").unwrap(), 1.0);
        }
        place.happen(event);
        for (stream, request) in https.iter_mut().zip([PUT, STATUS, PUT, STATUS]) {
            stream.write_all(request).unwrap();
            is_forbidden_and_ends(stream, reason);
        }
        let commands = [rawdoc! { "setParameter": 1, "sslMode": "preferSSL" }, rawdoc! { "hello": 1 }];
        for (mongo, command) in mongos.iter_mut().zip(commands.iter().cycle()) {
            mongo.0.write_all(&msg_command(1, "admin", command)).unwrap();
            is_unauthorized_and_ends(mongo, reason);
        }
        let status = admin::at(place.local()).get("/status");
        assert_eq!(status["sslMode"], "allowSSL", "{event:?}");
        place.proxy.wait_log(
            |line| line["message"] == "admin connection refused" && line["reason"].as_str().unwrap().contains(reason),
            SOON,
        );
    }
}

/// A request is judged when it has arrived completely, even if it was begun before.
#[test]
fn a_request_that_dawdles_is_judged_at_its_end() {
    let place = Place::new(Validity::Now);
    let (mut http, mut mongo) = (place.connect(place.remote()), Wire(place.connect(place.remote())));
    let command = msg_command(1, "admin", &rawdoc! { "setParameter": 1, "sslMode": "preferSSL" });
    // A request is completed first, so that both connections are being served; then all but the last byte of another is
    // sent.
    http.write_all(STATUS).unwrap();
    assert!(answer(&mut http).0.starts_with("http/1.1 200"));
    assert_eq!(mongo.command("admin", &rawdoc! { "ping": 1 }).get_f64("ok").unwrap(), 1.0);
    http.write_all(&PUT[..PUT.len() - 1]).unwrap();
    mongo.0.write_all(&command[..command.len() - 1]).unwrap();
    place.happen(Event::Revoked);
    http.write_all(&PUT[PUT.len() - 1..]).unwrap();
    is_forbidden_and_ends(&mut http, "it is revoked");
    mongo.0.write_all(&command[command.len() - 1..]).unwrap();
    is_unauthorized_and_ends(&mut mongo, "it is revoked");
    assert_eq!(admin::at(place.local()).get("/status")["sslMode"], "allowSSL");
}

/// `--adminReadOnly` by a reload forbids changes in open sessions, with and without TLS, but still allows queries.
#[test]
fn read_only_holds_for_open_sessions_at_once() {
    let place = Place::new(Validity::Now);
    let local = || {
        let stream = TcpStream::connect(place.local()).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream
    };
    let (mut plain, mut http) = (local(), place.connect(place.remote()));
    let (mut mongo, mut by_tls) = (raw::connect(place.local()), Wire(place.connect(place.remote())));
    let look = rawdoc! { "getParameter": 1, "sslMode": 1 };
    let dawdling = local();
    (&dawdling).write_all(&PUT[..PUT.len() - 1]).unwrap();
    plain.write_all(STATUS).unwrap();
    http.write_all(STATUS).unwrap();
    assert!(answer(&mut plain).0.contains("200") && answer(&mut http).0.contains("200"));
    for document in [mongo.command("admin", &look), by_tls.command("admin", &look)] {
        assert_eq!(document.get_str("sslMode").unwrap(), "allowSSL");
    }
    place.reload(&[ALLOWED], "  readOnly: true\n");
    (&dawdling).write_all(&PUT[PUT.len() - 1..]).unwrap();
    plain.write_all(PUT).unwrap();
    http.write_all(PUT).unwrap();
    for (head, body) in [answer(&mut &dawdling), answer(&mut plain), answer(&mut http)] {
        assert!(head.starts_with("http/1.1 403") && body.contains("ReadOnly"), "{head}{body}");
    }
    let change = rawdoc! { "setParameter": 1, "sslMode": "preferSSL" };
    for document in [mongo.command("admin", &change), by_tls.command("admin", &change)] {
        assert_eq!(document.get_i32("code").unwrap(), 13, "{document:?}");
        assert!(document.get_str("errmsg").unwrap().contains("--adminReadOnly"), "{document:?}");
    }
    plain.write_all(STATUS).unwrap();
    assert!(answer(&mut plain).1.contains("\"sslMode\":\"allowSSL\""));
    assert_eq!(by_tls.command("admin", &look).get_str("sslMode").unwrap(), "allowSSL");
    // A second reload allows changes again in the same sessions.
    place.reload(&[ALLOWED], "");
    assert_eq!(by_tls.command("admin", &change).get_str("was").unwrap(), "allowSSL");
}

/// A pattern that a reload adds also applies to open sessions.
#[test]
fn a_session_is_admitted_by_a_pattern_that_comes_later() {
    let place = Place::new(Validity::Now);
    place.reload(&["CN=other"], "");
    let mut mongo = Wire(place.connect(place.remote()));
    let look = rawdoc! { "getParameter": 1, "sslMode": 1 };
    for _ in 0..2 {
        assert_eq!(mongo.command("admin", &look).get_i32("code").unwrap(), 13, "it may stay, and be told");
    }
    place.reload(&[ALLOWED], "");
    assert_eq!(mongo.command("admin", &look).get_str("sslMode").unwrap(), "allowSSL");
}
