//! Accepted connections that wait for a connection slot.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::connection::serve;
use super::context::ProxyContext;
use super::route::ServedRoute;
use crate::drain;
use crate::limits::{DRAIN_SPEAK, SLOTS_WARNING, WAITING_LOOK};
use crate::net::{ConnectionLimit, ConnectionSlot, QueuePlace, SlotUsage};
use crate::telemetry::{Outcome, Record};

/// Waits for a slot, then serves the connection. Gives up if [`slot`] fails, if the client closes the connection, or a
/// second after a drain has begun.
pub(super) async fn wait_for_slot(
    socket: TcpStream,
    record: Record,
    mut place: QueuePlace,
    connection_limit: ConnectionLimit,
    route: Arc<ArcSwap<ServedRoute>>,
    context: Arc<ProxyContext>,
    watch: drain::DrainWatch,
) {
    let waiting = record.wait();
    let slot = tokio::select! {
        biased;
        slot = slot(&socket, &mut place, &connection_limit, &context, &route) => slot,
        () = client_closed(&socket) => return record.close(Outcome::LeftWaiting, None),
        // Waits for another second: a drain frees slots, and the client may have sent a request already.
        () = watch.draining_for(DRAIN_SPEAK) => return record.close(Outcome::Drained, None),
    };
    drop((place, waiting));
    match slot {
        Ok(slot) => drop(tokio::spawn(serve(socket, record, slot, route, context, watch))),
        Err(outcome) => record.close(outcome, None),
    }
}

/// Returns a slot once one is free. Logs a warning if no slot becomes free for a while.
///
/// # Errors
/// The connection lost its place in the queue, or its client was silent for too long.
async fn slot(
    socket: &TcpStream,
    place: &mut QueuePlace,
    connection_limit: &ConnectionLimit,
    context: &ProxyContext,
    route: &ArcSwap<ServedRoute>,
) -> Result<ConnectionSlot, Outcome> {
    let (began, mut looked, mut first) = (Instant::now(), false, [0]);
    loop {
        let given = tokio::select! {
            biased;
            given = place.slot_within(WAITING_LOOK) => given,
            peeked = socket.peek(&mut first), if !looked => {
                looked = true;
                // A count of 0 means that the client has closed the connection.
                if peeked.is_ok_and(|count| count > 0) {
                    place.spoke(|ip| context.members.load().has(ip));
                }
                continue;
            }
        };
        match given {
            Ok(Some(slot)) => return Ok(slot),
            Ok(None) => connection_limit.make_room(|ip| context.members.load().has(ip)),
            Err(_) => return Err(Outcome::TooManyConnections),
        }
        let timeouts = context.tuning.borrow().timeouts;
        if !looked && timeouts.close_silent && began.elapsed() >= timeouts.sniff {
            return Err(Outcome::SniffTimeout);
        }
        if began.elapsed() >= SLOTS_WARNING && connection_limit.says_full() {
            let (route, SlotUsage { limit, silent, waiting, .. }) = (route.load(), connection_limit.usage());
            tracing::warn!(
                route = %route.route.id,
                limit,
                silent,
                waiting,
                "all connection slots are taken; new connections wait; raise maxIncomingConnections if this lasts"
            );
        }
    }
}

/// Resolves when the client has closed the connection or its sending half. `Interest::PRIORITY` reports the end of the
/// read half but not data, so unread data does not hide the end.
async fn client_closed(socket: &TcpStream) {
    // On error the runtime is shutting down, and the next use of the socket fails.
    if socket.ready(Interest::PRIORITY).await.is_err() {
        std::future::pending::<()>().await;
    }
}
