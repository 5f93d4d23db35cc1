//! Ends a connection at a message boundary, so that the client connects again.
//!
//! First, tlsramp shuts down its sending direction to the client. Requests that the client sent before it noticed this
//! may still arrive. For one second, requests that expect no reply are forwarded, because no driver would repeat them.
//! The first request that expects a reply is not forwarded, so the server does not execute it, and the driver repeats
//! it if it can. Then the connection is reset, because a client that keeps sending without reading does not notice the
//! end otherwise. The reset waits until the client has acknowledged all data, because a reset makes the peer discard
//! unread data, including the last reply.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::limits::{ACKNOWLEDGED, ACKNOWLEDGED_LOOK, FAREWELL, LAST_REQUESTS};
use crate::mongo::TrailingRequests;
use crate::net::{linger, unacknowledged};
use crate::stream::Stream;

/// Ends a connection at a message boundary. Returns the number of bytes of the client's last requests that were
/// forwarded.
pub(super) async fn move_on(mut client: Stream, mut upstream: Stream) -> usize {
    let mut forwarded = 0;
    let longest = LAST_REQUESTS + FAREWELL;
    let last = timeout(longest, forward_last(&mut client, &mut upstream, &mut forwarded)).await;
    let leave = async {
        if forwarded > 0 {
            // Waits until the server has closed too. A close with unread input would reset the server's connection, and
            // the requests forwarded last could be lost.
            linger(upstream).await;
        } else {
            // A server that does not accept the shutdown in time is disconnected without it.
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

/// Ends a connection that has not reached a boundary in time. Data that the client sends from now on is read and
/// discarded.
pub(super) async fn cut_off(client: Stream, mut upstream: Stream) {
    let leave = async {
        let _ = timeout(FAREWELL, upstream.shutdown()).await;
    };
    tokio::join!(linger(client), leave);
}

/// How the client's last requests ended.
enum Last {
    /// The client has closed the connection, or the connection is lost.
    Gone,
    /// A request was not forwarded, or the time for last requests is over.
    Over,
}

async fn forward_last(client: &mut Stream, upstream: &mut Stream, forwarded: &mut usize) -> Last {
    if client.shutdown().await.is_err() {
        return Last::Gone;
    }
    let until = Instant::now() + LAST_REQUESTS;
    let mut requests = TrailingRequests::default();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        // After `until`, the loop continues while there is data to read, so that no data is unread at the reset.
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

/// Waits until the client's kernel has acknowledged all data and the FIN. Returns false if it does not in time, or if
/// this cannot be determined; the connection is then closed without a reset.
async fn is_acknowledged(client: &Stream) -> bool {
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

/// The size of the read buffer.
const BUFFER_BYTES: usize = 16 * 1024;
