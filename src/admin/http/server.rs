//! An HTTP connection, and the checks of each request: access, host, path, method, origin, body.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::ACCEPT;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::event_body::EventBody;
use super::hosts::Hosts;
use super::reply::{HttpReply, ReplyBody, event_stream};
use super::routes::{HttpAction, HttpRoute};
use super::{body, changes, events, queries};
use crate::admin::access::{Access, ListenerKind, READ_ONLY};
use crate::admin::connection::AdminConnection;
use crate::limits::{ADMIN_HEAD, ADMIN_HEAD_BYTES, ADMIN_HEADERS};
use crate::telemetry::Format;

/// Serves a client over HTTP.
pub(in crate::admin) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(stream: S, connection: &Arc<AdminConnection>) {
    let service = service_fn(|request| async move { Ok::<_, Infallible>(answer(request, connection).await) });
    let http = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(ADMIN_HEAD)
        .max_headers(ADMIN_HEADERS)
        .max_buf_size(ADMIN_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut http = pin!(http);
    let ended = tokio::select! {
        ended = http.as_mut() => ended,
        () = connection.watch.draining() => {
            // Finishes the request in progress.
            http.as_mut().graceful_shutdown();
            http.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(who = %connection.who, %error, "an admin connection ended within a request");
    }
}

async fn answer(request: Request<Incoming>, connection: &Arc<AdminConnection>) -> Response<ReplyBody> {
    let response = respond(request, connection).await.unwrap_or_else(HttpReply::into_response);
    if response.status() != StatusCode::FORBIDDEN {
        connection.slot.served();
    }
    response
}

async fn respond(
    request: Request<Incoming>,
    connection: &Arc<AdminConnection>,
) -> Result<Response<ReplyBody>, HttpReply> {
    let path = request.uri().path();
    let format = Format::accepted(request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok()));
    let route = HttpRoute::of(path);
    if connection.listener_kind == ListenerKind::Probes {
        let route = route.filter(|route| route.is_probe && route.takes(request.method()));
        let route = route.ok_or_else(|| HttpReply::not_found(path))?;
        let HttpAction::Query(query) = route.action else { return Err(HttpReply::not_found(path)) };
        let reply = queries::answer(query, &route.parameters(request.uri().query())?, format, connection).await?;
        return Ok(reply.into_response());
    }
    admit(connection)?;
    let hosts = hosts(connection);
    if !route.is_some_and(|route| route.is_probe) {
        hosts.check(&request)?;
        Hosts::check_site(&request)?;
    }
    let route = route.ok_or_else(|| HttpReply::not_found(path))?;
    if !route.takes(request.method()) {
        return Err(HttpReply::not_allowed(route.allow()));
    }
    let parameters = route.parameters(request.uri().query())?;
    let operation = match route.action {
        HttpAction::Query(query) => {
            let _busy = connection.slot.busy();
            return Ok(queries::answer(query, &parameters, format, connection).await?.into_response());
        }
        HttpAction::Page(asset) => return Ok(HttpReply::asset(asset).into_response()),
        HttpAction::Events if request.method() == Method::HEAD => return Ok(event_stream(EventBody::new().1)),
        HttpAction::Events => {
            hosts.check_origin(&request)?;
            return Ok(event_stream(events::open(connection)?));
        }
        HttpAction::Change(operation) => operation,
    };
    may_change(connection)?;
    hosts.check_origin(&request)?;
    let body = body::read(request, operation.body_bytes()).await?;
    // Access is checked again: reading the body takes time, and the permission may have ended.
    may_change(connection)?;
    let _busy = connection.slot.busy();
    Ok(changes::answer(operation, &body, connection).await?.into_response())
}

/// The client's access. If every request is refused, returns a reply with the reason, which closes the connection.
fn admit(connection: &AdminConnection) -> Result<Access, HttpReply> {
    let access = connection.access();
    match connection.refusal(access) {
        None => Ok(access),
        Some(reason) => Err(HttpReply::forbidden(reason).closing()),
    }
}

fn may_change(connection: &AdminConnection) -> Result<(), HttpReply> {
    match admit(connection)? {
        Access::Full => Ok(()),
        Access::ReadOnly | Access::NeedsTls | Access::NotAllowed | Access::NotValid => {
            Err(HttpReply::error(StatusCode::FORBIDDEN, "ReadOnly", READ_ONLY))
        }
    }
}

fn hosts(connection: &AdminConnection) -> Hosts {
    let bound: Vec<IpAddr> = connection.shared.bound.iter().map(|(_, address)| address.ip()).collect();
    let hosts = Hosts::new(&bound, connection.local, &connection.shared.admin().hosts);
    // Uses the certificate in force now, which may differ from that of the handshake.
    if connection.by_tls {
        hosts.by_tls(Arc::clone(&connection.shared.controller.view().snapshot().tls))
    } else {
        hosts
    }
}
