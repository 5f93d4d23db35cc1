//! One message from a visitor, never larger than the bound; and what one gets that is no command.

use std::io::{self, ErrorKind};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::limits::{ADMIN_ANSWER, ADMIN_IDLE, ADMIN_MESSAGE_BYTES, ADMIN_REQUEST};
use crate::mongo::header::HEADER_BYTES;
use crate::mongo::refusal::MAX_OPENING_BYTES;
use crate::mongo::{Header, Refusal, refusal};
use crate::net::linger;

/// What came.
#[derive(Debug, PartialEq)]
pub(super) enum Incoming {
    /// A whole message.
    Message(Vec<u8>),
    /// The header of a message that is not taken.
    TooLarge([u8; HEADER_BYTES]),
    /// The end, between two messages, in whatever way.
    End,
    /// Nothing for [`ADMIN_IDLE`].
    Idle,
}

/// The next message. The wait for its first byte is limited, and from then on a shorter limit holds.
///
/// # Errors
/// `TimedOut`; `UnexpectedEof` inside a message; `InvalidData` for a length that no message has; what the stream says.
pub(super) async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Incoming> {
    let mut header = [0; HEADER_BYTES];
    let Ok(first) = timeout(ADMIN_IDLE, stream.read(&mut header)).await else { return Ok(Incoming::Idle) };
    let count = match first {
        Ok(0) => return Ok(Incoming::End),
        // A driver that closes with an answer unread resets the connection, and many send no close_notify.
        Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof) => {
            return Ok(Incoming::End);
        }
        read => read?,
    };
    let rest = async {
        stream.read_exact(&mut header[count..]).await?;
        let body = Header::parse(&header).body_len().ok_or(ErrorKind::InvalidData)?;
        if HEADER_BYTES + body > ADMIN_MESSAGE_BYTES {
            return Ok(Incoming::TooLarge(header));
        }
        let mut message = header.to_vec();
        message.resize(HEADER_BYTES + body, 0);
        stream.read_exact(&mut message[HEADER_BYTES..]).await?;
        Ok(Incoming::Message(message))
    };
    timeout(ADMIN_REQUEST, rest).await?
}

/// Sends an answer.
///
/// # Errors
/// `TimedOut`, if the visitor does not take it; what the stream says.
pub(super) async fn write<S: AsyncWrite + Unpin>(stream: &mut S, message: &[u8]) -> io::Result<()> {
    let sent = async {
        stream.write_all(message).await?;
        stream.flush().await
    };
    timeout(ADMIN_ANSWER, sent).await?
}

/// Answers a message that has begun with `have` by an error, as far as it is one that expects an answer, and ends the
/// connection.
pub(super) async fn turn_away<S>(mut stream: S, have: &[u8], (code, name): (i32, &str), text: &str)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // One that could not be told is one that is gone.
    let _ = timeout(ADMIN_REQUEST, tell(&mut stream, have, (code, name), text)).await;
    linger(stream).await;
}

async fn tell<S>(stream: &mut S, have: &[u8], (code, name): (i32, &str), text: &str) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut opening = [0; MAX_OPENING_BYTES];
    let mut count = have.len().min(MAX_OPENING_BYTES);
    opening[..count].copy_from_slice(&have[..count]);
    loop {
        match refusal(&opening[..count], code, name, text) {
            Refusal::NoReply => return Ok(()),
            Refusal::Reply(message) => {
                stream.write_all(&message).await?;
                return stream.flush().await;
            }
            Refusal::NeedMore => match stream.read(&mut opening[count..]).await? {
                0 => return Ok(()),
                more => count += more,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, ErrorKind, Write};
    use std::pin::Pin;
    use std::task::{Context, Poll};
    use std::time::Duration;

    use socket2::SockRef;
    use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

    use super::{Incoming, read};
    use crate::limits::{ADMIN_IDLE, ADMIN_MESSAGE_BYTES};

    fn header(length: usize) -> Vec<u8> {
        [&i32::try_from(length).unwrap().to_le_bytes()[..], &[7; 12]].concat()
    }

    #[tokio::test]
    async fn whole_or_not_at_all_and_never_too_large() {
        let message = [header(20), vec![1; 4]].concat();
        let two = message.repeat(2);
        let mut stream = two.as_slice();
        assert_eq!(read(&mut stream).await.unwrap(), Incoming::Message(message.clone()));
        assert_eq!(read(&mut stream).await.unwrap(), Incoming::Message(message.clone()));
        assert_eq!(read(&mut stream).await.unwrap(), Incoming::End);
        for cut in 1..message.len() {
            assert_eq!(read(&mut &message[..cut]).await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
        }
        let large = header(ADMIN_MESSAGE_BYTES + 1);
        assert!(matches!(read(&mut large.as_slice()).await.unwrap(), Incoming::TooLarge(_)));
        for length in [0, 15, 48_000_001] {
            assert_eq!(read(&mut header(length).as_slice()).await.unwrap_err().kind(), ErrorKind::InvalidData);
        }
    }

    #[tokio::test]
    async fn a_reset_between_two_messages_is_their_end() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        for (sent, end) in [(&b""[..], Ok(Incoming::End)), (&[20], Err(ErrorKind::ConnectionReset))] {
            let mut near = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (mut far, _) = listener.accept().await.unwrap();
            near.write_all(sent).unwrap();
            SockRef::from(&near).set_linger(Some(Duration::ZERO)).unwrap();
            drop(near);
            assert_eq!(read(&mut far).await.map_err(|error| error.kind()), end);
        }
    }

    /// A TLS stream whose peer closes without a word for it.
    struct Truncated;

    impl AsyncRead for Truncated {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Err(ErrorKind::UnexpectedEof.into()))
        }
    }

    #[tokio::test]
    async fn a_missing_close_notify_is_an_end_only_between_two_messages() {
        assert_eq!(read(&mut Truncated).await.unwrap(), Incoming::End);
        let header = header(20);
        let mut within = header.as_slice().chain(Truncated);
        assert_eq!(read(&mut within).await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_has_begun_must_come_to_its_end() {
        use tokio::io::AsyncWriteExt;
        let (mut near, mut far) = tokio::io::duplex(64);
        let began = tokio::time::Instant::now();
        assert_eq!(read(&mut far).await.unwrap(), Incoming::Idle);
        assert_eq!(began.elapsed().as_secs(), ADMIN_IDLE.as_secs(), "longer than any heartbeat before the first byte");
        near.write_all(&[20]).await.unwrap();
        assert_eq!(read(&mut far).await.unwrap_err().kind(), ErrorKind::TimedOut);
    }
}
