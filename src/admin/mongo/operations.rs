//! `rotateCertificates`, `plaintextClients`, `recycleConnections`.

use bson::raw::{RawArrayBuf, RawBson, RawBsonRef, RawDocumentBuf, cstr};

use super::context::CommandContext;
use super::document::{array, document};
use super::fields::{count, flag, only, wrong_type};
use crate::admin::replies::{ClientRow, RecycleReply};
use crate::admin::requests::RecycleParameters;
use crate::control::{AnswerSize, Interface, View};
use crate::mongo::{CommandFailure, CommandResult};
use crate::telemetry::Transport;

/// Reads the TLS files again, with mongod's command and reply; the field `force` and the warnings are tlsramp's.
pub(super) async fn rotate(context: CommandContext<'_>) -> CommandResult {
    let CommandContext { connection, request, .. } = context;
    only(request, &["message", "force"])?;
    match request.command.get("message") {
        Ok(None | Some(RawBsonRef::String(_))) | Err(_) => {}
        Ok(Some(value)) => return Err(wrong_type("rotateCertificates", "message", value, "expected type 'string'")),
    }
    let force = flag(request, "force")?;
    let rotated = connection.shared.controller.rotate(force, &connection.caller(Interface::Mongodb)).await;
    let mut answer = RawDocumentBuf::new();
    let warnings = rotated.map_err(CommandFailure::from)?.warnings;
    if !warnings.is_empty() {
        answer.append(cstr!("warnings"), warnings.into_iter().map(RawBson::String).collect::<RawArrayBuf>());
    }
    Ok(answer)
}

/// Lists the inventory's plaintext rows.
pub(super) async fn plaintext_clients(context: CommandContext<'_>) -> CommandResult {
    only(context.request, &[])?;
    let make = |view: &View| {
        let clients = view.clients().into_iter().filter(|client| client.seen.kind == Transport::Plaintext);
        let rows: Vec<_> = clients.map(ClientRow::from).collect();
        let mut answer = RawDocumentBuf::new();
        answer.append(cstr!("clients"), array(&rows));
        answer
    };
    context.connection.shared.controller.view().read(AnswerSize::Listing, make).await.map_err(CommandFailure::from)
}

/// Recycles connections that the mode in force would not allow.
pub(super) async fn recycle(context: CommandContext<'_>) -> CommandResult {
    let CommandContext { connection, request, .. } = context;
    only(request, &["force", "graceSecs", "waitSecs"])?;
    let force = flag(request, "force")?;
    let (grace_secs, wait_secs) = (count(request, "graceSecs")?, count(request, "waitSecs")?);
    let request = RecycleParameters { force, grace_secs, wait_secs }.try_into().map_err(CommandFailure::bad_value)?;
    let recycled = connection.shared.controller.recycle(request, &connection.caller(Interface::Mongodb)).await?;
    Ok(document(&RecycleReply::from(recycled)))
}
