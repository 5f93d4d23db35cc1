//! The first message of a connection: whether it is a MongoDB request, and the client metadata in it.

use super::field_reader::Malformed;
use super::header::{HEADER_BYTES, OpCode};
use super::{ClientMetadata, Header, Request};
use crate::limits::FIRST_MESSAGE_BYTES;

/// The first message of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Greeting {
    /// A `hello`, with its client metadata.
    Hello(ClientMetadata),
    /// Another MongoDB request, or one that is longer than any `hello`.
    Request,
    /// Not a MongoDB request; also for a request that is still incomplete when the connection ends.
    NoRequest,
}

impl Greeting {
    /// Parses a whole message.
    fn of(message: &[u8]) -> Greeting {
        if let Some(client) = ClientMetadata::of(message) {
            return Greeting::Hello(client);
        }
        let op_code = Header::of(message).and_then(|header| header.op_code());
        let is_request = match Request::parse(message) {
            Ok(_) => true,
            // A query of a collection, as sent by clients before MongoDB 3.2.
            Err(Malformed::NotACommand) => op_code == Some(OpCode::Query),
            // Legacy operations that are not commands. Their bodies are not read here.
            Err(Malformed::OpCode(_)) => op_code.is_some_and(OpCode::is_request),
            Err(_) => false,
        };
        if is_request { Greeting::Request } else { Greeting::NoRequest }
    }
}

/// Collects the first message from the client's bytes.
#[derive(Debug, Default)]
pub enum FirstMessage {
    /// No byte was received yet.
    #[default]
    Nothing,
    /// A part of the message was received. Boxed, since the message seldom arrives in parts.
    #[expect(clippy::box_collection, reason = "a connection is as large as its largest state")]
    Part(Box<Vec<u8>>),
    /// The result was returned.
    Known,
}

impl FirstMessage {
    /// Whether the result was returned.
    pub fn is_known(&self) -> bool {
        matches!(self, FirstMessage::Known)
    }

    /// Processes the next bytes. Returns the result once, when the message is complete or cannot be a request.
    pub fn take(&mut self, bytes: &[u8]) -> Option<Greeting> {
        let known = match self {
            FirstMessage::Known => return None,
            FirstMessage::Nothing => look(bytes),
            FirstMessage::Part(part) => {
                part.extend_from_slice(&bytes[..bytes.len().min(FIRST_MESSAGE_BYTES + 1 - part.len())]);
                look(part)
            }
        };
        match (&known, &self) {
            (Some(_), _) => *self = FirstMessage::Known,
            (None, FirstMessage::Nothing) => *self = FirstMessage::Part(Box::new(bytes.to_vec())),
            (None, FirstMessage::Part(_) | FirstMessage::Known) => {}
        }
        known
    }
}

fn look(bytes: &[u8]) -> Option<Greeting> {
    let header = Header::of(bytes)?;
    let length = header.body_len().filter(|_| header.opens()).map(|body| HEADER_BYTES + body);
    match length {
        None => Some(Greeting::NoRequest),
        Some(length) if length > FIRST_MESSAGE_BYTES => Some(Greeting::Request),
        Some(length) => bytes.get(..length).map(Greeting::of),
    }
}

#[cfg(test)]
mod tests {
    use super::{FirstMessage, Greeting};
    use crate::mongo::encode::frame;
    use crate::mongo::header::OpCode;
    use crate::mongo::request::{msg_command, query_command};
    use bson::rawdoc;

    #[test]
    fn however_it_is_cut() {
        let hello = rawdoc! { "hello": 1, "client": { "application": { "name": "a" } } };
        let message = [msg_command(1, "admin", &hello), b"more".to_vec()].concat();
        for size in 1..=message.len() {
            let mut first = FirstMessage::default();
            let answers: Vec<_> = message.chunks(size).filter_map(|chunk| first.take(chunk)).collect();
            assert_eq!(answers.len(), 1, "chunks of {size}");
            let [Greeting::Hello(client)] = &answers[..] else { panic!("{answers:?}") };
            assert_eq!(client.application.as_deref(), Some("a"));
        }
    }

    #[test]
    fn requests_are_told_from_other_bytes() {
        let ping = msg_command(1, "admin", &rawdoc! { "ping": 1 });
        let long = rawdoc! { "hello": 1, "x": "x".repeat(20_000) };
        let mut find = query_command(1, "a", &rawdoc! { "x": 1 });
        find[16 + 4 + 2] = b'x';
        let nameless = Greeting::Hello(crate::mongo::ClientMetadata::default());
        for (message, expected) in [
            (query_command(1, "admin", &rawdoc! { "isMaster": 1 }), nameless),
            (ping.clone(), Greeting::Request),
            (msg_command(1, "admin", &long), Greeting::Request),
            (find, Greeting::Request),
            (frame(1, 0, OpCode::Insert, &[0; 40]), Greeting::Request),
            (frame(1, 0, OpCode::Msg, &[0xff; 40]), Greeting::NoRequest),
            (frame(1, 0, OpCode::Query, &[0xff; 40]), Greeting::NoRequest),
            (frame(1, 0, OpCode::Reply, &[0; 40]), Greeting::NoRequest),
            (frame(1, 7, OpCode::Msg, &ping[16..]), Greeting::NoRequest),
            (b"GET / HTTP/1.1\r\n\r\n".to_vec(), Greeting::NoRequest),
        ] {
            let mut first = FirstMessage::default();
            let answers: Vec<_> = message.chunks(7).filter_map(|chunk| first.take(chunk)).collect();
            assert_eq!(answers, [expected], "{message:?}");
        }
        let mut first = FirstMessage::default();
        assert_eq!(first.take(&ping[..ping.len() - 1]), None, "not complete");
    }
}
