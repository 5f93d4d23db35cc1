//! What can be looked at.

use std::sync::atomic::Ordering;

use hyper::StatusCode;
use serde_json::json;

use super::changes::mode;
use super::reply::Reply;
use super::routes::{Query, Route};
use crate::control::doors::visit::Visit;
use crate::observe::Format;
use crate::policy::Spelling;

/// Answers a look.
pub(super) async fn answer(route: Route, query: &Query<'_>, format: Format, visit: &Visit) -> Result<Reply, Reply> {
    let desk = &visit.shared.desk;
    let ok = StatusCode::OK;
    match route {
        Route::ReadyProbe => readiness(query.switch("upstream")?, visit),
        Route::Metrics => Ok(Reply::metrics(desk.metrics(format), format)),
        Route::Status => Ok(Reply::json(ok, &desk.status().await)),
        Route::Clients => {
            let only_plaintext = query.switch("plaintext")?;
            let mut rows = desk.clients();
            rows.retain(|row| !only_plaintext || row.kind == "plaintext");
            let mode = desk.mode().0.name(Spelling::Ssl);
            Ok(Reply::json(ok, &json!({ "clients": rows, "sslMode": mode })))
        }
        Route::Connections => {
            let only_non_conforming = query.switch("nonConforming")?;
            let mut rows = desk.connections();
            rows.retain(|row| !only_non_conforming || row.non_conforming.is_some());
            Ok(Reply::json(ok, &json!({ "connections": rows })))
        }
        Route::History => Ok(Reply::json(ok, &desk.history())),
        Route::Blockers => {
            let to = query.value("to").ok_or_else(|| Reply::bad_request("say which mode: /ready?to=MODE"))?;
            let (to, spelling) = mode(to)?;
            Ok(Reply::json(ok, &desk.ready(to, spelling).await))
        }
        Route::Live
        | Route::Mode
        | Route::Rotate
        | Route::Reload
        | Route::Recycle
        | Route::Accept
        | Route::Lease
        | Route::Members
        | Route::Quit => Ok(Reply::text(ok, "ok")),
    }
}

/// Ready means that the listeners are open, and that connections arrive at them: where a sidecar's redirect rules are gone,
/// they do not. With `upstream`, every server behind must be up as well; not by default, since
/// a replica set could never be initiated by names that resolve to ready proxies only.
fn readiness(upstream: bool, visit: &Visit) -> Result<Reply, Reply> {
    let unavailable = |text: String| Ok(Reply::text(StatusCode::SERVICE_UNAVAILABLE, text));
    if visit.shared.stopping.load(Ordering::Relaxed) {
        return unavailable("stopping".to_owned());
    }
    if let Some(missing) = visit.shared.desk.missing_rules().filter(|missing| missing.not_ready) {
        return unavailable(missing.text);
    }
    let upstreams = if upstream { visit.shared.desk.upstreams() } else { Vec::new() };
    let down: Vec<_> = upstreams.iter().filter(|upstream| !upstream.up).map(|down| &*down.upstream).collect();
    if !down.is_empty() {
        return unavailable(format!("down: {}", down.join(", ")));
    }
    Ok(Reply::text(StatusCode::OK, "ok"))
}
