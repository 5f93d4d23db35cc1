//! The end of a refused connection. Closing with unread input sends a reset, and a reset can overtake the answer
//! that says why; so the answer's direction is closed first and what still comes in is thrown away for a while.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::limits::{LINGER, LINGER_BYTES};

/// Ends our direction, then discards input until the peer ends its own: at most one second and 1 MiB.
pub async fn linger<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let discard = async {
        // A peer that is gone needs no more politeness.
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
