//! Access to the admin port: read-only, the Unix socket, TLS with an allowed certificate, the port of the probes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use bson::rawdoc;
use certs_gen::Request;
use rustls::{ClientConnection, HandshakeKind, StreamOwned, pki_types::ServerName};

use crate::support::raw::{self, Wire};
use crate::support::service::*;
use crate::support::{Mark, Proxy, Scratch, admin, cert, certs, tls};

const PUT: &str = "PUT /mode HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
    Content-Length: 20\r\n\r\n{\"mode\":\"preferSSL\"}";
const STATUS: &str = "GET /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

#[test]
fn read_only_leaves_changes_to_the_unix_socket() {
    let folder = Scratch::new("admin");
    let socket = folder.join("admin.sock");
    let unix = format!("unix:{}", socket.display());
    let proxy = start(&["--adminReadOnly", "--adminBind", "127.0.0.1:0", "--adminBind", &unix]);
    let mode = socket.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "nobody else may connect to it");

    let by_tcp = admin::of(&proxy);
    assert_eq!(by_tcp.raw(STATUS).status, 200);
    let refused = by_tcp.raw(PUT).json(403);
    assert_eq!(refused["code"], "ReadOnly", "{refused}");
    assert!(refused["error"].as_str().unwrap().contains("--adminReadOnly"), "{refused}");
    let mut mongo = raw::connect(proxy.address("admin"));
    for command in [
        rawdoc! { "setParameter": 1, "sslMode": "preferSSL" },
        rawdoc! { "rotateCertificates": 1 },
        rawdoc! { "recycleConnections": 1 },
    ] {
        let refused = mongo.command("admin", &command);
        assert_eq!(refused.get_i32("code").unwrap(), 13, "{refused:?}");
        assert!(refused.get_str("errmsg").unwrap().contains("--adminReadOnly"), "{refused:?}");
    }
    let read = mongo.command("admin", &rawdoc! { "getParameter": 1, "sslMode": 1 });
    assert_eq!(read.get_str("sslMode").unwrap(), "allowSSL");

    let mut stream = UnixStream::connect(&socket).unwrap();
    stream.write_all(PUT.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let line = proxy.wait_log(|line| line["message"] == "mode changed", SOON);
    let me = format!("uid {}, pid {}", rustix::process::geteuid().as_raw(), std::process::id());
    assert_eq!((&line["by"], &line["door"]), (&me.into(), &"http".into()), "{line}");
    let mut mongo = Wire(UnixStream::connect(&socket).unwrap());
    let forced = rawdoc! { "setParameter": 1, "sslMode": "allowSSL", "force": true };
    assert_eq!(mongo.command("admin", &forced), rawdoc! { "was": "preferSSL", "ok": 1.0 });

    let mut proxy = proxy;
    assert_eq!(proxy.terminate().code(), Some(0));
    assert!(!socket.exists(), "the socket goes with the process");
}

/// A certificate of the CA that signs all applications is not enough, nor is a connection from this host.
#[test]
fn a_wildcard_address_takes_tls_with_an_allowed_certificate_only() {
    let proxy = start(&["--adminBind", "0.0.0.0:0", "--adminAllow", "CN=client,O=tlsramp clients"]);
    let address = loopback(&proxy);
    let (ca, allowed, other) = (certs::shared(), "client.pem", "member.pem");

    // The answer to plaintext says that TLS is required.
    let answer = admin::at(address).raw(STATUS).json(403);
    assert!(answer["error"].as_str().unwrap().contains("--tlsCertificateKeyFile"), "{answer}");
    assert_eq!(admin::at(address).raw("GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n").status, 403);
    let refused = raw::connect(address).command("admin", &rawdoc! { "isMaster": 1 });
    assert_eq!(refused.get_i32("code").unwrap(), 141, "{refused:?}");
    assert!(refused.get_str("errmsg").unwrap().contains("--tlsCertificateKeyFile"), "{refused:?}");

    // Without a certificate, or with one of another CA, the TLS handshake is refused.
    for certificate in [None, Some("other-ca-client.pem")] {
        let mut stream = tls_client(address, ca, certificate);
        let told = stream.write_all(STATUS.as_bytes()).and_then(|()| stream.read(&mut [0; 16]));
        assert!(told.is_err(), "{certificate:?}: {told:?}");
    }

    // A certificate of the CA that no pattern allows: the client connects, but can neither read nor change anything.
    let mut mongo = Wire(tls_client(address, ca, Some(other)));
    assert_eq!(mongo.command("admin", &rawdoc! { "hello": 1 }).get_f64("ok").unwrap(), 1.0);
    for command in [
        rawdoc! { "setParameter": 1, "sslMode": "preferSSL" },
        rawdoc! { "getParameter": 1, "sslMode": 1 },
        rawdoc! { "serverStatus": 1 },
        rawdoc! { "nosuch": 1 },
    ] {
        let refused = mongo.command("admin", &command);
        assert_eq!(refused.get_i32("code").unwrap(), 13, "{refused:?}");
        let said = refused.get_str("errmsg").unwrap();
        assert!(said.starts_with("not authorized on admin to execute command"), "{refused:?}");
    }
    for request in [PUT, STATUS, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"] {
        assert!(by_tls(address, other, request).starts_with("HTTP/1.1 403"), "{request}");
    }
    // The error contains both the certificate's subject and the allowed patterns.
    let refused = mongo.command("admin", &rawdoc! { "serverStatus": 1 });
    for said in [refused.get_str("errmsg").unwrap(), &by_tls(address, other, STATUS)] {
        for part in ["CN=localhost,O=tlsramp members", "DNS:localhost", "'CN=client,O=tlsramp clients'", "--adminAllow"]
        {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
    let complaint = proxy.wait_log(|line| line["message"] == "admin connection refused", SOON);
    assert!(!complaint["reason"].is_null() && !complaint["peer"].is_null(), "{complaint}");
    let named = |line: &serde_json::Value| line["subject"] == "CN=localhost,O=tlsramp members";
    proxy.wait_log(named, SOON);
    assert!(!proxy.log().objects(Mark::START).iter().any(|line| line["message"] == "mode changed"));

    // The allowed certificate, by HTTP and by the MongoDB protocol; its subject is in the audit line.
    assert!(by_tls(address, allowed, STATUS).contains("\"sslMode\":\"allowSSL\""));
    let mut mongo = Wire(tls_client(address, ca, Some(allowed)));
    let set = rawdoc! { "setParameter": 1, "sslMode": "preferSSL" };
    assert_eq!(mongo.command("admin", &set), rawdoc! { "was": "allowSSL", "ok": 1.0 });
    let line = proxy.wait_log(|line| line["message"] == "mode changed", SOON);
    assert!(line["by"].as_str().unwrap().contains("(CN=client,O=tlsramp clients)"), "{line}");
    let quit = "POST /quit HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
        Content-Length: 2\r\n\r\n{}";
    assert!(by_tls(address, allowed, quit).starts_with("HTTP/1.1 403"), "only from this host");
}

/// As in the guide: clients use a name in the admin port's certificate, without `--adminHost`. In plaintext on
/// loopback, a name may be used by a foreign web page (DNS rebinding), so such a name is refused there.
#[test]
fn by_tls_a_host_of_the_own_certificate_is_taken() {
    let ca = certs_gen::Authority::new("CA").unwrap();
    let folder = Scratch::new("own-names");
    let write = |name: &str, pem: String| {
        fs::write(folder.join(name), pem).unwrap();
        folder.join(name).to_str().unwrap().to_owned()
    };
    let server = |names: [&str; 3]| ca.issue(&Request::server("db1").names(names)).unwrap().pem();
    let file = write("server.pem", server(["db1.example.net", "*.ops.example.net", "localhost"]));
    let ca_file = write("ca.pem", ca.pem().to_owned());
    // Its whole subject is `CN=ops`.
    write("client.pem", ca.issue(&Request::client("ops")).unwrap().pem());
    let loopback_and_far = ["--adminBind", "127.0.0.1:0", "--adminBind", "0.0.0.0:0", "--adminAllow", "CN=ops,*"];
    let route = ["--port", "0", "--upstream", "127.0.0.1:9", "--upstreamTLS", "never", "--watch", "off"];
    let tls = ["--sslMode", "allowSSL", "--sslPEMKeyFile", &file, "--sslCAFile", &ca_file];
    let proxy = Proxy::start(route.iter().chain(&tls).chain(&loopback_and_far));
    let near = proxy.address("admin");
    let far = proxy.listeners().iter().filter(|(route, _)| route == "admin").nth(1).unwrap().1.port();
    let far: SocketAddr = ([127, 0, 0, 1], far).into();
    let asked = |at: SocketAddr, host: &str| {
        let mut stream = tls_client(at, folder.path(), Some("client.pem"));
        stream.write_all(STATUS.replace("Host: localhost", &format!("Host: {host}")).as_bytes()).unwrap();
        String::from_utf8(read_to_end(&mut stream)).unwrap()
    };
    for at in [far, near] {
        for host in ["db1.example.net:28017", "DB1.example.net", "a.ops.example.net:28017"] {
            assert!(asked(at, host).starts_with("HTTP/1.1 200"), "{host}: {}", asked(at, host));
        }
        for host in ["db2.example.net:28017", "ops.example.net", "a.b.ops.example.net"] {
            let answer = asked(at, host);
            assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("DNS:db1.example.net"), "{host}: {answer}");
        }
    }
    let plaintext = STATUS.replace("Host: localhost", "Host: db1.example.net:28017");
    assert_eq!(admin::at(near).raw(&plaintext).status, 403);

    // The names are those of the certificate in force, not of the one at the start.
    write("server.pem", server(["db2.example.net", "*.ops.example.net", "localhost"]));
    admin::at(near).post("/rotate", &serde_json::json!({}));
    assert!(asked(far, "db2.example.net:28017").starts_with("HTTP/1.1 200"));
    assert!(asked(far, "db1.example.net:28017").starts_with("HTTP/1.1 403"));
}

#[test]
fn a_reload_changes_who_is_allowed() {
    let upstream = Upstream::start();
    let text = |allow: &str| {
        let (server, ca) = (cert("server.pem"), cert("ca.pem"));
        format!(
            "net:\n  port: 0\n  tls:\n    mode: allowTLS\n    certificateKeyFile: {server}\n    CAFile: {ca}\n{}admin:\n  \
             bind: [\"0.0.0.0:0\"]\n  allow: [\"{allow}\"]\n",
            yaml(&upstream)
        )
    };
    let proxy = Proxy::start_with_config(&text("CN=nobody"), [""; 0]);
    let address = loopback(&proxy);
    assert!(by_tls(address, "client.pem", STATUS).starts_with("HTTP/1.1 403"));
    reload(&proxy, &text("CN=client,*"));
    assert!(by_tls(address, "client.pem", STATUS).starts_with("HTTP/1.1 200"));
    reload(&proxy, &text("DNS:localhost"));
    assert!(by_tls(address, "client.pem", STATUS).starts_with("HTTP/1.1 403"));
    assert!(by_tls(address, "member.pem", STATUS).starts_with("HTTP/1.1 200"));
}

/// A loopback address also accepts TLS. The certificate must then verify, and its subject is known.
#[test]
fn tls_is_taken_on_loopback_as_well() {
    let proxy = start(&[]);
    let address = proxy.address("admin");
    assert!(by_tls(address, "member.pem", PUT).starts_with("HTTP/1.1 200"));
    let line = proxy.wait_log(|line| line["message"] == "mode changed", SOON);
    assert!(line["by"].as_str().unwrap().contains("(CN=localhost,O=tlsramp members)"), "{line}");
    let mut stream = tls_client(address, certs::shared(), None);
    let told = stream.write_all(STATUS.as_bytes()).and_then(|()| stream.read(&mut [0; 16]));
    assert!(told.is_err(), "{told:?}");
}

/// A ticket could outlive its certificate. A client that changes the policy must present a valid certificate each time.
#[test]
fn no_session_is_resumed_at_the_admin_port() {
    for disabled in ["TLS1_2", "TLS1_3"] {
        let allow = ["--adminBind", "0.0.0.0:0", "--adminAllow", "CN=client,O=tlsramp clients"];
        let proxy = start(&[&allow[..], &["--sslDisabledProtocols", disabled]].concat());
        // Both connections use the same configuration, which stores sessions.
        let config = tls::client(cert("ca.pem"), Some(&cert("client.pem")));
        for _ in 0..2 {
            let name = ServerName::try_from("localhost").unwrap();
            let session = ClientConnection::new(Arc::clone(&config), name).unwrap();
            let mut stream = StreamOwned::new(session, TcpStream::connect(loopback(&proxy)).unwrap());
            stream.write_all(STATUS.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            assert_eq!(stream.conn.handshake_kind(), Some(HandshakeKind::Full), "without {disabled}");
        }
    }
}

#[test]
fn the_probes_port_has_three_paths_and_nothing_else() {
    let proxy = start(&["--probeBind", "0.0.0.0:0"]);
    let probes = admin::at(([127, 0, 0, 1], proxy.address("probes").port()).into());
    for path in ["/livez", "/readyz", "/metrics"] {
        for method in ["GET", "HEAD"] {
            let request = format!("{method} {path} HTTP/1.1\r\nHost: 10.1.2.3\r\nConnection: close\r\n\r\n");
            assert_eq!(probes.raw(&request).status, 200, "{method} {path}");
        }
        let post = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        assert_eq!(probes.raw(&post).status, 404);
    }
    assert_eq!(probes.raw("GET /readyz?upstream HTTP/1.1\r\nConnection: close\r\n\r\n").status, 503, "it is no mongod");
    for request in [STATUS, PUT] {
        assert_eq!(probes.raw(request).status, 404);
    }
    // The port of the probes does not speak the MongoDB protocol: input that is not HTTP is a bad request.
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", proxy.address("probes").port())).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(&ping()).unwrap();
    assert!(read_to_end(&mut stream).starts_with(b"HTTP/1.1 400"));
}

fn start(args: &[&str]) -> Proxy {
    let (server, ca) = (cert("server.pem"), cert("ca.pem"));
    let tls = ["--sslMode", "allowSSL", "--sslPEMKeyFile", &server, "--sslCAFile", &ca];
    let route = ["--port", "0", "--upstream", "127.0.0.1:9", "--upstreamTLS", "never"];
    Proxy::start(route.iter().chain(&tls).chain(args))
}

/// The admin port of a wildcard address, reached by a loopback address: it counts as remote all the same.
fn loopback(proxy: &Proxy) -> SocketAddr {
    ([127, 0, 0, 1], proxy.address("admin").port()).into()
}

fn by_tls(address: SocketAddr, certificate: &str, request: &str) -> String {
    let mut stream = tls_client(address, certs::shared(), Some(certificate));
    stream.write_all(request.as_bytes()).unwrap();
    String::from_utf8(read_to_end(&mut stream)).unwrap()
}
