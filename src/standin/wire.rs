//! One whole message from a stream.
//!
//! Refuses to believe a length: memory grows with the bytes that came, not with those announced.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::mongo::{Header, header::HEADER_BYTES};

/// The next message; none where the stream ends between two.
///
/// # Errors
///
/// `UnexpectedEof` where the stream ends inside a message, `InvalidData` for a length that no message has, else what
/// the stream says.
pub(super) async fn read_message(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let mut message = Vec::new();
    (&mut *stream).take(HEADER_BYTES as u64).read_to_end(&mut message).await?;
    if message.is_empty() {
        return Ok(None);
    }
    let header = Header::of(&message).ok_or(io::ErrorKind::UnexpectedEof)?;
    let body = header.body_len().ok_or(io::ErrorKind::InvalidData)?;
    if (&mut *stream).take(body as u64).read_to_end(&mut message).await? < body {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(message))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use bson::rawdoc;

    use super::*;
    use crate::mongo::request::msg_command;

    #[tokio::test]
    async fn messages_come_whole_or_not_at_all() {
        let message = msg_command(1, "admin", &rawdoc! { "ping": 1 });
        let two = [message.clone(), message.clone()].concat();
        let mut stream = two.as_slice();
        assert_eq!(read_message(&mut stream).await.unwrap(), Some(message.clone()));
        assert_eq!(read_message(&mut stream).await.unwrap(), Some(message.clone()));
        assert_eq!(read_message(&mut stream).await.unwrap(), None);
        for cut in 1..message.len() {
            let error = read_message(&mut &message[..cut]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{cut}");
        }
        for length in [15, 48_000_001, -1] {
            let mut wrong = message.clone();
            wrong[..4].copy_from_slice(&i32::to_le_bytes(length));
            assert_eq!(read_message(&mut wrong.as_slice()).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
    }
}
