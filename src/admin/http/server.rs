//! A connection of an HTTP client, and a request through all checks: who is meant, what is asked, who asks, by what
//! page, with what body.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::ACCEPT;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::hosts::Hosts;
use super::reply::Reply;
use super::routes::Route;
use super::{body, changes, queries};
use crate::admin::access::{Access, Entrance, READ_ONLY};
use crate::admin::connection::AdminConnection;
use crate::limits::{ADMIN_HEAD, ADMIN_HEAD_BYTES, ADMIN_HEADERS};
use crate::telemetry::Format;

/// Serves a client.
pub(in crate::admin) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(stream: S, connection: &AdminConnection) {
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
            // What is being answered is answered, and then it is over.
            http.as_mut().graceful_shutdown();
            http.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(who = %connection.who, %error, "an admin connection has ended in the middle of a request");
    }
}

async fn answer(request: Request<Incoming>, connection: &AdminConnection) -> Response<Full<Bytes>> {
    // An error is an answer too.
    let reply = respond(request, connection).await.unwrap_or_else(|reply| reply);
    if reply.status != StatusCode::FORBIDDEN {
        connection.slot.served();
    }
    reply.into_response()
}

async fn respond(request: Request<Incoming>, connection: &AdminConnection) -> Result<Reply, Reply> {
    let path = request.uri().path().to_owned();
    let format = Format::accepted(request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok()));
    let route = Route::of(&path);
    if connection.entrance == Entrance::Probes {
        let route = route.filter(|route| route.is_probe() && route.takes(request.method()));
        let route = route.ok_or_else(|| Reply::not_found(&path))?;
        return queries::answer(route, &route.query(request.uri().query())?, format, connection).await;
    }
    admit(connection)?;
    let hosts = hosts(connection);
    if !route.is_some_and(Route::is_probe) {
        hosts.check(&request)?;
    }
    let route = route.ok_or_else(|| Reply::not_found(&path))?;
    if !route.takes(request.method()) {
        return Err(Reply::not_allowed(route.allow()));
    }
    let query = request.uri().query().map(str::to_owned);
    let query = route.query(query.as_deref())?;
    if !route.changes() {
        let _busy = connection.slot.busy();
        return queries::answer(route, &query, format, connection).await;
    }
    may_change(connection)?;
    hosts.check_origin(&request)?;
    let body = body::read(request, route.body_bytes()).await?;
    // Again: a body may take its time, and the permission may have ended meanwhile.
    may_change(connection)?;
    let _busy = connection.slot.busy();
    changes::answer(route, &body, connection).await
}

/// What the visitor may do now; where that is nothing, the answer says why and ends the connection.
fn admit(connection: &AdminConnection) -> Result<Access, Reply> {
    let access = connection.access();
    match connection.refusal(access) {
        None => Ok(access),
        Some(reason) => Err(Reply::forbidden(reason).closing()),
    }
}

fn may_change(connection: &AdminConnection) -> Result<(), Reply> {
    match admit(connection)? {
        Access::Full => Ok(()),
        Access::ReadOnly | Access::NeedsTls | Access::NotAllowed | Access::NotValid => {
            Err(Reply::error(StatusCode::FORBIDDEN, "ReadOnly", READ_ONLY))
        }
    }
}

fn hosts(connection: &AdminConnection) -> Hosts {
    let bound: Vec<IpAddr> = connection.shared.bound.iter().map(|(_, address)| address.ip()).collect();
    let hosts = Hosts::new(&bound, connection.local, &connection.shared.admin().hosts);
    // By the certificate in force now, which need not be that of the handshake.
    if connection.by_tls {
        hosts.by_tls(Arc::clone(&connection.shared.controller.view().snapshot().tls))
    } else {
        hosts
    }
}
