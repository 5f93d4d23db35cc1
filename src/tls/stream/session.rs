//! TLS sessions without buffers of their own: records are decrypted in place, and encrypted into a buffer of the
//! caller.

use std::io;

use rustls::CommonState;
use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, InsufficientSizeError, UnbufferedStatus};

use crate::limits::{TLS_UNFINISHED_BY_CLIENT, TLS_UNFINISHED_BY_SERVER};

/// A client or server session; rustls has no common type for the two.
pub trait UnbufferedSession {
    /// rustls' data type for this side.
    type Data;

    /// Whether the last bytes of a TLS 1.3 handshake may be delayed until the first data is sent. True for a server,
    /// whose last bytes are tickets, which may be sent at any time (RFC 8446, section 4.6.1).
    const LAST_MAY_WAIT: bool;

    /// Maximum number of bytes of an incomplete record or handshake message that are kept after the handshake.
    const MAX_INCOMPLETE: usize;

    /// Performs one step of processing received records.
    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;

    /// The state common to client and server sessions.
    fn common(&self) -> &CommonState;
}

impl UnbufferedSession for UnbufferedServerConnection {
    type Data = rustls::server::ServerConnectionData;
    const LAST_MAY_WAIT: bool = true;
    const MAX_INCOMPLETE: usize = TLS_UNFINISHED_BY_CLIENT;

    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }

    fn common(&self) -> &CommonState {
        self
    }
}

impl UnbufferedSession for UnbufferedClientConnection {
    type Data = rustls::client::ClientConnectionData;
    const LAST_MAY_WAIT: bool = false;
    const MAX_INCOMPLETE: usize = TLS_UNFINISHED_BY_SERVER;

    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }

    fn common(&self) -> &CommonState {
        self
    }
}

/// The result of processing records.
#[derive(Debug, Default)]
pub(crate) struct Processed {
    /// The number of consumed bytes. The caller must keep the others unchanged and pass them again.
    pub(crate) consumed: usize,
    /// Whether the peer has sent `close_notify`.
    pub(crate) peer_closed: bool,
    /// The error with which the session has failed.
    pub(crate) failed: Option<rustls::Error>,
}

/// Processes all received records. Plaintext is passed to `deliver`; records to be sent, including alerts, are appended
/// to `outgoing`.
pub(crate) fn process_records<S: UnbufferedSession>(
    session: &mut S,
    incoming: &mut [u8],
    outgoing: &mut Vec<u8>,
    mut deliver: impl FnMut(&[u8]),
) -> Processed {
    let mut processed = Processed::default();
    loop {
        let UnbufferedStatus { discard, state } = session.process(&mut incoming[processed.consumed..]);
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
                processed.peer_closed = true;
                false
            }
            Ok(ConnectionState::Closed) => {
                processed.peer_closed = true;
                true
            }
            Err(error) => {
                processed.failed = Some(error);
                true
            }
            // More bytes are needed, or data can be written. Early data cannot occur, because it is never offered.
            Ok(_) => true,
        };
        processed.consumed += discard;
        if over {
            break;
        }
    }
    // Encodes the alert for the error.
    while processed.failed.is_some() && session.common().wants_write() {
        let UnbufferedStatus { discard, state } = session.process(&mut incoming[processed.consumed..]);
        let Ok(ConnectionState::EncodeTlsData(data)) = state else { break };
        encode(data, outgoing);
        processed.consumed += discard;
    }
    if processed.peer_closed || processed.failed.is_some() {
        // Bytes after the end of the session are discarded.
        processed.consumed = incoming.len();
    }
    processed
}

/// Encrypts data into `out` and returns the length. `incoming` holds the received bytes that are not processed yet.
pub(crate) fn encrypt<S: UnbufferedSession>(
    session: &mut S,
    incoming: &mut [u8],
    data: &[u8],
    out: &mut [u8],
) -> io::Result<usize> {
    match session.process(incoming).state {
        Ok(ConnectionState::WriteTraffic(mut traffic)) => traffic.encrypt(data, out).map_err(io::Error::other),
        _ => Err(io::ErrorKind::BrokenPipe.into()),
    }
}

/// Appends a `close_notify` to `outgoing`, unless the session is already closed.
pub(crate) fn close<S: UnbufferedSession>(session: &mut S, incoming: &mut [u8], outgoing: &mut Vec<u8>) {
    let mut alert = [0; ALERT_BYTES];
    if let Ok(ConnectionState::WriteTraffic(mut traffic)) = session.process(incoming).state
        && let Ok(count) = traffic.queue_close_notify(&mut alert)
    {
        outgoing.extend_from_slice(&alert[..count]);
    }
}

/// Appends a fatal `decode_error` alert to `outgoing` while `held` bytes of an incomplete handshake message are kept.
/// rustls has no function for this, but sends the alert for a record of unknown type, so this function passes it such a
/// record. The session cannot be used afterwards.
pub(crate) fn send_alert<S: UnbufferedSession>(session: &mut S, held: usize, outgoing: &mut Vec<u8>) {
    let mut no_record = vec![UNKNOWN_TYPE; held + RECORD_HEADER_BYTES];
    process_records(session, &mut no_record, outgoing, |_| {});
}

fn encode<Data>(mut data: EncodeTlsData<'_, Data>, outgoing: &mut Vec<u8>) {
    if let Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) = data.encode(&mut []) {
        let start = outgoing.len();
        outgoing.resize(start + required_size, 0);
        // This cannot fail, because the buffer has the required size.
        let _ = data.encode(&mut outgoing[start..]);
    }
}

/// Upper bound of the size of an encrypted alert, which has at most 32 bytes: header 5, explicit nonce 8, alert 2,
/// content type 1, tag 16.
const ALERT_BYTES: usize = 64;
/// A value that is no TLS content type.
const UNKNOWN_TYPE: u8 = 0xff;
const RECORD_HEADER_BYTES: usize = 5;
