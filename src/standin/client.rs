//! The smallest client: one stream, one command at a time, over plaintext and TLS alike.
//!
//! Refuses to be a driver: no pool, no retries, no timeouts (wrap a call in `tokio::time::timeout`). After any error
//! but [`ClientError::Refused`] the connection is of no more use.

use std::io;

use bson::{
    raw::{RawArrayBuf, RawDocument, RawDocumentBuf},
    rawdoc,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::{filter::integer, wire::read_message};
use crate::mongo::{Malformed, Reply, request::msg_command};

/// A connection to a MongoDB server.
#[derive(Debug)]
pub struct Client<S> {
    stream: S,
    requests: i32,
}

/// Why a command has no result.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server answered with an error: `ok: 0`, or the first of an insert's write errors.
    #[error("{text} (code {code})")]
    Refused {
        /// The error's number; 0 where the server gives none.
        code: i32,
        /// The server's text.
        text: String,
    },
    /// The server closed the connection.
    #[error("connection closed by the server")]
    Closed,
    /// The answer is not one, or not to this request.
    #[error("malformed answer: {0}")]
    Malformed(#[from] Malformed),
    /// The connection broke.
    #[error("connection failed: {0}")]
    Io(io::Error),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// Speaks over this stream, from the start.
    pub fn over(stream: S) -> Self {
        Self { stream, requests: 0 }
    }

    /// The stream, between two commands.
    pub fn into_inner(self) -> S {
        self.stream
    }

    /// The stream, for what is no command, between two commands.
    pub fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Sends a command to a database (without `$db`, which is added) and awaits the answer.
    ///
    /// Not cancel safe: dropped before it is done, it leaves an answer unread.
    ///
    /// # Errors
    ///
    /// Every variant of [`ClientError`].
    pub async fn command(&mut self, database: &str, command: &RawDocument) -> Result<RawDocumentBuf, ClientError> {
        self.requests = self.requests.wrapping_add(1);
        self.stream.write_all(&msg_command(self.requests, database, command)).await?;
        // A TLS stream keeps what it is not told to send.
        self.stream.flush().await?;
        let message = read_message(&mut self.stream).await?.ok_or(ClientError::Closed)?;
        let reply = Reply::parse(&message)?;
        if reply.header.response_to != self.requests {
            return Err(Malformed::NotACommand.into());
        }
        let ok = reply.document.get("ok").map_err(|_| Malformed::Bson)?.and_then(integer);
        if ok == Some(1) { Ok(reply.document) } else { Err(refused(&reply.document)) }
    }

    /// The server's description of itself.
    ///
    /// # Errors
    ///
    /// As [`Client::command`].
    pub async fn hello(&mut self) -> Result<RawDocumentBuf, ClientError> {
        self.command("admin", &rawdoc! { "hello": 1 }).await
    }

    /// Whether the server answers.
    ///
    /// # Errors
    ///
    /// As [`Client::command`].
    pub async fn ping(&mut self) -> Result<(), ClientError> {
        self.command("admin", &rawdoc! { "ping": 1 }).await.map(|_| ())
    }

    /// Inserts documents, up to the first that the server does not take; how many it took.
    ///
    /// # Errors
    ///
    /// As [`Client::command`]; the first write error as [`ClientError::Refused`].
    pub async fn insert(
        &mut self,
        database: &str,
        collection: &str,
        documents: &[RawDocumentBuf],
    ) -> Result<u64, ClientError> {
        let mut array = RawArrayBuf::new();
        documents.iter().for_each(|document| array.push(document));
        let answer = self.command(database, &rawdoc! { "insert": collection, "documents": array }).await?;
        let errors = answer.get_array("writeErrors").ok();
        match errors.and_then(|errors| errors.into_iter().flatten().next()).and_then(|error| error.as_document()) {
            Some(error) => Err(refused(error)),
            None => count_of(&answer),
        }
    }

    /// Documents in a collection.
    ///
    /// # Errors
    ///
    /// As [`Client::command`].
    pub async fn count(&mut self, database: &str, collection: &str) -> Result<u64, ClientError> {
        count_of(&self.command(database, &rawdoc! { "count": collection }).await?)
    }
}

/// The field `n` of an answer.
fn count_of(answer: &RawDocument) -> Result<u64, ClientError> {
    let count = answer.get("n").ok().flatten().and_then(integer).and_then(|count| u64::try_from(count).ok());
    Ok(count.ok_or(Malformed::Bson)?)
}

fn refused(error: &RawDocument) -> ClientError {
    let code = error.get("code").ok().flatten().and_then(integer).and_then(|code| i32::try_from(code).ok());
    let text = error.get_str("errmsg").unwrap_or("no reason given").to_owned();
    ClientError::Refused { code: code.unwrap_or_default(), text }
}

impl From<io::Error> for ClientError {
    /// An end of stream inside a message is one too, as is TLS cut off without `close_notify`.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof { Self::Closed } else { Self::Io(error) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::mongo::{Request, error_document};

    /// Sends a ping to a server that answers with what `answer` makes of the request, then closes.
    async fn ping(answer: impl Fn(Request) -> Vec<u8>) -> Result<(), ClientError> {
        let (near, mut far) = tokio::io::duplex(4096);
        let mut client = Client::over(near);
        let server = async {
            let request = Request::parse(&read_message(&mut far).await.unwrap().unwrap()).unwrap();
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
        assert!(matches!(ping(|_| vec![]).await, Err(ClientError::Closed)));
        assert!(matches!(ping(|request| request.reply(1, &ok)[..20].to_vec()).await, Err(ClientError::Closed)));
        assert!(matches!(ping(|_| b"HTTP/1.1 400 Bad Request".to_vec()).await, Err(ClientError::Io(_))));
        let stale = |mut request: Request| {
            request.header.request_id = 99;
            request.reply(1, &ok)
        };
        assert!(matches!(ping(stale).await, Err(ClientError::Malformed(_))));
    }
}
