//! `rotateCertificates`, `plaintextClients`, `recycleConnections`.

use std::sync::Arc;

use bson::raw::{RawArrayBuf, RawBson, RawBsonRef, RawDocumentBuf, cstr};

use super::context::CommandContext;
use super::document::{array, document};
use super::fields::{count, flag, only, wrong_type};
use crate::control::readers::Size;
use crate::control::{ChangeError, Controller, Door, Recycle};
use crate::mongo::{CommandFailure, CommandResult};

/// mongod's command and answer; `force` and warnings are tlsramp's.
pub(super) async fn rotate(context: CommandContext<'_>) -> CommandResult {
    let CommandContext { connection, request, .. } = context;
    only(request, &["message", "force"])?;
    match request.command.get("message") {
        Ok(None | Some(RawBsonRef::String(_))) | Err(_) => {}
        Ok(Some(value)) => return Err(wrong_type("rotateCertificates", "message", value, "expected type 'string'")),
    }
    let force = flag(request, "force")?;
    let (controller, caller) = (Arc::clone(&connection.shared.controller), connection.caller(Door::Mongodb));
    // Carried out, whether or not the one who asked is still there.
    let rotated = tokio::spawn(async move { controller.rotate(force, &caller).await });
    let rotated = rotated.await.map_err(|error| ChangeError::Internal(error.to_string())).flatten();
    let mut answer = RawDocumentBuf::new();
    let warnings = rotated.map_err(CommandFailure::from)?.warnings;
    if !warnings.is_empty() {
        answer.append(cstr!("warnings"), warnings.into_iter().map(RawBson::String).collect::<RawArrayBuf>());
    }
    Ok(answer)
}

/// The inventory's plaintext rows.
pub(super) async fn plaintext_clients(context: CommandContext<'_>) -> CommandResult {
    only(context.request, &[])?;
    let make = |controller: &Controller| {
        let mut rows = controller.clients();
        rows.retain(|row| row.kind == "plaintext");
        let mut answer = RawDocumentBuf::new();
        answer.append(cstr!("clients"), array(&rows));
        answer
    };
    context.connection.shared.controller.read(Size::Listing, make).await.map_err(CommandFailure::from)
}

/// Recycles connections that the mode in force would not allow.
pub(super) async fn recycle(context: CommandContext<'_>) -> CommandResult {
    let CommandContext { connection, request, .. } = context;
    only(request, &["force", "graceSecs", "waitSecs"])?;
    let force = flag(request, "force")?;
    let recycle = Recycle { force, grace_secs: count(request, "graceSecs")?, wait_secs: count(request, "waitSecs")? };
    let (controller, caller) = (Arc::clone(&connection.shared.controller), connection.caller(Door::Mongodb));
    let recycled = tokio::spawn(async move { controller.recycle(recycle, &caller).await });
    let recycled = recycled.await.map_err(|error| CommandFailure::from(ChangeError::Internal(error.to_string())))?;
    Ok(document(&recycled))
}
