//! The end of a connection that is to be made anew, at a message boundary.
//!
//! The client is told first. Whatever it had sent before it learnt that is still on its way: requests that want no answer
//! are forwarded for a second, since nobody would send them again; the first that wants one is not, so that it has not run,
//! and its driver sends it again where it may. Then the connection is reset, once the client has acknowledged what it was
//! sent (a reset makes a peer throw away what it has not read, the last answer included): a client that goes on sending
//! without reading learns of the end by nothing else.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::leg::Leg;
use crate::limits::{ACKNOWLEDGED, ACKNOWLEDGED_LOOK, FAREWELL, LAST_REQUESTS};
use crate::mongo::TrailingRequests;
use crate::net::{linger, unacknowledged};

/// Ends a connection of which neither direction is within a message. Returns how many bytes of the client's last requests
/// were forwarded.
pub(super) async fn move_on(mut client: Leg, mut upstream: Leg) -> usize {
    let mut forwarded = 0;
    let longest = LAST_REQUESTS + FAREWELL;
    let last = timeout(longest, forward_last(&mut client, &mut upstream, &mut forwarded)).await;
    let leave = async {
        if forwarded > 0 {
            // Until the server has ended too: closed with input unread, its socket would be reset, and what was just
            // forwarded could be lost.
            linger(upstream).await;
        } else {
            // A server that does not take our end in time is cut off without.
            let _ = timeout(FAREWELL, upstream.shutdown()).await;
        }
    };
    let reset = async {
        if !matches!(last, Ok(Last::Gone)) && is_acknowledged(&client).await {
            client.abort();
        }
        drop(client);
    };
    tokio::join!(leave, reset);
    forwarded
}

/// Ends a connection that was cut inside a message: what the client sends from here on is read and thrown away.
pub(super) async fn cut_off(client: Leg, mut upstream: Leg) {
    let leave = async {
        let _ = timeout(FAREWELL, upstream.shutdown()).await;
    };
    tokio::join!(linger(client), leave);
}

/// How the client's last requests ended.
enum Last {
    /// The client has closed, or is lost.
    Gone,
    /// With one that is not forwarded, or with the second.
    Over,
}

async fn forward_last(client: &mut Leg, upstream: &mut Leg, forwarded: &mut usize) -> Last {
    if client.shutdown().await.is_err() {
        return Last::Gone;
    }
    let until = Instant::now() + LAST_REQUESTS;
    let mut requests = TrailingRequests::default();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        // Past the second it goes on while there is something to read, so that the reset finds nothing unread.
        let sorted = match timeout_at(until, client.read(&mut buffer)).await {
            Err(_) => return Last::Over,
            Ok(Ok(0) | Err(_)) => return Last::Gone,
            Ok(Ok(count)) => requests.take(&buffer[..count]),
        };
        let passed = async {
            upstream.write_all(&sorted.unanswered).await?;
            upstream.flush().await
        };
        if !sorted.unanswered.is_empty() {
            if passed.await.is_err() {
                return Last::Over;
            }
            *forwarded += sorted.unanswered.len();
        }
        if sorted.refused {
            return Last::Over;
        }
    }
}

/// Waits until the client's system has acknowledged all that it was sent, our end included. False if it does not in time,
/// or that cannot be known: then the close is an ordinary one.
async fn is_acknowledged(client: &Leg) -> bool {
    let Some(socket) = client.socket() else { return false };
    let (Ok(local), Ok(peer)) = (socket.local_addr(), socket.peer_addr()) else { return false };
    let acknowledged = async {
        loop {
            match unacknowledged(local, peer) {
                Ok(0) => return true,
                Ok(_) => sleep(ACKNOWLEDGED_LOOK).await,
                Err(error) => return error.kind() == io::ErrorKind::NotFound,
            }
        }
    };
    timeout(ACKNOWLEDGED, acknowledged).await.unwrap_or(false)
}

/// Read at a time.
const BUFFER_BYTES: usize = 16 * 1024;
