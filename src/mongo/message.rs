//! Reads one whole message from a stream.
//!
//! Memory grows with the bytes that were received, not with the length in the header.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

use super::Header;
use super::header::HEADER_BYTES;

/// The result of reading a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    /// A whole message.
    Message(Vec<u8>),
    /// The header of a message that is longer than the limit. Its body was not read.
    TooLong([u8; HEADER_BYTES]),
    /// The stream ended between two messages.
    End,
}

/// The first bytes of a message, at least one.
#[derive(Debug)]
pub(super) struct Begun {
    header: [u8; HEADER_BYTES],
    count: usize,
}

/// Waits for the first bytes of a message; `None` if the stream ends instead.
///
/// # Errors
/// Reading fails.
pub(super) async fn begin<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Option<Begun>> {
    let mut header = [0; HEADER_BYTES];
    let count = stream.read(&mut header).await?;
    Ok((count > 0).then_some(Begun { header, count }))
}

impl Begun {
    /// Reads the rest of a message of at most `max_bytes`, header included.
    ///
    /// # Errors
    /// `UnexpectedEof` if the stream ends within the message, `InvalidData` for a length that no message can have, else
    /// the error of the stream.
    pub(super) async fn finish<S: AsyncRead + Unpin>(self, stream: &mut S, max_bytes: usize) -> io::Result<Incoming> {
        let Begun { mut header, count } = self;
        stream.read_exact(&mut header[count..]).await?;
        let body = Header::parse(&header).body_len().ok_or(io::ErrorKind::InvalidData)?;
        if HEADER_BYTES + body > max_bytes {
            return Ok(Incoming::TooLong(header));
        }
        let mut message = header.to_vec();
        if stream.take(body as u64).read_to_end(&mut message).await? < body {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Incoming::Message(message))
    }
}

/// Reads the next message of at most `max_bytes`.
///
/// # Errors
/// As [`Begun::finish`].
pub(super) async fn read_message<S: AsyncRead + Unpin>(stream: &mut S, max_bytes: usize) -> io::Result<Incoming> {
    match begin(stream).await? {
        Some(begun) => begun.finish(stream, max_bytes).await,
        None => Ok(Incoming::End),
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::{Incoming, read_message};

    const MAX: usize = 64 * 1024;

    fn header(length: i32) -> Vec<u8> {
        [&length.to_le_bytes()[..], &[7; 12]].concat()
    }

    #[tokio::test]
    async fn messages_are_read_whole_or_not_at_all() {
        let message = [header(20), vec![1; 4]].concat();
        let two = message.repeat(2);
        let mut stream = two.as_slice();
        assert_eq!(read_message(&mut stream, MAX).await.unwrap(), Incoming::Message(message.clone()));
        assert_eq!(read_message(&mut stream, MAX).await.unwrap(), Incoming::Message(message.clone()));
        assert_eq!(read_message(&mut stream, MAX).await.unwrap(), Incoming::End);
        for cut in 1..message.len() {
            let error = read_message(&mut &message[..cut], MAX).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{cut}");
        }
        let long = header(64 * 1024 + 1);
        assert!(matches!(read_message(&mut long.as_slice(), MAX).await.unwrap(), Incoming::TooLong(_)));
        for length in [0, 15, 48_000_001, -1] {
            let error = read_message(&mut header(length).as_slice(), MAX).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{length}");
        }
    }
}
