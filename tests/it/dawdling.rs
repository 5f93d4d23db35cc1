//! Connections that were judged but are not established while the policy changes: a client that stalls in its
//! handshake, a slow dial, a server that stalls in its handshake. They are counted until they are judged again, and
//! none of them relays data that the newer policy refuses.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use certs_gen::{Authority, Issued, Request, Validity};
use rustix::net::{AddressFamily, SocketType};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection, StreamOwned};
use serde_json::json;

use crate::support::admin::{self, Admin};
use crate::support::service::{SOON, connect, ping, read_to_end, record_of};
use crate::support::{Proxy, ReservedPort, Scratch, tls, wait};

/// Plaintext that was accepted and waits for its dial when TLS becomes required: it is counted, then refused like any
/// other, and the server does not receive a byte.
#[test]
fn plaintext_that_waits_for_its_dial_is_refused_once_tls_is_required() {
    for inbound in ["terminate", "passthrough"] {
        let files = Files::new();
        let upstream = Busy::start();
        let proxy = files.proxy("preferSSL", &["--inboundTLS", inbound, "--upstreamTLS", "never"], upstream.address);
        let admin = admin::of(&proxy);
        let mark = proxy.mark();
        let mut client = connect(&proxy);
        client.write_all(&ping()).unwrap();
        upstream.wait_dialled(&proxy);
        admin.put("/mode", &json!({ "mode": "requireSSL", "force": true }));
        assert_waiting(&admin, 1);
        upstream.release();
        let answer = read_to_end(&mut client);
        assert!(contains(&answer, "only allow SSL connections"), "{inbound}: {}", String::from_utf8_lossy(&answer));
        let record = record_of(&proxy, mark, client.local_addr().unwrap());
        assert_eq!(
            (&record["outcome"], &record["mode"]),
            (&json!("refused_plaintext"), &json!("requireSSL")),
            "{record}"
        );
        assert_waiting(&admin, 0);
        assert_eq!(upstream.heard(), "", "{inbound}");
    }
}

/// TLS that is passed through and waits for its dial when TLS becomes disabled.
#[test]
fn untouched_tls_that_waits_for_its_dial_is_refused_once_it_is_disabled() {
    let files = Files::new();
    let upstream = Busy::start();
    let route = ["--inboundTLS", "passthrough", "--upstreamTLS", "never"];
    let proxy = files.proxy("allowSSL", &route, upstream.address);
    let admin = admin::of(&proxy);
    let mark = proxy.mark();
    let mut client = Stalled::connect(proxy.address("inbound"), &tls::client(&files.ca, None));
    upstream.wait_dialled(&proxy);
    admin.put("/mode", &json!({ "mode": "disabled", "force": true }));
    assert_waiting(&admin, 1);
    upstream.release();
    assert_eq!(read_to_end(&mut client.socket), [21, 3, 3, 0, 2, 2, 49], "access_denied");
    let record = record_of(&proxy, mark, client.address);
    assert_eq!(record["outcome"], "refused_tls", "{record}");
    assert_waiting(&admin, 0);
    assert_eq!(upstream.heard(), "");
}

/// On an outbound route, and on the link of an inbound one: a pending plaintext dial is repeated as TLS.
#[test]
fn a_link_that_waits_for_its_dial_is_dialled_anew_as_tls() {
    for outbound in [false, true] {
        let files = Files::new();
        let upstream = Busy::start();
        let route = format!("127.0.0.1:0=localhost:{}", upstream.address.port());
        let nowhere = "127.0.0.1:9".parse().unwrap();
        let (proxy, entry) = if outbound {
            let proxy = files.proxy("allowSSL", &["--upstreamTLS", "never", "--outbound", &route], nowhere);
            let entry = proxy.outbound(0);
            (proxy, entry)
        } else {
            let proxy = files.proxy("allowSSL", &["--upstreamTLS", "policy"], upstream.address);
            let entry = proxy.address("inbound");
            (proxy, entry)
        };
        let admin = admin::of(&proxy);
        let mark = proxy.mark();
        let mut client = TcpStream::connect(entry).unwrap();
        client.set_read_timeout(Some(SOON)).unwrap();
        client.write_all(&ping()).unwrap();
        upstream.wait_dialled(&proxy);
        let forced = json!({ "mode": "preferSSL", "force": true });
        admin.put("/mode", &forced);
        assert_waiting(&admin, 1);
        upstream.serve_tls(tls::server(&files.server, None));
        let mut back = vec![0; ping().len()];
        client.read_exact(&mut back).unwrap();
        assert_eq!(back, ping());
        assert_waiting(&admin, 0);
        let local = client.local_addr().unwrap();
        drop(client);
        let record = record_of(&proxy, mark, local);
        assert_eq!((&record["upstream_link"], &record["mode"]), (&json!("tls"), &json!("preferSSL")), "{record}");
        assert_eq!(upstream.heard(), "tls", "nothing by plaintext; outbound: {outbound}");
    }
}

/// The reverse: a handshake with a server stalls while links are changed to plaintext.
#[test]
fn a_link_that_stalls_in_its_handshake_is_dialled_anew_as_plaintext() {
    for succeeds in [true, false] {
        let files = Files::new();
        let upstream = Busy::start();
        upstream.free();
        let (arrived, release) = upstream.stalling_tls(tls::server(&files.server, None));
        let proxy = files.proxy("preferSSL", &["--upstreamTLS", "policy"], upstream.address);
        let mark = proxy.mark();
        let mut client = connect(&proxy);
        client.write_all(&ping()).unwrap();
        arrived.recv_timeout(SOON).unwrap();
        wait("the client is judged", || judged(&proxy));
        admin::of(&proxy).put("/mode", &json!({ "mode": "allowSSL", "force": true }));
        // The connections of probes to the server stall too, so each is released.
        for _ in 0..8 {
            release.send(succeeds).unwrap();
        }
        let mut back = vec![0; ping().len()];
        client.read_exact(&mut back).unwrap();
        assert_eq!(back, ping());
        let local = client.local_addr().unwrap();
        drop(client);
        let record = record_of(&proxy, mark, local);
        assert_eq!((&record["upstream_link"], &record["mode"]), (&json!("plaintext"), &json!("allowSSL")), "{record}");
    }
}

/// A client stalls in its handshake while links are changed to TLS: it is counted, and its link uses TLS.
#[test]
fn a_client_that_stalls_in_its_handshake_is_linked_by_the_newer_mode() {
    for version in VERSIONS {
        let files = Files::new();
        let upstream = Busy::start();
        upstream.free();
        let proxy = files.proxy("allowSSL", &["--upstreamTLS", "policy"], upstream.address);
        let admin = admin::of(&proxy);
        let mark = proxy.mark();
        let client = Stalled::connect(proxy.address("inbound"), &files.client("client", version));
        wait("the handshake is under way", || client.is_answered());
        admin.put("/mode", &json!({ "mode": "preferSSL", "force": true }));
        assert_waiting(&admin, 1);
        upstream.serve_tls(tls::server(&files.server, None));
        let address = client.address;
        let mut client = client.finish();
        client.write_all(&ping()).unwrap();
        let mut back = vec![0; ping().len()];
        client.read_exact(&mut back).unwrap();
        assert_eq!(back, ping());
        assert_waiting(&admin, 0);
        drop(client);
        let record = record_of(&proxy, mark, address);
        assert_eq!((&record["upstream_link"], &record["mode"]), (&json!("tls"), &json!("preferSSL")), "{record}");
        assert_eq!(upstream.heard(), "tls");
    }
}

/// A CRL comes into force while a client stalls in its handshake, or waits for its dial afterwards.
#[test]
fn a_client_that_is_revoked_on_its_way_is_refused() {
    for (version, in_handshake) in VERSIONS.into_iter().flat_map(|version| [(version, true), (version, false)]) {
        let files = Files::new();
        let upstream = Busy::start();
        let crl = files.revoke(&[]);
        let args = ["--upstreamTLS", "never", "--sslCRLFile", &crl];
        let proxy = files.proxy("requireSSL", &args, upstream.address);
        let admin = admin::of(&proxy);
        let mark = proxy.mark();
        let client = Stalled::connect(proxy.address("inbound"), &files.client("client", version));
        let address = client.address;
        wait("the handshake is under way", || client.is_answered());
        let rotate = || {
            files.revoke(&[&files.client]);
            admin.post("/rotate", &json!({}));
            assert_waiting(&admin, 1);
        };
        let mut client = if in_handshake {
            upstream.release();
            rotate();
            let mut client = client.finish();
            client.write_all(&ping()).unwrap();
            client
        } else {
            let mut client = client.finish();
            client.write_all(&ping()).unwrap();
            upstream.wait_dialled(&proxy);
            rotate();
            upstream.release();
            client
        };
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        assert!(contains(&answer, "revoked"), "{}", String::from_utf8_lossy(&answer));
        let record = record_of(&proxy, mark, address);
        assert_eq!(record["outcome"], "client_certificate_refused", "{record}");
        assert!(record["reason"].as_str().unwrap().contains("revoked"), "{record}");
        assert_waiting(&admin, 0);
        assert_eq!(upstream.heard(), "");
        let dials = "tlsramp_dial_duration_seconds_count 0";
        assert!(!in_handshake || metrics(&admin).contains(dials), "who is refused does not reach the server");
        // Another client is served.
        upstream.release();
        let mut other = Stalled::connect(proxy.address("inbound"), &files.client("other", version)).finish();
        other.write_all(&ping()).unwrap();
        let mut back = vec![0; ping().len()];
        other.read_exact(&mut back).unwrap();
        assert_eq!(back, ping());
    }
}

/// A client is also judged by the options that relax verification.
#[test]
fn a_client_without_a_certificate_is_refused_once_it_needs_one() {
    for excuse in ["allowConnectionsWithoutCertificates", "allowInvalidCertificates"] {
        let files = Files::new();
        let upstream = Busy::start();
        let text = |excuse: &str| {
            format!(
                "net: {{tls: {{mode: requireTLS, certificateKeyFile: {}, CAFile: {}{excuse}}}}}\nproxy:\n  upstream: {}\n  \
                 upstreamTLS: never\n  connectTimeout: 30s\n",
                files.server, files.ca, upstream.address
            )
        };
        let proxy = Proxy::start_with_config(&text(&format!(", {excuse}: true")), ["--port", "0"]);
        let admin = admin::of(&proxy);
        let mark = proxy.mark();
        let stranger = files.stranger();
        let certificate = (excuse == "allowInvalidCertificates").then_some(&*stranger);
        let client = Stalled::connect(proxy.address("inbound"), &tls::client(&files.ca, certificate));
        let address = client.address;
        let mut client = client.finish();
        client.write_all(&ping()).unwrap();
        upstream.wait_dialled(&proxy);
        fs::write(proxy.config_file(), text("")).unwrap();
        admin.post("/reload", &json!({}));
        assert_waiting(&admin, 1);
        upstream.release();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        assert!(contains(&answer, "tlsramp refuses this connection"), "{}", String::from_utf8_lossy(&answer));
        let record = record_of(&proxy, mark, address);
        assert_eq!(record["outcome"], "client_certificate_refused", "{excuse}: {record}");
        assert_eq!(upstream.heard(), "");
    }
}

/// As above for clients that were already established: those that the current options would refuse are counted and
/// listed.
#[test]
fn an_established_client_is_counted_once_it_would_be_refused() {
    let files = Files::new();
    let upstream = Busy::start();
    upstream.release();
    let text = |more: &str| {
        let (server, ca) = (&files.server, &files.ca);
        let tls = format!("net: {{tls: {{mode: requireTLS, certificateKeyFile: {server}, CAFile: {ca}{more}}}}}\n");
        format!("{tls}proxy:\n  upstream: {}\n  upstreamTLS: never\n", upstream.address)
    };
    let rows = [
        (", allowConnectionsWithoutCertificates: true", None),
        (", allowInvalidCertificates: true", Some(files.stranger())),
    ];
    for (before, certificate) in rows {
        let proxy = Proxy::start_with_config(&text(before), ["--port", "0"]);
        let admin = admin::of(&proxy);
        let config = tls::client(&files.ca, certificate.as_deref());
        let mut client = Stalled::connect(proxy.address("inbound"), &config).finish();
        client.write_all(&ping()).unwrap();
        client.read_exact(&mut vec![0; ping().len()]).unwrap();
        assert_eq!(admin.get("/status")["connections"]["nonConforming"], 0, "{before}");
        fs::write(proxy.config_file(), text("")).unwrap();
        admin.post("/reload", &json!({}));
        assert_eq!(admin.get("/status")["connections"]["nonConforming"], 1, "{before}");
        let listed = admin.get("/connections?nonConforming");
        assert_eq!(listed["connections"][0]["nonConforming"], "certificate", "{listed}");
    }
}

/// The certificate expires before the first byte is relayed.
#[test]
fn a_client_whose_certificate_ends_on_its_way_is_refused() {
    let files = Files::new();
    let upstream = Busy::start();
    let proxy = files.proxy("requireSSL", &["--upstreamTLS", "never"], upstream.address);
    let mark = proxy.mark();
    let short = files.authority.issue(&Request::client("short").valid(Validity::Seconds(15))).unwrap();
    let short = files.write("short.pem", &short.pem());
    let client = Stalled::connect(proxy.address("inbound"), &tls::client(&files.ca, Some(&short)));
    let address = client.address;
    let mut client = client.finish();
    client.write_all(&ping()).unwrap();
    upstream.wait_dialled(&proxy);
    thread::sleep(std::time::Duration::from_secs(16));
    upstream.release();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    assert!(contains(&answer, "expired"), "{}", String::from_utf8_lossy(&answer));
    let record = record_of(&proxy, mark, address);
    assert_eq!(record["outcome"], "client_certificate_refused", "{record}");
    assert_eq!(upstream.heard(), "");
}

/// A reload changes the upstream of a route while a connection waits for its dial.
#[test]
fn a_connection_goes_where_its_route_leads_now() {
    let files = Files::new();
    let (old, new) = (Busy::start(), Busy::start());
    new.release();
    let reserved = ReservedPort::new();
    let entry = reserved.address();
    let text = |to: SocketAddr| {
        format!("net: {{tls: {{mode: disabled}}}}\nproxy:\n  connectTimeout: 30s\n  outbound: [\"{entry}={to}\"]\n")
    };
    let proxy = Proxy::start_with_config(&text(old.address), [] as [&str; 0]);
    let mark = proxy.mark();
    let mut client = TcpStream::connect(entry).unwrap();
    client.set_read_timeout(Some(SOON)).unwrap();
    client.write_all(&ping()).unwrap();
    old.wait_dialled(&proxy);
    fs::write(proxy.config_file(), text(new.address)).unwrap();
    admin::of(&proxy).post("/reload", &json!({}));
    old.release();
    let mut back = vec![0; ping().len()];
    client.read_exact(&mut back).unwrap();
    let local = client.local_addr().unwrap();
    drop(client);
    let record = record_of(&proxy, mark, local);
    assert_eq!(record["upstream"], new.address.to_string(), "{record}");
    assert_eq!((&*old.heard(), &*new.heard()), ("", "plaintext"));
    drop(files);
}

/// A policy that changes again and again is not followed for ever.
#[test]
fn a_policy_that_does_not_settle_ends_the_connection() {
    let files = Files::new();
    let upstream = Busy::start();
    upstream.free();
    let (arrived, release) = upstream.stalling_tls(tls::server(&files.server, None));
    let proxy = files.proxy("requireSSL", &["--upstreamTLS", "always"], upstream.address);
    let admin = admin::of(&proxy);
    let mark = proxy.mark();
    let client = Stalled::connect(proxy.address("inbound"), &files.client("client", VERSIONS[0]));
    let address = client.address;
    let mut client = client.finish();
    client.write_all(&ping()).unwrap();
    let record = thread::scope(|scope| {
        let ended = scope.spawn(|| record_of(&proxy, mark, address));
        while !ended.is_finished() {
            // Whether this is the probe or the connection: the TLS material is replaced before its handshake is
            // complete.
            if arrived.recv_timeout(std::time::Duration::from_millis(50)).is_ok() {
                admin.post("/rotate", &json!({}));
                release.send(true).unwrap();
            }
        }
        ended.join().unwrap()
    });
    assert_eq!(record["outcome"], "policy_unsettled", "{record}");
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    assert!(contains(&answer, "changed 8 times"), "{}", String::from_utf8_lossy(&answer));
    assert_waiting(&admin, 0);
}

const VERSIONS: [&rustls::SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

/// Asserts that `count` connections are reported as not conforming to the current policy, wherever this is shown.
#[track_caller]
fn assert_waiting(admin: &Admin, count: usize) {
    let counted = || admin.get("/status")["connections"]["nonConforming"].clone();
    if count == 0 {
        wait("none is counted", || counted() == 0);
    }
    let metrics = metrics(admin);
    let recycled = admin.post("/recycle", &json!({ "waitSecs": 0 }));
    assert_eq!((&counted(), &recycled["waiting"]), (&json!(count), &json!(count)), "{recycled}");
    assert!(metrics.contains(&format!("tlsramp_non_conforming_connections {count}")), "{metrics}");
}

fn metrics(admin: &Admin) -> String {
    admin.raw("GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").body
}

/// Whether a client's opening was classified.
fn judged(proxy: &Proxy) -> bool {
    metrics(&admin::of(proxy)).contains("tlsramp_sniff_duration_seconds_count 1")
}

fn contains(answer: &[u8], text: &str) -> bool {
    String::from_utf8_lossy(answer).contains(text)
}

/// A folder with a CA and the certificates that it has issued.
struct Files {
    folder: Scratch,
    authority: Authority,
    client: Issued,
    server: String,
    ca: String,
}

impl Files {
    fn new() -> Files {
        let folder = Scratch::new("dawdling");
        let authority = Authority::new("dawdling CA").unwrap();
        let client = authority.issue(&Request::client("client")).unwrap();
        let names = ["localhost", "127.0.0.1"];
        let server = authority.issue(&Request::member("localhost").names(names)).unwrap().pem();
        let (ca, pem) = (authority.pem().to_owned(), client.pem());
        let mut files = Files { folder, authority, client, server: String::new(), ca: String::new() };
        (files.server, files.ca) = (files.write("server.pem", &server), files.write("ca.pem", &ca));
        files.write("client.pem", &pem);
        files.write("other.pem", &files.authority.issue(&Request::client("other")).unwrap().pem());
        files
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.folder.join(name);
        fs::write(&path, text).unwrap();
        path.to_string_lossy().into_owned()
    }

    /// A certificate of another CA.
    fn stranger(&self) -> String {
        let issued = Authority::new("another").unwrap().issue(&Request::client("stranger")).unwrap();
        self.write("stranger.pem", &issued.pem())
    }

    fn revoke(&self, revoked: &[&Issued]) -> String {
        self.write("crl.pem", &self.authority.revoke(revoked, Validity::Now).unwrap())
    }

    fn client(&self, name: &str, version: &'static rustls::SupportedProtocolVersion) -> Arc<ClientConfig> {
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        provider.cipher_suites.retain(|suite| suite.version().version == version.version);
        let file = self.folder.join(format!("{name}.pem")).to_string_lossy().into_owned();
        tls::client_of(provider, &self.ca, Some(&file))
    }

    fn proxy(&self, mode: &str, args: &[&str], upstream: SocketAddr) -> Proxy {
        let upstream = upstream.to_string();
        let base = ["--port", "0", "--upstream", &upstream, "--connectTimeout", "120s", "--handshakeTimeout", "120s"];
        let tls = ["--sslMode", mode, "--sslPEMKeyFile", &self.server, "--sslCAFile", &self.ca, "--watch", "off"];
        Proxy::start(base.iter().chain(&tls).chain(args))
    }
}

/// A TLS client that sends its first message, and the next one when told to.
struct Stalled {
    socket: TcpStream,
    session: ClientConnection,
    address: SocketAddr,
}

impl Stalled {
    fn connect(to: SocketAddr, config: &Arc<ClientConfig>) -> Stalled {
        let mut socket = TcpStream::connect(to).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut session = ClientConnection::new(Arc::clone(config), name).unwrap();
        while session.wants_write() {
            session.write_tls(&mut socket).unwrap();
        }
        let address = socket.local_addr().unwrap();
        Stalled { socket, session, address }
    }

    fn is_answered(&self) -> bool {
        matches!(self.socket.peek(&mut [0; 1]), Ok(1))
    }

    fn finish(mut self) -> StreamOwned<ClientConnection, TcpStream> {
        while self.session.is_handshaking() {
            self.session.complete_io(&mut self.socket).unwrap();
        }
        StreamOwned::new(self.session, self.socket)
    }
}

/// A server whose accept queue is full, so that a dial waits until it is released. The server echoes its input and
/// reports what kind it was.
struct Busy {
    address: SocketAddr,
    listener: TcpListener,
    fillers: Mutex<Vec<TcpStream>>,
    heard: Arc<Mutex<Vec<&'static str>>>,
}

impl Busy {
    fn start() -> Busy {
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        rustix::net::bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        rustix::net::listen(&socket, 0).unwrap();
        let listener = TcpListener::from(socket);
        let address = listener.local_addr().unwrap();
        // A queue of length zero holds one connection.
        let fillers = Mutex::new(vec![TcpStream::connect(address).unwrap()]);
        Busy { address, listener, fillers, heard: Arc::default() }
    }

    /// Waits until a client was judged and its dial, or that of an earlier probe, is pending.
    fn wait_dialled(&self, proxy: &Proxy) {
        let to = format!("0100007F:{:04X} 02 ", self.address.port());
        wait("the dial is under way", || judged(proxy) && fs::read_to_string("/proc/net/tcp").unwrap().contains(&to));
    }

    /// Removes the connections that fill the queue.
    fn free(&self) {
        if !std::mem::take(&mut *self.fillers.lock().unwrap()).is_empty() {
            drop(self.listener.accept().unwrap());
        }
    }

    /// Serves all connections as plaintext.
    fn release(&self) {
        self.free();
        self.serve(|socket, _| socket.map(Either::Plain));
    }

    /// Serves all connections, as TLS or plaintext according to their first bytes.
    fn serve_tls(&self, config: Arc<ServerConfig>) {
        self.free();
        self.serve(move |socket, is_tls| {
            let socket = socket?;
            if !is_tls {
                return Some(Either::Plain(socket));
            }
            let session = ServerConnection::new(Arc::clone(&config)).unwrap();
            Some(Either::Tls(Box::new(StreamOwned::new(session, socket))))
        });
    }

    /// As `serve_tls`, but each TLS handshake is reported and waits to be continued or aborted.
    fn stalling_tls(&self, config: Arc<ServerConfig>) -> (mpsc::Receiver<()>, mpsc::Sender<bool>) {
        let ((arrived, arrivals), (release, released)) = (mpsc::channel(), mpsc::channel());
        let released = Arc::new(Mutex::new(released));
        self.serve(move |socket, is_tls| {
            let socket = socket?;
            if !is_tls {
                return Some(Either::Plain(socket));
            }
            let _ = arrived.send(());
            if !released.lock().unwrap().recv().ok()? {
                return None;
            }
            let session = ServerConnection::new(Arc::clone(&config)).unwrap();
            Some(Either::Tls(Box::new(StreamOwned::new(session, socket))))
        });
        (arrivals, release)
    }

    fn serve(&self, over: impl Fn(Option<TcpStream>, bool) -> Option<Either> + Send + Sync + 'static) {
        let (listener, heard, over) = (self.listener.try_clone().unwrap(), Arc::clone(&self.heard), Arc::new(over));
        thread::spawn(move || {
            while let Ok((socket, _)) = listener.accept() {
                let (heard, over) = (Arc::clone(&heard), Arc::clone(&over));
                thread::spawn(move || {
                    let mut first = [0; 1];
                    if !matches!(socket.peek(&mut first), Ok(1)) {
                        return;
                    }
                    let is_tls = first == [22];
                    match over(Some(socket), is_tls) {
                        Some(Either::Plain(stream)) => echo(stream, "plaintext", &heard),
                        Some(Either::Tls(stream)) => echo(*stream, "tls", &heard),
                        None => {}
                    }
                });
            }
        });
    }

    /// A short description of the kinds of data that arrived.
    fn heard(&self) -> String {
        let mut heard = self.heard.lock().unwrap().clone();
        heard.dedup();
        heard.join(", ")
    }
}

enum Either {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

fn echo(mut stream: impl std::io::Read + std::io::Write, by: &'static str, heard: &Mutex<Vec<&'static str>>) {
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut bytes) {
        // The input of a probe is not reported as a client's.
        if bytes[..count] == ping() {
            heard.lock().unwrap().push(by);
        }
        if stream.write_all(&bytes[..count]).and_then(|()| stream.flush()).is_err() {
            break;
        }
    }
}
