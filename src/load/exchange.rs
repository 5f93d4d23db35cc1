//! One request and its answer: a MongoDB command, or a request of the echo protocol.
//!
//! The echo protocol: the byte `L`, the length of the request's payload and of the answer (both little-endian, 32
//! bits), then the payload; the answer has the given length. No TLS record begins with `L`.

use bson::raw::RawDocumentBuf;
use bson::{oid::ObjectId, rawdoc};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::connect::LoadStream;
use super::limits::CHUNK_BYTES;
use super::measurements::{FailureKind, Transferred};
use super::workload::LoadRequest;
use crate::mongo::refusal::{MAX_OPENING_BYTES, Refusal, refusal};
use crate::mongo::{CommandError, MongoClient};

/// A connection, and the request that is sent on it.
#[derive(Debug)]
pub(super) struct Exchange {
    client: MongoClient<LoadStream>,
    request: LoadRequest,
}

impl Exchange {
    pub(super) fn over(stream: LoadStream, request: LoadRequest) -> Exchange {
        Exchange { client: MongoClient::over(stream), request }
    }

    pub(super) async fn once(&mut self, chunk: &mut [u8]) -> Result<Transferred, FailureKind> {
        match self.request {
            LoadRequest::Ping => self.command(&rawdoc! { "ping": 1 }).await,
            LoadRequest::Hello => self.command(&rawdoc! { "hello": 1 }).await,
            LoadRequest::Insert { bytes } => self.insert(bytes).await,
            LoadRequest::Echo { request, response } => echo(self.client.stream(), request, response, chunk).await,
        }
    }

    /// Closes the connection as a client does.
    pub(super) async fn end(self) {
        // The operations have already been counted, so a failure here changes nothing.
        let _ = self.client.into_inner().shutdown().await;
    }

    async fn command(&mut self, command: &RawDocumentBuf) -> Result<Transferred, FailureKind> {
        let answer = self.client.command("admin", command).await.map_err(of_client)?;
        let framed = |document: usize| (document + FRAME_BYTES) as u64;
        Ok(Transferred { sent: framed(command.as_bytes().len()), received: framed(answer.as_bytes().len()) })
    }

    async fn insert(&mut self, bytes: u32) -> Result<Transferred, FailureKind> {
        let document = rawdoc! { "_id": ObjectId::new(), "filling": "x".repeat(bytes as usize) };
        let sent = document.as_bytes().len() as u64;
        match self.client.insert(DATABASE, COLLECTION, &[document]).await.map_err(of_client)? {
            1 => Ok(Transferred { sent, received: 0 }),
            count => Err(FailureKind::Wrong(format!("inserting one document reported {count}"))),
        }
    }
}

/// Performs one request of the echo protocol.
async fn echo<S>(stream: &mut S, request: u32, response: u32, chunk: &mut [u8]) -> Result<Transferred, FailureKind>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let moved = async {
        // Header and payload are sent in one write, as drivers do: two writes would be two packets, each with a wakeup.
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
        Ok(Transferred { sent: u64::from(request) + HEAD_BYTES as u64, received: u64::from(response) })
    };
    moved.await.map_err(|error| FailureKind::of_io(&error))
}

fn head(request: u32, response: u32) -> [u8; HEAD_BYTES] {
    let mut head = [MAGIC; HEAD_BYTES];
    head[1..5].copy_from_slice(&request.to_le_bytes());
    head[5..].copy_from_slice(&response.to_le_bytes());
    head
}

/// Answers a MongoDB client, which has sent `first`, with an error that names the workloads that are served.
async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, first: &[u8]) -> std::io::Result<()> {
    let mut opening = first.to_vec();
    loop {
        match refusal(&opening, NO_SUCH_COMMAND.0, NO_SUCH_COMMAND.1, NOT_MONGODB) {
            Refusal::Reply(reply) => {
                stream.write_all(&reply).await?;
                return stream.shutdown().await;
            }
            Refusal::NeedMore if opening.len() < MAX_OPENING_BYTES => {
                let mut more = [0; 1024];
                match stream.read(&mut more).await? {
                    0 => return Ok(()),
                    count => opening.extend_from_slice(&more[..count]),
                }
            }
            Refusal::NeedMore | Refusal::NoReply => return Ok(()),
        }
    }
}

/// Serves the echo protocol until the client closes the connection or sends something else.
pub(super) async fn answer<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) -> std::io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let mut first = [0; HEAD_BYTES];
        match stream.read(&mut first).await? {
            0 => return stream.shutdown().await,
            count => stream.read_exact(&mut first[count..]).await?,
        };
        let [magic, rest @ ..] = first;
        if magic != MAGIC {
            return refuse(stream, &first).await;
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

fn of_client(error: CommandError) -> FailureKind {
    match error {
        CommandError::Refused { code, text } => FailureKind::Server { code, text },
        CommandError::Closed => FailureKind::Closed,
        CommandError::Malformed(error) => FailureKind::Wrong(error.to_string()),
        CommandError::Io(error) => FailureKind::of_io(&error),
    }
}

const MAGIC: u8 = b'L';
pub(super) const HEAD_BYTES: usize = 9;
/// Size of the header, flags and section kind of an OP_MSG.
const FRAME_BYTES: usize = 21;
const DATABASE: &str = "tlsramp_load";
const COLLECTION: &str = "load";

/// mongod's error for a command that it does not know.
const NO_SUCH_COMMAND: (i32, &str) = (59, "CommandNotFound");
const NOT_MONGODB: &str = "this is the echo server of `tlsramp load --serve`, not a mongod: use the workload echo or bulk, or \
     --command echo";

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::{Transferred, answer, echo};
    use crate::load::measurements::FailureKind;

    #[tokio::test]
    async fn requests_and_answers_of_any_size() {
        let (mut client, server) = duplex(100);
        let serving = tokio::spawn(answer(server));
        let mut chunk = vec![7; 64];
        for (request, response) in [(0, 0), (1, 1), (300, 0), (0, 300), (64, 64)] {
            let moved = echo(&mut client, request, response, &mut chunk).await;
            assert_eq!(moved, Ok(Transferred { sent: u64::from(request) + 9, received: u64::from(response) }));
        }
        drop(client);
        serving.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_client_of_another_protocol_is_closed() {
        let (mut client, server) = duplex(100);
        let serving = tokio::spawn(answer(server));
        tokio::io::AsyncWriteExt::write_all(&mut client, b"GET / HTTP/1.1\r\n").await.unwrap();
        serving.await.unwrap().unwrap();
        let failed = echo(&mut client, 1, 1, &mut [0; 64]).await;
        assert!(matches!(failed, Err(FailureKind::Closed | FailureKind::Reset)), "{failed:?}");
    }
}
