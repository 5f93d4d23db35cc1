//! The server side of a connection: reads requests and sends replies until either side ends the connection. The
//! commands are a [`CommandService`]: the admin port's or the stand-in's.

use std::io::{self, ErrorKind};
use std::time::Duration;

use bson::raw::RawDocumentBuf;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::header::Header;
use super::message::{Incoming, begin};
use super::refusal::{MAX_OPENING_BYTES, Refusal, refusal};
use super::{Malformed, Request};

/// Bounds of a connection. `Duration::MAX` means no bound.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServerLimits {
    /// Maximum length of a request in bytes, header included.
    pub(crate) message_bytes: usize,
    /// Maximum wait for the first byte of a request.
    pub(crate) idle: Duration,
    /// Maximum wait for the rest of a request.
    pub(crate) request: Duration,
    /// Maximum time to send a reply.
    pub(crate) reply: Duration,
}

/// The reason why a request cannot be answered by a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BadMessage<'a> {
    /// The whole message was received, but is not a command.
    Malformed(&'a [u8], Malformed),
    /// The message is longer than [`ServerLimits::message_bytes`].
    TooLong(Header),
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ServiceReply {
    /// A reply, sent if the client expects one.
    Reply(RawDocumentBuf),
    /// An error, sent if the client expects a reply; then the connection is closed.
    Refuse((i32, &'static str), String),
    /// The connection is closed without a reply.
    Close,
}

/// The commands of a server.
pub(crate) trait CommandService {
    /// Answers one request.
    fn answer(&mut self, request: Result<&Request, &BadMessage<'_>>) -> impl Future<Output = ServiceReply> + Send;

    /// Returns when no further request should be read.
    fn stopped(&self) -> impl Future<Output = ()> + Send;
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnectionEnd {
    /// The client or the service ended it.
    Closed,
    /// No request was received for [`ServerLimits::idle`].
    Idle,
    /// [`ServiceReply::Refuse`] refused a request: the client may still be sending.
    Refused,
}

/// Serves a connection.
///
/// # Errors
/// `TimedOut`; `UnexpectedEof` within a message; `InvalidData` for a length that no message can have; else the error of
/// the stream.
pub(crate) async fn serve<S>(
    stream: &mut S,
    limits: &ServerLimits,
    service: &mut impl CommandService,
) -> io::Result<ConnectionEnd>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut replies = 0_i32;
    loop {
        let incoming = tokio::select! {
            biased;
            () = service.stopped() => return Ok(ConnectionEnd::Closed),
            incoming = next(stream, limits) => incoming?,
        };
        let (message, request) = match &incoming {
            Some(Incoming::Message(message)) => {
                (&**message, Request::parse(message).map_err(|error| BadMessage::Malformed(message, error)))
            }
            Some(Incoming::TooLong(header)) => (&header[..], Err(BadMessage::TooLong(Header::parse(header)))),
            Some(Incoming::End) => return Ok(ConnectionEnd::Closed),
            None => return Ok(ConnectionEnd::Idle),
        };
        match service.answer(request.as_ref()).await {
            ServiceReply::Reply(document) => {
                replies = replies.wrapping_add(1);
                if let Some(request) = request.ok().filter(|request| request.expects_reply) {
                    timeout(limits.reply, send(stream, &request.reply(replies, &document))).await??;
                }
            }
            ServiceReply::Refuse(code, text) => {
                refuse(stream, message, code, &text, limits.request).await;
                return Ok(ConnectionEnd::Refused);
            }
            ServiceReply::Close => return Ok(ConnectionEnd::Closed),
        }
    }
}

/// Reads the next message; `None` if the client is idle for too long.
async fn next<S: AsyncRead + Unpin>(stream: &mut S, limits: &ServerLimits) -> io::Result<Option<Incoming>> {
    match timeout(limits.idle, begin(stream)).await {
        Ok(Ok(Some(begun))) => timeout(limits.request, begun.finish(stream, limits.message_bytes)).await?.map(Some),
        Ok(Ok(None)) => Ok(Some(Incoming::End)),
        // A driver that closes with an unread reply resets the connection, and many drivers send no close_notify.
        Ok(Err(error)) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof) => {
            Ok(Some(Incoming::End))
        }
        Ok(Err(error)) => Err(error),
        Err(_) => Ok(None),
    }
}

/// Answers the message that starts with `opening`: sends an error if the client expects a reply. The caller then closes
/// the connection.
pub(crate) async fn refuse<S>(stream: &mut S, opening: &[u8], code: (i32, &str), text: &str, limit: Duration)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // The connection is closed even if the client does not read the error.
    let _ = timeout(limit, send_refusal(stream, opening, code, text)).await;
}

async fn send_refusal<S>(stream: &mut S, message: &[u8], (code, name): (i32, &str), text: &str) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut opening = [0; MAX_OPENING_BYTES];
    let mut count = message.len().min(MAX_OPENING_BYTES);
    opening[..count].copy_from_slice(&message[..count]);
    loop {
        match refusal(&opening[..count], code, name, text) {
            Refusal::NoReply => return Ok(()),
            Refusal::Reply(message) => return send(stream, &message).await,
            Refusal::NeedMore => match stream.read(&mut opening[count..]).await? {
                0 => return Ok(()),
                more => count += more,
            },
        }
    }
}

async fn send<S: AsyncWrite + Unpin>(stream: &mut S, message: &[u8]) -> io::Result<()> {
    stream.write_all(message).await?;
    // A TLS stream buffers data until it is flushed.
    stream.flush().await
}

#[cfg(test)]
mod tests;
