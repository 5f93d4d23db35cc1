//! The client's leg: TLS is terminated or passed through, plaintext is relayed unchanged.

use std::sync::Arc;
use std::time::Instant;

use rustls::CommonState;
use tokio::net::TcpStream;

use super::context::{AcceptedConnection, Policy};
use super::failure::ServeError;
use crate::limits::Timeouts;
use crate::net::linger;
use crate::policy::Admission;
use crate::state::Snapshot;
use crate::stream::Stream;
use crate::telemetry::{ClientTls, ConnectionInfo, Record};
use crate::tls::{self, AcceptedStream, HandshakeError, Material};

/// The client's leg, with the admission and the TLS material by which the client was admitted.
pub(super) struct ClientLeg {
    pub(super) leg: Stream,
    pub(super) admission: Admission,
    pub(super) material: Arc<Material>,
}

impl ClientLeg {
    pub(super) async fn admit(
        admission: Admission,
        socket: TcpStream,
        policy: &Policy,
        accepted: &AcceptedConnection<'_>,
        record: &mut Record,
    ) -> Result<ClientLeg, ServeError> {
        let leg = admit(admission, socket, &policy.snapshot, &accepted.tuning.timeouts, record).await?;
        Ok(ClientLeg { leg, admission, material: Arc::clone(&policy.snapshot.tls) })
    }

    /// Checks the admitted client again by a newer policy.
    pub(super) fn admit_again(
        &mut self,
        admission: Admission,
        policy: &Policy,
        record: &mut Record,
    ) -> Result<(), ServeError> {
        if admission != self.admission {
            // Terminated TLS cannot be passed through afterwards, and passed-through TLS cannot be terminated
            // afterwards.
            return Err(ServeError::Unsettled);
        }
        if self.leg.is_outlived() || !Arc::ptr_eq(&self.material, &policy.snapshot.tls) {
            admit_again(&mut self.leg, &policy.snapshot, record)?;
            self.material = Arc::clone(&policy.snapshot.tls);
        }
        Ok(())
    }
}

/// Creates the client's leg, with a TLS handshake if TLS is terminated. If the handshake fails, the alert, if there is
/// one, has been sent and the connection is closed when this returns.
async fn admit(
    admission: Admission,
    socket: TcpStream,
    snapshot: &Snapshot,
    timeouts: &Timeouts,
    record: &mut Record,
) -> Result<Stream, ServeError> {
    match admission {
        Admission::Plaintext | Admission::Untouched => Ok(Stream::Tcp(socket)),
        Admission::Terminated => {
            let config = snapshot.tls.server_config().ok_or(ServeError::NoMaterial)?;
            let began = Instant::now();
            match tls::accept_budgeted(socket, config, timeouts.handshake).await {
                Ok(AcceptedStream { stream, server_name }) => {
                    note(stream.session(), server_name, snapshot, record);
                    record
                        .latencies()
                        .client_handshake(record.info().and_then(ConnectionInfo::tls_version), began.elapsed());
                    Ok(Stream::FromClient(stream))
                }
                Err((error, socket)) => {
                    if let Some(socket) = socket {
                        Box::pin(linger(socket)).await;
                    }
                    Err(ServeError::ClientTls(error))
                }
            }
        }
    }
}

/// Verifies the client's certificate again, by the TLS material of `snapshot`.
fn admit_again(leg: &mut Stream, snapshot: &Snapshot, record: &mut Record) -> Result<(), ServeError> {
    let Stream::FromClient(stream) = leg else { return Ok(()) };
    tls::reverify_client(stream, &snapshot.tls).map_err(|error| ServeError::ClientTls(HandshakeError::Tls(error)))?;
    let sni = record.info().and_then(|known| known.tls.as_deref()).and_then(|tls| tls.sni.clone());
    note(stream.session(), sni, snapshot, record);
    Ok(())
}

/// Records the results of the handshake. The certificate's subject is recorded only if certificates must be valid; the
/// chain is recorded in any case, because a later policy may verify it.
fn note(session: &CommonState, sni: Option<String>, snapshot: &Snapshot, record: &mut Record) {
    let verified = !snapshot.tls.allow_invalid_certificates;
    let chain = session.peer_certificates();
    let told = ClientTls {
        version: session.protocol_version().and_then(tls::version_name),
        cipher: session.negotiated_cipher_suite().map(|suite| tls::suite_name(suite.suite())),
        sni,
        versions_offered: None,
        subject: chain.filter(|_| verified).and_then(|chain| tls::subject(chain.first()?)),
        chain: chain.map(Arc::from),
    };
    record.note(|known| known.tls = Some(Box::new(told)));
}
