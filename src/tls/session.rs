//! A TLS session without buffers of its own, of either side: what comes in is worked on where it lies, and what is to
//! go out is put where it is wanted.

use std::io;

use rustls::CommonState;
use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, InsufficientSizeError, UnbufferedStatus};

use crate::limits::{TLS_UNFINISHED_BY_CLIENT, TLS_UNFINISHED_BY_SERVER};

/// Either side of a session; the stack has a type for each, and no name for both.
pub trait Side {
    /// What the stack keeps for this side.
    type Data;

    /// Whether what is left to say at the end of a handshake may wait for the first data. A server's tickets of
    /// TLS 1.3 may (RFC 8446, section 4.6.1): they come at any time, and nobody waits for them.
    const LAST_MAY_WAIT: bool;

    /// Bytes of records that are kept after the handshake because a record, or a handshake message, is not whole.
    const UNFINISHED: usize;

    /// Works on what has come in, as far as one step leads.
    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;

    /// What both sides know of the session.
    fn common(&self) -> &CommonState;
}

impl Side for UnbufferedServerConnection {
    type Data = rustls::server::ServerConnectionData;
    const LAST_MAY_WAIT: bool = true;
    const UNFINISHED: usize = TLS_UNFINISHED_BY_CLIENT;

    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }

    fn common(&self) -> &CommonState {
        self
    }
}

impl Side for UnbufferedClientConnection {
    type Data = rustls::client::ClientConnectionData;
    const LAST_MAY_WAIT: bool = false;
    const UNFINISHED: usize = TLS_UNFINISHED_BY_SERVER;

    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }

    fn common(&self) -> &CommonState {
        self
    }
}

/// What working on records has come to.
#[derive(Debug, Default)]
pub(super) struct Digested {
    /// So many bytes of what came in are done with. The rest is to be kept as it is now, and shown again.
    pub(super) done: usize,
    /// The peer has ended its direction, and said so.
    pub(super) notified: bool,
    /// Nothing more can come of this session.
    pub(super) failed: Option<rustls::Error>,
}

/// Works on all that has come in. Plaintext goes to `deliver`; what is to be sent, an alert included, is added to
/// `outgoing`.
pub(super) fn digest<S: Side>(
    session: &mut S,
    incoming: &mut [u8],
    outgoing: &mut Vec<u8>,
    mut deliver: impl FnMut(&[u8]),
) -> Digested {
    let mut digested = Digested::default();
    loop {
        let UnbufferedStatus { discard, state } = session.process(&mut incoming[digested.done..]);
        let over = match state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                while let Some(Ok(record)) = traffic.next_record() {
                    deliver(record.payload);
                }
                false
            }
            Ok(ConnectionState::EncodeTlsData(data)) => {
                encode(data, outgoing);
                false
            }
            Ok(ConnectionState::TransmitTlsData(data)) => {
                data.done();
                false
            }
            Ok(ConnectionState::PeerClosed) => {
                digested.notified = true;
                false
            }
            Ok(ConnectionState::Closed) => {
                digested.notified = true;
                true
            }
            Err(error) => {
                digested.failed = Some(error);
                true
            }
            // Nothing more to do with what is there. Early data is never offered, so that it never comes.
            Ok(_) => true,
        };
        digested.done += discard;
        if over {
            break;
        }
    }
    // The alert that says what failed.
    while digested.failed.is_some() && session.common().wants_write() {
        let UnbufferedStatus { discard, state } = session.process(&mut incoming[digested.done..]);
        let Ok(ConnectionState::EncodeTlsData(data)) = state else { break };
        encode(data, outgoing);
        digested.done += discard;
    }
    if digested.notified || digested.failed.is_some() {
        // What lies behind an end is nobody's.
        digested.done = incoming.len();
    }
    digested
}

/// Encrypts data to the front of `out`; how many bytes that made. All that had come in was worked on before, the rest
/// of it is `incoming`.
pub(super) fn encrypt<S: Side>(session: &mut S, incoming: &mut [u8], data: &[u8], out: &mut [u8]) -> io::Result<usize> {
    match session.process(incoming).state {
        Ok(ConnectionState::WriteTraffic(mut traffic)) => traffic.encrypt(data, out).map_err(io::Error::other),
        _ => Err(io::ErrorKind::BrokenPipe.into()),
    }
}

/// Adds the `close_notify` to `outgoing`; nothing where the session is past that.
pub(super) fn close<S: Side>(session: &mut S, incoming: &mut [u8], outgoing: &mut Vec<u8>) {
    let mut alert = [0; ALERT_BYTES];
    if let Ok(ConnectionState::WriteTraffic(mut traffic)) = session.process(incoming).state
        && let Ok(count) = traffic.queue_close_notify(&mut alert)
    {
        outgoing.extend_from_slice(&alert[..count]);
    }
}

/// Adds a fatal alert, `decode_error`, to `outgoing`, while `held` bytes of an unfinished handshake message are kept. The
/// stack sends no alert on request. It sends this one for a record of an unknown type, which the end of these bytes
/// becomes; the session is of no use afterwards.
pub(super) fn send_alert<S: Side>(session: &mut S, held: usize, outgoing: &mut Vec<u8>) {
    let mut no_record = vec![UNKNOWN_TYPE; held + RECORD_HEADER_BYTES];
    digest(session, &mut no_record, outgoing, |_| {});
}

fn encode<Data>(mut data: EncodeTlsData<'_, Data>, outgoing: &mut Vec<u8>) {
    if let Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) = data.encode(&mut []) {
        let start = outgoing.len();
        outgoing.resize(start + required_size, 0);
        // There is room for it now.
        let _ = data.encode(&mut outgoing[start..]);
    }
}

/// More than an alert takes in any cipher suite: a header of 5, an explicit nonce of 8, 2 of its own, a content type,
/// and a tag of 16.
const ALERT_BYTES: usize = 64;
/// No content type of TLS.
const UNKNOWN_TYPE: u8 = 0xff;
const RECORD_HEADER_BYTES: usize = 5;
