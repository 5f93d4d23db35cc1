//! Establishes a connection, from its first bytes to both legs.
//!
//! A connection is judged by the snapshot and the route that are in force once its opening is known. The handshakes and
//! the dial may take seconds, during which a change of policy can be acknowledged. So right before the first byte is
//! relayed, tlsramp checks that snapshot and route are still in force. If one of them has changed, the connection is
//! judged again by the new mode, and the client is verified again by the new CAs and revocation lists. The server is
//! dialled again if the new policy needs another kind of link, or if the route or the TLS material of a TLS link has
//! changed.
//!
//! The check and the insertion into the table of established connections happen under the lock of that table. A change
//! after the check finds the connection in the table and counts it if it does not conform. The check sees every change
//! that was acknowledged before the check began, because a change stores its snapshot before it is acknowledged, and
//! the check reads the snapshot under the lock. Until a connection is in the table, it is counted as pending with the
//! snapshot by which it was judged.

use tokio::net::TcpStream;

use super::client_leg::ClientLeg;
use super::context::{AcceptedConnection, Policy};
use super::failure::ServeError;
use super::refusal;
use super::upstream_leg::UpstreamLeg;
use crate::drain;
use crate::limits::{DRAIN_SPEAK, ESTABLISH_ATTEMPTS};
use crate::net::{OwnDial, linger};
use crate::policy::{Admission, Opening, Refused};
use crate::sniff::{Sniffed, sniff};
use crate::state::Tuning;
use crate::stream::Stream;
use crate::telemetry::{ClientTls, OpenRecord, Record};

/// Both legs of a connection, and its entry in the table of established connections.
pub(super) struct Legs {
    pub(super) client: Stream,
    pub(super) upstream: Stream,
    pub(super) record: OpenRecord,
    pub(super) dial: Option<OwnDial>,
}

/// Establishes both legs. The upstream is dialled only after the client is admitted, and only with the permit.
pub(super) async fn establish(
    socket: TcpStream,
    first: Option<Sniffed>,
    accepted: &AcceptedConnection<'_>,
    watch: &drain::DrainWatch,
    record: &mut Record,
) -> Result<Legs, ServeError> {
    let (socket, opening) = opened(socket, first, accepted, watch, record).await?;
    if let Some(error) = accepted.not_intercepted {
        let (failure, Tuning { refusal, timeouts }) = (ServeError::NotIntercepted(error), accepted.tuning);
        Box::pin(refusal::not_intercepted(socket, opening, &failure, refusal, timeouts.sniff)).await;
        return Err(failure);
    }
    // Loads the snapshot and the route now and not at accept: they may have changed while the client was silent.
    let mut policy = Policy::now(accepted);
    let permit = match policy.judge(opening, accepted, record) {
        Ok(permit) => permit,
        Err(refused) => return Err(refuse(Stream::Tcp(socket), refused, accepted, record).await),
    };
    // Determined before the handshake, because it includes the loop check. If tlsramp itself has dialled this
    // connection, its dialling side forgets the dial as soon as its TLS handshake with this listener is complete. After
    // that, the loop could no longer be seen.
    let destination = policy.destination(&socket, accepted);
    let mut client = ClientLeg::admit(permit.admission(), socket, &policy, accepted, record).await?;
    let mut destination = match destination {
        Ok(destination) => Some(destination),
        Err(failure) => return Err(unreachable(client, failure, accepted, record).await),
    };
    let mut permit = permit;
    let mut upstream = None;
    for _ in 0..ESTABLISH_ATTEMPTS {
        // The policy may have changed during the handshake. A policy that is no longer in force must not be used to
        // dial.
        if policy.is_in_force(accepted) && !client.leg.is_outlived() {
            match UpstreamLeg::fitting(upstream, permit, destination.take(), &client, &policy, accepted, record).await {
                Ok(reached) => {
                    let outlived = client.leg.is_outlived() || reached.leg.is_outlived();
                    let judgement = policy.judgement(opening, reached.link);
                    if !outlived && let Some(record) = record.establish(judgement, || policy.is_in_force(accepted)) {
                        return Ok(Legs { client: client.leg, upstream: reached.leg, record, dial: reached.dial });
                    }
                    upstream = Some(reached);
                }
                // The failure is not final: by the newer policy, the server may be reached.
                Err(_) if !policy.is_in_force(accepted) => upstream = None,
                Err(failure) => {
                    drop(policy);
                    return Err(unreachable(client, failure, accepted, record).await);
                }
            }
        }
        policy = Policy::now(accepted);
        destination = None;
        permit = match policy.judge(opening, accepted, record) {
            Ok(permit) => permit,
            Err(refused) => {
                close(upstream).await;
                return Err(refuse(client.leg, refused, accepted, record).await);
            }
        };
        if let Err(failure) = client.admit_again(permit.admission(), &policy, record) {
            drop(policy);
            close(upstream).await;
            return Err(explain(client, failure, accepted).await);
        }
    }
    drop(policy);
    close(upstream).await;
    Err(explain(client, ServeError::Unsettled, accepted).await)
}

/// Waits for the rest of the first bytes, unless they are classified already.
async fn opened(
    socket: TcpStream,
    first: Option<Sniffed>,
    accepted: &AcceptedConnection<'_>,
    watch: &drain::DrainWatch,
    record: &mut Record,
) -> Result<(TcpStream, Opening), ServeError> {
    let timeouts = accepted.tuning.timeouts;
    let sniffed = match first {
        Some(first) => Ok(first),
        None => tokio::select! {
            // Biased: a client whose opening is complete is served even if a drain has begun.
            biased;
            sniffed = sniff(&socket, timeouts.sniff, timeouts.close_silent) => sniffed,
            // A second is enough: the client has begun to send, so the rest of its opening is on its way.
            () = watch.draining_for(DRAIN_SPEAK) => return Err(ServeError::Draining),
        },
    };
    let Sniffed { opening, hello } = match sniffed {
        Ok(sniffed) => sniffed,
        Err(error) => {
            Box::pin(linger(socket)).await;
            return Err(error.into());
        }
    };
    record.note(|known| {
        accepted.context.observer.metrics.sniffed(known.accepted.elapsed());
        known.opening = Some(opening);
        if let Some(hello) = hello {
            let versions_offered = Some(hello.versions.to_string());
            known.tls = Some(Box::new(ClientTls { versions_offered, sni: hello.sni, ..ClientTls::default() }));
        }
    });
    Ok((socket, opening))
}

async fn close(upstream: Option<UpstreamLeg>) {
    if let Some(upstream) = upstream {
        upstream.close().await;
    }
}

/// Refuses a client that the policy does not admit.
async fn refuse(
    client: Stream,
    refused: Refused,
    accepted: &AcceptedConnection<'_>,
    record: &mut Record,
) -> ServeError {
    let (failure, Tuning { refusal, timeouts }) = (ServeError::Refused(refused), accepted.tuning);
    match client {
        Stream::Tcp(socket) => {
            if refused == Refused::Plaintext {
                record.turned_away(Box::pin(refusal::who(&socket)).await);
            }
            Box::pin(refusal::by_policy(socket, refused, refusal, timeouts.sniff)).await;
        }
        Stream::Unix(_) | Stream::FromClient(_) | Stream::ToServer(_) => {
            Box::pin(refusal::after_admission(client, &failure, refusal, timeouts.sniff)).await;
        }
    }
    failure
}

/// Sends an admitted client the reason why it is not served, unless its TLS is passed through.
async fn explain(client: ClientLeg, failure: ServeError, accepted: &AcceptedConnection<'_>) -> ServeError {
    if client.admission != Admission::Untouched {
        let Tuning { refusal, timeouts } = accepted.tuning;
        Box::pin(refusal::after_admission(client.leg, &failure, refusal, timeouts.sniff)).await;
    }
    failure
}

/// Sends a client an error that the upstream cannot be reached, unless its TLS is passed through.
async fn unreachable(
    client: ClientLeg,
    failure: ServeError,
    accepted: &AcceptedConnection<'_>,
    record: &Record,
) -> ServeError {
    if client.admission != Admission::Untouched {
        let upstream = record.info().and_then(|known| known.upstream.as_deref()).map(|upstream| &*upstream.name);
        let Tuning { refusal, timeouts } = accepted.tuning;
        Box::pin(refusal::unreachable(client.leg, upstream, &failure, refusal, timeouts.sniff)).await;
    }
    failure
}
