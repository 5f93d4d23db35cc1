//! The first message of a connection, gathered from however it was cut, to learn who the client is.

use super::header::HEADER_BYTES;
use super::{Client, Header};
use crate::limits::FIRST_MESSAGE_BYTES;

/// Gathers the first message. Costs nothing once that is known.
#[derive(Debug, Default)]
pub enum First {
    /// Nothing has come.
    #[default]
    Nothing,
    /// A part of it has. Boxed: it seldom comes in parts.
    Part(Box<Vec<u8>>),
    /// It is known who the client is, or that it does not say.
    Known,
}

impl First {
    /// Whether it has answered.
    #[must_use]
    pub fn is_known(&self) -> bool {
        matches!(self, First::Known)
    }

    /// Takes the next bytes. Once, it answers: with the client, or with none where the first message is none of
    /// MongoDB's, is no `hello`, or is longer than any that is.
    pub fn take(&mut self, bytes: &[u8]) -> Option<Option<Client>> {
        let known = match self {
            First::Known => return None,
            First::Nothing => look(bytes),
            First::Part(part) => {
                part.extend_from_slice(&bytes[..bytes.len().min(FIRST_MESSAGE_BYTES + 1 - part.len())]);
                look(part)
            }
        };
        match (&known, &self) {
            (Some(_), _) => *self = First::Known,
            (None, First::Nothing) => *self = First::Part(Box::new(bytes.to_vec())),
            (None, First::Part(_) | First::Known) => {}
        }
        known
    }
}

fn look(bytes: &[u8]) -> Option<Option<Client>> {
    let header = Header::of(bytes)?;
    let length = header.body_len().filter(|_| header.opens()).map(|body| HEADER_BYTES + body);
    match length {
        None => Some(None),
        Some(length) if length > FIRST_MESSAGE_BYTES => Some(None),
        Some(length) => bytes.get(..length).map(Client::of),
    }
}

#[cfg(test)]
mod tests {
    use super::First;
    use crate::mongo::request::msg_command;
    use bson::rawdoc;

    #[test]
    fn however_it_is_cut() {
        let hello = rawdoc! { "hello": 1, "client": { "application": { "name": "a" } } };
        let message = [msg_command(1, "admin", &hello), b"more".to_vec()].concat();
        for size in 1..=message.len() {
            let mut first = First::default();
            let answers: Vec<_> = message.chunks(size).filter_map(|chunk| first.take(chunk)).collect();
            assert_eq!(answers.len(), 1, "chunks of {size}");
            assert_eq!(answers[0].as_ref().unwrap().application.as_deref(), Some("a"));
        }
    }

    #[test]
    fn what_is_no_hello_is_known_to_be_none() {
        let ping = msg_command(1, "admin", &rawdoc! { "ping": 1 });
        let long = rawdoc! { "hello": 1, "x": "x".repeat(20_000) };
        for message in [ping, msg_command(1, "admin", &long), b"GET / HTTP/1.1\r\n\r\n".to_vec()] {
            let mut first = First::default();
            let answers: Vec<_> = message.chunks(7).filter_map(|chunk| first.take(chunk)).collect();
            assert_eq!(answers, [None]);
        }
    }
}
