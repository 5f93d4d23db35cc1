//! The state that all connections share, and the policy by which a connection is judged.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::failure::ServeError;
use super::interception::NotIntercepted;
use super::route::{Destination, ServedRoute};
use crate::net::OwnDials;
use crate::policy::{Admission, Link, Opening, Permit, Refused, judge, non_conforming_modes};
use crate::route::Route;
use crate::state::{MemberListReader, PendingConnection, Snapshot, SnapshotReader, Tuning};
use crate::telemetry::{ConnectionVerdict, Observer, Record};

/// The state that all connections share.
#[derive(Debug)]
pub struct ProxyContext {
    /// Records, metrics and logs.
    pub observer: Arc<Observer>,
    /// Mode and TLS material.
    pub snapshot: SnapshotReader,
    /// Timeouts and the style of refusals.
    pub tuning: watch::Receiver<Tuning>,
    /// The members of the replica set.
    pub members: MemberListReader,
    /// Connections that tlsramp has dialled and whose servers have not answered yet, to detect loops.
    pub dials: OwnDials,
}

/// An accepted connection, with the context that every stage needs.
pub(super) struct AcceptedConnection<'a> {
    pub(super) peer: SocketAddr,
    /// Set if another host connected to a transparent listener directly and not through the interception rules.
    pub(super) not_intercepted: Option<NotIntercepted>,
    pub(super) route: &'a ArcSwap<ServedRoute>,
    pub(super) context: &'a ProxyContext,
    pub(super) tuning: Tuning,
}

/// The snapshot and the route by which a connection is judged.
pub(super) struct Policy {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) route: Arc<ServedRoute>,
    /// Counts the connection as pending: admitted by the snapshot and not established yet.
    pub(super) pending: Option<PendingConnection>,
}

impl Policy {
    pub(super) fn now(accepted: &AcceptedConnection<'_>) -> Policy {
        Policy { snapshot: accepted.context.snapshot.load(), route: accepted.route.load_full(), pending: None }
    }

    pub(super) fn is_in_force(&self, accepted: &AcceptedConnection<'_>) -> bool {
        accepted.context.snapshot.is_in_force(&self.snapshot) && Arc::ptr_eq(&accepted.route.load(), &self.route)
    }

    /// Judges an opening. If it is admitted, counts the connection as pending.
    pub(super) fn judge(
        &mut self,
        opening: Opening,
        accepted: &AcceptedConnection<'_>,
        record: &mut Record,
    ) -> Result<Permit, Refused> {
        let Policy { snapshot, route, pending } = self;
        record.note(|known| {
            known.mode = Some(snapshot.mode);
            known.generation = snapshot.generation;
            known.route = Arc::clone(route.record(&accepted.context.observer.metrics));
        });
        let rules = &route.route;
        let permit = judge(snapshot.mode, rules.acceptance, rules.link_rule, opening)?;
        let non_conforming_modes = non_conforming_modes(rules.acceptance, rules.link_rule, opening, permit.link());
        *pending =
            Some(PendingConnection::count(snapshot, non_conforming_modes, permit.admission() == Admission::Terminated));
        Ok(permit)
    }

    pub(super) fn destination(
        &self,
        socket: &TcpStream,
        accepted: &AcceptedConnection<'_>,
    ) -> Result<Destination, ServeError> {
        let ProxyContext { dials, members, .. } = accepted.context;
        self.route.destination(socket, accepted.peer, dials, members).map_err(ServeError::Redirect)
    }

    pub(super) fn judgement(&self, opening: Opening, link: Link) -> ConnectionVerdict {
        let Policy { snapshot, route, .. } = self;
        let Route { acceptance, link_rule: rule, .. } = *route.route;
        ConnectionVerdict { acceptance, rule, opening, link, mode: snapshot.mode }
    }
}
