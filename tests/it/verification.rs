//! Verification of certificates: several roots, two CAs, options, revocation that tickets cannot bypass, and a separate
//! reason for each property that OpenSSL accepted and rustls refuses.

use std::net::SocketAddr;
use std::time::Duration;

use certs_gen::{Authority as CertsAuthority, Request, Validity};
use rustls::HandshakeKind;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::openssl::{Authority, Flaw};
use crate::support::proxy::Signal;
use crate::support::{Mark, Proxy, ReservedPort, Scratch, cert, openssl, process, require_command, tls};

const PATIENCE: Duration = Duration::from_secs(30);

/// rustls takes the client's chain from the ticket without verifying it again, so tickets must be discarded with the
/// CRL.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_ticket_resumes_past_a_revocation() {
    let folder = Scratch::new("revocation");
    let authority = CertsAuthority::new("revocation CA").unwrap();
    let server = authority.issue(&Request::server("localhost").names(["localhost"])).unwrap();
    let dismissed = authority.issue(&Request::client("dismissed")).unwrap();
    let other = authority.issue(&Request::client("other")).unwrap();
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_string_lossy().into_owned()
    };
    let key = write("server.pem", server.pem());
    let ca = write("ca.pem", authority.pem().to_owned());
    let crl = write("crl.pem", authority.revoke(&[], Validity::Now).unwrap());
    let upstream = echo().await.to_string();
    let base = ["--port", "0", "--upstream", &upstream, "--upstreamTLS", "never", "--sslMode", "requireSSL"];
    let files = ["--sslPEMKeyFile", &key, "--sslCAFile", &ca, "--sslCRLFile", &crl];
    let proxy = Proxy::start(base.iter().chain(&files));
    let address = proxy.address("inbound");

    let client = tls::client(&ca, Some(&write("client.pem", dismissed.pem())));
    assert_eq!(greet(address, &client).await.unwrap(), HandshakeKind::Full);
    assert_eq!(greet(address, &client).await.unwrap(), HandshakeKind::Resumed, "the test needs tickets that work");

    write("crl.pem", authority.revoke(&[&dismissed], Validity::Now).unwrap());
    proxy.signal(Signal::HUP);
    proxy.wait_log(|line| line["message"] == "reloaded", PATIENCE);
    let mark = proxy.mark();
    greet(address, &client).await.expect_err("revoked, whatever its tickets");
    let record = proxy.wait_next(mark, PATIENCE);
    assert_eq!(record["outcome"], "client_certificate_refused");
    assert!(record["reason"].as_str().unwrap().contains("revoked"), "{record}");
    let other = tls::client(&ca, Some(&write("other.pem", other.pem())));
    greet(address, &other).await.unwrap();
}

/// As in mongod, all clients are refused if the CRL is past its nextUpdate.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_crl_refuses() {
    let upstream = echo().await;
    for (crl, works) in [("crl-empty.pem", true), ("crl-expired.pem", false)] {
        let proxy = inbound(upstream, &["--sslCRLFile", &cert(crl)]);
        let client = tls::client(cert("ca.pem"), Some(&cert("client.pem")));
        assert_eq!(greet(proxy.address("inbound"), &client).await.is_ok(), works, "{crl}");
        if !works {
            refused(&proxy, "client_certificate_refused", "CRL of its issuer has expired");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ca_file_may_have_several_roots_and_clients_a_ca_of_their_own() {
    let upstream = echo().await;
    let folder = Scratch::new("roots");
    let both = folder.join("both.pem");
    let text = ["ca.pem", "other-ca.pem"].map(|name| std::fs::read_to_string(cert(name)).unwrap()).concat();
    std::fs::write(&both, text).unwrap();
    let both = both.to_string_lossy().into_owned();
    let ours = tls::client(cert("ca.pem"), Some(&cert("client.pem")));
    let theirs = tls::client(cert("ca.pem"), Some(&cert("other-ca-client.pem")));
    let (ca, other) = (cert("ca.pem"), cert("other-ca.pem"));
    let rows: [(&[&str], bool, bool); 3] = [
        (&["--sslCAFile", &ca], true, false),
        (&["--sslCAFile", &both], true, true),
        (&["--sslCAFile", &ca, "--sslClusterCAFile", &other], false, true),
    ];
    for (args, ours_works, theirs_works) in rows {
        let upstream = upstream.to_string();
        let key = cert("server.pem");
        let base = ["--port", "0", "--upstream", &upstream, "--upstreamTLS", "never", "--sslMode", "requireSSL"];
        let proxy = Proxy::start(base.iter().chain(&["--sslPEMKeyFile", &key]).chain(args));
        let address = proxy.address("inbound");
        assert_eq!(greet(address, &ours).await.is_ok(), ours_works, "{args:?}");
        assert_eq!(greet(address, &theirs).await.is_ok(), theirs_works, "{args:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_encrypted_key_opens_with_its_password() {
    let upstream = echo().await.to_string();
    let (key, ca) = (cert("encrypted.pem"), cert("ca.pem"));
    let base = ["--port", "0", "--upstream", &upstream, "--upstreamTLS", "never", "--sslMode", "requireSSL"];
    let files = ["--sslPEMKeyFile", &key, "--sslPEMKeyPassword", certs_gen::PASSWORD, "--sslCAFile", &ca];
    let proxy = Proxy::start(base.iter().chain(&files));
    let client = tls::client(&ca, Some(&cert("client.pem")));
    greet(proxy.address("inbound"), &client).await.unwrap();
}

/// A ClientHello larger than a TCP segment, with a group that may be the only one a client offers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_quantum_key_share_is_accepted() {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.kx_groups = vec![rustls::crypto::aws_lc_rs::kx_group::X25519MLKEM768];
    let mut config =
        std::sync::Arc::unwrap_or_clone(tls::client_of(provider, cert("ca.pem"), Some(&cert("client.pem"))));
    config.max_fragment_size = Some(200);
    let proxy = inbound(echo().await, &[]);
    greet(proxy.address("inbound"), &std::sync::Arc::new(config)).await.unwrap();
}

/// The option accepts all clients and gives none an identity.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn allow_invalid_certificates_admits_without_an_identity() {
    let proxy = inbound(echo().await, &["--sslAllowInvalidCertificates"]);
    let client = tls::client(cert("ca.pem"), Some(&cert("other-ca-client.pem")));
    greet(proxy.address("inbound"), &client).await.unwrap();
    let record = proxy.wait_log(|line| line["message"] == "connection", PATIENCE);
    assert_eq!((&record["outcome"], &record["client_subject"]), (&"completed".into(), &Value::Null));
    let warned = |line: &Value| line["level"] == "WARN" && line.to_string().contains("llowInvalidCertificates");
    proxy.wait_log(warned, PATIENCE);
    // The option does not permit a missing certificate.
    let without = tls::client(cert("ca.pem"), None);
    greet(proxy.address("inbound"), &without).await.expect_err("a certificate is still mandatory");
}

#[test]
fn what_openssl_took_of_clients_is_refused_with_its_reason() {
    require_command!("openssl");
    let authority = Authority::new();
    let upstream = TcpListener::bind("127.0.0.1:0");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let upstream = runtime.block_on(upstream).unwrap().local_addr().unwrap();
    let clients = authority.ca_file().to_string_lossy().into_owned();
    let proxy = inbound(upstream, &["--sslClusterCAFile", &clients]);
    for (flaw, reason) in
        [(Flaw::Version1, "X.509 v1"), (Flaw::Sha1, "SHA-1"), (Flaw::Rsa1024, "shorter than 2048 bits")]
    {
        let mark = proxy.mark();
        let file = authority.issue(flaw).to_string_lossy().into_owned();
        let args = ["-cert", &file, "-ign_eof", "-cipher", "ALL:@SECLEVEL=0"];
        openssl::s_client(proxy.address("inbound"), &args);
        let record = proxy.wait_next(mark, PATIENCE);
        assert_eq!(record["outcome"], "client_certificate_refused", "{flaw:?}: {record}");
        assert!(record["reason"].as_str().unwrap().contains(reason), "{flaw:?}: {record}");
    }
    // As in mongod, a client's name is never compared, so a CN alone is sufficient here.
    let mark = proxy.mark();
    let file = authority.issue(Flaw::CommonNameOnly).to_string_lossy().into_owned();
    openssl::s_client(proxy.address("inbound"), &["-cert", &file]);
    assert_eq!(proxy.wait_next(mark, PATIENCE)["client_subject"], "CN=localhost");
}

#[test]
fn what_openssl_took_of_servers_is_refused_with_its_reason() {
    require_command!("openssl");
    let authority = Authority::new();
    let ca = authority.ca_file().to_string_lossy().into_owned();
    let rows = [
        (Flaw::None, &[][..], ""),
        (Flaw::Version1, &[], "X.509 v1"),
        (Flaw::Sha1, &[], "SHA-1"),
        (Flaw::Rsa1024, &[], "shorter than 2048 bits"),
        (Flaw::CommonNameOnly, &[], "no subject alternative name"),
        (Flaw::None, &["-tls1_1"], "peer sent the alert protocol_version (70)"),
        (Flaw::None, &["-tls1_2", "-cipher", "AES128-SHA256"], "peer sent the alert handshake_failure (40)"),
        (
            Flaw::None,
            &["-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256"],
            "peer sent the alert handshake_failure (40)",
        ),
    ];
    for (flaw, args, reason) in rows {
        let server = OpensslServer::start(&authority, flaw, args);
        let upstream = format!("localhost:{}", server.port);
        let base = ["--port", "0", "--upstream", &upstream, "--upstreamTLS", "always", "--sslMode", "disabled"];
        let proxy = Proxy::start(base.iter().chain(&["--sslCAFile", &ca, "--connectTimeout", "60s"]));
        let mut client = std::net::TcpStream::connect(proxy.address("inbound")).unwrap();
        std::io::Write::write_all(&mut client, b"hello").unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        if reason.is_empty() {
            drop(client);
            let record = proxy.wait_log(|line| line["message"] == "connection", PATIENCE);
            assert_eq!(record["upstream_link"], "tls", "{record}");
        } else {
            let record = proxy.wait_log(|line| line["message"] == "connection", PATIENCE);
            assert_eq!(record["outcome"], "upstream_tls_failed", "{flaw:?} {args:?}: {record}");
            assert!(record["reason"].as_str().unwrap().contains(reason), "{flaw:?} {args:?}: {record}");
        }
    }
}

#[test]
fn clients_without_forward_secrecy_are_refused_with_the_reason() {
    require_command!("openssl");
    let upstream = ReservedPort::new();
    let proxy = inbound(upstream.address(), &[]);
    for cipher in ["AES128-SHA256", "DHE-RSA-AES128-GCM-SHA256"] {
        let mark = proxy.mark();
        openssl::s_client(proxy.address("inbound"), &["-tls1_2", "-cipher", cipher]);
        let record = proxy.wait_next(mark, PATIENCE);
        assert_eq!(record["outcome"], "tls_handshake_failed", "{cipher}: {record}");
        assert!(record["reason"].as_str().unwrap().contains("static RSA and DHE"), "{cipher}: {record}");
    }
}

/// Found before a peer refuses it: a certificate presented to servers must be usable as a client certificate.
#[test]
fn check_complains_of_an_outgoing_certificate_without_client_auth() {
    let ca = cert("ca.pem");
    let rows = [("server.pem", None, true), ("member.pem", None, false), ("server.pem", Some("member.pem"), false)];
    for (serving, cluster, complains) in rows {
        let serving = cert(serving);
        let cluster = cluster.map(cert);
        let mut args = vec!["check", "--outbound", "127.0.0.1:0=db1.invalid:27017", "--sslMode", "preferSSL"];
        args.extend(["--sslPEMKeyFile", &serving, "--sslCAFile", &ca]);
        args.extend(cluster.iter().flat_map(|cluster| ["--sslClusterFile", cluster]));
        let output = crate::support::run_to_end(args);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(said.contains("--sslPEMKeyFile") && said.contains("lacks clientAuth"), complains, "{said}");
    }
}

/// Sends bytes and reads them back; returns the kind of handshake. The server's verdict on the client certificate
/// arrives with the first read.
async fn greet(address: SocketAddr, config: &std::sync::Arc<rustls::ClientConfig>) -> std::io::Result<HandshakeKind> {
    let mut stream = tls::connect(address, config).await?;
    stream.write_all(b"ping").await?;
    let mut back = [0; 4];
    stream.read_exact(&mut back).await?;
    let kind = stream.get_ref().1.handshake_kind().unwrap();
    stream.shutdown().await?;
    Ok(kind)
}

async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(back(socket));
        }
    });
    address
}

async fn back(mut socket: TcpStream) {
    let (mut reader, mut writer) = socket.split();
    let _ = tokio::io::copy(&mut reader, &mut writer).await;
    let _ = writer.shutdown().await;
}

fn inbound(upstream: SocketAddr, args: &[&str]) -> Proxy {
    let upstream = upstream.to_string();
    let (key, ca) = (cert("server.pem"), cert("ca.pem"));
    let base = ["--port", "0", "--upstream", &upstream, "--upstreamTLS", "never", "--sslMode", "requireSSL"];
    let files = ["--sslPEMKeyFile", &key, "--sslCAFile", &ca];
    Proxy::start(base.iter().chain(&files).chain(args))
}

#[track_caller]
fn refused(proxy: &Proxy, outcome: &str, reason: &str) {
    let record = proxy.wait_record(Mark::START, |line| line["outcome"] == outcome, PATIENCE);
    assert!(record["reason"].as_str().unwrap().contains(reason), "{record}");
}

/// `openssl s_server`, which supports algorithms and versions that modern libraries do not.
struct OpensslServer {
    child: std::process::Child,
    port: u16,
    _reserved: ReservedPort,
}

impl OpensslServer {
    fn start(authority: &Authority, flaw: Flaw, args: &[&str]) -> OpensslServer {
        let file = authority.issue(flaw);
        let reserved = ReservedPort::new();
        let port = reserved.port();
        let mut command = process::tethered("openssl");
        command.args(["s_server", "-accept", &format!("127.0.0.1:{port}"), "-quiet", "-cert"]).arg(&file).arg("-key");
        command.arg(&file).args(["-cipher", "ALL:@SECLEVEL=0"]).args(args);
        command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null());
        command.stderr(std::process::Stdio::null());
        let child = process::spawn(command).unwrap();
        let deadline = std::time::Instant::now() + PATIENCE;
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(std::time::Instant::now() < deadline, "openssl s_server does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        OpensslServer { child, port, _reserved: reserved }
    }
}

impl Drop for OpensslServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
