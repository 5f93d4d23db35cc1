use std::io::{self, ErrorKind, Write};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bson::rawdoc;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::Instant;

use super::{BadMessage, CommandService, ConnectionEnd, ServerLimits, ServiceReply, serve};
use crate::mongo::request::msg_command;
use crate::mongo::{MongoClient, Request};

const LIMITS: ServerLimits = ServerLimits {
    message_bytes: 1000,
    idle: Duration::from_secs(600),
    request: Duration::from_secs(10),
    reply: Duration::from_secs(30),
};

/// Answers every command, and refuses messages that are not commands.
struct Echo;

impl CommandService for Echo {
    async fn answer(&mut self, request: Result<&Request, &BadMessage<'_>>) -> ServiceReply {
        match request {
            Ok(request) => ServiceReply::Reply(rawdoc! { "ok": 1.0, "name": &*request.name }),
            Err(BadMessage::TooLong(_)) => ServiceReply::Refuse((17, "ProtocolError"), "too long".to_owned()),
            Err(BadMessage::Malformed(..)) => ServiceReply::Close,
        }
    }

    async fn stopped(&self) {
        std::future::pending().await
    }
}

async fn end_of<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) -> Result<ConnectionEnd, ErrorKind> {
    serve(&mut stream, &LIMITS, &mut Echo).await.map_err(|error| error.kind())
}

#[tokio::test]
async fn commands_are_answered_until_the_first_refusal() {
    let (near, far) = tokio::io::duplex(64);
    let serving = tokio::spawn(end_of(far));
    let mut client = MongoClient::over(near);
    assert_eq!(client.command("admin", &rawdoc! { "a": 1 }).await.unwrap().get_str("name").unwrap(), "a");
    assert_eq!(client.query("admin", &rawdoc! { "b": 1 }).await.unwrap().get_str("name").unwrap(), "b");
    // Only the header is read.
    let long = msg_command(3, "admin", &rawdoc! { "c": "x".repeat(2000) });
    client.stream().write_all(&long[..20]).await.unwrap();
    let mut reply = [0; 21];
    client.stream().read_exact(&mut reply).await.unwrap();
    assert_eq!(reply[8], 3, "the error answers it");
    drop(client);
    assert_eq!(serving.await.unwrap(), Ok(ConnectionEnd::Refused));
}

#[tokio::test]
async fn a_reset_between_two_messages_ends_the_connection_without_an_error() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    for (sent, end) in [(&b""[..], Ok(ConnectionEnd::Closed)), (&[20], Err(ErrorKind::ConnectionReset))] {
        let mut near = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (far, _) = listener.accept().await.unwrap();
        near.write_all(sent).unwrap();
        SockRef::from(&near).set_linger(Some(Duration::ZERO)).unwrap();
        drop(near);
        assert_eq!(end_of(far).await, end);
    }
}

/// A TLS stream whose peer closes without close_notify after these bytes.
struct Truncated(&'static [u8]);

impl AsyncRead for Truncated {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.0.is_empty() {
            return Poll::Ready(Err(ErrorKind::UnexpectedEof.into()));
        }
        buffer.put_slice(std::mem::take(&mut self.0));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Truncated {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn a_missing_close_notify_is_an_error_inside_a_message_only() {
    assert_eq!(end_of(Truncated(&[])).await, Ok(ConnectionEnd::Closed));
    let header = [20, 0, 0, 0, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7];
    let header: &'static [u8] = Box::leak(Box::new(header));
    assert_eq!(end_of(Truncated(header)).await, Err(ErrorKind::UnexpectedEof));
}

#[tokio::test(start_paused = true)]
async fn idle_is_bounded_and_so_is_a_message_that_has_begun() {
    let began = Instant::now();
    let (_near, far) = tokio::io::duplex(64);
    assert_eq!(end_of(far).await, Ok(ConnectionEnd::Idle));
    assert_eq!(began.elapsed(), LIMITS.idle);
    let (mut near, far) = tokio::io::duplex(64);
    near.write_all(&[20]).await.unwrap();
    assert_eq!(end_of(far).await, Err(ErrorKind::TimedOut));
    assert_eq!(began.elapsed(), LIMITS.idle + LIMITS.request);
}
