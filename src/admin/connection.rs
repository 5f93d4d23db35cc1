//! One connection to a door, from its first byte to its last.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::access::{Access, Entrance, NEEDS_TLS, access, not_allowed, not_valid};
use super::connection_limit::AdminConnectionSlot;
use super::listener::Shared;
use super::protocol::{Protocol, knock};
use super::{http, mongo};
use crate::control::{Caller, Door, Who};
use crate::drain;
use crate::limits::ADMIN_OPENING;
use crate::net::linger;
use crate::policy::Opening;
use crate::sniff::sniff;
use crate::tls;

/// A visitor and its connection.
#[derive(Debug)]
pub(super) struct AdminConnection {
    pub(super) shared: Arc<Shared>,
    pub(super) entrance: Entrance,
    pub(super) who: Who,
    /// Whether it came by TLS, so that it has verified a name of our certificate.
    pub(super) by_tls: bool,
    /// The certificate that it has shown, with its chain; empty without TLS.
    chain: Vec<CertificateDer<'static>>,
    /// The alternative names of its certificate.
    names: Vec<String>,
    /// Our own end of it, by TCP.
    pub(super) local: Option<SocketAddr>,
    pub(super) slot: AdminConnectionSlot,
    /// Drains when answers are still given and no more requests are taken.
    pub(super) watch: drain::DrainWatch,
}

/// What a connection is received with.
pub(super) struct Received {
    pub(super) shared: Arc<Shared>,
    pub(super) entrance: Entrance,
    pub(super) slot: AdminConnectionSlot,
    pub(super) watch: drain::DrainWatch,
}

impl AdminConnection {
    fn new(received: Received, who: Who, local: Option<SocketAddr>) -> AdminConnection {
        let Received { shared, entrance, slot, watch } = received;
        let (chain, names) = (Vec::new(), Vec::new());
        AdminConnection { shared, entrance, who, by_tls: false, chain, names, local, slot, watch }
    }

    /// What this visitor may do now. To be asked for each request, once all of it has been read: the settings, the CAs and
    /// the CRLs in force may have changed since the connection was made, and its certificate may have expired.
    pub(super) fn access(&self) -> Access {
        let admin = self.shared.admin();
        if !self.by_tls {
            return access(self.entrance, None, admin.read_only);
        }
        if self.invalid().is_some() {
            return Access::NotValid;
        }
        let matches = |subject| admin.allow.iter().any(|pattern| pattern.matches(subject, &self.names));
        access(self.entrance, Some(self.subject().is_some_and(matches)), admin.read_only)
    }

    /// Why nothing is done for this visitor, if nothing is.
    pub(super) fn refusal(&self, access: Access) -> Option<String> {
        match access {
            Access::Full | Access::ReadOnly => None,
            Access::NeedsTls => Some(NEEDS_TLS.to_owned()),
            Access::NotAllowed => Some(not_allowed(self.subject(), &self.names, &self.shared.admin().allow)),
            Access::NotValid => Some(not_valid(&self.invalid().unwrap_or_default())),
        }
    }

    /// Why the certificate that it has shown would be refused in a handshake now, if it would be.
    fn invalid(&self) -> Option<String> {
        self.shared.controller.view().snapshot().tls.verify_admin_client(&self.chain).err()
    }

    fn subject(&self) -> Option<&str> {
        match &self.who {
            Who::Tcp { subject, .. } => subject.as_deref(),
            Who::Unix { .. } | Who::Process => None,
        }
    }

    /// The visitor, as the controller knows who asks.
    pub(super) fn caller(&self, door: Door) -> Caller {
        Caller { door, who: self.who.clone() }
    }

    /// Whether it came from this host, by a way that no other host has.
    pub(super) fn is_local(&self) -> bool {
        match self.entrance {
            Entrance::Loopback | Entrance::Unix => true,
            Entrance::Remote | Entrance::Probes => false,
        }
    }

    /// Its number among those of its kind, from 1.
    pub(super) fn number(&self) -> u64 {
        self.slot.number()
    }

    /// Logs that nothing is done for it.
    pub(super) fn refused(&self, reason: &str) {
        let (peer, subject) = match &self.who {
            Who::Tcp { peer, subject } => (Some(*peer), subject.as_deref()),
            Who::Unix { .. } | Who::Process => (None, None),
        };
        self.shared.log_limit.refused(peer, subject, reason);
    }
}

/// Serves a TCP connection.
pub(super) async fn tcp(socket: TcpStream, peer: SocketAddr, received: Received) {
    let sniffed = tokio::select! {
        sniffed = sniff(&socket, ADMIN_OPENING, true) => sniffed,
        () = received.slot.evicted() => return,
        () = received.watch.draining() => return,
    };
    let opening = match sniffed {
        Ok(sniffed) => sniffed.opening,
        Err(error) => {
            tracing::debug!(%peer, %error, "an admin connection said nothing");
            return;
        }
    };
    received.slot.begun();
    let local = socket.local_addr().ok();
    match opening {
        Opening::Plaintext => {
            let connection = AdminConnection::new(received, Who::Tcp { peer, subject: None }, local);
            Box::pin(until_over(socket, connection)).await;
        }
        Opening::Tls if received.entrance != Entrance::Probes => Box::pin(by_tls(socket, peer, local, received)).await,
        Opening::Tls | Opening::OldTls | Opening::Sslv2 => {
            let reason = match opening {
                Opening::Tls | Opening::Plaintext => "the port for probes speaks no TLS",
                Opening::OldTls | Opening::Sslv2 => "TLS below 1.2",
            };
            received.shared.log_limit.refused(Some(peer), None, reason);
            linger(socket).await;
        }
    }
}

/// Serves a connection by the Unix socket. No TLS there: the kernel says who it is.
pub(super) async fn unix(socket: UnixStream, received: Received) {
    let credentials = match socket.peer_cred() {
        Ok(credentials) => credentials,
        Err(error) => {
            tracing::debug!(%error, "an admin connection by the unix socket is gone");
            return;
        }
    };
    let who = Who::Unix { uid: credentials.uid(), pid: credentials.pid() };
    until_over(socket, AdminConnection::new(received, who, None)).await;
}

async fn by_tls(socket: TcpStream, peer: SocketAddr, local: Option<SocketAddr>, received: Received) {
    let log_limit = &received.shared.log_limit;
    let Some(config) = received.shared.controller.view().snapshot().tls.admin_config() else {
        log_limit.refused(Some(peer), None, "TLS, and no certificate of ours and no CA are loaded");
        return linger(socket).await;
    };
    let handshake = tokio::select! {
        handshake = tls::accept(socket, config, ADMIN_OPENING) => handshake,
        () = received.slot.evicted() => return,
        () = received.watch.draining() => return,
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
    // The handshake has verified them.
    let chain: Vec<_> = stream.session().peer_certificates().unwrap_or_default().to_vec();
    let subject = chain.first().and_then(tls::subject);
    let names = chain.first().map(tls::names).unwrap_or_default();
    let connection = AdminConnection::new(received, Who::Tcp { peer, subject }, local);
    until_over(stream, AdminConnection { by_tls: true, chain, names, ..connection }).await;
}

/// Serves until the visitor leaves, has to make room, or has to go.
async fn until_over<S: AsyncRead + AsyncWrite + Unpin>(stream: S, connection: AdminConnection) {
    tokio::select! {
        () = enter(stream, &connection) => {}
        () = connection.slot.evicted() => tracing::debug!(who = %connection.who, "an admin connection has made room for another"),
        () = connection.watch.forced() => {}
    }
}

/// Leads to the door whose protocol the visitor speaks.
async fn enter<S: AsyncRead + AsyncWrite + Unpin>(stream: S, connection: &AdminConnection) {
    if connection.entrance == Entrance::Probes {
        return http::serve(stream, connection).await;
    }
    let knocked = tokio::select! {
        knocked = timeout(ADMIN_OPENING, knock(stream)) => knocked,
        () = connection.watch.draining() => return,
    };
    let Ok(Ok((protocol, stream))) = knocked else {
        tracing::debug!(who = %connection.who, "an admin connection said nothing");
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
