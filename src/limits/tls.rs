//! Bounds of TLS: records, handshakes, sessions, certificates, revocation lists.

use super::config::MOST_OUTBOUND;
use super::data_plane::RELAY_BUSY;

/// A TLS record, the longest that RFC 5246 allows (section 6.2.3), with its header.
pub const TLS_RECORD: usize = 5 + 16 * 1024 + 2048;
/// Bytes of records read at a time: as much as a relay moves, and the overhead of that.
pub const TLS_READ: usize = RELAY_BUSY + 1024;
/// Bytes of records that a client may leave unfinished after the handshake, framing included: one record. The one handshake
/// message that it may send then, a `key_update`, has 5 bytes.
pub const TLS_UNFINISHED_BY_CLIENT: usize = TLS_RECORD;
/// The same for a server, which sends session tickets: two records, 32 KiB of plaintext. Stateless tickets hold the client's
/// certificates: OpenSSL's the client's own, Go's and Java's its chain, Go's twice; with four of RSA-4096 that is 16 KiB.
pub const TLS_UNFINISHED_BY_SERVER: usize = 2 * TLS_RECORD;
/// Bytes of records that a TLS stream holds during a handshake because they are not whole: a record, or a handshake
/// message, which the stack bounds to 64 KiB, in its records.
pub const TLS_HELD: usize = 96 * 1024;
/// Bytes of a handshake that a client may send before our first answer, framing included: a hello of 16 KiB, or one of 2.7
/// KiB in records of a byte each. The largest real ones, with two post-quantum key shares and a ticket, have under 4 KiB.
pub const CLIENT_HELLO: usize = 16 * 1024;
/// Bytes that it may send from then to the end of its handshake, the same: its certificates and a signature. With three
/// intermediates of RSA-4096 those have 8 KiB, with four of ML-DSA-65 25 KiB.
pub const CLIENT_FLIGHT: usize = 32 * 1024;
/// Bytes that a server may send in a handshake: its certificates, and the names of the CAs that it takes, of which a public
/// bundle has 150 in 16 KiB.
pub const SERVER_FLIGHT: usize = 64 * 1024;
/// Bytes that all handshakes under way may have taken in, before one is given up and the others wait until it is gone: those
/// with clients together, and those with servers together. What each worker has just read may come on top. It carries 340
/// clients that have sent all they may; a usual one sends some 3 KiB, so that 5,000 fit at a time.
pub const HANDSHAKES_HELD: usize = 16 * 1024 * 1024;
/// Plaintext encrypted at a time.
pub const TLS_WRITE: usize = RELAY_BUSY;
/// What that comes to: fifteen records, a `key_update` before them, and room to spare.
pub const TLS_WRITTEN: usize = TLS_WRITE + 1024;

/// Names of a certificate that an error shows: people's have under ten, and a peer may send thousands.
pub const CERTIFICATE_NAMES_SHOWN: usize = 16;

/// Servers that a set of certificates keeps sessions of: twice the members of the largest configuration.
pub const CLIENT_CONFIGS: usize = 2 * MOST_OUTBOUND;
/// Names of servers that a TLS client keeps sessions of, per set of certificates and names: a server has a few names, and
/// the SNI of a client, which is passed on, may be any.
pub const CLIENT_SESSIONS: usize = 128;
/// TLS 1.3 tickets kept of each: one connection uses one up and brings one or two.
pub const CLIENT_TICKETS: usize = 8;
/// TLS 1.2 sessions kept for clients that take no tickets, per set of certificates.
pub const SERVER_SESSIONS: usize = 4096;

/// Days before a certificate's end from which on it is warned of, as in mongod.
pub const EXPIRY_WARNING_DAYS: u64 = 30;
/// How many of those warnings are given at a time: a bundle of public CAs has some hundred.
pub const VALIDITIES_SHOWN: usize = 16;
/// How many certificates, CAs and revocation lists a status lists, ours first.
pub const CERTIFICATES_SHOWN: usize = 64;

/// Intermediate certificates that a peer may show: the longest real chains have three, and some servers send the root as
/// well. Path building tries them in every order, so that its cost grows with their factorial.
pub const CHAIN_INTERMEDIATES: usize = 4;
/// Signatures that are verified for one certificate, its CRLs' included. A chain with four intermediates and
/// [`CRL_KEYS_PER_NAME`] lists takes nine; the rest is for CAs that share a name, each of which is tried. A stranger's
/// certificates are verified by the keys of our CAs alone, five for each CA of the name that they claim: with the
/// slowest kind of key, P-521, fourteen take less than 5 ms (benches/verdict.rs).
pub const CHAIN_SIGNATURES: usize = 14;
/// A public key of more than so many bytes counts as two, which are RSA keys over 4,096 bits: with 8,192, the most that the
/// provider takes, a verification takes twice as long as with P-521.
pub const CHAIN_KEY_BYTES: usize = 600;
/// Keys that may issue revocation lists under one name: a CA that was renewed has two. A certificate may be judged
/// once with each.
pub const CRL_KEYS_PER_NAME: usize = 4;
