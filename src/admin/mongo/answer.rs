//! Answers and failures, and the fields of a command by type, with mongod's words for what is wrong with them.

use bson::raw::{RawBsonRef, RawDocumentBuf, cstr};
use bson::rawdoc;

use crate::control::ChangeError;
use crate::mongo::{Request, error_document};

/// What a command answers: its document without `ok`, or why not.
pub(super) type Answer = Result<RawDocumentBuf, Failure>;

/// Why not.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Failure {
    /// mongod has errors without a code.
    code: Option<(i32, &'static str)>,
    text: String,
}

pub(super) const INTERNAL_ERROR: (i32, &str) = (1, "InternalError");
pub(super) const BAD_VALUE: (i32, &str) = (2, "BadValue");
pub(super) const HOST_UNREACHABLE: (i32, &str) = (6, "HostUnreachable");
pub(super) const UNAUTHORIZED: (i32, &str) = (13, "Unauthorized");
pub(super) const TYPE_MISMATCH: (i32, &str) = (14, "TypeMismatch");
pub(super) const PROTOCOL_ERROR: (i32, &str) = (17, "ProtocolError");
pub(super) const AUTHENTICATION_FAILED: (i32, &str) = (18, "AuthenticationFailed");
pub(super) const ILLEGAL_OPERATION: (i32, &str) = (20, "IllegalOperation");
pub(super) const INVALID_BSON: (i32, &str) = (22, "InvalidBSON");
pub(super) const FILE_STREAM_FAILED: (i32, &str) = (39, "FileStreamFailed");
pub(super) const LOCK_BUSY: (i32, &str) = (46, "LockBusy");
pub(super) const COMMAND_NOT_FOUND: (i32, &str) = (59, "CommandNotFound");
pub(super) const INVALID_OPTIONS: (i32, &str) = (72, "InvalidOptions");
pub(super) const NO_REPLICATION: (i32, &str) = (76, "NoReplicationEnabled");
pub(super) const OPERATION_FAILED: (i32, &str) = (96, "OperationFailed");
pub(super) const INVALID_TLS: (i32, &str) = (140, "InvalidSSLConfiguration");
pub(super) const TLS_NEEDED: (i32, &str) = (141, "SSLHandshakeFailed");
pub(super) const UNSUPPORTED_OP_QUERY: (i32, &str) = (352, "UnsupportedOpQueryCommand");
pub(super) const AWAIT_WITHOUT_VERSION: (i32, &str) = (31_368, "Location31368");
pub(super) const DUPLICATE_FIELD: (i32, &str) = (40_413, "Location40413");
pub(super) const UNKNOWN_FIELD: (i32, &str) = (40_415, "Location40415");
pub(super) const NO_SEQUENCES: (i32, &str) = (40_472, "Location40472");
pub(super) const NO_DATABASE: (i32, &str) = (40_571, "Location40571");

impl Failure {
    pub(super) fn new(code: (i32, &'static str), text: impl Into<String>) -> Failure {
        Failure { code: Some(code), text: text.into() }
    }

    /// One that mongod gives no code.
    pub(super) fn uncoded(text: impl Into<String>) -> Failure {
        Failure { code: None, text: text.into() }
    }

    /// As mongod answers it.
    pub(super) fn document(&self) -> RawDocumentBuf {
        match self.code {
            Some((code, name)) => error_document(code, name, &self.text),
            None => rawdoc! { "ok": 0.0, "errmsg": &*self.text },
        }
    }
}

/// What the controller refuses, by the code of mongod's that fits best.
impl From<ChangeError> for Failure {
    fn from(refused: ChangeError) -> Failure {
        let code = match &refused {
            ChangeError::Transition(_) | ChangeError::Names(_) => BAD_VALUE,
            ChangeError::Unservable { .. } | ChangeError::Unusable(_) | ChangeError::Configuration(_) => INVALID_TLS,
            ChangeError::Unreachable { .. } => HOST_UNREACHABLE,
            ChangeError::Guarded { .. } => ILLEGAL_OPERATION,
            ChangeError::Leased { .. } | ChangeError::Busy => LOCK_BUSY,
            ChangeError::NoStateFile => INVALID_OPTIONS,
            ChangeError::StateFile { .. } => FILE_STREAM_FAILED,
            ChangeError::Internal(_) => INTERNAL_ERROR,
        };
        Failure::new(code, refused.to_string())
    }
}

/// A whole answer: with `ok`, at its end.
pub(super) fn finished(answer: Answer) -> RawDocumentBuf {
    match answer {
        Ok(mut document) => {
            document.append(cstr!("ok"), 1.0);
            document
        }
        Err(failure) => failure.document(),
    }
}

/// A field that is true or false; where it is missing, false.
pub(super) fn flag(request: &Request, field: &str) -> Result<bool, Failure> {
    match request.command.get(field) {
        Ok(None) => Ok(false),
        Ok(Some(RawBsonRef::Boolean(value))) => Ok(value),
        Ok(Some(value)) => Err(wrong_type(&request.name, field, value, "expected type 'bool'")),
        Err(_) => Err(Failure::new(INVALID_BSON, "malformed BSON")),
    }
}

/// A field that is a whole number from 0 on, of any numeric type; where it is missing, none.
pub(super) fn count(request: &Request, field: &str) -> Result<Option<u64>, Failure> {
    let expected = "expected types '[long, int, double]'";
    let number = match request.command.get(field) {
        Ok(None) => return Ok(None),
        Ok(Some(RawBsonRef::Int32(value))) => i64::from(value),
        Ok(Some(RawBsonRef::Int64(value))) => value,
        #[expect(clippy::cast_possible_truncation, reason = "saturates, and a second more or less is none")]
        Ok(Some(RawBsonRef::Double(value))) => value as i64,
        Ok(Some(value)) => return Err(wrong_type(&request.name, field, value, expected)),
        Err(_) => return Err(Failure::new(INVALID_BSON, "malformed BSON")),
    };
    let text = || format!("BSON field '{field}' value must be >= 0, actual value '{number}'");
    u64::try_from(number).map(Some).map_err(|_| Failure::new(BAD_VALUE, text()))
}

/// Refuses every field that a command does not have, as mongod's strict commands do.
pub(super) fn only(request: &Request, fields: &[&str]) -> Result<(), Failure> {
    let known = |key: &str| key == request.name || is_generic(key) || fields.contains(&key);
    match request.command.iter().flatten().find(|(key, _)| !known(key.as_str())) {
        Some((key, _)) => {
            let text = format!("BSON field '{}.{key}' is an unknown field.", request.name);
            Err(Failure::new(UNKNOWN_FIELD, text))
        }
        None => Ok(()),
    }
}

/// mongod's words for a field of the wrong type.
pub(super) fn wrong_type(command: &str, field: &str, value: RawBsonRef<'_>, expected: &str) -> Failure {
    let kind = super::shell_format::kind(value);
    Failure::new(TYPE_MISMATCH, format!("BSON field '{command}.{field}' is the wrong type '{kind}', {expected}"))
}

/// Fields that every command may have: clients add them by themselves.
pub(super) fn is_generic(field: &str) -> bool {
    GENERIC.contains(&field)
}

/// mongod 6.0's list, found by asking one.
const GENERIC: [&str; 33] = [
    "$audit",
    "$client",
    "$clusterTime",
    "$configServerState",
    "$configTime",
    "$db",
    "$oplogQueryData",
    "$queryOptions",
    "$readPreference",
    "$replData",
    "$topologyTime",
    "allowImplicitCollectionCreation",
    "apiDeprecationErrors",
    "apiStrict",
    "apiVersion",
    "autocommit",
    "clientOperationKey",
    "comment",
    "coordinator",
    "databaseVersion",
    "lsid",
    "maxTimeMS",
    "maxTimeMSOpOnly",
    "mayBypassWriteBlocking",
    "readConcern",
    "shardVersion",
    "startTransaction",
    "stmtId",
    "tracking_info",
    "txnNumber",
    "txnRetryCounter",
    "writeConcern",
    "$tenant",
];
