//! A proxy in front of a small server of the test, its plaintext clients, and reloads: shared by tests of `run`.

use std::{
    fs,
    io::{ErrorKind, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use rustls::{ClientConnection, StreamOwned, pki_types::ServerName};
use serde_json::Value;

pub(crate) use super::until::wait_until;
use super::{Mark, Proxy, cert, proxy::Signal, tls};

/// A server that sends back the bytes that it receives. When the client closes its sending direction, the server sends
/// a fixed word, if it has one, and closes its own sending direction.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    peers: Arc<Mutex<Vec<SocketAddr>>>,
}

impl Upstream {
    /// Starts a server that sends back the bytes that it receives.
    pub(crate) fn start() -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), None)
    }

    /// Starts a server that also sends `word` when the client has closed its sending direction, so that servers can be
    /// told apart.
    pub(crate) fn saying(word: &'static [u8]) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), Some(word))
    }

    /// Starts a server on a given listener.
    pub(crate) fn on(listener: TcpListener, word: Option<&'static [u8]>) -> Self {
        let address = listener.local_addr().unwrap();
        let peers = Arc::<Mutex<Vec<SocketAddr>>>::default();
        let seen = Arc::clone(&peers);
        thread::spawn(move || {
            for (mut socket, peer) in std::iter::from_fn(|| listener.accept().ok()) {
                seen.lock().unwrap().push(peer);
                thread::spawn(move || {
                    let mut bytes = [0; 4096];
                    while let Ok(count @ 1..) = socket.read(&mut bytes) {
                        if socket.write_all(&bytes[..count]).is_err() {
                            break;
                        }
                    }
                    let _ = socket.write_all(word.unwrap_or_default());
                    let _ = socket.shutdown(Shutdown::Write);
                });
            }
        });
        Self { address, peers }
    }

    /// Number of connections that it has accepted.
    pub(crate) fn accepted(&self) -> usize {
        self.peers.lock().unwrap().len()
    }

    /// Addresses of the clients that have connected, in order.
    pub(crate) fn peers(&self) -> Vec<SocketAddr> {
        self.peers.lock().unwrap().clone()
    }
}

/// The flags of an inbound route to `upstream`.
pub(crate) fn in_front_of(upstream: &Upstream) -> Vec<String> {
    let address = upstream.address.to_string();
    ["--port", "0", "--upstream", &address, "--upstreamTLS", "never"].map(str::to_owned).to_vec()
}

/// The same route as the last section of a configuration file; more settings of `proxy:` may be appended.
pub(crate) fn yaml(upstream: &Upstream) -> String {
    format!("proxy:\n  upstream: {}\n  upstreamTLS: never\n", upstream.address)
}

pub(crate) fn mode_text(mode: &str, upstream: &Upstream) -> String {
    let (server, ca) = (cert("server.pem"), cert("ca.pem"));
    format!("net: {{tls: {{mode: {mode}, certificateKeyFile: {server}, CAFile: {ca}}}}}\n{}", yaml(upstream))
}

/// The mode's older spelling, which is used in the log.
pub(crate) fn older(mode: &str) -> String {
    mode.replace("TLS", "SSL")
}

pub(crate) fn connect(proxy: &Proxy) -> TcpStream {
    let client = TcpStream::connect(proxy.address("inbound")).expect("the proxy listens");
    client.set_read_timeout(Some(SOON)).unwrap();
    client
}

/// Asserts that bytes are sent to the upstream and back.
#[track_caller]
pub(crate) fn echoes(stream: &mut (impl std::io::Read + std::io::Write), bytes: &[u8]) {
    stream.write_all(bytes).unwrap();
    stream.flush().unwrap();
    echoes_back(stream, bytes);
}

#[track_caller]
pub(crate) fn echoes_back(stream: &mut impl std::io::Read, bytes: &[u8]) {
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back).expect("the bytes come back");
    assert_eq!(back, bytes);
}

/// Makes one connection and closes it. Returns its local address.
#[track_caller]
pub(crate) fn exchange(proxy: &Proxy) -> SocketAddr {
    let mut client = connect(proxy);
    echoes(&mut client, b"served");
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut client), b"");
    client.local_addr().unwrap()
}

/// Makes one connection and closes it. Returns its record.
#[track_caller]
pub(crate) fn served(proxy: &Proxy) -> Value {
    let from = proxy.mark();
    let record = record_of(proxy, from, exchange(proxy));
    assert_eq!(record["outcome"], "completed", "{record}");
    record
}

/// The record of a client, which may be logged a little after its connection has ended.
#[track_caller]
pub(crate) fn record_of(proxy: &Proxy, from: Mark, client: SocketAddr) -> Value {
    proxy.wait_record(from, |record| record["peer"] == client.to_string().as_str(), SOON)
}

/// The word that a route's server sends.
pub(crate) fn answer_of(address: SocketAddr) -> Vec<u8> {
    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(SOON)).unwrap();
    client.write_all(b"?").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    read_to_end(&mut client).split_off(1)
}

/// Reads until the connection ends in any way. A wait that exceeds the time limit is a failure.
#[track_caller]
pub(crate) fn read_to_end(stream: &mut impl std::io::Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Err(error) = stream.read_to_end(&mut bytes) {
        assert!(!matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "it does not end: {bytes:?}");
    }
    bytes
}

/// Waits until the peer has ended the connection in any way. Returns whether it has.
pub(crate) fn ended(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0]) {
        Ok(count) => count == 0,
        Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    }
}

/// Waits until no process listens on this address.
#[track_caller]
pub(crate) fn refuses(address: SocketAddr) {
    let refused = || TcpStream::connect(address).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused);
    assert!(wait_until(SOON, refused), "{address} still takes connections");
}

pub(crate) fn outcomes(proxy: &Proxy) -> Vec<String> {
    // Waits for the whole log, which ends when the process has ended.
    let _ = proxy.log().wait(Mark::START, SOON, |_| false);
    let mut outcomes: Vec<_> =
        proxy.records().iter().map(|record| record["outcome"].as_str().unwrap().to_owned()).collect();
    outcomes.sort();
    outcomes
}

pub(crate) fn rewrite(proxy: &Proxy, text: &str) {
    fs::write(proxy.config_file(), text).unwrap();
}

/// Rewrites the configuration file and reloads it. Returns the position in the log where that began.
#[track_caller]
pub(crate) fn reload(proxy: &Proxy, text: &str) -> Mark {
    rewrite(proxy, text);
    signal_reload(proxy)
}

#[track_caller]
pub(crate) fn signal_reload(proxy: &Proxy) -> Mark {
    let from = proxy.mark();
    proxy.signal(Signal::HUP);
    let line = proxy.wait_log_since(from, |line| line["message"] == "reloaded" || is_refusal(line), SOON);
    assert_eq!(line["message"], "reloaded", "{line}");
    from
}

/// Rewrites the configuration file and reloads it, which must be refused. Returns the reason.
#[track_caller]
pub(crate) fn refused_reload(proxy: &Proxy, text: &str) -> String {
    rewrite(proxy, text);
    let from = proxy.mark();
    proxy.signal(Signal::HUP);
    let line = proxy.wait_log_since(from, |line| line["message"] == "reloaded" || is_refusal(line), SOON);
    assert!(is_refusal(&line), "{line}");
    assert_eq!(line["level"], "ERROR", "{line}");
    line["error"].as_str().unwrap().to_owned()
}

pub(crate) fn is_refusal(line: &Value) -> bool {
    line["message"] == "reload refused: the configuration in force stays"
}

pub(crate) fn is_listening_on(line: &Value, ip: &str) -> bool {
    line["message"] == "listening" && line["address"].as_str().is_some_and(|address| address.starts_with(ip))
}

/// A TLS client that trusts the `ca.pem` of a folder and presents a certificate from it.
pub(crate) fn tls_client(
    address: SocketAddr,
    folder: &Path,
    file: Option<&str>,
) -> StreamOwned<ClientConnection, TcpStream> {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    tls_over(socket, folder, file)
}

/// As [`tls_client`], over an existing connection.
pub(crate) fn tls_over(
    socket: TcpStream,
    folder: &Path,
    file: Option<&str>,
) -> StreamOwned<ClientConnection, TcpStream> {
    let file = file.map(|file| folder.join(file).to_string_lossy().into_owned());
    let config = tls::client(folder.join("ca.pem"), file.as_deref());
    let name = ServerName::try_from("localhost").unwrap();
    StreamOwned::new(ClientConnection::new(config, name).unwrap(), socket)
}

/// A ping as OP_MSG: one section of kind 0, `{ping: 1, $db: "admin"}`.
pub(crate) fn ping() -> Vec<u8> {
    let body = b"\x1e\0\0\0\x10ping\0\x01\0\0\0\x02$db\0\x06\0\0\0admin\0\0";
    let length = u32::try_from(16 + 5 + body.len()).unwrap();
    [&length.to_le_bytes()[..], &1_u32.to_le_bytes(), &[0; 4], &2013_u32.to_le_bytes(), &[0; 5], body].concat()
}

/// One byte that may become TLS or a MongoDB message.
pub(crate) const HALF_AN_OPENING: &[u8] = b"\x16";

/// Long, because a machine may run many tests at once. Shorter than every time limit that a test must not run into.
pub(crate) const SOON: Duration = Duration::from_secs(30);
