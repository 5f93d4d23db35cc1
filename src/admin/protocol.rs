//! Which protocol a visitor speaks, by its first four bytes; and a stream on which bytes are put back.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use crate::limits::MAX_MESSAGE_BYTES;
use crate::mongo::header::HEADER_BYTES;

/// The protocols of the admin port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// MongoDB's wire protocol.
    Mongodb,
    /// HTTP, or anything else, which HTTP answers as a bad request.
    Http,
}

/// How many bytes tell.
pub(super) const KNOCK_BYTES: usize = 4;

impl Protocol {
    /// Four bytes as a MongoDB message's length; none that MongoDB has is HTTP. `GET ` would be 542,393,671.
    pub(super) fn of(bytes: [u8; KNOCK_BYTES]) -> Protocol {
        let length = usize::try_from(i32::from_le_bytes(bytes)).unwrap_or_default();
        if (HEADER_BYTES..=MAX_MESSAGE_BYTES).contains(&length) { Protocol::Mongodb } else { Protocol::Http }
    }
}

/// Reads what tells, and puts it back.
///
/// # Errors
/// What the stream says; `UnexpectedEof` if it ends before.
pub(super) async fn knock<S: AsyncRead + Unpin>(mut stream: S) -> io::Result<(Protocol, Replayed<S>)> {
    let mut bytes = [0; KNOCK_BYTES];
    stream.read_exact(&mut bytes).await?;
    Ok((Protocol::of(bytes), Replayed { bytes, taken: 0, stream }))
}

/// A stream that begins with four bytes read from it before.
#[derive(Debug)]
pub(super) struct Replayed<S> {
    bytes: [u8; KNOCK_BYTES],
    taken: usize,
    stream: S,
}

impl<S: AsyncRead + Unpin> AsyncRead for Replayed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let rest = &self.bytes[self.taken..];
        if rest.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, into);
        }
        let count = rest.len().min(into.remaining());
        into.put_slice(&rest[..count]);
        self.taken += count;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Replayed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::{Protocol, knock};

    #[test]
    fn four_bytes_tell() {
        for (bytes, protocol) in [
            (*b"GET ", Protocol::Http),
            (*b"PUT ", Protocol::Http),
            (*b"HEAD", Protocol::Http),
            (*b"\r\n\r\n", Protocol::Http),
            (15_i32.to_le_bytes(), Protocol::Http),
            (16_i32.to_le_bytes(), Protocol::Mongodb),
            (790_i32.to_le_bytes(), Protocol::Mongodb),
            (48_000_000_i32.to_le_bytes(), Protocol::Mongodb),
            (48_000_001_i32.to_le_bytes(), Protocol::Http),
            ((-1_i32).to_le_bytes(), Protocol::Http),
        ] {
            assert_eq!(Protocol::of(bytes), protocol, "{bytes:?}");
        }
    }

    #[tokio::test]
    async fn what_was_read_is_read_again() {
        let (protocol, mut stream) = knock(&b"GET / HTTP/1.1"[..]).await.unwrap();
        let (mut first, mut rest) = ([0; 3], String::new());
        stream.read_exact(&mut first).await.unwrap();
        stream.read_to_string(&mut rest).await.unwrap();
        assert_eq!((protocol, &first, &*rest), (Protocol::Http, b"GET", " / HTTP/1.1"));
        assert!(knock(&b"GET"[..]).await.is_err());
    }
}
