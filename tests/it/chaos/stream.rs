//! Both ends of a connection: what was sent, what has arrived, and whether they are equal.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    thread,
    time::{Duration, Instant},
};

use rustls::{ClientConnection, ServerConnection, StreamOwned};
use socket2::{Domain, SockRef, Socket, Type};

use super::plan::Part;
use crate::support::service::{SOON, ping};

/// The first bytes of every connection: the header of a MongoDB message, or the same number of other bytes.
pub(super) const HEADER_BYTES: usize = 16;

/// A stream whose sending direction can be closed.
pub(super) trait Stream: Read + Write + Send {
    fn socket(&self) -> &TcpStream;
    fn end(&mut self) -> std::io::Result<()>;
}

impl Stream for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }

    fn end(&mut self) -> std::io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl Stream for StreamOwned<ClientConnection, TcpStream> {
    fn socket(&self) -> &TcpStream {
        &self.sock
    }

    fn end(&mut self) -> std::io::Result<()> {
        self.conn.send_close_notify();
        later(self.flush())
    }
}

impl Stream for StreamOwned<ServerConnection, TcpStream> {
    fn socket(&self) -> &TcpStream {
        &self.sock
    }

    fn end(&mut self) -> std::io::Result<()> {
        self.conn.send_close_notify();
        later(self.flush())
    }
}

/// The bytes by which the server recognizes a connection. In a connection with messages, the rest of the message
/// follows.
pub(super) fn header(part: &Part) -> [u8; HEADER_BYTES] {
    let mut header = *b"#ChaosOrNot.....";
    if part.messages {
        header.copy_from_slice(&message(part.number)[..HEADER_BYTES]);
    }
    header[4..8].copy_from_slice(&part.number.to_le_bytes());
    header
}

pub(super) fn number_of(header: &[u8; HEADER_BYTES]) -> u32 {
    u32::from_le_bytes([header[4], header[5], header[6], header[7]])
}

fn message(id: u32) -> Vec<u8> {
    let mut message = ping();
    message[4..8].copy_from_slice(&id.to_le_bytes());
    message
}

/// An answer to the message: the same document is sufficient.
fn answer(id: u32) -> Vec<u8> {
    let mut answer = ping();
    answer[8..12].copy_from_slice(&id.to_le_bytes());
    answer
}

const BUFFER_BYTES: usize = 128 * 1024;

/// Both ends of a relayed connection.
pub(super) struct Ends {
    pub(super) client: End,
    pub(super) server: End,
}

/// One end: its stream, and the number of bytes sent and received.
pub(super) struct End {
    pub(super) stream: Box<dyn Stream>,
    pub(super) sent: u64,
    pub(super) got: u64,
    pub(super) has_ended: bool,
    /// Identifies the connection and direction of bytes, so that bytes of others are not mistaken for them.
    salt: u8,
}

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Orderly,
    Reset,
    Other(ErrorKind),
}

impl Ends {
    pub(super) fn new(client: Box<dyn Stream>, server: Box<dyn Stream>, number: u32) -> Self {
        let salt = (number % 100) as u8;
        let header = HEADER_BYTES as u64;
        Ends {
            client: End { stream: client, sent: header, got: 0, has_ended: false, salt },
            server: End { stream: server, sent: 0, got: header, has_ended: false, salt: salt + 100 },
        }
    }

    /// Sends a request and receives its answer.
    pub(super) fn ask(&mut self, id: u32, header_is_sent: bool) -> Result<(), String> {
        let begun = if header_is_sent { HEADER_BYTES } else { 0 };
        carry(&mut self.client, &mut self.server, &message(id)[begun..])?;
        carry(&mut self.server, &mut self.client, &answer(id))
    }

    /// Moves waiting bytes, and `more` bytes from each end that is not closed, until everything sent has arrived.
    pub(super) fn settle(&mut self, mut more: usize) -> Result<(), String> {
        let deadline = Instant::now() + SOON;
        self.set_nonblocking(true);
        loop {
            for end in [&mut self.client, &mut self.server] {
                if !end.has_ended && more > 0 {
                    // A partial write is sufficient.
                    end.send(more);
                }
            }
            more = 0;
            later(self.client.stream.flush()).map_err(|error| format!("the client's writes fail: {error}"))?;
            later(self.server.stream.flush()).map_err(|error| format!("the server's writes fail: {error}"))?;
            let moved = self.client.receive(self.server.salt)? + self.server.receive(self.client.salt)?;
            if self.client.sent == self.server.got && self.server.sent == self.client.got {
                break;
            }
            if Instant::now() > deadline {
                let Ends { client, server } = self;
                return Err(format!(
                    "up {} of {} bytes, down {} of {}",
                    server.got, client.sent, client.got, server.sent
                ));
            }
            if moved == 0 {
                thread::sleep(Duration::from_millis(2));
            }
        }
        self.set_nonblocking(false);
        Ok(())
    }

    fn set_nonblocking(&self, nonblocking: bool) {
        for end in [&self.client, &self.server] {
            end.stream.socket().set_nonblocking(nonblocking).unwrap();
        }
    }
}

impl End {
    /// Sends until no bytes were accepted for a while: every buffer on the path is full.
    pub(super) fn fill(&mut self) {
        self.stream.socket().set_nonblocking(true).unwrap();
        let mut refused = 0;
        while refused < 10 {
            if self.send(16 * 1024) > 0 {
                refused = 0;
            } else {
                refused += 1;
                thread::sleep(Duration::from_millis(20));
            }
        }
        self.stream.socket().set_nonblocking(false).unwrap();
    }

    /// Sends up to `count` bytes. Returns how many were accepted.
    fn send(&mut self, count: usize) -> usize {
        let bytes: Vec<u8> = (self.sent..).map(|at| byte(self.salt, at)).take(count).collect();
        let taken = self.stream.write(&bytes).unwrap_or(0);
        self.sent += taken as u64;
        taken
    }

    /// Receives the bytes that have arrived by now.
    fn receive(&mut self, salt: u8) -> Result<usize, String> {
        let mut bytes = [0; 64 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(0) => Ok(0),
            Ok(count) => self.check(&bytes[..count], salt).map(|()| count),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(format!("a read fails: {error}")),
        }
    }

    fn check(&mut self, bytes: &[u8], salt: u8) -> Result<(), String> {
        let wrong = (self.got..).zip(bytes).find(|(at, found)| byte(salt, *at) != **found);
        if let Some((at, found)) = wrong {
            return Err(format!("byte {at} is {found}, not {}", byte(salt, at)));
        }
        self.got += bytes.len() as u64;
        Ok(())
    }

    /// Closes the sending direction of this end.
    pub(super) fn end(&mut self) -> Result<(), String> {
        self.has_ended = true;
        // The last TLS record waits behind the bytes that are stuck.
        self.stream.socket().set_nonblocking(true).unwrap();
        let ended = self.stream.end().map_err(|error| format!("cannot end: {error}"));
        self.stream.socket().set_nonblocking(false).unwrap();
        ended
    }

    /// Reads to the end within `limit`. The bytes must be those of the other end.
    pub(super) fn drain(&mut self, other: &End, limit: Duration) -> Result<Ending, String> {
        self.drain_of(other.salt, limit)
    }

    /// As [`drain`](Self::drain), if the other end no longer exists.
    pub(super) fn drain_of(&mut self, salt: u8, limit: Duration) -> Result<Ending, String> {
        let deadline = Instant::now() + limit;
        let socket = self.stream.socket();
        socket.set_nonblocking(false).unwrap();
        socket.set_read_timeout(Some(limit)).unwrap();
        let mut bytes = vec![0; 64 * 1024];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => return Ok(Ending::Orderly),
                Ok(count) => self.check(&bytes[..count], salt)?,
                Err(error) => {
                    let kind = error.kind();
                    if matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut) {
                        return Err(format!("no end within {limit:?}"));
                    }
                    // A write of a pending TLS record reports the same reset as another error.
                    let is_reset = matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe);
                    return Ok(if is_reset { Ending::Reset } else { Ending::Other(kind) });
                }
            }
            if Instant::now() > deadline {
                return Err(format!("no end within {limit:?}"));
            }
        }
    }

    /// Closes this end with a reset. Returns the salt of the bytes that it has sent.
    pub(super) fn reset(self) -> u8 {
        reset(self.stream.socket());
        self.salt
    }
}

/// A socket with small buffers: one that the kernel may enlarge accepts tens of megabytes before its peer is stuck.
pub(super) fn small_buffers() -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(BUFFER_BYTES).unwrap();
    socket.set_send_buffer_size(BUFFER_BYTES).unwrap();
    socket
}

/// Makes the following close send a reset.
pub(super) fn reset(socket: &TcpStream) {
    SockRef::from(socket).set_linger(Some(Duration::ZERO)).unwrap();
}

fn carry(from: &mut End, to: &mut End, bytes: &[u8]) -> Result<(), String> {
    from.stream.write_all(bytes).and_then(|()| from.stream.flush()).map_err(|error| format!("not sent: {error}"))?;
    from.sent += bytes.len() as u64;
    let mut come = vec![0; bytes.len()];
    to.stream.read_exact(&mut come).map_err(|error| format!("not received: {error}"))?;
    to.got += bytes.len() as u64;
    if come == bytes { Ok(()) } else { Err("another message than was sent".to_owned()) }
}

fn byte(salt: u8, at: u64) -> u8 {
    // 251 is a prime number, so bytes at a distance of a buffer's size differ.
    salt.wrapping_add((at % 251) as u8)
}

/// Bytes that do not fit now are written later.
fn later(result: std::io::Result<()>) -> std::io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
        other => other,
    }
}
