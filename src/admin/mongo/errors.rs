//! The result of a command, and mongod's error codes.

use bson::raw::{RawDocumentBuf, cstr};

use crate::control::ChangeError;
use crate::mongo::{CommandFailure, CommandResult};

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

/// A refused change gets the closest of mongod's error codes.
impl From<ChangeError> for CommandFailure {
    fn from(refused: ChangeError) -> CommandFailure {
        let code = match &refused {
            ChangeError::Transition(_) | ChangeError::Names(_) => BAD_VALUE,
            ChangeError::Unservable { .. } | ChangeError::Unusable(_) | ChangeError::Configuration(_) => INVALID_TLS,
            ChangeError::Unreachable { .. } => HOST_UNREACHABLE,
            ChangeError::Guarded { .. } => ILLEGAL_OPERATION,
            ChangeError::Leased { .. } | ChangeError::Busy | ChangeError::Replaced => LOCK_BUSY,
            ChangeError::NoStateFile => INVALID_OPTIONS,
            ChangeError::StateFile { .. } => FILE_STREAM_FAILED,
            ChangeError::Internal(_) => INTERNAL_ERROR,
        };
        CommandFailure::new(code, refused.to_string())
    }
}

/// The reply document, with `ok`.
pub(super) fn finished(answer: CommandResult) -> RawDocumentBuf {
    match answer {
        Ok(mut document) => {
            document.append(cstr!("ok"), 1.0);
            document
        }
        Err(failure) => failure.document(),
    }
}
