//! Protocol detection by the first four bytes of a connection.

use std::io::{self, Cursor};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, join, split};

use crate::limits::MAX_MESSAGE_BYTES;
use crate::mongo::header::HEADER_BYTES;

/// The protocols of the admin port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// MongoDB's wire protocol.
    Mongodb,
    /// HTTP, or anything else, which is answered as a malformed HTTP request.
    Http,
}

impl Protocol {
    /// The bytes are the length of a MongoDB message, or the start of an HTTP request: `GET ` read as a length is
    /// 542,393,671, too long for a message.
    fn of(bytes: [u8; 4]) -> Protocol {
        let length = usize::try_from(i32::from_le_bytes(bytes)).unwrap_or_default();
        if (HEADER_BYTES..=MAX_MESSAGE_BYTES).contains(&length) { Protocol::Mongodb } else { Protocol::Http }
    }
}

/// Detects the protocol. The returned stream still begins with the four bytes that were read.
///
/// # Errors
/// The error of the stream; `UnexpectedEof` if the stream ends before the fourth byte.
pub(super) async fn detect<S>(mut stream: S) -> io::Result<(Protocol, impl AsyncRead + AsyncWrite + Unpin)>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut bytes = [0; 4];
    stream.read_exact(&mut bytes).await?;
    let (reader, writer) = split(stream);
    Ok((Protocol::of(bytes), join(Cursor::new(bytes).chain(reader), writer)))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::{Protocol, detect};

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
    async fn the_bytes_read_for_detection_are_read_again() {
        let (mut near, far) = tokio::io::duplex(64);
        near.write_all(b"GET / HTTP/1.1").await.unwrap();
        let (protocol, mut stream) = detect(far).await.unwrap();
        near.shutdown().await.unwrap();
        let (mut first, mut rest) = ([0; 3], String::new());
        stream.read_exact(&mut first).await.unwrap();
        stream.read_to_string(&mut rest).await.unwrap();
        assert_eq!((protocol, &first, &*rest), (Protocol::Http, b"GET", " / HTTP/1.1"));
        stream.write_all(b"answer").await.unwrap();
        drop(stream);
        let mut answer = String::new();
        near.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "answer");
        let (mut near, far) = tokio::io::duplex(64);
        near.write_all(b"GET").await.unwrap();
        drop(near);
        assert!(detect(far).await.is_err());
    }
}
