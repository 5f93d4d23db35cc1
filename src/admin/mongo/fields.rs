//! Reads the fields of a command by type, with mongod's error texts for wrong ones.

use bson::raw::RawBsonRef;

use super::errors::{INVALID_BSON, TYPE_MISMATCH, UNKNOWN_FIELD};
use super::values::type_name;
use crate::mongo::{CommandFailure, Request};

/// A boolean field; false if it is missing.
pub(super) fn flag(request: &Request, field: &str) -> Result<bool, CommandFailure> {
    match request.command.get(field) {
        Ok(None) => Ok(false),
        Ok(Some(RawBsonRef::Boolean(value))) => Ok(value),
        Ok(Some(value)) => Err(wrong_type(&request.name, field, value, "expected type 'bool'")),
        Err(_) => Err(CommandFailure::new(INVALID_BSON, "malformed BSON")),
    }
}

/// A number that is not negative, of type int, long or double, without its fraction; `None` if the field is missing.
pub(super) fn count(request: &Request, field: &str) -> Result<Option<u64>, CommandFailure> {
    let expected = "expected types '[long, int, double]'";
    let number = match request.command.get(field) {
        Ok(None) => return Ok(None),
        Ok(Some(RawBsonRef::Int32(value))) => i64::from(value),
        Ok(Some(RawBsonRef::Int64(value))) => value,
        #[expect(clippy::cast_possible_truncation, reason = "saturates, and fractions of seconds are dropped")]
        Ok(Some(RawBsonRef::Double(value))) => value as i64,
        Ok(Some(value)) => return Err(wrong_type(&request.name, field, value, expected)),
        Err(_) => return Err(CommandFailure::new(INVALID_BSON, "malformed BSON")),
    };
    let text = || format!("BSON field '{field}' value must be >= 0, actual value '{number}'");
    u64::try_from(number).map(Some).map_err(|_| CommandFailure::bad_value(text()))
}

/// Refuses unknown fields, as mongod's strict commands do.
pub(super) fn only(request: &Request, fields: &[&str]) -> Result<(), CommandFailure> {
    let known = |key: &str| key == request.name || is_generic(key) || fields.contains(&key);
    match request.command.iter().flatten().find(|(key, _)| !known(key.as_str())) {
        Some((key, _)) => {
            let text = format!("BSON field '{}.{key}' is an unknown field.", request.name);
            Err(CommandFailure::new(UNKNOWN_FIELD, text))
        }
        None => Ok(()),
    }
}

/// mongod's error for a field of the wrong type.
pub(super) fn wrong_type(command: &str, field: &str, value: RawBsonRef<'_>, expected: &str) -> CommandFailure {
    let kind = type_name(value);
    CommandFailure::new(TYPE_MISMATCH, format!("BSON field '{command}.{field}' is the wrong type '{kind}', {expected}"))
}

/// Whether clients may add this field to any command.
pub(super) fn is_generic(field: &str) -> bool {
    GENERIC.contains(&field)
}

/// mongod 6.0's list, determined by querying a mongod.
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
