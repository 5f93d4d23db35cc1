//! An accepted connection whose client is identified, and its access.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;

use super::access::{Access, ListenerKind, NEEDS_TLS, access, not_allowed, not_valid};
use super::connection_limit::AdminConnectionSlot;
use super::state::AdminState;
use crate::control::{Caller, Interface, Who};
use crate::drain;

/// A connection whose client is identified.
#[derive(Debug)]
pub(super) struct AdminConnection {
    pub(super) shared: Arc<AdminState>,
    pub(super) listener_kind: ListenerKind,
    pub(super) who: Who,
    /// Whether the connection uses TLS. A browser has then verified a name of the admin port's certificate.
    pub(super) by_tls: bool,
    /// The client certificate with its chain; empty without TLS.
    pub(super) chain: Vec<CertificateDer<'static>>,
    /// The alternative names of the client certificate.
    pub(super) names: Vec<String>,
    /// The local address, for TCP.
    pub(super) local: Option<SocketAddr>,
    pub(super) slot: AdminConnectionSlot,
    /// Signals draining: the current request is answered, and no further one is read.
    pub(super) watch: drain::DrainWatch,
}

/// An accepted connection whose client is not identified yet.
pub(super) struct NewConnection {
    pub(super) shared: Arc<AdminState>,
    pub(super) listener_kind: ListenerKind,
    pub(super) slot: AdminConnectionSlot,
    pub(super) watch: drain::DrainWatch,
}

impl AdminConnection {
    pub(super) fn new(new: NewConnection, who: Who, local: Option<SocketAddr>) -> AdminConnection {
        let NewConnection { shared, listener_kind, slot, watch } = new;
        let (chain, names) = (Vec::new(), Vec::new());
        AdminConnection { shared, listener_kind, who, by_tls: false, chain, names, local, slot, watch }
    }

    /// The client's present access. Must be called for each request, after the whole request was read: settings, CAs
    /// and CRLs may have changed since the handshake, and the client certificate may have expired.
    pub(super) fn access(&self) -> Access {
        let admin = self.shared.admin();
        if !self.by_tls {
            return access(self.listener_kind, None, admin.read_only);
        }
        if self.invalid().is_some() {
            return Access::NotValid;
        }
        let matches = |subject| admin.allow.iter().any(|pattern| pattern.matches(subject, &self.names));
        access(self.listener_kind, Some(self.subject().is_some_and(matches)), admin.read_only)
    }

    /// The text with which every request is refused; `None` if the access permits some.
    pub(super) fn refusal(&self, access: Access) -> Option<String> {
        match access {
            Access::Full | Access::ReadOnly => None,
            Access::NeedsTls => Some(NEEDS_TLS.to_owned()),
            Access::NotAllowed => Some(not_allowed(self.subject(), &self.names, &self.shared.admin().allow)),
            Access::NotValid => Some(not_valid(&self.invalid().unwrap_or_default())),
        }
    }

    /// The reason why a handshake now would refuse the client certificate; `None` if it would succeed.
    fn invalid(&self) -> Option<String> {
        self.shared.controller.view().snapshot().tls.verify_admin_client(&self.chain).err()
    }

    fn subject(&self) -> Option<&str> {
        match &self.who {
            Who::Tcp { subject, .. } => subject.as_deref(),
            Who::Unix { .. } | Who::Process => None,
        }
    }

    /// The client as the controller's caller.
    pub(super) fn caller(&self, interface: Interface) -> Caller {
        Caller { interface, who: self.who.clone() }
    }

    /// Whether the listener is reachable from this host only.
    pub(super) fn is_local(&self) -> bool {
        match self.listener_kind {
            ListenerKind::Loopback | ListenerKind::Unix => true,
            ListenerKind::Remote | ListenerKind::Probes => false,
        }
    }

    /// The connection's number among those with the same connection limit, from 1.
    pub(super) fn number(&self) -> u64 {
        self.slot.number()
    }

    /// Logs that this connection's requests are refused.
    pub(super) fn refused(&self, reason: &str) {
        let (peer, subject) = match &self.who {
            Who::Tcp { peer, subject } => (Some(*peer), subject.as_deref()),
            Who::Unix { .. } | Who::Process => (None, None),
        };
        self.shared.log_limit.refused(peer, subject, reason);
    }
}
