//! The messages of a takeover: JSON, each preceded by its length (four bytes, little-endian).

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::limits::TAKEOVER_BYTES;

/// Sends a message.
pub(super) fn send(channel: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    channel.write_all(&framed(message)?)
}

/// Receives a message within a time limit.
pub(super) fn receive<T: DeserializeOwned>(limit: Duration, channel: &UnixStream) -> io::Result<T> {
    let mut channel = TimedReader::new(limit, channel);
    let mut length = [0; 4];
    channel.read_exact(&mut length)?;
    let mut bytes = vec![0; bounded(length)?];
    channel.read_exact(&mut bytes)?;
    Ok(serde_json::from_slice(&bytes)?)
}

/// Reads until a point in time. A read timeout alone would begin anew with every byte.
pub(super) struct TimedReader<'a> {
    channel: &'a UnixStream,
    end: Instant,
}

impl<'a> TimedReader<'a> {
    pub(super) fn new(limit: Duration, channel: &'a UnixStream) -> Self {
        Self { channel, end: Instant::now() + limit }
    }

    /// Sets the timeout of the next read to the time that is left.
    ///
    /// # Errors
    /// `TimedOut` if none is left.
    pub(super) fn arm(&self) -> io::Result<()> {
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { self.channel.set_read_timeout(Some(left)) }
    }
}

impl Read for TimedReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.arm()?;
        self.channel.read(buffer)
    }
}

/// As [`send`], within a time limit.
pub(super) async fn send_within(
    limit: Duration,
    channel: &mut (impl AsyncWriteExt + Unpin),
    message: &impl Serialize,
) -> io::Result<()> {
    let bytes = framed(message)?;
    timeout(limit, channel.write_all(&bytes)).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// As [`receive`], on the runtime.
pub(super) async fn receive_within<T: DeserializeOwned>(
    limit: Duration,
    channel: &mut (impl AsyncReadExt + Unpin),
) -> io::Result<T> {
    let received = async {
        let mut length = [0; 4];
        channel.read_exact(&mut length).await?;
        let mut bytes = vec![0; bounded(length)?];
        channel.read_exact(&mut bytes).await?;
        Ok(serde_json::from_slice(&bytes)?)
    };
    timeout(limit, received).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

fn framed(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(message)?;
    let length = u32::try_from(json.len()).ok().filter(|_| json.len() <= TAKEOVER_BYTES);
    let length = length.ok_or_else(|| too_long(json.len()))?;
    Ok([&length.to_le_bytes()[..], &json].concat())
}

fn bounded(length: [u8; 4]) -> io::Result<usize> {
    let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
    if length > TAKEOVER_BYTES { Err(too_long(length)) } else { Ok(length) }
}

fn too_long(length: usize) -> io::Error {
    let problem = format!("a message of {length} bytes exceeds the limit of {TAKEOVER_BYTES}");
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Write};
    use std::os::unix::net::UnixStream;
    use std::thread;
    use std::time::Duration;

    use super::receive;

    #[test]
    fn a_dribbled_message_ends_at_the_limit() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(&60_000_u32.to_le_bytes()).unwrap();
        let dribble = thread::spawn(move || {
            // Ten minutes, unless the reader has gone.
            (0..60_000)
                .take_while(|_| theirs.write_all(b" ").is_ok())
                .for_each(|_| thread::sleep(Duration::from_millis(10)));
        });
        let error = receive::<u8>(Duration::from_millis(100), &ours).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
        drop(ours);
        dribble.join().unwrap();
    }
}
