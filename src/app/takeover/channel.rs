//! The messages of a takeover: JSON, each preceded by its length (four bytes, little-endian).

use std::io::{self, Read, Write};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::limits::TAKEOVER_BYTES;

/// Sends a message.
pub(super) fn send(channel: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    channel.write_all(&framed(message)?)
}

/// Receives a message.
pub(super) fn receive<T: DeserializeOwned>(channel: &mut impl Read) -> io::Result<T> {
    let mut length = [0; 4];
    channel.read_exact(&mut length)?;
    let mut bytes = vec![0; bounded(length)?];
    channel.read_exact(&mut bytes)?;
    Ok(serde_json::from_slice(&bytes)?)
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

/// As [`receive`], within a time limit.
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
