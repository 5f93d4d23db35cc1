//! Makes the changes. A change is completed even if its client disconnects.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use serde_json::json;

use super::body::parse;
use super::reply::HttpReply;
use super::routes::Operation;
use crate::admin::connection::AdminConnection;
use crate::control::requests::{AcceptRequest, LeaseRequest, MembersRequest, ModeRequest, Nothing, ReadAgainRequest};
use crate::control::views::ModeReply;
use crate::control::{Caller, Change, ChangeError, Changed, Controller, Door, Recycle};
use crate::limits::{LEASE_HOLDER_CHARS, LEASE_SECONDS};
use crate::policy::{Mode, Spelling};

/// Makes a change.
pub(super) async fn answer(
    operation: Operation,
    body: &[u8],
    connection: &AdminConnection,
) -> Result<HttpReply, HttpReply> {
    let (controller, caller) = (Arc::clone(&connection.shared.controller), connection.caller(Door::Http));
    match operation {
        Operation::Mode => {
            let (change, spelling) = change(parse(body)?)?;
            let changed = carried_out(async move { controller.change_mode(change, &caller).await }).await?;
            Ok(mode_reply(changed, spelling))
        }
        Operation::Rotate => {
            let ReadAgainRequest { force } = parse(body)?;
            let rotated = carried_out(async move { controller.rotate(force, &caller).await }).await?;
            Ok(HttpReply::json(StatusCode::OK, &rotated))
        }
        Operation::Reload => {
            let ReadAgainRequest { force } = parse(body)?;
            let spelling = controller.settings().spelling;
            let reload = async move {
                if force { controller.reload_forced(&caller).await } else { controller.reload(&caller).await }
            };
            let changed = carried_out(reload).await?;
            Ok(mode_reply(changed, spelling))
        }
        Operation::Recycle => {
            let recycle: Recycle = parse(body)?;
            let recycled = carried_out(async move { Ok(controller.recycle(recycle, &caller).await) }).await?;
            Ok(HttpReply::json(StatusCode::OK, &recycled))
        }
        Operation::Accept => {
            let AcceptRequest { key, accepted } = parse(body)?;
            let reply = controller.accept(&key, accepted, &caller).map_err(HttpReply::bad_request)?;
            Ok(HttpReply::json(StatusCode::OK, &reply))
        }
        Operation::Members => {
            let members: MembersRequest = parse(body)?;
            let named = carried_out(async move { controller.set_members(members, &caller).await }).await?;
            Ok(HttpReply::json(StatusCode::OK, &named))
        }
        Operation::Lease => lease(&controller, parse(body)?, &caller).await,
        Operation::Quit => quit(&controller, parse(body)?, connection, &caller),
    }
}

/// A mode in either spelling. `disabled` is the same in both and counts as the older.
pub(super) fn mode(text: &str) -> Result<(Mode, Spelling), HttpReply> {
    let spellings = [Spelling::Ssl, Spelling::Tls];
    let found = spellings.into_iter().find_map(|spelling| Some((Mode::parse(text, spelling).ok()?, spelling)));
    found.ok_or_else(|| {
        let text = crate::text::printable(text);
        let [ssl, tls] = spellings.map(Spelling::expected);
        HttpReply::bad_request(format!("unknown mode '{text}', expected one of: {ssl}; or: {tls}"))
    })
}

/// Idempotent, as a PUT is: the mode in force may be set again.
fn change(request: ModeRequest) -> Result<(Change, Spelling), HttpReply> {
    let ModeRequest { mode: wanted, force, guard, persist, holder } = request;
    let (to, spelling) = mode(&wanted)?;
    Ok((Change { force, guard, persist, holder, repeatable: true, ..Change::to(to, spelling) }, spelling))
}

fn mode_reply(changed: Changed, spelling: Spelling) -> HttpReply {
    let Changed { was, mode, generation, persisted, warnings } = changed;
    let (was, mode) = (was.name(spelling).to_owned(), mode.name(spelling).to_owned());
    HttpReply::json(StatusCode::OK, &ModeReply { was, mode, generation, persisted, warnings })
}

async fn lease(controller: &Controller, request: LeaseRequest, caller: &Caller) -> Result<HttpReply, HttpReply> {
    let LeaseRequest { holder, ttl_secs, force } = request;
    if !(1..=LEASE_HOLDER_CHARS).contains(&holder.chars().count()) {
        return Err(HttpReply::bad_request(format!("holder must have 1 to {LEASE_HOLDER_CHARS} characters")));
    }
    if ttl_secs > LEASE_SECONDS {
        return Err(HttpReply::bad_request(format!("ttlSecs is {ttl_secs}, and must be from 0 to {LEASE_SECONDS}")));
    }
    let lease = controller.lease(&holder, Duration::from_secs(ttl_secs), force, caller).await?;
    Ok(HttpReply::json(StatusCode::OK, &json!({ "lease": lease })))
}

fn quit(
    controller: &Controller,
    Nothing {}: Nothing,
    connection: &AdminConnection,
    caller: &Caller,
) -> Result<HttpReply, HttpReply> {
    if !connection.is_local() {
        return Err(HttpReply::forbidden("/quit is taken by a loopback address or the unix socket only"));
    }
    controller.quit(caller);
    Ok(HttpReply::json(StatusCode::ACCEPTED, &json!({ "quitting": true })))
}

async fn carried_out<T>(change: impl Future<Output = Result<T, ChangeError>> + Send + 'static) -> Result<T, HttpReply>
where
    T: Send + 'static,
{
    let made = tokio::spawn(change).await;
    made.map_err(|error| ChangeError::Internal(error.to_string())).flatten().map_err(HttpReply::from)
}
