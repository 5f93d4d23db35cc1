//! The answers that refused or broken peers receive, and the records of their connections.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use bson::{doc, rawdoc};
use rustls::ClientConfig;
use tlsramp::testing::{CommandError, MongoClient, Reply, msg_command, query_command};

use crate::support::{Proxy, ReservedPort, cert, openssl, require_command, tls, until};

const PATIENCE: Duration = Duration::from_secs(30);
const TEXT: &str = "The server is configured to only allow SSL connections";

/// Because of the half megabyte after the request, a plain close would send a reset that overtakes the reply.
#[test]
fn plaintext_where_tls_is_required_reads_why_whatever_else_it_sent() {
    let proxy = never_dialled("requireSSL", &[]);
    let command = rawdoc! { "ping": 1 };
    for (what, request) in
        [("OP_MSG", msg_command(7, "admin", &command)), ("OP_QUERY", query_command(7, "admin", &command))]
    {
        for behind in [0, 512 * 1024] {
            until::proven(|| {
                let began = Instant::now();
                let got = match try_talk(&proxy, &[&request[..], &vec![0; behind]].concat()) {
                    // What the client sends is read for a second.
                    Err(_) if began.elapsed() > Duration::from_millis(800) => return false,
                    got => got.unwrap(),
                };
                let reply = Reply::parse(&got).unwrap_or_else(|error| panic!("{what}, {behind} bytes behind: {error}"));
                assert_eq!(reply.header.response_to, 7);
                let expected = doc! { "ok": 0.0, "errmsg": TEXT, "code": 141, "codeName": "SSLHandshakeFailed" };
                assert_eq!(bson::Document::try_from(reply.document).unwrap(), expected, "{what}");
                true
            });
        }
    }
    let record = proxy.wait_log(|line| line["outcome"] == "refused_plaintext", PATIENCE);
    assert_eq!((&record["opening"], &record["mode"]), (&"plaintext".into(), &"requireSSL".into()));
}

#[test]
fn what_expects_no_reply_and_what_is_no_message_gets_none() {
    let proxy = never_dialled("requireSSL", &[]);
    let mut unacknowledged = msg_command(7, "admin", &rawdoc! { "insert": "c" });
    unacknowledged[16] |= 0b10; // moreToCome
    let mut insert = msg_command(7, "admin", &rawdoc! { "a": 1 });
    insert[12..16].copy_from_slice(&2002_i32.to_le_bytes());
    for opening in [&unacknowledged[..], &insert, b"GET / HTTP/1.1\r\n\r\n", b"SSH-2.0-x\r\n", b"\0\0\0\0"] {
        assert_eq!(talk(&proxy, opening), b"", "{opening:?}");
    }
}

#[test]
fn with_refusal_close_everybody_gets_silence() {
    let requires = never_dialled("requireSSL", &["--refusal", "close"]);
    assert_eq!(talk(&requires, &msg_command(7, "admin", &rawdoc! { "ping": 1 })), b"");
    let disabled = never_dialled("disabled", &["--refusal", "close"]);
    assert_eq!(talk(&disabled, b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03\x03"), b"");
}

#[test]
fn tls_where_it_is_disabled_gets_access_denied() {
    require_command!("openssl");
    let proxy = never_dialled("disabled", &[]);
    let output = openssl::s_client(proxy.address("inbound"), &["-servername", "db1.example.net"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("alert access denied") && said.contains("alert number 49"), "{said}");
    let record = proxy.wait_log(|line| line["outcome"] == "refused_tls", PATIENCE);
    assert_eq!(record["sni"], "db1.example.net");
}

#[test]
fn tls_below_1_2_gets_protocol_version_and_the_record_names_what_was_offered() {
    require_command!("openssl");
    let proxy = never_dialled("allowSSL", &[]);
    for (args, offered) in [("-tls1", "TLS1.0"), ("-tls1_1", "TLS1.1")] {
        let mark = proxy.mark();
        let output = openssl::s_client(proxy.address("inbound"), &[args, "-cipher", "ALL:@SECLEVEL=0"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("alert protocol version") && said.contains("alert number 70"), "{args}: {said}");
        let record = proxy.wait_next(mark, PATIENCE);
        assert_eq!((&record["outcome"], &record["versions_offered"]), (&"tls_too_old".into(), &offered.into()));
    }
    // SSLv2 framing that offers TLS 1.0.
    let got = talk(&proxy, b"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10");
    assert_eq!(got, [21, 3, 1, 0, 2, 2, 70]);
}

#[test]
fn a_disabled_version_gets_protocol_version() {
    require_command!("openssl");
    for (disabled, only) in [("TLS1_3", "-tls1_3"), ("TLS1_2", "-tls1_2")] {
        let proxy = never_dialled("allowSSL", &["--sslDisabledProtocols", disabled]);
        let output = openssl::s_client(proxy.address("inbound"), &[only]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("alert number 70"), "{only}: {said}");
        let record = proxy.wait_log(|line| line["outcome"] == "tls_too_old", PATIENCE);
        assert!(record["versions_offered"].as_str().unwrap().contains(&only.replace("-tls1_", "TLS1.")), "{record}");
    }
}

#[test]
fn each_wrong_client_certificate_gets_the_alert_of_its_fault() {
    require_command!("openssl");
    let crl = cert("crl.pem");
    let proxy = never_dialled("requireSSL", &["--sslCRLFile", &crl]);
    let rows = [
        ("", 116, "the client presented no certificate"),
        ("expired.pem", 45, "it has expired"),
        // rustls sends the same alert for not yet valid and expired certificates; the record distinguishes them.
        ("not-yet-valid.pem", 45, "not yet valid"),
        ("revoked.pem", 44, "it is revoked"),
        ("other-ca-client.pem", 48, "not signed by a CA in the CA file"),
    ];
    for (file, alert, reason) in rows {
        let mark = proxy.mark();
        let shown = if file.is_empty() { String::new() } else { cert(file) };
        let args = ["-cert", &shown, "-ign_eof"];
        let output = openssl::s_client(proxy.address("inbound"), if file.is_empty() { &args[2..] } else { &args });
        let said = String::from_utf8_lossy(&output.stderr);
        let record = proxy.wait_next(mark, PATIENCE);
        assert_eq!(record["outcome"], "client_certificate_refused", "{file}");
        assert!(record["reason"].as_str().unwrap().contains(reason), "{file}: {record}");
        assert!(said.contains(&format!("alert number {alert}")), "{file}: {said}");
    }
}

/// Plaintext clients and TLS clients receive the error as the reply to their request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_upstream_is_said_to_requests_of_both_kinds() {
    let reserved = ReservedPort::new();
    let nobody = reserved.address();
    let proxy = proxy_to(nobody, "allowSSL", &[]);
    let plaintext = tokio::net::TcpStream::connect(proxy.address("inbound")).await.unwrap();
    let by_tls = tls::connect(proxy.address("inbound"), &client()).await.unwrap();
    let answers = [MongoClient::over(plaintext).ping().await, MongoClient::over(by_tls).ping().await];
    for answer in answers {
        let Err(CommandError::Refused { code, text }) = answer else { panic!("{answer:?}") };
        assert_eq!(code, 6);
        assert!(text.contains(&nobody.to_string()) && text.contains("refused"), "{text}");
    }
    let record = proxy.wait_log(|line| line["outcome"] == "upstream_unreachable", PATIENCE);
    assert_eq!(record["upstream"], nobody.to_string());
}

/// A failed outbound dial is answered like an inbound one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_member_is_said_to_the_local_server() {
    let reserved = ReservedPort::new();
    let nobody = reserved.address();
    let proxy = Proxy::start(["--outbound", &format!("127.0.0.1:0={nobody}"), "--sslMode", "disabled"]);
    let local = tokio::net::TcpStream::connect(proxy.outbound(0)).await.unwrap();
    let answer = MongoClient::over(local).ping().await;
    let Err(CommandError::Refused { code: 6, text }) = answer else { panic!("{answer:?}") };
    assert!(text.contains(&nobody.to_string()), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_with_a_wrong_certificate_is_said_too() {
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = upstream.local_addr().unwrap();
    upstream.set_nonblocking(true).unwrap();
    let upstream = tokio::net::TcpListener::from_std(upstream).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(tls::server(&cert("wrong-name.pem"), None));
    tokio::spawn(async move {
        while let Ok((socket, _)) = upstream.accept().await {
            let _ = acceptor.accept(socket).await;
        }
    });
    let proxy = proxy_to(address, "allowSSL", &["--upstreamTLS", "always"]);
    let plaintext = tokio::net::TcpStream::connect(proxy.address("inbound")).await.unwrap();
    let answer = MongoClient::over(plaintext).ping().await;
    let Err(CommandError::Refused { code, text }) = answer else { panic!("{answer:?}") };
    assert_eq!(code, 6);
    assert!(text.contains("certificate"), "{text}");
    let record = proxy.wait_log(|line| line["outcome"] == "upstream_tls_failed", PATIENCE);
    assert_eq!(record["upstream"], address.to_string());
}

#[test]
fn a_probe_is_a_probe_and_not_worth_a_line() {
    let quiet = never_dialled("allowSSL", &[]);
    let told = never_dialled("allowSSL", &["--logLevel", "debug"]);
    for proxy in [&quiet, &told] {
        drop(TcpStream::connect(proxy.address("inbound")).unwrap());
        // Some health checkers reset the connection once they have seen enough.
        let reset = socket2::Socket::from(TcpStream::connect(proxy.address("inbound")).unwrap());
        reset.set_linger(Some(Duration::ZERO)).unwrap();
    }
    let mut probes = 0;
    let both = |line: &serde_json::Value| {
        probes += usize::from(line["outcome"] == "probe" && line["level"] == "DEBUG");
        probes == 2
    };
    told.wait_log(both, PATIENCE);
    talk(&quiet, b"\x16");
    quiet.wait_log(|line| line["message"] == "connection", PATIENCE);
    assert!(quiet.records().iter().all(|record| record["outcome"] != "probe"));
}

#[test]
fn a_handshake_that_stalls_is_closed_at_its_deadline() {
    let proxy = never_dialled("allowSSL", &["--handshakeTimeout", "500ms"]);
    let mut client = TcpStream::connect(proxy.address("inbound")).unwrap();
    client.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(client.read(&mut [0; 16]).unwrap(), 0);
    proxy.wait_log(|line| line["outcome"] == "tls_handshake_timeout", PATIENCE);
}

#[test]
fn garbage_that_claims_to_be_tls_is_closed_with_an_alert() {
    let proxy = never_dialled("allowSSL", &[]);
    for garbage in [&[0x16, 3, 1, 0xff, 0xff, 1, 2, 3, 4, 5, 6, 7][..], b"\x16\x03\x03\x00\x04\x0e\x00\x00\x00aaaaaa"] {
        let got = talk(&proxy, &[garbage, &[0x5a; 64 * 1024]].concat());
        assert!(got.is_empty() || got.starts_with(&[21, 3]), "{got:?}");
    }
    proxy.wait_log(|line| line["outcome"] == "tls_handshake_failed", PATIENCE);
}

/// Sends, closes the sending direction, and reads to the end. A reset fails the test.
fn talk(proxy: &Proxy, bytes: &[u8]) -> Vec<u8> {
    try_talk(proxy, bytes).unwrap()
}

fn try_talk(proxy: &Proxy, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut client = TcpStream::connect(proxy.address("inbound"))?;
    client.set_read_timeout(Some(PATIENCE))?;
    client.write_all(bytes)?;
    client.shutdown(Shutdown::Write)?;
    let mut got = Vec::new();
    client.read_to_end(&mut got)?;
    Ok(got)
}

fn client() -> std::sync::Arc<ClientConfig> {
    tls::client(cert("ca.pem"), Some(&cert("client.pem")))
}

/// A proxy whose upstream fails the test if a client connects to it: refused clients never reach it.
fn never_dialled(mode: &str, args: &[&str]) -> Proxy {
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = upstream.local_addr().unwrap();
    std::thread::spawn(move || {
        if let Ok((_, peer)) = upstream.accept() {
            eprintln!("a refused client reached the upstream: {peer}");
            std::process::abort();
        }
    });
    proxy_to(address, mode, args)
}

fn proxy_to(upstream: SocketAddr, mode: &str, args: &[&str]) -> Proxy {
    let upstream = upstream.to_string();
    let (key, ca, cluster) = (cert("server.pem"), cert("ca.pem"), cert("member.pem"));
    let never = if args.contains(&"--upstreamTLS") { &[][..] } else { &["--upstreamTLS", "never"] };
    let base = ["--port", "0", "--upstream", &upstream, "--sslMode", mode];
    let tls = ["--sslPEMKeyFile", &key, "--sslCAFile", &ca, "--sslClusterFile", &cluster];
    Proxy::start(base.iter().chain(never).chain(&tls).chain(args))
}
