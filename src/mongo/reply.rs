//! Replies to commands: OP_MSG to OP_MSG, OP_REPLY to OP_QUERY.
//!
//! An OP_REPLY never has a cursor: only commands are answered, and their cursors are in the document.

use bson::{
    raw::{RawBsonRef, RawDocument, RawDocumentBuf},
    rawdoc,
};

use super::{
    Request,
    encode::{AWAIT_CAPABLE, op_msg, op_reply},
    field_reader::{FieldReader, Malformed},
    header::{HEADER_BYTES, Header, OpCode},
    msg_body::MsgBody,
};

/// A parsed reply.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// The header of the message; `response_to` is the ID of the request.
    pub header: Header,
    /// The reply's document.
    pub document: RawDocumentBuf,
}

impl Reply {
    /// Parses a whole message. The elements of its document are not checked.
    ///
    /// # Errors
    ///
    /// [`Malformed`] with the fault, also for an OP_REPLY that does not have exactly one document.
    pub fn parse(message: &[u8]) -> Result<Self, Malformed> {
        let header = Header::of(message).ok_or(Malformed::Length)?;
        if header.body_len() != Some(message.len() - HEADER_BYTES) {
            return Err(Malformed::Length);
        }
        let body = &message[HEADER_BYTES..];
        let document = match header.op_code() {
            Some(OpCode::Msg) => MsgBody::parse(body)?.document,
            Some(OpCode::Reply) => {
                let mut reader = FieldReader(body);
                // Flags, cursor ID and position are meaningless in the reply to a command.
                let _ = reader.take(16)?;
                let count = reader.i32()?;
                let document = reader.document()?;
                if count != 1 || !reader.is_empty() {
                    return Err(Malformed::Length);
                }
                document
            }
            _ => return Err(Malformed::OpCode(header.op_code)),
        };
        Ok(Self { header, document: document.to_owned() })
    }
}

impl Request {
    /// The message that answers this request with `document`, in the operation that its client expects.
    pub fn reply(&self, request_id: i32, document: &RawDocument) -> Vec<u8> {
        if self.header.op_code == OpCode::Query.number() {
            op_reply(request_id, self.header.request_id, AWAIT_CAPABLE, document)
        } else {
            op_msg(request_id, self.header.request_id, document)
        }
    }
}

/// An error document in mongod's format: `{ok: 0.0, errmsg, code, codeName}`.
pub fn error_document(code: i32, code_name: &str, errmsg: &str) -> RawDocumentBuf {
    rawdoc! { "ok": 0.0, "errmsg": errmsg, "code": code, "codeName": code_name }
}

/// The reply document of a command, or its failure.
pub(crate) type CommandResult = Result<RawDocumentBuf, CommandFailure>;

/// A failure of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommandFailure {
    /// Error code and name; some of mongod's errors have none.
    pub(crate) code: Option<(i32, &'static str)>,
    pub(crate) text: String,
}

impl CommandFailure {
    pub(crate) fn new(code: (i32, &'static str), text: impl Into<String>) -> Self {
        Self { code: Some(code), text: text.into() }
    }

    /// mongod's error for a value that the command does not accept.
    pub(crate) fn bad_value(text: impl Into<String>) -> Self {
        Self::new((2, "BadValue"), text)
    }

    /// A failure for which mongod has no error code.
    pub(crate) fn uncoded(text: impl Into<String>) -> Self {
        Self { code: None, text: text.into() }
    }

    /// The error code; 0 if there is none.
    pub(crate) fn number(&self) -> i32 {
        self.code.map_or(0, |(number, _)| number)
    }

    /// The error document, in mongod's format.
    pub(crate) fn document(&self) -> RawDocumentBuf {
        match self.code {
            Some((code, name)) => error_document(code, name, &self.text),
            None => rawdoc! { "ok": 0.0, "errmsg": &*self.text },
        }
    }
}

/// An integer of any of the three numeric types (the legacy mongo shell sends all numbers as doubles).
pub(crate) fn integer(value: RawBsonRef<'_>) -> Option<i64> {
    /// Up to this value, every integer can be represented exactly as a double.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let Some(double) = value.as_f64() else {
        return value.as_i64().or_else(|| value.as_i32().map(i64::from));
    };
    #[expect(clippy::cast_possible_truncation, reason = "it has no fraction and fits")]
    (double.fract() == 0.0 && double.abs() <= EXACT).then_some(double as i64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::{
        super::request::{msg_command, query_command},
        *,
    };

    #[test]
    fn an_answer_comes_back_in_the_operation_of_its_request() {
        let ping = rawdoc! { "ping": 1 };
        for (message, op_code) in [(msg_command(77, "admin", &ping), 2013), (query_command(77, "admin", &ping), 1)] {
            let answer = Request::parse(&message).unwrap().reply(5, &rawdoc! { "ok": 1.0 });
            let reply = Reply::parse(&answer).unwrap();
            assert_eq!((reply.header.op_code, reply.header.request_id, reply.header.response_to), (op_code, 5, 77));
            assert_eq!(reply.document, rawdoc! { "ok": 1.0 });
            for cut in 0..answer.len() {
                assert!(Reply::parse(&answer[..cut]).is_err(), "{cut}");
            }
        }
    }

    #[test]
    fn errors_have_mongods_fields() {
        let document = error_document(6, "HostUnreachable", "no route");
        assert_eq!(document, rawdoc! { "ok": 0.0, "errmsg": "no route", "code": 6, "codeName": "HostUnreachable" });
    }
}
