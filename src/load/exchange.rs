//! One request and its answer: a MongoDB command, or one of a small protocol that is this command's own.
//!
//! The small protocol: `L`, the length of the rest of the request and that of the answer (both little-endian, 32 bits),
//! then so many bytes; the answer is as many as were asked for. An `L` is the beginning of no TLS record.

use bson::raw::RawDocumentBuf;
use bson::{oid::ObjectId, rawdoc};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::link::Link;
use super::tally::Kind;
use super::wish::Ask;
use crate::limits::LOAD_CHUNK_BYTES;
use crate::mongo::{CommandError, MongoClient};

/// A connection that requests are made on.
#[derive(Debug)]
pub(super) struct Exchange {
    client: MongoClient<Link>,
    ask: Ask,
}

/// Bytes there and back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) sent: u64,
    pub(super) received: u64,
}

impl Exchange {
    pub(super) fn over(link: Link, ask: Ask) -> Exchange {
        Exchange { client: MongoClient::over(link), ask }
    }

    /// Asks once.
    ///
    /// # Errors
    /// What came instead of an answer, by kind.
    pub(super) async fn once(&mut self, chunk: &mut [u8]) -> Result<Moved, Kind> {
        match self.ask {
            Ask::Ping => self.command(&rawdoc! { "ping": 1 }).await,
            Ask::Hello => self.command(&rawdoc! { "hello": 1 }).await,
            Ask::Insert { bytes } => self.insert(bytes).await,
            Ask::Echo { request, response } => echo(self.client.stream(), request, response, chunk).await,
        }
    }

    /// Ends it as a client does that has nothing more to ask.
    pub(super) async fn end(self) {
        // A server that does not take our end has been measured already.
        let _ = self.client.into_inner().shutdown().await;
    }

    async fn command(&mut self, command: &RawDocumentBuf) -> Result<Moved, Kind> {
        let answer = self.client.command("admin", command).await.map_err(of_client)?;
        let framed = |document: usize| (document + FRAME_BYTES) as u64;
        Ok(Moved { sent: framed(command.as_bytes().len()), received: framed(answer.as_bytes().len()) })
    }

    async fn insert(&mut self, bytes: u32) -> Result<Moved, Kind> {
        let document = rawdoc! { "_id": ObjectId::new(), "filling": "x".repeat(bytes as usize) };
        let sent = document.as_bytes().len() as u64;
        match self.client.insert(DATABASE, COLLECTION, &[document]).await.map_err(of_client)? {
            1 => Ok(Moved { sent, received: 0 }),
            count => Err(Kind::Wrong(format!("an insert of one document made {count}"))),
        }
    }
}

/// One exchange by the small protocol.
async fn echo<S>(stream: &mut S, request: u32, response: u32, chunk: &mut [u8]) -> Result<Moved, Kind>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let moved = async {
        // In one write with what follows, as drivers send a message: two would be two packets, each with its wakeup.
        chunk[..HEAD_BYTES].copy_from_slice(&head(request, response));
        let mut left = HEAD_BYTES + request as usize;
        while left > 0 {
            let count = left.min(chunk.len());
            stream.write_all(&chunk[..count]).await?;
            left -= count;
        }
        stream.flush().await?;
        let mut left = response as usize;
        while left > 0 {
            let count = left.min(chunk.len());
            match stream.read(&mut chunk[..count]).await? {
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                count => left -= count,
            }
        }
        Ok(Moved { sent: u64::from(request) + HEAD_BYTES as u64, received: u64::from(response) })
    };
    moved.await.map_err(|error| Kind::of_io(&error))
}

/// The first bytes of a request of the small protocol.
fn head(request: u32, response: u32) -> [u8; HEAD_BYTES] {
    let mut head = [MAGIC; HEAD_BYTES];
    head[1..5].copy_from_slice(&request.to_le_bytes());
    head[5..].copy_from_slice(&response.to_le_bytes());
    head
}

/// Serves the small protocol until the client ends it, or speaks another.
///
/// # Errors
/// If the connection fails.
pub(super) async fn answer<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) -> std::io::Result<()> {
    let mut chunk = vec![0; LOAD_CHUNK_BYTES];
    loop {
        let mut first = [0; HEAD_BYTES];
        match stream.read(&mut first).await? {
            0 => return stream.shutdown().await,
            count => stream.read_exact(&mut first[count..]).await?,
        };
        let [magic, rest @ ..] = first;
        if magic != MAGIC {
            return Ok(());
        }
        let [r0, r1, r2, r3, a0, a1, a2, a3] = rest;
        let mut request = u32::from_le_bytes([r0, r1, r2, r3]) as usize;
        while request > 0 {
            let count = request.min(chunk.len());
            request -= match stream.read(&mut chunk[..count]).await? {
                0 => return Ok(()),
                count => count,
            };
        }
        let mut response = u32::from_le_bytes([a0, a1, a2, a3]) as usize;
        while response > 0 {
            let count = response.min(chunk.len());
            stream.write_all(&chunk[..count]).await?;
            response -= count;
        }
        stream.flush().await?;
    }
}

fn of_client(error: CommandError) -> Kind {
    match error {
        CommandError::Refused { code, text } => Kind::Server { code, text },
        CommandError::Closed => Kind::Closed,
        CommandError::Malformed(error) => Kind::Wrong(error.to_string()),
        CommandError::Io(error) => Kind::of_io(&error),
    }
}

const MAGIC: u8 = b'L';
pub(super) const HEAD_BYTES: usize = 9;
/// Header, flags and section kind of an OP_MSG.
const FRAME_BYTES: usize = 21;
const DATABASE: &str = "tlsramp_load";
const COLLECTION: &str = "load";

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::{Moved, answer, echo};
    use crate::load::tally::Kind;

    #[tokio::test]
    async fn asked_and_answered_in_any_sizes() {
        let (mut client, server) = duplex(100);
        let serving = tokio::spawn(answer(server));
        let mut chunk = vec![7; 64];
        for (request, response) in [(0, 0), (1, 1), (300, 0), (0, 300), (64, 64)] {
            let moved = echo(&mut client, request, response, &mut chunk).await;
            assert_eq!(moved, Ok(Moved { sent: u64::from(request) + 9, received: u64::from(response) }));
        }
        drop(client);
        serving.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_server_of_something_else_is_left() {
        let (mut client, server) = duplex(100);
        let serving = tokio::spawn(answer(server));
        tokio::io::AsyncWriteExt::write_all(&mut client, b"GET / HTTP/1.1\r\n").await.unwrap();
        serving.await.unwrap().unwrap();
        let failed = echo(&mut client, 1, 1, &mut [0; 64]).await;
        assert!(matches!(failed, Err(Kind::Closed | Kind::Reset)), "{failed:?}");
    }
}
