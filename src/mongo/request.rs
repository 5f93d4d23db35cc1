//! A command in either message: OP_MSG since 3.6, OP_QUERY on `db.$cmd` in earlier versions and in first handshakes.
//!
//! Everything that is not a command is refused: legacy reads, writes and cursors, and compressed messages. Only the top
//! level of a document is parsed, so deep nesting costs nothing.

use bson::raw::{RawDocument, RawDocumentBuf, cstr};

use super::{
    encode::{frame, op_msg},
    field_reader::{FieldReader, Malformed},
    header::{HEADER_BYTES, Header, OpCode},
    msg_body::{MORE_TO_COME, MsgBody},
};

/// A command. [`Request::reply`] answers it.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The header of the message.
    pub header: Header,
    /// The database on which the command is run.
    pub database: String,
    /// The command's name: the key of the document's first element, as the client wrote it.
    pub name: String,
    /// The command's document, without the `$query` that old clients wrap it in.
    pub command: RawDocumentBuf,
    /// The document sequence of an `insert`; empty for other commands.
    pub documents: Vec<RawDocumentBuf>,
    /// False if the client reads no reply to this request, and would treat one as the reply to its next request.
    pub expects_reply: bool,
}

impl Request {
    /// Parses a whole message.
    ///
    /// # Errors
    ///
    /// [`Malformed`] with the fault.
    pub fn parse(message: &[u8]) -> Result<Self, Malformed> {
        let header = Header::of(message).ok_or(Malformed::Length)?;
        if header.body_len() != Some(message.len() - HEADER_BYTES) {
            return Err(Malformed::Length);
        }
        let body = &message[HEADER_BYTES..];
        match header.op_code() {
            Some(OpCode::Msg) => Self::from_msg(header, body),
            Some(OpCode::Query) => Self::from_query(header, body),
            _ => Err(Malformed::OpCode(header.op_code)),
        }
    }

    fn from_msg(header: Header, body: &[u8]) -> Result<Self, Malformed> {
        let body = MsgBody::parse(body)?;
        let database = body.document.get_str("$db").map_err(|_| Malformed::NotACommand)?;
        let mut request = Self::new(header, database, body.document)?;
        request.documents = body.documents.into_iter().map(ToOwned::to_owned).collect();
        request.expects_reply = body.flags & MORE_TO_COME == 0;
        Ok(request)
    }

    fn from_query(header: Header, body: &[u8]) -> Result<Self, Malformed> {
        let mut reader = FieldReader(body);
        let _flags = reader.u32()?;
        let database = reader.cstring()?.strip_suffix(".$cmd").ok_or(Malformed::NotACommand)?;
        let _skip = reader.i32()?;
        let _limit = reader.i32()?;
        let document = reader.document()?;
        // Clients that send a read preference to a mongos put the command into the field `$query`.
        let command = match document.get("$query").map_err(|_| Malformed::Bson)? {
            Some(inner) => inner.as_document().ok_or(Malformed::NotACommand)?,
            None => document,
        };
        if !reader.is_empty() {
            let _fields = reader.document()?;
        }
        if !reader.is_empty() {
            return Err(Malformed::Length);
        }
        Self::new(header, database, command)
    }

    /// Checks every top-level element, so that later readers of the command find none that is malformed.
    fn new(header: Header, database: &str, command: &RawDocument) -> Result<Self, Malformed> {
        let mut name = None;
        for element in command {
            let (key, _) = element.map_err(|_| Malformed::Bson)?;
            name.get_or_insert(key.as_str());
        }
        Ok(Self {
            header,
            database: database.to_owned(),
            name: name.ok_or(Malformed::NotACommand)?.to_owned(),
            command: command.to_owned(),
            documents: Vec::new(),
            expects_reply: true,
        })
    }
}

/// A command as clients since 3.6 send it (OP_MSG). `command` must not contain `$db`.
pub fn msg_command(request_id: i32, database: &str, command: &RawDocument) -> Vec<u8> {
    let mut command = command.to_owned();
    command.append(cstr!("$db"), database);
    op_msg(request_id, 0, &command)
}

/// A command as clients before 3.6 send it (OP_QUERY). Servers of every version answer `isMaster` in this form, and
/// servers up to 5.0 all commands. A zero byte in `database` ends the name, as in the protocol.
pub fn query_command(request_id: i32, database: &str, command: &RawDocument) -> Vec<u8> {
    /// Flag: members that are not primary may answer too.
    const SECONDARY_OK: u32 = 1 << 2;
    let mut body = SECONDARY_OK.to_le_bytes().to_vec();
    body.extend(database.bytes().take_while(|&byte| byte != 0));
    body.extend(b".$cmd\0");
    // Skip no documents, return one, and leave no cursor open.
    body.extend([0_i32.to_le_bytes(), (-1_i32).to_le_bytes()].as_flattened());
    body.extend(command.as_bytes());
    frame(request_id, 0, OpCode::Query, &body)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use bson::rawdoc;

    use super::*;

    /// An OP_MSG with these flags and sections.
    fn msg(flags: u32, sections: &[u8]) -> Vec<u8> {
        frame(9, 0, OpCode::Msg, &[&flags.to_le_bytes(), sections].concat())
    }

    fn kind0(document: &RawDocument) -> Vec<u8> {
        [&[0], document.as_bytes()].concat()
    }

    fn kind1(name: &str, documents: &[RawDocumentBuf]) -> Vec<u8> {
        let content =
            [name.as_bytes(), &[0], &documents.iter().flat_map(|d| d.as_bytes()).copied().collect::<Vec<_>>()].concat();
        [&[1], &u32::try_from(content.len() + 4).unwrap().to_le_bytes()[..], &content].concat()
    }

    fn insert() -> Vec<u8> {
        let documents = [rawdoc! { "_id": 1 }, rawdoc! { "_id": 2 }];
        let command = rawdoc! { "insert": "c", "$db": "test" };
        let others = kind1("updates", &[rawdoc! { "q": 1 }]);
        msg(0, &[kind1("documents", &documents), kind0(&command), others].concat())
    }

    #[test]
    fn commands_are_read_from_both_operations() {
        let ping = rawdoc! { "ping": 1 };
        for (message, database, name, documents, expects_reply) in [
            (msg_command(7, "admin", &ping), "admin", "ping", 0, true),
            (query_command(7, "admin", &ping), "admin", "ping", 0, true),
            (query_command(7, "x", &rawdoc! { "$query": { "isMaster": 1 }, "a": 1 }), "x", "isMaster", 0, true),
            (insert(), "test", "insert", 2, true),
            (msg(MORE_TO_COME, &kind0(&rawdoc! { "a": 1, "$db": "d" })), "d", "a", 0, false),
            (msg(1 << 16, &kind0(&rawdoc! { "a": 1, "$db": "d" })), "d", "a", 0, true),
            (msg(1, &[kind0(&rawdoc! { "a": 1, "$db": "d" }), vec![9; 4]].concat()), "d", "a", 0, true),
        ] {
            let request = Request::parse(&message).unwrap();
            let seen = (&*request.database, &*request.name, request.documents.len(), request.expects_reply);
            assert_eq!(seen, (database, name, documents, expects_reply));
        }
    }

    #[test]
    fn what_is_no_command_says_why() {
        let good = kind0(&rawdoc! { "a": 1, "$db": "d" });
        let op = |op| frame(1, 0, op, &[0; 40]);
        let mut query = query_command(1, "d", &rawdoc! { "a": 1 });
        query[16 + 4 + 2] = b'x';
        for (message, expected) in [
            (vec![], Malformed::Length),
            ([msg(0, &good), vec![0]].concat(), Malformed::Length),
            (msg(1, &[]), Malformed::Length),
            (op(OpCode::Compressed), Malformed::OpCode(2012)),
            (op(OpCode::Insert), Malformed::OpCode(2002)),
            (msg(4, &good), Malformed::Flags(4)),
            (msg(0, &[]), Malformed::Section),
            (msg(0, &[good.clone(), good.clone()].concat()), Malformed::Section),
            (msg(0, &[good.clone(), vec![2]].concat()), Malformed::Section),
            (msg(0, &[good.clone(), vec![1, 3, 0, 0, 0]].concat()), Malformed::Section),
            (msg(0, &kind0(&rawdoc! { "a": 1 })), Malformed::NotACommand),
            (query_command(1, "d", &rawdoc! {}), Malformed::NotACommand),
            (query_command(1, "d", &rawdoc! { "$query": 1 }), Malformed::NotACommand),
            (query, Malformed::NotACommand),
            (msg(0, &[0, 255, 255, 255, 255]), Malformed::Bson),
        ] {
            assert_eq!(Request::parse(&message), Err(expected), "{message:?}");
        }
    }

    #[test]
    fn documents_are_bounded() {
        let documents = vec![rawdoc! {}; crate::limits::MAX_DOCUMENTS + 1];
        let command = kind0(&rawdoc! { "insert": "c", "$db": "test" });
        let message = |count: usize| msg(0, &[command.clone(), kind1("documents", &documents[..count])].concat());
        assert_eq!(Request::parse(&message(100_001)), Err(Malformed::TooManyDocuments));
        assert_eq!(Request::parse(&message(100_000)).unwrap().documents.len(), 100_000);
    }

    #[test]
    fn no_byte_makes_it_panic() {
        for message in [insert(), query_command(7, "admin", &rawdoc! { "$query": { "isMaster": 1 } })] {
            for index in 0..message.len() {
                for value in 0..=255 {
                    let mut changed = message.clone();
                    changed[index] = value;
                    let _ = Request::parse(&changed);
                    // A shortened message whose length field is correct.
                    let mut cut = changed[..index.max(HEADER_BYTES)].to_vec();
                    let length = u32::try_from(cut.len()).unwrap().to_le_bytes();
                    cut[..4].copy_from_slice(&length);
                    let _ = Request::parse(&cut);
                }
            }
        }
    }
}
