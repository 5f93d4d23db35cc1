//! Routes: outbound by policy, passthrough without changes, Unix sockets, source addresses, names.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use crate::support::{Mongod, Proxy, Scratch, cert, mongod, parts, process, require, tls};

const PATIENCE: Duration = Duration::from_secs(30);

/// The local server uses plaintext in every mode; the link to other hosts is determined by the mode.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outbound_takes_plaintext_in_every_mode_and_leaves_by_policy() {
    for (mode, by_tls) in [("disabled", false), ("allowSSL", false), ("preferSSL", true), ("requireSSL", true)] {
        let (target, mut openings) = first_bytes().await;
        let proxy = outbound(mode, &format!("127.0.0.1:0={target},name=localhost"), &[]);
        let mut local = TcpStream::connect(proxy.outbound(0)).await.unwrap();
        local.write_all(b"hello from the local server").await.unwrap();
        let opening = tokio::time::timeout(PATIENCE, openings.recv()).await.unwrap().unwrap();
        assert_eq!(opening[0] == 0x16, by_tls, "{mode}");
        assert_eq!(opening.starts_with(b"hello from"), !by_tls, "{mode}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outbound_passes_what_is_tls_already() {
    for mode in ["disabled", "requireSSL"] {
        let (target, mut openings) = first_bytes().await;
        let proxy = outbound(mode, &format!("127.0.0.1:0={target}"), &[]);
        let mut local = TcpStream::connect(proxy.outbound(0)).await.unwrap();
        let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 and more";
        local.write_all(hello).await.unwrap();
        let opening = tokio::time::timeout(PATIENCE, openings.recv()).await.unwrap().unwrap();
        assert_eq!(opening, hello, "{mode}");
        drop(local);
    }
}

/// HOST is verified unless `name=` is given; only the operator's option permits a wrong name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outbound_verifies_the_name_it_was_given() {
    let switch = ["--sslAllowInvalidHostnames"];
    let rows: [(&str, &str, &[&str], bool); 5] = [
        ("server.pem", "", &[], true),
        ("server.pem", ",name=localhost", &[], true),
        ("server.pem", ",name=db1.example.net", &[], false),
        ("server.pem", ",name=db1.example.net", &switch, true),
        ("other-ca-client.pem", "", &switch, false),
    ];
    for (certificate, name, args, works) in rows {
        let target = serve_tls(certificate).await;
        let proxy = outbound("preferSSL", &format!("127.0.0.1:0={target}{name}"), args);
        let mut local = TcpStream::connect(proxy.outbound(0)).await.unwrap();
        local.write_all(b"ping").await.unwrap();
        let mut back = [0; 4];
        let answer = tokio::time::timeout(PATIENCE, local.read_exact(&mut back)).await.unwrap();
        assert_eq!(answer.is_ok() && &back == b"ping", works, "{certificate} {name} {args:?}");
        if !works {
            proxy.wait_log(|line| line["outcome"] == "upstream_tls_failed", PATIENCE);
        }
    }
}

/// The server must see the name that the client used: the upstream receives the client's SNI.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_hears_the_clients_name_and_is_verified_by_its_own() {
    let (asked, mut names) = mpsc::channel(1);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(tls::server(&cert("server.pem"), None));
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let stream = acceptor.accept(socket).await.unwrap();
            asked.send(stream.get_ref().1.server_name().map(str::to_owned)).await.unwrap();
        }
    });
    let proxy = inbound("allowSSL", &format!("127.0.0.1:{}", target.port()), &["--upstreamTLS", "always"]);
    let client = tls::client(cert("ca.pem"), Some(&cert("client.pem")));
    let _stream = tls::connect(proxy.address("inbound"), &client).await.unwrap();
    let heard = tokio::time::timeout(PATIENCE, names.recv()).await.unwrap();
    assert_eq!(heard, Some(Some("localhost".to_owned())));
    // A plaintext client sends no name, so the verified name is used instead; an IP address is not sent as SNI.
    let mut plaintext = TcpStream::connect(proxy.address("inbound")).await.unwrap();
    plaintext.write_all(b"x").await.unwrap();
    assert_eq!(tokio::time::timeout(PATIENCE, names.recv()).await.unwrap(), Some(None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_may_be_a_unix_socket() {
    let folder = Scratch::new("unix");
    let path = folder.join("server.sock");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut bytes = [0; 4];
            socket.read_exact(&mut bytes).await.unwrap();
            socket.write_all(&bytes).await.unwrap();
        }
    });
    let upstream = format!("unix:{}", path.display());
    let proxy = inbound("allowSSL", &upstream, &["--upstreamTLS", "never"]);
    let mut client = TcpStream::connect(proxy.address("inbound")).await.unwrap();
    client.write_all(b"ping").await.unwrap();
    let mut back = [0; 4];
    client.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"ping");
    drop(client);
    let record = proxy.wait_log(|line| line["message"] == "connection", PATIENCE);
    assert_eq!(record["upstream"], upstream);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upstream_bind_is_what_the_server_sees() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = listener.local_addr().unwrap().to_string();
    let proxy = inbound("disabled", &upstream, &["--upstreamTLS", "never", "--upstreamBind", "127.1.2.3"]);
    let mut client = TcpStream::connect(proxy.address("inbound")).await.unwrap();
    client.write_all(b"ping").await.unwrap();
    let (server_side, seen) = listener.accept().await.unwrap();
    assert_eq!(seen.ip().to_string(), "127.1.2.3");
    drop((client, server_side));
    let record = proxy.wait_log(|line| line["message"] == "connection", PATIENCE);
    assert_eq!(record["upstream_local"], seen.to_string(), "what leads from mongod's log back to the client");
}

/// Passthrough keeps MONGODB-X509 with the client's own certificate, which a terminating proxy cannot do.
#[test]
fn passthrough_keeps_x509_authentication_working() {
    let python = require!(parts::pymongo());
    require!(parts::mongod());
    let (key, ca) = (cert("member.pem"), cert("ca.pem"));
    let options = mongod::Options {
        args: ["--tlsMode", "preferTLS", "--tlsCertificateKeyFile", &key, "--tlsCAFile", &ca]
            .map(str::to_owned)
            .into_iter()
            .chain(["--tlsAllowConnectionsWithoutCertificates".to_owned()])
            .collect(),
        ..mongod::Options::default()
    };
    let server = Mongod::start(&options);
    let upstream = server.address().to_string();
    for (mode, plaintext) in [("allowSSL", true), ("requireSSL", false)] {
        let args = ["--port", "0", "--upstream", &upstream, "--inboundTLS", "passthrough", "--upstreamTLS", "never"];
        let proxy = Proxy::start(args.iter().chain(&["--sslMode", mode]));
        let script = format!(
            r#"
import pymongo
common = dict(host="localhost", port={port}, serverSelectionTimeoutMS=30000, directConnection=True)
files = dict(tls=True, tlsCAFile={ca:?}, tlsCertificateKeyFile={client:?})
admin = pymongo.MongoClient(**common, **files)
subject = "CN=client,O=tlsramp clients"
try:
    admin["$external"].command("createUser", subject, roles=[dict(role="root", db="admin")])
except pymongo.errors.OperationFailure as error:
    assert error.code == 51003, error
known = pymongo.MongoClient(**common, **files, authMechanism="MONGODB-X509")
users = known.admin.command("connectionStatus")["authInfo"]["authenticatedUsers"]
print("authenticated as", users[0]["user"])
try:
    pymongo.MongoClient(**common | dict(serverSelectionTimeoutMS={refused})).admin.command("ping")
    print("plaintext served")
except pymongo.errors.PyMongoError as error:
    print("plaintext refused:", error)
"#,
            port = proxy.port(),
            refused = if plaintext { 30_000 } else { 3_000 },
            client = cert("client.pem"),
        );
        let mut command = process::tethered(python);
        command.args(["-c", &script]);
        let output = process::output(command, Duration::from_secs(180)).unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(said.contains("authenticated as CN=client,O=tlsramp clients"), "{said}");
        assert_eq!(said.contains("plaintext served"), plaintext, "{mode}: {said}");
        let untouched = proxy.wait_log(|line| line["upstream_link"] == "untouched", PATIENCE);
        assert_eq!((&untouched["opening"], untouched.get("client_subject")), (&"tls".into(), None));
    }
}

/// A server that reports the first bytes of each connection.
async fn first_bytes() -> (SocketAddr, mpsc::Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = mpsc::channel(4);
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut bytes = vec![0; 1024];
            let count = socket.read(&mut bytes).await.unwrap();
            bytes.truncate(count);
            tell.send(bytes).await.unwrap();
        }
    });
    (address, told)
}

/// A TLS server that sends four bytes back.
async fn serve_tls(certificate: &str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(tls::server(&cert(certificate), None));
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            if let Ok(mut stream) = acceptor.accept(socket).await {
                let mut bytes = [0; 4];
                if stream.read_exact(&mut bytes).await.is_ok() {
                    stream.write_all(&bytes).await.unwrap();
                }
            }
        }
    });
    address
}

fn outbound(mode: &str, route: &str, args: &[&str]) -> Proxy {
    let (key, ca) = (cert("member.pem"), cert("ca.pem"));
    let base = ["--outbound", route, "--sslMode", mode, "--sslPEMKeyFile", &key, "--sslCAFile", &ca];
    Proxy::start(base.iter().chain(args))
}

fn inbound(mode: &str, upstream: &str, args: &[&str]) -> Proxy {
    let (key, ca) = (cert("member.pem"), cert("ca.pem"));
    let base = ["--port", "0", "--upstream", upstream, "--sslMode", mode, "--sslPEMKeyFile", &key, "--sslCAFile", &ca];
    Proxy::start(base.iter().chain(args))
}
