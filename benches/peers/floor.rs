//! Measures the cost of the cryptography alone, in memory: the server's side of a handshake, and encrypting or
//! decrypting a byte. A proxy that terminates TLS with rustls cannot cost less.

use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::error::Unspecified;
use rustix::time::{ClockId, clock_gettime};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CipherSuite, ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

use super::naive;
use super::support::Certs;

/// The result of one round.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Floor {
    /// Processor time of a full handshake, in microseconds.
    pub(crate) full_handshake: f64,
    pub(crate) resumed_handshake: f64,
    /// Seconds for encrypting 10^9 bytes with AES-128-GCM.
    pub(crate) seal: f64,
    pub(crate) open: f64,
}

/// Makes the measurement, which takes about half a second.
///
/// # Errors
/// TLS between the two ends fails.
pub(crate) fn measure(certs: &Certs) -> Result<Floor, String> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    // Most processors have instructions for this suite, including its hash.
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
    let (seal, open) = bulk().map_err(|error| error.to_string())?;
    Ok(Floor { full_handshake, resumed_handshake, seal, open })
}

/// The parameters that a server and a TLS 1.3 client negotiate.
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

/// A client and a server in memory.
struct Pair {
    server: ServerConnection,
    client: ClientConnection,
}

impl Pair {
    fn new(server: &Arc<ServerConfig>, client: &Arc<ClientConfig>) -> Result<Pair, rustls::Error> {
        let server = ServerConnection::new(Arc::clone(server))?;
        Ok(Pair { server, client: ClientConnection::new(Arc::clone(client), name())? })
    }

    /// Processor time of the server's side of one handshake, including tickets, in seconds.
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
}

/// Seconds for encrypting and for decrypting 10^9 bytes in full records, in place and without framing.
fn bulk() -> Result<(f64, f64), Unspecified> {
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &[7; 16])?);
    let (mut seal, mut open, mut record) = (0.0, 0.0, vec![7; RECORD]);
    for number in 0..RECORDS {
        let mut nonce = [0; NONCE_LEN];
        nonce[..8].copy_from_slice(&number.to_le_bytes());
        record.truncate(RECORD);
        let begun = now();
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(HEADER), &mut record)?;
        let sealed = now();
        key.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(HEADER), &mut record)?;
        (seal, open) = (seal + sealed - begun, open + now() - sealed);
    }
    let moved = (RECORDS * RECORD as u64) as f64;
    Ok((seal / moved * 1e9, open / moved * 1e9))
}

/// Writing to a `Vec` does not fail.
fn write(mut from: impl FnMut(&mut dyn std::io::Write) -> std::io::Result<usize>, into: &mut Vec<u8>) {
    let _ = from(into);
}

pub(crate) fn client(ca: &Path, resume: bool) -> Result<Arc<ClientConfig>, String> {
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
/// The largest payload of a record, in bytes.
const RECORD: usize = 16 * 1024;
const RECORDS: u64 = 16_384;
/// A record header, which is authenticated.
const HEADER: [u8; 5] = [0x17, 3, 3, 0x40, 0x11];
