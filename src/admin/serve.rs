//! Serves one connection from its first byte to its last.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::access::ListenerKind;
use super::connection::{AdminConnection, NewConnection};
use super::protocol::{Protocol, detect};
use super::{http, mongo};
use crate::control::Who;
use crate::limits::ADMIN_OPENING;
use crate::net::linger;
use crate::policy::Opening;
use crate::sniff::sniff;
use crate::tls;

/// Serves a TCP connection.
pub(super) async fn tcp(socket: TcpStream, peer: SocketAddr, new: NewConnection) {
    let sniffed = tokio::select! {
        sniffed = sniff(&socket, ADMIN_OPENING, true) => sniffed,
        () = new.slot.evicted() => return,
        () = new.watch.draining() => return,
    };
    let opening = match sniffed {
        Ok(sniffed) => sniffed.opening,
        Err(error) => {
            tracing::debug!(%peer, %error, "closed an admin connection before its protocol was detected");
            return;
        }
    };
    new.slot.begun();
    let local = socket.local_addr().ok();
    match opening {
        Opening::Plaintext => {
            let connection = AdminConnection::new(new, Who::Tcp { peer, subject: None }, local);
            Box::pin(serve(socket, connection)).await;
        }
        Opening::Tls if new.listener_kind != ListenerKind::Probes => Box::pin(by_tls(socket, peer, local, new)).await,
        Opening::Tls | Opening::OldTls | Opening::Sslv2 => {
            let reason = match opening {
                Opening::Tls | Opening::Plaintext => "the health probe port does not support TLS; connect in plaintext",
                Opening::OldTls | Opening::Sslv2 => "TLS below 1.2",
            };
            new.shared.log_limit.refused(Some(peer), None, reason);
            linger(socket).await;
        }
    }
}

/// Serves a Unix socket connection, without TLS: the kernel identifies the peer.
pub(super) async fn unix(socket: UnixStream, new: NewConnection) {
    let credentials = match socket.peer_cred() {
        Ok(credentials) => credentials,
        Err(error) => {
            tracing::debug!(%error, "the client closed an admin connection on the unix socket");
            return;
        }
    };
    let who = Who::Unix { uid: credentials.uid(), pid: credentials.pid() };
    serve(socket, AdminConnection::new(new, who, None)).await;
}

async fn by_tls(socket: TcpStream, peer: SocketAddr, local: Option<SocketAddr>, new: NewConnection) {
    let log_limit = &new.shared.log_limit;
    let Some(config) = new.shared.controller.view().snapshot().tls.admin_config() else {
        log_limit.refused(
            Some(peer),
            None,
            "cannot accept TLS: no certificate or no CA file is loaded; set tlsCertificateKeyFile and tlsCAFile, and \
             reload",
        );
        return linger(socket).await;
    };
    let handshake = tokio::select! {
        handshake = tls::accept(socket, config, ADMIN_OPENING) => handshake,
        () = new.slot.evicted() => return,
        () = new.watch.draining() => return,
    };
    let stream = match handshake {
        Ok(accepted) => accepted.stream,
        Err((error, socket)) => {
            log_limit.refused(Some(peer), None, &error.to_string());
            if let Some(socket) = socket {
                linger(socket).await;
            }
            return;
        }
    };
    let chain: Vec<_> = stream.session().peer_certificates().unwrap_or_default().to_vec();
    let subject = chain.first().and_then(tls::subject);
    let names = chain.first().map(tls::subject_alt_names).unwrap_or_default();
    let connection = AdminConnection::new(new, Who::Tcp { peer, subject }, local);
    serve(stream, AdminConnection { by_tls: true, chain, names, ..connection }).await;
}

/// Serves until the client leaves, the connection is evicted, or the shutdown is forced.
async fn serve<S: AsyncRead + AsyncWrite + Unpin>(stream: S, connection: AdminConnection) {
    // Shared with the task that sends events to an open page.
    let connection = Arc::new(connection);
    tokio::select! {
        () = serve_protocol(stream, &connection) => {}
        () = connection.slot.evicted() => tracing::debug!(who = %connection.who, "closed an admin connection to make \
            room for a new one"),
        () = connection.watch.forced() => {}
    }
}

/// Detects the protocol, and serves it.
async fn serve_protocol<S: AsyncRead + AsyncWrite + Unpin>(stream: S, connection: &Arc<AdminConnection>) {
    if connection.listener_kind == ListenerKind::Probes {
        return http::serve(stream, connection).await;
    }
    let detected = tokio::select! {
        detected = timeout(ADMIN_OPENING, detect(stream)) => detected,
        () = connection.watch.draining() => return,
    };
    let Ok(Ok((protocol, stream))) = detected else {
        tracing::debug!(who = %connection.who, "closed an admin connection before its protocol was detected");
        return;
    };
    connection.slot.begun();
    if let Some(reason) = connection.refusal(connection.access()) {
        connection.refused(&reason);
    }
    match protocol {
        Protocol::Mongodb => mongo::serve(stream, connection).await,
        Protocol::Http => http::serve(stream, connection).await,
    }
}
