//! The one log line of each connection, which no peer can forge.

use std::fs;
use std::io::Write as _;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use certs_gen::{Authority, Request};
use rustls::{ClientConnection, pki_types::ServerName};
use serde_json::{Value, json};

use crate::support::proxy::Signal;
use crate::support::service::*;
use crate::support::{Mark, Proxy, Scratch, cert, certs, process, tls};

#[test]
fn a_tls_client_leaves_one_line_with_all_that_is_known_of_it() {
    let far = Upstream::start();
    let (server, member, ca) = (cert("server.pem"), cert("member.pem"), cert("ca.pem"));
    let tls = ["--tlsCAFile", &ca, "--tlsMode", "requireTLS"];
    let server = ["--tlsCertificateKeyFile", &server, "--port", "0"];
    let behind = ["--upstream", &far.address.to_string(), "--upstreamTLS", "never"].map(str::to_owned);
    let behind = Proxy::start([&server.map(str::to_owned)[..], &tls.map(str::to_owned), &behind].concat());
    let upstream = format!("localhost:{}", behind.port());
    let proxy = Proxy::start([&server[..], &tls, &["--upstream", &upstream, "--tlsClusterFile", &member]].concat());

    let mut client = tls_client(proxy.address("inbound"), certs::shared(), Some("client.pem"));
    let peer = client.sock.local_addr().unwrap();
    echoes(&mut client, b"twelve bytes");
    client.conn.send_close_notify();
    client.flush().unwrap();
    assert_eq!(read_to_end(&mut client), b"");

    let record = proxy.wait_record(Mark::START, |_| true, SOON);
    let next = behind.wait_record(Mark::START, |_| true, SOON);
    let expected = json!({
        "level": "INFO",
        "message": "connection",
        "id": 1,
        "peer": peer.to_string(),
        "route": "inbound",
        "opening": "tls",
        "tls_version": "TLS1.3",
        "cipher": record["cipher"],
        "sni": "localhost",
        "client_subject": "CN=client,O=tlsramp clients",
        "mode": "requireSSL",
        "generation": 1,
        "upstream": upstream,
        "upstream_local": next["peer"],
        "upstream_link": "tls",
        "upstream_tls": "TLS1.3",
        "bytes_in": 12,
        "bytes_out": 12,
        "outcome": "completed",
    });
    assert_eq!(without_times(&record), expected);
    let agreed = client.conn.negotiated_cipher_suite().unwrap().suite();
    assert_eq!(record["cipher"], agreed.as_str().unwrap().replacen("TLS13_", "TLS_", 1));
    assert_eq!(proxy.records().len(), 1);

    // The member's own certificate, the name that the client requested, and the same bytes, at the next proxy.
    assert_eq!(next["client_subject"], "CN=localhost,O=tlsramp members", "{next}");
    assert_eq!((&next["sni"], &next["bytes_in"], &next["bytes_out"]), (&json!("localhost"), &json!(12), &json!(12)));
}

#[test]
fn a_plaintext_client_leaves_one_line_with_all_that_is_known_of_it() {
    let upstream = Upstream::start();
    let proxy = Proxy::start(in_front_of(&upstream));
    let mut client = connect(&proxy);
    let peer = client.local_addr().unwrap();
    echoes(&mut client, b"twelve bytes");
    client.write_all(b"and eleven.").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut client), b"and eleven.");
    let record = proxy.wait_record(Mark::START, |_| true, SOON);
    let expected = json!({
        "level": "INFO",
        "message": "connection",
        "id": 1,
        "peer": peer.to_string(),
        "route": "inbound",
        "opening": "plaintext",
        "mode": "disabled",
        "generation": 1,
        "upstream": upstream.address.to_string(),
        "upstream_local": upstream.peers()[0].to_string(),
        "upstream_link": "plaintext",
        "bytes_in": 23,
        "bytes_out": 23,
        "outcome": "completed",
    });
    assert_eq!(without_times(&record), expected);
    assert_eq!(proxy.records().len(), 1);
}

#[test]
fn a_refused_client_leaves_a_line_with_the_reason() {
    let upstream = Upstream::start();
    let proxy = Proxy::start(in_front_of(&upstream));
    let mut client = connect(&proxy);
    client.write_all(&client_hello("db1.example.net")).unwrap();
    read_to_end(&mut client);
    let record = proxy.wait_record(Mark::START, |_| true, SOON);
    let expected = json!({
        "level": "INFO",
        "message": "connection",
        "id": 1,
        "peer": client.local_addr().unwrap().to_string(),
        "route": "inbound",
        "opening": "tls",
        "versions_offered": "TLS1.2, TLS1.3",
        "sni": "db1.example.net",
        "mode": "disabled",
        "generation": 1,
        "bytes_in": 0,
        "bytes_out": 0,
        "outcome": "refused_tls",
        "reason": record["reason"],
    });
    assert_eq!(without_times(&record), expected);
    assert!(record["reason"].as_str().is_some_and(|reason| reason.contains("disabled")), "{record}");
}

#[test]
fn a_probe_is_logged_at_debug_only() {
    let upstream = Upstream::start();
    for (level, seen) in [("info", false), ("debug", true)] {
        // A single worker accepts connections in their order.
        let more = ["--logLevel".to_owned(), level.to_owned(), "--workers".to_owned(), "1".to_owned()];
        let mut proxy = Proxy::start([&in_front_of(&upstream)[..], &more].concat());
        drop(connect(&proxy));
        let record = served(&proxy);
        assert_eq!(record["id"], 2, "the probe came first: {record}");
        assert_eq!(proxy.terminate().code(), Some(0));
        let probes = proxy.records().into_iter().filter(|record| record["outcome"] == "probe").collect::<Vec<_>>();
        assert_eq!(probes.len(), usize::from(seen), "{level}: {probes:?}");
        assert!(probes.iter().all(|probe| probe["level"] == "DEBUG" && probe["id"] == 1), "{probes:?}");
    }
}

#[test]
fn the_text_of_a_peers_certificate_cannot_forge_a_line() {
    let (folder, subject) = forged_subject();
    let upstream = Upstream::start();
    let file = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let args =
        ["--port", "0", "--upstream", &upstream.address.to_string(), "--upstreamTLS", "never"].map(str::to_owned);
    let tls = ["--sslMode".to_owned(), "allowSSL".to_owned(), "--sslPEMKeyFile".to_owned(), file("server.pem")];
    let args = [&args[..], &tls, &["--sslCAFile".to_owned(), file("ca.pem")]].concat();

    let mut text = TextLog::start(&args);
    forged_client(text.address, folder.path());
    let line = text.wait(|line| line.contains("client_subject"));
    assert!(line.contains("completed") && line.contains("evil"), "{line}");
    text.ends_without_forgery();

    // In JSON, the subject is unchanged except for characters that are not text.
    let proxy = Proxy::start(&args);
    forged_client(proxy.address("inbound"), folder.path());
    let record = proxy.wait_record(Mark::START, |record| record["outcome"] == "completed", SOON);
    let shown = record["client_subject"].as_str().unwrap();
    assert!(shown.contains("evil") && !shown.contains(char::is_control), "{shown:?} of {subject:?}");
    assert_eq!(proxy.records().len(), 1);
}

#[test]
fn the_name_that_a_hello_asks_for_cannot_forge_a_line() {
    let upstream = Upstream::start();
    let hello = client_hello("name.that.will.be.another.one.example.net");
    let name = b"a\n2026-01-01T00:00:00Z INFO \x1b[2Jconnection";
    let at = hello.windows(8).position(|bytes| bytes == b"name.tha").unwrap();
    let mut forged = hello;
    let room = "name.that.will.be.another.one.example.net".len();
    forged[at..at + room].copy_from_slice(&name[..room]);

    let mut text = TextLog::start(&in_front_of(&upstream));
    let mut client = TcpStream::connect(text.address).unwrap();
    client.set_read_timeout(Some(SOON)).unwrap();
    client.write_all(&forged).unwrap();
    read_to_end(&mut client);
    text.wait(|line| line.contains("refused_tls"));
    text.ends_without_forgery();
}

/// A record without the fields that differ between runs, which must be present.
#[track_caller]
fn without_times(record: &Value) -> Value {
    let mut record = record.clone();
    let fields = record.as_object_mut().unwrap();
    assert!(fields.remove("timestamp").is_some_and(|time| time.is_string()), "{fields:?}");
    assert!(fields.remove("duration_ms").is_some_and(|time| time.is_u64()), "{fields:?}");
    fields.retain(|_, value| !value.is_null());
    record
}

/// A ClientHello with this server name.
fn client_hello(name: &str) -> Vec<u8> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut connection = ClientConnection::new(tls::client(cert("ca.pem"), None), name).unwrap();
    let mut hello = Vec::new();
    connection.write_tls(&mut hello).unwrap();
    hello
}

/// A folder with a client certificate whose subject looks like a line of the log.
fn forged_subject() -> (Scratch, String) {
    let subject =
        "evil\n2026-01-01T00:00:00.000000Z  INFO connection id=666 \u{1b}[2Joutcome=\"forged\"\r\u{85}\u{2028}"
            .to_owned();
    let folder = Scratch::new("forged");
    let ca = Authority::new("CA").unwrap();
    let server = ca.issue(&Request::server("localhost")).unwrap();
    let client = ca.issue(&Request::client(&subject)).unwrap();
    for (name, text) in [("ca.pem", ca.pem()), ("server.pem", &server.pem()), ("client.pem", &client.pem())] {
        fs::write(folder.join(name), text).unwrap();
    }
    (folder, subject)
}

fn forged_client(address: SocketAddr, folder: &Path) {
    let mut client = tls_client(address, folder, Some("client.pem"));
    echoes(&mut client, b"by TLS");
    client.conn.send_close_notify();
    client.flush().unwrap();
    read_to_end(&mut client);
}

/// A proxy that logs as text, with its lines as printed.
struct TextLog {
    child: std::process::Child,
    lines: Receiver<String>,
    seen: Vec<String>,
    address: SocketAddr,
}

impl TextLog {
    fn start(args: &[String]) -> Self {
        let mut command = process::tethered(env!("CARGO_BIN_EXE_tlsramp"));
        command.arg("run").args(args).args(["--logFormat", "text"]).stdout(std::process::Stdio::piped());
        let mut child = process::spawn(command).unwrap();
        let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            let mut line = Vec::new();
            while std::io::BufRead::read_until(&mut stdout, b'\n', &mut line).is_ok_and(|count| count > 0) {
                let _ = sender.send(String::from_utf8_lossy(&line).into_owned());
                line.clear();
            }
        });
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut log = Self { child, lines, seen: Vec::new(), address };
        let listening = log.wait(|line| line.contains("listening"));
        let address = listening.split_whitespace().find_map(|word| word.strip_prefix("address="));
        log.address = address.unwrap_or_else(|| panic!("no address in {listening}")).parse().unwrap();
        log
    }

    #[track_caller]
    fn wait(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        loop {
            let line = self.lines.recv_timeout(SOON).unwrap_or_else(|why| panic!("{why}: {:#?}", self.seen));
            self.seen.push(line.clone());
            if wanted(&line) {
                return line;
            }
        }
    }

    /// Stops the proxy. Every line must be genuine, and one of them is the connection's.
    fn ends_without_forgery(mut self) {
        rustix::process::kill_process(process::pid(&self.child), Signal::TERM).unwrap();
        assert!(process::wait(&mut self.child, SOON).unwrap().is_some_and(|status| status.success()));
        self.seen.extend(self.lines.iter());
        let own = |line: &&String| line.starts_with("20") && line.get(26..28) == Some("Z ");
        assert_eq!(self.seen.iter().filter(own).count(), self.seen.len(), "{:#?}", self.seen);
        assert!(
            self.seen.iter().all(|line| !line.trim_end_matches('\n').contains(char::is_control)),
            "{:#?}",
            self.seen
        );
        let records = self.seen.iter().filter(|line| line.contains(" connection id=1 "));
        assert_eq!(records.count(), 1, "{:#?}", self.seen);
    }
}

impl Drop for TextLog {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
