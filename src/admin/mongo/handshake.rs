//! `hello`, and other commands that drivers and shells send on their own.
//!
//! The reply to `hello` has no `topologyVersion`, so that drivers poll and no connection waits for an answer. It offers
//! no compressors.

use bson::raw::{CStr, RawDocumentBuf, cstr};
use bson::{Binary, DateTime, rawdoc, spec::BinarySubtype};

use super::context::CommandContext;
use super::errors::{AUTHENTICATION_FAILED, AWAIT_WITHOUT_VERSION, NO_REPLICATION};
use super::fields::flag;
use crate::control::Who;
use crate::mongo::{CommandFailure, CommandResult};

/// mongod's `maxBsonObjectSize`.
pub(super) const MAX_DOCUMENT_BYTES: i32 = 16 * 1024 * 1024;
/// mongod's `maxMessageSizeBytes`, which drivers expect. The admin port accepts only shorter messages.
const MAX_MESSAGE_BYTES: i32 = 48_000_000;
/// mongod's `maxWriteBatchSize`.
const MAX_WRITE_BATCH: i32 = 100_000;
/// mongod's session timeout, in minutes. Nothing at the admin port belongs to a session, so no session ever ends here.
const SESSION_MINUTES: i32 = 30;

pub(super) fn hello(context: &CommandContext<'_>) -> CommandResult {
    topology(context, cstr!("isWritablePrimary"))
}

pub(super) fn is_master(context: &CommandContext<'_>) -> CommandResult {
    topology(context, cstr!("ismaster"))
}

/// A client that awaits a topology change sends a `topologyVersion`, which this process never gave out. It is answered
/// at once, as mongod does if the `topologyVersion` is another process's.
fn topology(context: &CommandContext<'_>, primary: &CStr) -> CommandResult {
    let command = &context.request.command;
    let has = |field: &str| matches!(command.get(field), Ok(Some(_)));
    match (has("topologyVersion"), has("maxAwaitTimeMS")) {
        (true, true) | (false, false) => {}
        (false, true) => {
            let text = "A request with 'maxAwaitTimeMS' must include a 'topologyVersion'";
            return Err(CommandFailure::new(AWAIT_WITHOUT_VERSION, text));
        }
        (true, false) => {
            let text = "A request with a 'topologyVersion' must include 'maxAwaitTimeMS'";
            return Err(CommandFailure::new(AWAIT_WITHOUT_VERSION, text));
        }
    }
    let mut answer = RawDocumentBuf::new();
    // The value of the field does not matter, as in mongod.
    if has("helloOk") {
        answer.append(cstr!("helloOk"), true);
    }
    answer.append(primary, true);
    answer.append(cstr!("maxBsonObjectSize"), MAX_DOCUMENT_BYTES);
    answer.append(cstr!("maxMessageSizeBytes"), MAX_MESSAGE_BYTES);
    answer.append(cstr!("maxWriteBatchSize"), MAX_WRITE_BATCH);
    answer.append(cstr!("localTime"), DateTime::now());
    answer.append(cstr!("logicalSessionTimeoutMinutes"), SESSION_MINUTES);
    answer.append(cstr!("connectionId"), i32::try_from(context.connection.number()).unwrap_or(i32::MAX));
    answer.append(cstr!("minWireVersion"), 0);
    // That of MongoDB 6.0.
    answer.append(cstr!("maxWireVersion"), 17);
    answer.append(cstr!("readOnly"), false);
    Ok(answer)
}

pub(super) fn nothing(_: &CommandContext<'_>) -> CommandResult {
    Ok(RawDocumentBuf::new())
}

pub(super) fn whats_my_uri(context: &CommandContext<'_>) -> CommandResult {
    let you = match &context.connection.who {
        Who::Tcp { peer, .. } => peer.to_string(),
        // mongod's text for a peer on its own Unix socket.
        Who::Unix { .. } | Who::Process => "anonymous unix socket".to_owned(),
    };
    Ok(rawdoc! { "you": you })
}

pub(super) fn connection_status(context: &CommandContext<'_>) -> CommandResult {
    let mut about = rawdoc! { "authenticatedUsers": [], "authenticatedUserRoles": [] };
    if flag(context.request, "showPrivileges")? {
        about.append(cstr!("authenticatedUserPrivileges"), bson::raw::RawArrayBuf::new());
    }
    Ok(rawdoc! { "authInfo": about })
}

/// There are no users: access depends on the listener and the certificate.
pub(super) fn no_users(_: &CommandContext<'_>) -> CommandResult {
    Err(CommandFailure::new(
        AUTHENTICATION_FAILED,
        "the admin port of tlsramp has no users; connect without credentials",
    ))
}

pub(super) fn start_session(context: &CommandContext<'_>) -> CommandResult {
    // Any unique ID will do: it is made of the connection's number and the time.
    let (number, now) = (context.connection.number(), DateTime::now().timestamp_millis());
    let bytes = [number.to_be_bytes(), now.to_be_bytes()].concat();
    let id = Binary { subtype: BinarySubtype::Uuid, bytes };
    Ok(rawdoc! { "id": { "id": id }, "timeoutMinutes": SESSION_MINUTES })
}

pub(super) fn list_databases(context: &CommandContext<'_>) -> CommandResult {
    if flag(context.request, "nameOnly")? {
        return Ok(rawdoc! { "databases": [] });
    }
    Ok(rawdoc! { "databases": [], "totalSize": 0_i64, "totalSizeMb": 0_i64 })
}

pub(super) fn list_collections(context: &CommandContext<'_>) -> CommandResult {
    let namespace = format!("{}.$cmd.listCollections", context.request.database);
    Ok(rawdoc! { "cursor": { "id": 0_i64, "ns": namespace, "firstBatch": [] } })
}

pub(super) fn no_set(_: &CommandContext<'_>) -> CommandResult {
    Err(CommandFailure::new(NO_REPLICATION, "not running with --replSet"))
}

pub(super) fn free_monitoring(_: &CommandContext<'_>) -> CommandResult {
    Ok(rawdoc! { "state": "undecided" })
}
