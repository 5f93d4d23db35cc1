//! What is shown of clients and connections, and the taking of a client off the blockers.

use std::collections::HashSet;
use std::sync::Arc;

use super::caller::Caller;
use super::controller::Controller;
use super::history::Event;
use super::time::rfc3339_millis;
use super::views::{AcceptReply, Action, ClientRow, ConnectionRow, InventoryStatus};
use crate::limits::INVENTORY_ACCEPTED;
use crate::state::Snapshot;
use crate::telemetry::{ClientIdentity, InventoryRow, OpenConnection, Transport, now_millis};

impl Controller {
    /// The open connections, oldest first.
    pub fn connections(&self) -> impl Iterator<Item = ConnectionRow> {
        let snapshot = self.snapshot();
        self.observer.open_connections.list().into_iter().map(move |open| self.connection(&open, &snapshot))
    }

    /// Everyone who was seen, by address.
    #[must_use]
    pub fn clients(&self) -> Vec<ClientRow> {
        let window = self.settings().admin.guard_window;
        let inventory = &self.observer.inventory;
        let unmoved: HashSet<_> =
            self.observer.plaintext_blockers(window, now_millis()).into_iter().map(|one| one.identity).collect();
        let blocks = |seen: &InventoryRow| seen.kind == Transport::Plaintext && unmoved.contains(&seen.identity);
        let row = |seen: InventoryRow| ClientRow {
            blocks: blocks(&seen),
            key: seen.identity.text(),
            ip: seen.identity.ip.to_string(),
            kind: seen.kind.name().into(),
            member: seen.identity.is_member(),
            application: seen.identity.application,
            driver: seen.identity.driver,
            driver_version: seen.driver_version,
            more_names: seen.more_names,
            open: seen.open,
            total: seen.total,
            refused: seen.refused,
            first_seen: rfc3339_millis(seen.first_seen),
            last_seen: rfc3339_millis(seen.last_seen),
            accepted: seen.accepted,
        };
        inventory.rows().into_iter().map(row).collect()
    }

    /// Takes a client off the blockers, by name ("I know, refuse it"), or, with `accepted` false, puts it back.
    ///
    /// # Errors
    /// What is wrong with the key, or that there is no room for it, in words.
    pub fn accept(&self, key: &str, accepted: bool, caller: &Caller) -> Result<AcceptReply, String> {
        let outcome = self.accept_by_name(key, accepted);
        let what = if accepted { key.to_owned() } else { format!("{key}, taken back") };
        let event = match &outcome {
            Ok(AcceptReply { key, known, .. }) => {
                let (door, by) = (caller.door.name(), &caller.who);
                tracing::info!(client = key, accepted, known, door, %by, "client accepted by name");
                Event::done(Action::Accept, what)
            }
            Err(error) => Event::refused(Action::Accept, what, error),
        };
        self.history.note(event, caller);
        outcome
    }

    fn accept_by_name(&self, key: &str, accepted: bool) -> Result<AcceptReply, String> {
        let identity = ClientIdentity::parse(key).map_err(|error| error.to_string())?;
        let key = identity.text();
        let full = || format!("{INVENTORY_ACCEPTED} clients are accepted already; take some back first");
        let known = self.observer.inventory.accept(identity, accepted).ok_or_else(full)?;
        Ok(AcceptReply { key, accepted, known })
    }

    pub(crate) fn inventory_status(&self) -> InventoryStatus {
        let inventory = &self.observer.inventory;
        let unmoved = self.observer.plaintext_blockers(self.settings().admin.guard_window, now_millis()).len();
        InventoryStatus { rows: inventory.len(), unmoved, lost: inventory.lost(now_millis()) }
    }

    fn connection(&self, open: &Arc<OpenConnection>, snapshot: &Snapshot) -> ConnectionRow {
        let (client, upstream) = (open.client(), open.upstream.as_deref());
        ConnectionRow {
            id: open.id,
            peer: open.peer.to_string(),
            destination: open.destination.as_deref().map(ToString::to_string),
            route: open.route.name.to_string(),
            opening: open.opening.name().into(),
            tls_version: open.tls_version().map(Into::into),
            client_subject: open.client_subject().map(Into::into),
            application: client.and_then(|client| client.application.clone()),
            driver: client.and_then(|client| client.driver.clone()),
            driver_version: client.and_then(|client| client.driver_version.clone()),
            member: client.is_some_and(|client| client.internal),
            mode: open.mode.to_string(),
            generation: open.generation,
            upstream: upstream.map(|upstream| upstream.name.to_string()),
            upstream_local: upstream.and_then(|upstream| upstream.local).map(|local| local.to_string()),
            upstream_link: open.link.name().into(),
            bytes_in: open.counters.inbound.load(std::sync::atomic::Ordering::Relaxed),
            bytes_out: open.counters.outbound.load(std::sync::atomic::Ordering::Relaxed),
            age_secs: open.accepted.elapsed().as_secs(),
            non_conforming: self.misfit(open, snapshot).map(Into::into),
            recycling: open.recycling.is_requested(),
        }
    }
}
