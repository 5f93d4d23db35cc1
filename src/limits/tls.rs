//! Limits of TLS: records, handshakes, sessions, certificates, revocation lists.

use std::time::Duration;

use super::config::MOST_OUTBOUND;
use super::data_plane::RELAY_BUSY;

/// Size of the longest TLS record that RFC 5246 allows (section 6.2.3), including its header.
pub const TLS_RECORD: usize = 5 + 16 * 1024 + 2048;
/// Bytes of records read at a time: as many as a relay moves, and the overhead of the records.
pub const TLS_READ: usize = RELAY_BUSY + 1024;
/// Maximum number of bytes of incomplete records that a client may have sent after the handshake, framing included: one
/// record. The only handshake message that a client may send then, `key_update`, has 5 bytes.
pub const TLS_UNFINISHED_BY_CLIENT: usize = TLS_RECORD;
/// The same limit for a server, which sends session tickets: two records, which hold 32 KiB of plaintext. Stateless
/// tickets contain certificates of the client: OpenSSL's tickets contain only the client's own, Java's contain the
/// chain, and Go's contain the chain twice: with four certificates of RSA-4096, 16 KiB.
pub const TLS_UNFINISHED_BY_SERVER: usize = 2 * TLS_RECORD;
/// Maximum number of bytes of incomplete records that a TLS stream buffers during a handshake: one record, or the
/// records of one handshake message, which the TLS library limits to 64 KiB.
pub const TLS_HELD: usize = 96 * 1024;
/// Maximum number of handshake bytes that a client may send before our first answer, framing included: a hello of 16
/// KiB, or one of 2.7 KiB in records of one byte each. The largest hellos in use, with two post-quantum key shares and
/// a ticket, have less than 4 KiB.
pub const CLIENT_HELLO: usize = 16 * 1024;
/// Maximum number of handshake bytes that a client may send after our first answer, framing included: its certificates
/// and a signature. Four certificates (a leaf and three intermediates) take 8 KiB with RSA-4096, and 25 KiB with
/// ML-DSA-65.
pub const CLIENT_FLIGHT: usize = 32 * 1024;
/// Maximum number of bytes that a server may send in a handshake: its certificates, and the names of its accepted CAs.
/// A public bundle has 150 such names in 16 KiB.
pub const SERVER_FLIGHT: usize = 64 * 1024;
/// Maximum number of bytes received by all handshakes in progress. Beyond this limit, one handshake is aborted, and the
/// others wait until it is gone. Handshakes with clients and handshakes with servers are counted separately. Bytes that
/// each worker has just read are not included. The limit allows for 340 clients that have each sent the most allowed. A
/// usual client sends about 3 KiB, so that 5,000 handshakes fit.
pub const HANDSHAKES_HELD: usize = 16 * 1024 * 1024;
/// Time that the handshakes of a worker take before it serves everything else that is ready: one full handshake, or
/// several steps of resumed ones. A step is not interrupted, so one with an RSA key of 4,096 bits takes longer.
pub const HANDSHAKE_TURN: Duration = Duration::from_micros(100);
/// The number of waiting handshakes at which a worker yields its core after each turn, and then serves everything else
/// twice. Fewer handshakes take about a millisecond together, so that established connections do not wait for long.
pub const HANDSHAKE_STORM: usize = 8;

/// Maximum amount of plaintext encrypted at a time.
pub const TLS_WRITE: usize = RELAY_BUSY;
/// Size of the buffer for the records of [`TLS_WRITE`] bytes of plaintext: fifteen records, a `key_update` before them,
/// and some spare space.
pub const TLS_WRITTEN: usize = TLS_WRITE + 1024;

/// Maximum number of names of a certificate that an error shows. Certificates in use have fewer than ten, and a peer
/// may send thousands.
pub const CERTIFICATE_NAMES_SHOWN: usize = 16;

/// Maximum number of client configurations that are kept for one set of TLS files, one for each list of names that are
/// accepted in a server's certificate: twice the outbound routes of the largest configuration.
pub const CLIENT_CONFIGS: usize = 2 * MOST_OUTBOUND;
/// Maximum number of names sent as SNI for which one client configuration ([`CLIENT_CONFIGS`]) keeps sessions. A server
/// has a few names, but a client's SNI, which is passed on, may be any name.
pub const CLIENT_SESSIONS: usize = 128;
/// Maximum number of TLS 1.3 tickets kept per server name. Each connection uses one ticket and receives one or two.
pub const CLIENT_TICKETS: usize = 8;
/// Maximum number of TLS 1.2 sessions kept for clients that do not support tickets, per set of certificates.
pub const SERVER_SESSIONS: usize = 4096;

/// Days before a certificate's expiry at which warnings begin, as in mongod.
pub const EXPIRY_WARNING_DAYS: u64 = 30;
/// Maximum number of expiry warnings at a time. A bundle of public CAs has about a hundred certificates.
pub const VALIDITIES_SHOWN: usize = 16;
/// Maximum number of certificates, CAs and revocation lists in a status, starting with our own.
pub const CERTIFICATES_SHOWN: usize = 64;

/// Maximum number of intermediate certificates that a peer may send. The longest chains in use have three, and some
/// servers send the root as well. Path building tries them in every order, so its cost grows with the factorial of
/// their number.
pub const CHAIN_INTERMEDIATES: usize = 4;
/// Maximum number of signatures verified for one certificate chain, including those of CRLs. A chain with four
/// intermediates and [`CRL_KEYS_PER_NAME`] lists takes nine; the rest is for CAs with the same name, each of which is
/// tried. If a peer's chain leads to none of our CAs, each of our CAs with the issuer name that the chain gives costs
/// at most five verifications (of the leaf and four intermediates). With the slowest kind of key, P-521, fourteen
/// verifications take less than 5 ms (benches/verdict.rs).
pub const CHAIN_SIGNATURES: usize = 14;
/// Size of a public key, in bytes, above which its signatures count twice: RSA keys over 4,096 bits. With 8,192 bits,
/// the most that the crypto provider supports, a verification takes twice as long as with P-521.
pub const CHAIN_KEY_BYTES: usize = 600;
/// Maximum number of keys that may issue revocation lists under one CA name. A renewed CA has two. A certificate may be
/// checked once with each key.
pub const CRL_KEYS_PER_NAME: usize = 4;
