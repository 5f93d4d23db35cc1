//! A session expires with the certificates and the CRL under which it was made, on both sides of the proxy: in TLS 1.2,
//! with tickets and session identifiers, and in TLS 1.3, including tickets issued to resumed sessions.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, SystemTime};

use certs_gen::{Authority, Request, Validity};
use rustls::{HandshakeKind, ServerConfig, ServerConnection, StreamOwned};

use crate::support::service::SOON;
use crate::support::{Proxy, Scratch, openssl, require_command, tls};

/// Options of OpenSSL for each kind of session.
const KINDS: [&[&str]; 3] = [&["-tls1_3"], &["-tls1_2"], &["-tls1_2", "-no_ticket"]];

#[test]
fn a_clients_session_ends_with_its_certificate() {
    require_command!("openssl");
    lasting(|seconds| {
        let files = Files::new();
        let request = Request::client("short").valid(Validity::Seconds(seconds));
        let (short, end) = Expiry::of(seconds, || files.issue(&request, "short.pem"));
        let proxy = files.inbound(&[]);
        if !established(&proxy, &files, &short, &end) {
            return false;
        }
        for (number, kind) in KINDS.into_iter().enumerate() {
            let mark = proxy.mark();
            let told = files.connect(&proxy, kind, &short, Some(number), None);
            assert!(!told.contains("Reused"), "{kind:?}: {told}");
            let record = proxy.wait_next(mark, SOON);
            assert_eq!(record["outcome"], "client_certificate_refused", "{kind:?}: {record}");
            assert!(record["reason"].as_str().unwrap().contains("expired"), "{kind:?}: {record}");
        }
        // A client with a newer certificate makes a full handshake, whatever session it offers.
        let renewed = files.issue(&Request::client("short"), "renewed.pem");
        for (number, kind) in KINDS.into_iter().enumerate() {
            let told = files.connect(&proxy, kind, &renewed, Some(number), None);
            assert!(told.contains("New, TLS") && told.contains("served"), "{kind:?}: {told}");
        }
        true
    });
}

#[test]
fn a_clients_session_ends_with_the_revocation_list() {
    require_command!("openssl");
    lasting(|seconds| {
        let files = Files::new();
        let client = files.issue(&Request::client("client"), "client.pem");
        let (list, end) = Expiry::of(seconds, || files.list(Validity::Seconds(seconds)));
        let proxy = files.inbound(&["--sslCRLFile", &list]);
        if !established(&proxy, &files, &client, &end) {
            return false;
        }
        for (number, kind) in KINDS.into_iter().enumerate() {
            let mark = proxy.mark();
            let told = files.connect(&proxy, kind, &client, Some(number), None);
            assert!(!told.contains("Reused"), "{kind:?}: {told}");
            let record = proxy.wait_next(mark, SOON);
            assert_eq!(record["outcome"], "client_certificate_refused", "{kind:?}: {record}");
            assert!(record["reason"].as_str().unwrap().contains("CRL of its issuer has expired"), "{kind:?}: {record}");
        }
        true
    });
}

/// If no certificate has to verify, sessions do not expire with one.
#[test]
fn a_session_without_an_identity_has_no_end() {
    require_command!("openssl");
    let files = Files::new();
    let expired = files.issue(&Request::client("expired").valid(Validity::Expired), "expired.pem");
    let proxy = files.inbound(&["--sslAllowInvalidCertificates"]);
    for (number, kind) in KINDS.into_iter().enumerate() {
        let told = files.connect(&proxy, kind, &expired, None, Some(number));
        assert!(told.contains("New, TLS"), "{kind:?}: {told}");
        let told = files.connect(&proxy, kind, &expired, Some(number), None);
        assert!(told.contains("Reused, TLS") && told.contains("served"), "{kind:?}: {told}");
    }
}

#[test]
fn a_session_with_a_server_ends_with_its_certificate() {
    for disabled in ["TLS1_2", "TLS1_3"] {
        lasting(|seconds| {
            let files = Files::new();
            let short = Request::server("localhost").names(["localhost"]).valid(Validity::Seconds(seconds));
            let (server, end) = Expiry::of(seconds, || files.issue(&short, "upstream.pem"));
            files.outbound_until(&["--sslDisabledProtocols", disabled], &server, &end, "expired")
        });
    }
}

#[test]
fn a_session_with_a_server_ends_with_the_revocation_list() {
    for disabled in ["TLS1_2", "TLS1_3"] {
        lasting(|seconds| {
            let files = Files::new();
            let server = files.issue(&Request::server("localhost").names(["localhost"]), "upstream.pem");
            let (list, end) = Expiry::of(seconds, || files.list(Validity::Seconds(seconds)));
            let args = ["--sslDisabledProtocols", disabled, "--sslCRLFile", &list];
            files.outbound_until(&args, &server, &end, "CRL of its issuer has expired")
        });
    }
}

/// Tries longer and longer lifetimes, until the expected events take place within one.
fn lasting(tried: impl Fn(u32) -> bool) {
    assert!([4, 8, 16, 32, 64, 128].into_iter().any(tried), "the machine is too slow for a certificate of 128 s");
}

/// Makes a session of each kind, resumes it, stores the newer session that the resumption yields, and waits for the
/// expiry. False if the expiry came too soon.
fn established(proxy: &Proxy, files: &Files, certificate: &str, end: &Expiry) -> bool {
    let mut told = Vec::new();
    for (number, kind) in KINDS.into_iter().enumerate() {
        told.push((kind, "New, TLS", files.connect(proxy, kind, certificate, None, Some(number))));
        told.push((kind, "Reused, TLS", files.connect(proxy, kind, certificate, Some(number), Some(number))));
    }
    if !end.wait() {
        return false;
    }
    for (kind, expected, told) in told {
        assert!(told.contains(expected) && told.contains("served"), "{kind:?}: {told}");
    }
    true
}

/// When something expires that was issued for a number of seconds.
struct Expiry {
    earliest: SystemTime,
    latest: SystemTime,
}

impl Expiry {
    fn of<T>(seconds: u32, issue: impl FnOnce() -> T) -> (T, Expiry) {
        let lifetime = Duration::from_secs(seconds.into());
        let began = SystemTime::now();
        let issued = issue();
        // Certificates and CRLs contain times in whole seconds.
        let earliest = began + lifetime - Duration::from_secs(1);
        (issued, Expiry { earliest, latest: SystemTime::now() + lifetime })
    }

    /// Waits for the expiry; false if it may have come already.
    fn wait(&self) -> bool {
        let now = SystemTime::now();
        if now >= self.earliest {
            return false;
        }
        thread::sleep(self.latest.duration_since(now).unwrap_or_default() + Duration::from_secs(1));
        true
    }
}

/// A folder with a CA and the certificates that it has issued.
struct Files {
    folder: Scratch,
    authority: Authority,
    server: String,
    ca: String,
}

impl Files {
    fn new() -> Files {
        let folder = Scratch::new("resumption");
        let authority = Authority::new("resumption CA").unwrap();
        let mut files = Files { folder, authority, server: String::new(), ca: String::new() };
        files.server = files.issue(&Request::member("localhost").names(["localhost"]), "server.pem");
        files.ca = files.write("ca.pem", files.authority.pem());
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name).to_string_lossy().into_owned()
    }

    fn issue(&self, request: &Request, name: &str) -> String {
        self.write(name, &self.authority.issue(request).unwrap().pem())
    }

    fn list(&self, validity: Validity) -> String {
        self.write("crl.pem", &self.authority.revoke(&[], validity).unwrap())
    }

    fn tls(&self) -> [&str; 6] {
        ["--sslMode", "requireSSL", "--sslPEMKeyFile", &self.server, "--sslCAFile", &self.ca]
    }

    /// A proxy in front of a server that answers once and closes.
    fn inbound(&self, args: &[&str]) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let upstream = listener.local_addr().unwrap().to_string();
        thread::spawn(move || {
            while let Ok((socket, _)) = listener.accept() {
                thread::spawn(move || serve_once(socket));
            }
        });
        let route = ["--port", "0", "--upstream", &upstream, "--upstreamTLS", "never"];
        Proxy::start(route.iter().chain(&self.tls()).chain(args))
    }

    /// OpenSSL's output about a connection with this session; the session that it receives is stored.
    fn connect(
        &self,
        proxy: &Proxy,
        kind: &[&str],
        certificate: &str,
        with: Option<usize>,
        keep: Option<usize>,
    ) -> String {
        let session = |number: usize| self.path(&format!("session-{number}")).to_string_lossy().into_owned();
        let (with, keep) = (with.map(session), keep.map(session));
        let mut args = vec!["-cert", certificate, "-key", certificate, "-servername", "localhost", "-ign_eof"];
        args.extend(kind);
        args.extend(with.iter().flat_map(|file| ["-sess_in", file]));
        args.extend(keep.iter().flat_map(|file| ["-sess_out", file]));
        let output = openssl::s_client_sending(proxy.address("inbound"), &args, b"ask\n");
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    }

    /// Links to a server with this certificate until the certificate or the CRL expires: the first link makes a full
    /// handshake, the next two resume, and after the expiry there is no link. False if the expiry came too soon.
    fn outbound_until(&self, args: &[&str], certificate: &str, end: &Expiry, reason: &str) -> bool {
        let (server, kinds) = tls_server(tls::server(certificate, None));
        let outbound = format!("127.0.0.1:0=localhost:{}", server.port());
        let upstream = server.to_string();
        let route = ["--port", "0", "--upstream", &upstream, "--upstreamTLS", "never", "--outbound", &outbound];
        let proxy = Proxy::start(route.iter().chain(&self.tls()).chain(args));
        let mut seen = Vec::new();
        for _ in 0..3 {
            let mut client = TcpStream::connect(proxy.outbound(0)).unwrap();
            client.set_read_timeout(Some(SOON)).unwrap();
            client.write_all(b"ask\n").unwrap();
            let mut answer = String::new();
            seen.push((client.read_to_string(&mut answer).map(|_| answer), kinds.recv_timeout(SOON)));
        }
        if !end.wait() {
            return false;
        }
        let expected = [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed];
        for ((answer, kind), expected) in seen.into_iter().zip(expected) {
            assert_eq!((&*answer.unwrap(), kind.unwrap()), ("served\n", expected), "{args:?}");
        }
        let mark = proxy.mark();
        let mut client = TcpStream::connect(proxy.outbound(0)).unwrap();
        client.set_read_timeout(Some(SOON)).unwrap();
        client.write_all(b"ask\n").unwrap();
        let record = proxy.wait_next(mark, SOON);
        assert_eq!(record["outcome"], "upstream_tls_failed", "{args:?}: {record}");
        assert!(record["reason"].as_str().unwrap().contains(reason), "{args:?}: {record}");
        true
    }
}

fn serve_once(mut stream: impl std::io::Read + std::io::Write) {
    if matches!(stream.read(&mut [0; 64]), Ok(1..)) {
        let _ = stream.write_all(b"served\n").and_then(|()| stream.flush());
    }
}

/// A TLS server that answers once and reports the kind of each handshake.
fn tls_server(config: Arc<ServerConfig>) -> (SocketAddr, mpsc::Receiver<HandshakeKind>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, kinds) = mpsc::channel();
    thread::spawn(move || {
        while let Ok((socket, _)) = listener.accept() {
            let session = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = StreamOwned::new(session, socket);
            serve_once(&mut stream);
            if let Some(kind) = stream.conn.handshake_kind() {
                let _ = tell.send(kind);
            }
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
    (address, kinds)
}
