//! The client side of a connection: one stream, plaintext or TLS, and one command at a time.
//!
//! This is not a driver: it has no pool, no retries and no timeouts (wrap a call in `tokio::time::timeout`). After any
//! error except [`CommandError::Refused`], the connection is unusable.

use std::io;

use bson::{
    raw::{RawArrayBuf, RawDocument, RawDocumentBuf},
    rawdoc,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::message::{Incoming, read_message};
use super::reply::integer;
use super::request::{msg_command, query_command};
use super::{Malformed, Reply};
use crate::limits::MAX_MESSAGE_BYTES;

/// A connection to a MongoDB server.
#[derive(Debug)]
pub struct MongoClient<S> {
    stream: S,
    requests: i32,
    max_reply_bytes: usize,
}

/// The reason why a command has no result.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The server answered with an error: `ok: 0`, or the first of an insert's write errors.
    #[error("{text} (code {code})")]
    Refused {
        /// The error code; 0 if the server sends none.
        code: i32,
        /// The server's error text.
        text: String,
    },
    /// The server closed the connection.
    #[error("connection closed by the server")]
    Closed,
    /// The reply is not a MongoDB message, or answers another request.
    #[error("malformed answer: {0}")]
    Malformed(#[from] Malformed),
    /// The connection failed.
    #[error("connection failed: {0}")]
    Io(io::Error),
}

impl<S: AsyncRead + AsyncWrite + Unpin> MongoClient<S> {
    /// Creates a client on a stream that is at the start of a message.
    pub fn over(stream: S) -> Self {
        Self { stream, requests: 0, max_reply_bytes: MAX_MESSAGE_BYTES }
    }

    /// Sets the maximum reply size, header included, in place of 48 MB.
    #[must_use]
    pub(crate) fn limited(self, max_reply_bytes: usize) -> Self {
        Self { max_reply_bytes, ..self }
    }

    /// Returns the stream. No command may be in progress.
    pub fn into_inner(self) -> S {
        self.stream
    }

    /// The stream, which may be used while no command is in progress.
    pub fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Sends a command to a database by OP_MSG and awaits the reply. `$db` is added to the command.
    ///
    /// Not cancel safe: if the future is dropped before it completes, a reply stays unread.
    ///
    /// # Errors
    ///
    /// Every variant of [`CommandError`].
    pub async fn command(&mut self, database: &str, command: &RawDocument) -> Result<RawDocumentBuf, CommandError> {
        let message = msg_command(self.next_id(), database, command);
        let document = self.exchange(&message).await?;
        let ok = document.get("ok").map_err(|_| Malformed::Bson)?.and_then(integer);
        if ok == Some(1) { Ok(document) } else { Err(refused(&document)) }
    }

    /// Sends a command by OP_QUERY, which servers of every version answer for `isMaster`. The reply may be an error
    /// document.
    ///
    /// # Errors
    ///
    /// Every variant of [`CommandError`] except [`CommandError::Refused`].
    pub(crate) async fn query(
        &mut self,
        database: &str,
        command: &RawDocument,
    ) -> Result<RawDocumentBuf, CommandError> {
        let message = query_command(self.next_id(), database, command);
        self.exchange(&message).await
    }

    fn next_id(&mut self) -> i32 {
        self.requests = self.requests.wrapping_add(1);
        self.requests
    }

    async fn exchange(&mut self, message: &[u8]) -> Result<RawDocumentBuf, CommandError> {
        self.stream.write_all(message).await?;
        // A TLS stream buffers data until it is flushed.
        self.stream.flush().await?;
        let message = match read_message(&mut self.stream, self.max_reply_bytes).await? {
            Incoming::Message(message) => message,
            Incoming::TooLong(_) => return Err(Malformed::Length.into()),
            Incoming::End => return Err(CommandError::Closed),
        };
        let reply = Reply::parse(&message)?;
        if reply.header.response_to != self.requests {
            return Err(Malformed::NotACommand.into());
        }
        Ok(reply.document)
    }

    /// Sends `hello`, and returns the reply.
    ///
    /// # Errors
    ///
    /// As [`MongoClient::command`].
    pub async fn hello(&mut self) -> Result<RawDocumentBuf, CommandError> {
        self.command("admin", &rawdoc! { "hello": 1 }).await
    }

    /// Checks that the server answers.
    ///
    /// # Errors
    ///
    /// As [`MongoClient::command`].
    pub async fn ping(&mut self) -> Result<(), CommandError> {
        self.command("admin", &rawdoc! { "ping": 1 }).await.map(|_| ())
    }

    /// Inserts documents in order, up to the first that the server refuses. Returns the number of inserted documents.
    ///
    /// # Errors
    ///
    /// As [`MongoClient::command`]; the first write error is a [`CommandError::Refused`].
    pub async fn insert(
        &mut self,
        database: &str,
        collection: &str,
        documents: &[RawDocumentBuf],
    ) -> Result<u64, CommandError> {
        let mut array = RawArrayBuf::new();
        documents.iter().for_each(|document| array.push(document));
        let answer = self.command(database, &rawdoc! { "insert": collection, "documents": array }).await?;
        let errors = answer.get_array("writeErrors").ok();
        match errors.and_then(|errors| errors.into_iter().flatten().next()).and_then(|error| error.as_document()) {
            Some(error) => Err(refused(error)),
            None => count_of(&answer),
        }
    }

    /// The number of documents in a collection.
    ///
    /// # Errors
    ///
    /// As [`MongoClient::command`].
    pub async fn count(&mut self, database: &str, collection: &str) -> Result<u64, CommandError> {
        count_of(&self.command(database, &rawdoc! { "count": collection }).await?)
    }
}

/// The field `n` of a reply.
fn count_of(answer: &RawDocument) -> Result<u64, CommandError> {
    let count = answer.get("n").ok().flatten().and_then(integer).and_then(|count| u64::try_from(count).ok());
    Ok(count.ok_or(Malformed::Bson)?)
}

fn refused(error: &RawDocument) -> CommandError {
    let code = error.get("code").ok().flatten().and_then(integer).and_then(|code| i32::try_from(code).ok());
    let text = error.get_str("errmsg").unwrap_or("no reason given").to_owned();
    CommandError::Refused { code: code.unwrap_or_default(), text }
}

impl From<io::Error> for CommandError {
    /// An end of stream within a message counts as closed, as does TLS without `close_notify`.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            Self::Closed
        } else if error.kind() == io::ErrorKind::InvalidData && error.get_ref().is_none() {
            Self::Malformed(Malformed::Length)
        } else {
            Self::Io(error)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::mongo::{Request, error_document};

    /// Sends a ping to a server that replies with the result of `answer`, then closes.
    async fn ping(answer: impl Fn(Request) -> Vec<u8>) -> Result<(), CommandError> {
        let (near, mut far) = tokio::io::duplex(4096);
        let mut client = MongoClient::over(near);
        let server = async {
            let Incoming::Message(message) = read_message(&mut far, MAX_MESSAGE_BYTES).await.unwrap() else {
                panic!("no request");
            };
            let request = Request::parse(&message).unwrap();
            far.write_all(&answer(request)).await.unwrap();
            drop(far);
        };
        tokio::join!(client.ping(), server).0
    }

    #[tokio::test]
    async fn every_end_has_its_error() {
        let ok = rawdoc! { "ok": 1.0 };
        assert!(ping(|request| request.reply(1, &ok)).await.is_ok());
        assert!(ping(|request| request.reply(1, &rawdoc! { "ok": true })).await.is_err());
        let refusal = error_document(141, "SSLHandshakeFailed", "TLS only");
        let error = ping(|request| request.reply(1, &refusal)).await.unwrap_err();
        assert_eq!(error.to_string(), "TLS only (code 141)");
        assert!(matches!(ping(|_| vec![]).await, Err(CommandError::Closed)));
        assert!(matches!(ping(|request| request.reply(1, &ok)[..20].to_vec()).await, Err(CommandError::Closed)));
        assert!(matches!(ping(|_| b"HTTP/1.1 400 Bad Request".to_vec()).await, Err(CommandError::Malformed(_))));
        let stale = |mut request: Request| {
            request.header.request_id = 99;
            request.reply(1, &ok)
        };
        assert!(matches!(ping(stale).await, Err(CommandError::Malformed(_))));
    }
}
