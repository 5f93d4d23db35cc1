//! MongoDB commands over any stream, by hand: what is sent is what the test says, and the answer is seen byte by byte.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use bson::raw::{RawDocument, RawDocumentBuf};
use tlsramp::testing::{Reply, msg_command};

/// A client that asks and waits.
#[derive(Debug)]
pub(crate) struct Wire<S>(pub(crate) S);

/// A client of a server on this host, by plaintext.
#[track_caller]
pub(crate) fn connect(address: SocketAddr) -> Wire<TcpStream> {
    let stream = TcpStream::connect(address).expect("takes connections");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    Wire(stream)
}

impl<S: Read + Write> Wire<S> {
    /// The answer to a command for a database.
    #[track_caller]
    pub(crate) fn command(&mut self, database: &str, command: &RawDocument) -> RawDocumentBuf {
        self.message(&msg_command(1, database, command)).document
    }

    /// The answer to a message.
    #[track_caller]
    pub(crate) fn message(&mut self, message: &[u8]) -> Reply {
        self.0.write_all(message).expect("takes the message");
        self.0.flush().expect("takes the message");
        self.answer().expect("answers")
    }

    /// The next message, or why there is none.
    pub(crate) fn answer(&mut self) -> std::io::Result<Reply> {
        let mut length = [0; 4];
        self.0.read_exact(&mut length)?;
        let mut message = length.to_vec();
        let rest = usize::try_from(i32::from_le_bytes(length)).unwrap() - 4;
        (&mut self.0).take(rest as u64).read_to_end(&mut message)?;
        Ok(Reply::parse(&message).expect("a message"))
    }
}

/// Generous: a machine may run many tests at once.
const PATIENCE: Duration = Duration::from_secs(20);
