//! Handlers of the changes. A change is completed even if its client disconnects.

use std::time::Duration;

use hyper::StatusCode;
use serde_json::json;

use super::body::parse;
use super::reply::HttpReply;
use super::routes::Operation;
use crate::admin::connection::AdminConnection;
use crate::admin::replies::{AcceptReply, LeaseStatus, MembersReply, ModeReply, RecycleReply, RotateReply};
use crate::admin::requests::{
    AcceptRequest, LeaseRequest, MembersRequest, ModeRequest, Nothing, ReadAgainRequest, RecycleParameters,
};
use crate::control::{Caller, Change, Changed, Controller, Interface, MemberSets};
use crate::limits::{LEASE_HOLDER_CHARS, LEASE_SECONDS};
use crate::policy::{Mode, Spelling};

/// Makes a change.
pub(super) async fn answer(
    operation: Operation,
    body: &[u8],
    connection: &AdminConnection,
) -> Result<HttpReply, HttpReply> {
    let (controller, caller) = (&connection.shared.controller, connection.caller(Interface::Http));
    match operation {
        Operation::Mode => {
            let (change, spelling) = change(parse(body)?)?;
            let changed = controller.change_mode(change, &caller).await?;
            Ok(mode_reply(changed, spelling))
        }
        Operation::Rotate => {
            let ReadAgainRequest { force } = parse(body)?;
            let rotated = controller.rotate(force, &caller).await?;
            Ok(HttpReply::json(StatusCode::OK, &RotateReply::from(rotated)))
        }
        Operation::Reload => {
            let ReadAgainRequest { force } = parse(body)?;
            let spelling = controller.view().settings().spelling;
            let reloaded =
                if force { controller.reload_forced(&caller).await } else { controller.reload(&caller).await };
            let changed = reloaded?;
            Ok(mode_reply(changed, spelling))
        }
        Operation::Recycle => {
            let recycle: RecycleParameters = parse(body)?;
            let recycle = recycle.try_into().map_err(HttpReply::bad_request)?;
            let recycled = controller.recycle(recycle, &caller).await?;
            Ok(HttpReply::json(StatusCode::OK, &RecycleReply::from(recycled)))
        }
        Operation::Accept => {
            let AcceptRequest { key, accepted, unseen } = parse(body)?;
            controller.thawed().await?;
            let reply = controller.accept(&key, accepted, unseen, &caller)?;
            Ok(HttpReply::json(StatusCode::OK, &AcceptReply::from(reply)))
        }
        Operation::Members => {
            let MembersRequest { sets, force, holder } = parse(body)?;
            let names = MemberSets { sets, force, holder };
            let warnings = controller.set_members(names, &caller).await?;
            Ok(HttpReply::json(StatusCode::OK, &MembersReply::new(&controller.view().members(), warnings)))
        }
        Operation::Lease => lease(controller, parse(body)?, &caller).await,
        Operation::Quit => quit(controller, parse(body)?, connection, &caller),
    }
}

/// Parses a mode in either spelling. `disabled` is the same in both, and counts as the spelling with `SSL`.
pub(super) fn mode(text: &str) -> Result<(Mode, Spelling), HttpReply> {
    let spellings = [Spelling::Ssl, Spelling::Tls];
    let found = spellings.into_iter().find_map(|spelling| Some((Mode::parse(text, spelling).ok()?, spelling)));
    found.ok_or_else(|| {
        let text = crate::text::printable(text);
        let [ssl, tls] = spellings.map(Spelling::expected);
        HttpReply::bad_request(format!("unknown mode '{text}', expected one of: {ssl}; or: {tls}"))
    })
}

/// The change for a PUT, which is idempotent: the mode in force may be requested again.
fn change(request: ModeRequest) -> Result<(Change, Spelling), HttpReply> {
    let ModeRequest { mode: wanted, force, guard, persist, holder } = request;
    let (to, spelling) = mode(&wanted)?;
    Ok((Change { force, guard, persist, holder, repeatable: true, ..Change::to(to, spelling) }, spelling))
}

fn mode_reply(changed: Changed, spelling: Spelling) -> HttpReply {
    HttpReply::json(StatusCode::OK, &ModeReply::new(changed, spelling))
}

async fn lease(controller: &Controller, request: LeaseRequest, caller: &Caller) -> Result<HttpReply, HttpReply> {
    let LeaseRequest { holder, ttl_secs, force } = request;
    if !(1..=LEASE_HOLDER_CHARS).contains(&holder.chars().count()) {
        return Err(HttpReply::bad_request(format!("holder must have 1 to {LEASE_HOLDER_CHARS} characters")));
    }
    if ttl_secs > LEASE_SECONDS {
        return Err(HttpReply::bad_request(format!("ttlSecs is {ttl_secs}; expected 0 to {LEASE_SECONDS}")));
    }
    let lease = controller.lease(&holder, Duration::from_secs(ttl_secs), force, caller).await?;
    Ok(HttpReply::json(StatusCode::OK, &json!({ "lease": lease.map(LeaseStatus::from) })))
}

fn quit(
    controller: &Controller,
    Nothing {}: Nothing,
    connection: &AdminConnection,
    caller: &Caller,
) -> Result<HttpReply, HttpReply> {
    if !connection.is_local() {
        return Err(HttpReply::forbidden(
            "/quit is accepted only on a loopback address or the unix socket; connect to one of those",
        ));
    }
    controller.quit(caller);
    Ok(HttpReply::json(StatusCode::ACCEPTED, &json!({ "quitting": true })))
}
