//! The close of a refused connection. A close with unread input sends a reset, and a reset can overtake the answer that
//! gives the reason. So the sending direction is closed first, and further input is discarded for a while.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::limits::{LINGER, LINGER_BYTES};

/// Closes our sending direction, then discards input until the peer closes its own, for at most one second and 1 MiB.
pub async fn linger<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let discard = async {
        // The peer is gone, so there is nothing to wait for.
        if stream.shutdown().await.is_err() {
            return;
        }
        let mut buffer = [0; 1024];
        let mut left = LINGER_BYTES;
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            left = left.saturating_sub(count);
            if left == 0 {
                return;
            }
        }
    };
    let _ = timeout(LINGER, discard).await;
}
