//! A MongoDB client without any automatic behaviour: one connection, a command, its answer.

use std::{
    io::{self, Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use bson::{Document, RawDocumentBuf, doc};
use tlsramp::testing::msg_command;

use super::raw::Wire;

/// One connection without TLS.
#[derive(Debug)]
pub(crate) struct Plain {
    stream: TcpStream,
    asked: i32,
}

impl Plain {
    /// Connects to a port of this host.
    pub(crate) fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("it takes connections");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Self { stream, asked: 0 }
    }

    /// Sends `hello` as an application with this name.
    pub(crate) fn hello(&mut self, application: &str) -> Document {
        self.command("admin", &hello(application))
    }

    /// As [`Plain::hello`], for a server that does not answer.
    pub(crate) fn send_hello(&mut self, application: &str) {
        self.send("admin", &hello(application)).expect("it takes bytes");
    }

    /// Sends a command and returns its answer, whatever it is.
    pub(crate) fn command(&mut self, database: &str, command: &Document) -> Document {
        self.try_command(database, command).expect("the connection stands")
    }

    /// As [`Plain::command`], for a connection that may be closed.
    pub(crate) fn try_command(&mut self, database: &str, command: &Document) -> io::Result<Document> {
        self.send(database, command)?;
        self.answer()
    }

    /// Sends a command without waiting for an answer.
    pub(crate) fn send(&mut self, database: &str, command: &Document) -> io::Result<()> {
        self.asked += 1;
        let command = RawDocumentBuf::try_from(command).expect("a document");
        self.stream.write_all(&msg_command(self.asked, database, &command))
    }

    /// Sends the first bytes of a message and never the rest, so that the connection reaches no message boundary.
    pub(crate) fn send_half(&mut self) {
        let length = 100_u32.to_le_bytes();
        self.stream.write_all(&[&length[..], &[0; 8], &2013_u32.to_le_bytes()].concat()).expect("it takes bytes");
    }

    /// The next answer.
    pub(crate) fn answer(&mut self) -> io::Result<Document> {
        Ok(Wire(&self.stream).answer()?.document.try_into().expect("a document"))
    }

    /// Whether the peer closes the connection within [`PATIENCE`], and not by a reset.
    pub(crate) fn is_ended(&mut self) -> bool {
        matches!(self.stream.read(&mut [0; 1]), Ok(0))
    }
}

fn hello(application: &str) -> Document {
    let client = doc! {
        "application": { "name": application },
        "driver": { "name": "wire", "version": "1" },
        "os": { "type": "test" },
    };
    doc! { "hello": 1, "client": client }
}

const PATIENCE: Duration = Duration::from_secs(60);
