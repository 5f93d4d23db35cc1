//! Subcommands that look something up first, so that they make several requests.

use serde_json::{Value, json};

use super::output::{CtlOutput, DONE, NO};
use super::target::{ClientTarget, ConnectionTarget, has_end, is_from, of_client};
use super::{changes, connections, ready, status};
use crate::admin::replies::ClientRow;
use crate::admin_client::{AdminClient, ClientError, Clients};
use crate::policy::{Mode, Spelling};
use crate::screen::Page;
use crate::text::escaped;

/// `status`, with the blockers of the next step up.
pub(super) async fn status(client: &AdminClient, wide: bool, now: i64) -> Result<CtlOutput, ClientError> {
    let answer = client.status().await?;
    let next = match Mode::parse(&answer.value.ssl_mode, Spelling::Ssl).ok().and_then(Mode::next) {
        Some(next) => Some(client.ready(next, Spelling::Ssl).await.map(|ready| ready.value)),
        None => None,
    };
    Ok(CtlOutput::new(answer, |status| status::page(status, next.as_ref(), wide, now)))
}

/// `ready`; without a mode, for the next step up.
pub(super) async fn ready(
    client: &AdminClient,
    to: Option<(Mode, Spelling)>,
    called: &str,
    now: i64,
) -> Result<CtlOutput, ClientError> {
    let status = client.status().await?.value;
    let next = || Some((Mode::parse(&status.ssl_mode, Spelling::Ssl).ok()?.next()?, Spelling::Ssl));
    let Some((to, spelling)) = to.or_else(next) else { return Ok(no_next_step(&status.ssl_mode)) };
    let answer = client.ready(to, spelling).await?;
    let no = !answer.value.ready;
    let old = status.connections.non_conforming;
    Ok(CtlOutput::new(answer, |ready| ready::page(ready, old, called, now)).no_if(no))
}

fn no_next_step(mode: &str) -> CtlOutput {
    let json = json!({ "mode": mode, "to": null, "ready": true, "blockers": [] }).to_string();
    let page = Page::saying(format!(
        "The mode is {}, the last one: there is no next step. --to MODE shows the blockers of another mode.",
        escaped(mode)
    ));
    CtlOutput { page, json, exit: DONE, notice: None }
}

/// `accept`, by key or by number.
pub(super) async fn accept(
    client: &AdminClient,
    target: &ClientTarget,
    accepted: bool,
    unseen: bool,
) -> Result<CtlOutput, ClientError> {
    let key = match target {
        ClientTarget::Key(key) => key.clone(),
        ClientTarget::Number(number) => match numbered(&client.clients(false).await?.value, *number) {
            Ok(row) => row.key.clone(),
            Err(unknown) => return Ok(unknown),
        },
    };
    Ok(CtlOutput::new(client.accept(&key, accepted, unseen).await?, changes::accept))
}

/// `whois`, by an end of a connection, an address, or a number.
pub(super) async fn whois(client: &AdminClient, target: ConnectionTarget) -> Result<CtlOutput, ClientError> {
    let clients = match target {
        ConnectionTarget::Number(_) => client.clients(false).await?.value,
        ConnectionTarget::End(_) | ConnectionTarget::Ip(_) => Clients::default(),
    };
    let answer = client.connections(false).await?;
    let rows = &answer.value.connections;
    let (found, whose) = match target {
        ConnectionTarget::End(end) => (rows.iter().filter(|row| has_end(row, end)).collect(), end.to_string()),
        ConnectionTarget::Ip(ip) => (rows.iter().filter(|row| is_from(row, ip)).collect(), ip.to_string()),
        ConnectionTarget::Number(number) => match numbered(&clients, number) {
            Ok(row) => (of_client(rows, &clients.clients, row), escaped(&row.key)),
            Err(unknown) => return Ok(unknown),
        },
    };
    let nothing = found.is_empty().then(|| nothing_open(target, &whose, answer.value.left_out));
    let page = connections::whois(&found, target, &whose);
    let json = left_of(&answer.json, &found.iter().map(|row| row.id).collect::<Vec<_>>());
    Ok(CtlOutput { page, json, exit: if nothing.is_some() { NO } else { DONE }, notice: nothing })
}

fn nothing_open(target: ConnectionTarget, whose: &str, left_out: usize) -> String {
    let nothing = match target {
        ConnectionTarget::End(_) => format!("no open connection has {whose} at either end"),
        ConnectionTarget::Ip(_) | ConnectionTarget::Number(_) => format!("{whose} has no open connection"),
    };
    let left_out = match left_out {
        0 => String::new(),
        more => format!(" among those in the answer ({more} more did not fit into it)"),
    };
    format!("{nothing}{left_out}; for closed connections, see peer and upstream_local in the proxy's log")
}

/// The row with a number.
fn numbered(clients: &Clients, number: u64) -> Result<&ClientRow, CtlOutput> {
    let found = clients.clients.iter().find(|row| row.number == number && number > 0);
    found.ok_or_else(|| {
        CtlOutput::unknown_client(format!(
            "no client has the number {number} (any more); `tlsramp ctl clients` lists the numbers"
        ))
    })
}

/// The reply, reduced to these connections.
fn left_of(all: &str, ids: &[u64]) -> String {
    let mut all: Value = serde_json::from_str(all).unwrap_or_default();
    let rows = all["connections"].take();
    let rows = match rows {
        Value::Array(rows) => rows,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => Vec::new(),
    };
    let found: Vec<_> = rows.into_iter().filter(|row| row["id"].as_u64().is_some_and(|id| ids.contains(&id))).collect();
    json!({ "connections": found }).to_string()
}
