//! What the cryptography alone costs, in memory, in this process: the server's side of a handshake, and a byte sealed or
//! opened. No proxy that ends TLS by rustls is below it.

use std::path::Path;
use std::sync::Arc;

use rustix::time::{ClockId, clock_gettime};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CipherSuite, ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

use super::naive;
use super::support::Certs;

/// Of one round.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Floor {
    /// Microseconds.
    pub(crate) full_handshake: f64,
    pub(crate) resumed_handshake: f64,
    /// Seconds for 10^9 bytes, AES-128-GCM.
    pub(crate) seal: f64,
    pub(crate) open: f64,
}

/// Measures it: about half a second.
///
/// # Errors
/// That TLS between the two ends fails.
pub(crate) fn measure(certs: &Certs) -> Result<Floor, String> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    // The suite that most processors have instructions for, hash included.
    provider.cipher_suites.retain(|suite| suite.suite() == CipherSuite::TLS13_AES_128_GCM_SHA256);
    let mut server = naive::config(&certs.both.display().to_string(), provider)?;
    server.send_tls13_tickets = 1;
    let server = Arc::new(server);
    let in_words = |error: rustls::Error| error.to_string();
    let full = client(&certs.ca, false)?;
    let resuming = client(&certs.ca, true)?;
    let handshakes = |client: &Arc<ClientConfig>| -> Result<f64, rustls::Error> {
        let mut spent = Vec::new();
        for _ in 0..HANDSHAKES {
            spent.push(Pair::new(&server, client)?.shake()?);
        }
        spent.sort_by(f64::total_cmp);
        Ok(spent[HANDSHAKES / 2] * 1e6)
    };
    let full_handshake = handshakes(&full).map_err(in_words)?;
    let resumed_handshake = handshakes(&resuming).map_err(in_words)?;
    let mut pair = Pair::new(&server, &full).map_err(in_words)?;
    pair.shake().map_err(in_words)?;
    let (seal, open) = pair.bulk().map_err(in_words)?;
    Ok(Floor { full_handshake, resumed_handshake, seal, open })
}

/// What a server and a client of TLS 1.3 agree on, in words.
pub(crate) fn agreed(port: u16, ca: &Path) -> String {
    let asked = || -> Result<String, String> {
        let in_words = |error: std::io::Error| error.to_string();
        let mut socket = std::net::TcpStream::connect(("127.0.0.1", port)).map_err(in_words)?;
        let mut end = ClientConnection::new(client(ca, true)?, name()).map_err(|error| error.to_string())?;
        end.complete_io(&mut socket).map_err(in_words)?;
        let suite = end.negotiated_cipher_suite().map(|suite| suite.suite());
        let group = end.negotiated_key_exchange_group().map(|group| group.name());
        Ok(format!(
            "{}, {}",
            suite.and_then(|suite| suite.as_str()).unwrap_or("?"),
            group.map_or("?".into(), |group| format!("{group:?}"))
        ))
    };
    asked().unwrap_or_else(|why| format!("no handshake: {why}"))
}

/// Two ends in memory.
struct Pair {
    server: ServerConnection,
    client: ClientConnection,
}

impl Pair {
    fn new(server: &Arc<ServerConfig>, client: &Arc<ClientConfig>) -> Result<Pair, rustls::Error> {
        let server = ServerConnection::new(Arc::clone(server))?;
        Ok(Pair { server, client: ClientConnection::new(Arc::clone(client), name())? })
    }

    /// Shakes hands, tickets included; the processor time of the server's side, in seconds.
    fn shake(&mut self) -> Result<f64, rustls::Error> {
        let (mut wire, mut spent) = (Vec::new(), 0.0);
        while self.client.is_handshaking() || self.server.is_handshaking() || self.server.wants_write() {
            wire.clear();
            write(|into| self.client.write_tls(into), &mut wire);
            let begun = now();
            let mut left = wire.as_slice();
            while !left.is_empty() && self.server.read_tls(&mut left).is_ok() {
                self.server.process_new_packets()?;
            }
            let mut answer = Vec::with_capacity(4096);
            while self.server.wants_write() {
                write(|into| self.server.write_tls(into), &mut answer);
            }
            spent += now() - begun;
            let mut left = answer.as_slice();
            while !left.is_empty() && self.client.read_tls(&mut left).is_ok() {
                self.client.process_new_packets()?;
            }
        }
        Ok(spent)
    }

    /// Seconds for 10^9 bytes sealed by the server, and opened by the client.
    fn bulk(&mut self) -> Result<(f64, f64), rustls::Error> {
        use std::io::{Read as _, Write as _};
        let (mut seal, mut open, mut moved) = (0.0, 0.0, 0);
        let (plain, mut wire, mut back) = (vec![7; CHUNK], Vec::with_capacity(2 * CHUNK), vec![0; CHUNK]);
        while moved < BULK {
            wire.clear();
            let begun = now();
            // A Vec takes everything, and a connection what its buffer holds: the chunk is within both.
            let _ = self.server.writer().write_all(&plain);
            while self.server.wants_write() {
                write(|into| self.server.write_tls(into), &mut wire);
            }
            seal += now() - begun;
            let begun = now();
            let mut left = wire.as_slice();
            while !left.is_empty() && self.client.read_tls(&mut left).is_ok() {
                self.client.process_new_packets()?;
                while self.client.reader().read(&mut back).is_ok_and(|count| count > 0) {}
            }
            open += now() - begun;
            moved += CHUNK;
        }
        Ok((seal / moved as f64 * 1e9, open / moved as f64 * 1e9))
    }
}

/// Into a Vec, which takes everything.
fn write(mut from: impl FnMut(&mut dyn std::io::Write) -> std::io::Result<usize>, into: &mut Vec<u8>) {
    let _ = from(into);
}

fn client(ca: &Path, resume: bool) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(ca).map_err(|error| error.to_string())?;
    roots.add(authority).map_err(|error| error.to_string())?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]);
    let mut config = builder.map_err(|error| error.to_string())?.with_root_certificates(roots).with_no_client_auth();
    if !resume {
        config.resumption = rustls::client::Resumption::disabled();
    }
    Ok(Arc::new(config))
}

fn name() -> ServerName<'static> {
    ServerName::IpAddress(std::net::IpAddr::from([127, 0, 0, 1]).into())
}

/// Processor time of this thread, in seconds.
fn now() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

const HANDSHAKES: usize = 500;
const CHUNK: usize = 48 * 1024;
const BULK: usize = 400_000_000;
