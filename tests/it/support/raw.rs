//! MongoDB commands over any stream as raw messages: exactly the given bytes are sent, and the answer is returned as
//! bytes.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use bson::raw::{RawDocument, RawDocumentBuf};
use tlsramp::testing::{Reply, msg_command};

/// A client that sends a message and waits for the answer.
#[derive(Debug)]
pub(crate) struct Wire<S>(pub(crate) S);

/// A plaintext client of a server on this host.
#[track_caller]
pub(crate) fn connect(address: SocketAddr) -> Wire<TcpStream> {
    let stream = TcpStream::connect(address).expect("takes connections");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    Wire(stream)
}

impl<S: Read + Write> Wire<S> {
    /// The answer to a command on a database.
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

    /// The next message, or the error if there is none.
    pub(crate) fn answer(&mut self) -> std::io::Result<Reply> {
        let mut length = [0; 4];
        self.0.read_exact(&mut length)?;
        let mut message = length.to_vec();
        let rest = usize::try_from(i32::from_le_bytes(length)).unwrap() - 4;
        (&mut self.0).take(rest as u64).read_to_end(&mut message)?;
        Ok(Reply::parse(&message).expect("a message"))
    }
}

/// Long, because a machine may run many tests at once.
const PATIENCE: Duration = Duration::from_secs(20);
