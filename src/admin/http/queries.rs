//! Handlers of the queries.

use std::sync::atomic::Ordering;

use hyper::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};

use super::changes::mode;
use super::reply::HttpReply;
use super::routes::{Parameters, Query};
use crate::admin::connection::AdminConnection;
use crate::admin::replies::{ClientRow, ConnectionRow, DoctorReply, HistoryReply, Ready, Status};
use crate::control::{AnswerSize, View, doctor, metrics, missing_rules, readiness, status};
use crate::limits::LISTING_BYTES;
use crate::policy::Spelling;
use crate::telemetry::{Format, Transport};

/// Answers a query.
pub(super) async fn answer(
    query: Query,
    parameters: &Parameters<'_>,
    format: Format,
    connection: &AdminConnection,
) -> Result<HttpReply, HttpReply> {
    let view = connection.shared.controller.view();
    let ok = StatusCode::OK;
    match query {
        Query::ReadyProbe => ready_probe(parameters.switch("upstream")?, connection),
        Query::Metrics => {
            Ok(HttpReply::metrics(view.read(AnswerSize::Summary, move |view| metrics(view, format)).await?, format))
        }
        Query::Status => Ok(HttpReply::json(ok, &Status::from(status(view).await?))),
        Query::Clients => {
            let only_plaintext = parameters.switch("plaintext")?;
            let make = move |view: &View| {
                let clients = view.clients().into_iter();
                let rows = clients.filter(|client| !only_plaintext || client.seen.kind == Transport::Plaintext);
                let rows = rows.map(ClientRow::from);
                let mode = view.mode().0.name(Spelling::Ssl);
                view.hold(listing("clients", rows, LISTING_BYTES, &[("sslMode", &json!(mode))]))
            };
            Ok(HttpReply::made(view.read(AnswerSize::Listing, make).await??))
        }
        Query::Connections => {
            let only_non_conforming = parameters.switch("nonConforming")?;
            let make = move |view: &View| {
                let open = view.connections().filter(|one| !only_non_conforming || one.non_conforming.is_some());
                // No policy has judged a connection that waits.
                let waiting = if only_non_conforming { Vec::new() } else { view.waiting() };
                let rows = open.map(ConnectionRow::from).chain(waiting.into_iter().map(ConnectionRow::from));
                view.hold(listing("connections", rows, LISTING_BYTES, &[]))
            };
            Ok(HttpReply::made(view.read(AnswerSize::Listing, make).await??))
        }
        Query::History => Ok(HttpReply::json(ok, &HistoryReply { history: view.changes() })),
        Query::Blockers => {
            let to = parameters.value("to").ok_or_else(|| HttpReply::bad_request("give the mode: /ready?to=MODE"))?;
            let (to, spelling) = mode(to)?;
            Ok(HttpReply::json(ok, &Ready::new(readiness(view, to).await, spelling)))
        }
        Query::Doctor => Ok(HttpReply::json(ok, &DoctorReply::from(&*doctor(view).await?))),
        Query::Live => Ok(HttpReply::text(ok, "ok")),
    }
}

/// Serializes rows one by one into a JSON document: `{"NAME":[...],...}`. Rows beyond `most_bytes` are left out, and
/// `leftOut` is their number.
fn listing<T: Serialize>(
    name: &str,
    rows: impl Iterator<Item = T>,
    most_bytes: usize,
    more: &[(&str, &Value)],
) -> Vec<u8> {
    let mut body = format!("{{\"{name}\":[").into_bytes();
    let (start, mut left_out) = (body.len(), 0_usize);
    for row in rows {
        let end = body.len();
        if left_out > 0 {
            left_out += 1;
            continue;
        }
        if end > start {
            body.push(b',');
        }
        // Neither step fails: rows are structs of plain fields, and a vector accepts all bytes.
        if serde_json::to_writer(&mut body, &row).is_err() || body.len() > most_bytes {
            body.truncate(end);
            left_out += 1;
        }
    }
    body.push(b']');
    let left_out = json!(left_out);
    let left_out = Some(("leftOut", &left_out)).filter(|(_, count)| **count != 0);
    for (key, value) in more.iter().copied().chain(left_out) {
        body.extend(format!(",\"{key}\":{value}").bytes());
    }
    body.extend(b"}\n");
    body
}

/// The readiness probe: the listeners are open and connections arrive at them (they do not if a sidecar's redirect
/// rules are missing). With `upstream`, every server must be up too. That is not the default: a replica set whose
/// member names resolve only to ready proxies could otherwise never be initiated.
fn ready_probe(upstream: bool, connection: &AdminConnection) -> Result<HttpReply, HttpReply> {
    let unavailable = |text: String| Ok(HttpReply::text(StatusCode::SERVICE_UNAVAILABLE, text));
    if connection.shared.stopping.load(Ordering::Relaxed) {
        return unavailable("stopping".to_owned());
    }
    if let Some(missing) = missing_rules(connection.shared.controller.view()).filter(|missing| missing.not_ready) {
        return unavailable(missing.text);
    }
    let servers = if upstream { connection.shared.controller.view().servers() } else { Vec::new() };
    let down: Vec<_> = servers.iter().filter(|server| !server.up).map(|down| &*down.upstream).collect();
    if !down.is_empty() {
        return unavailable(format!("down: {}", down.join(", ")));
    }
    Ok(HttpReply::text(StatusCode::OK, "ok"))
}

#[cfg(test)]
mod tests {
    use super::listing;
    use serde_json::{Value, json};

    #[test]
    fn listings_are_bounded_and_say_what_they_leave_out() {
        let row = |number: usize| json!({ "n": number });
        for (rows, most_bytes, shown, left_out) in [
            (0, 100, 0, Value::Null),
            (3, 100, 3, Value::Null),
            (3, 31, 2, json!(1)),
            (50, 31, 2, json!(48)),
            (2, 0, 0, json!(2)),
        ] {
            let text = listing("rows", (0..rows).map(row), most_bytes, &[("mode", &json!("a\"b"))]);
            let answer: Value = serde_json::from_slice(&text).unwrap();
            let expected: Vec<_> = (0..shown).map(row).collect();
            let got = (&answer["rows"], &answer["mode"], &answer["leftOut"]);
            assert_eq!(got, (&json!(expected), &json!("a\"b"), &left_out), "{rows} rows in {most_bytes}");
        }
    }
}
