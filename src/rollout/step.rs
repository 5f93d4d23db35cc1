//! The step of one node: the mode change, and the check from outside that it is in force.

use super::context::Rollout;
use super::external_check::{self, APPLICATION};
use super::fleet::{AnswerError, PublicAddress};
use super::halt::Halt;
use super::journal::CHANGED;
use super::limits::{OWN_ROW, POLL};
use super::node::Node;
use super::plan::PlannedStep;
use crate::admin::replies::ModeReply;
use crate::admin::requests::ModeRequest;
use crate::admin_client::ClientError;
use crate::policy::{Mode, Spelling};
use crate::text::{escaped, printable};

/// Whether the node may refuse a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Safety {
    /// One rung up, refused if a client or link would be cut off.
    Guarded,
    /// Down, without a check for clients or links.
    Forced,
}

impl Rollout {
    /// Changes a node's mode. Returns false if the node's guard found a blocker that was not there before.
    ///
    /// # Errors
    /// The node refuses for another reason, or does not answer; another holder has the lease.
    pub(super) async fn change(&self, step: PlannedStep, from: Mode, safety: Safety) -> Result<bool, Halt> {
        let PlannedStep { node, to } = step;
        self.display.activity(node, format!("{from} -> {to}"));
        let reply = match self.request(step, safety, true).await {
            // A rollback does not stop for lack of a state file; the summary says that a restart would undo it.
            Err(ClientError::Refused { reply, .. }) if safety == Safety::Forced && reply.code == "NoStateFile" => {
                self.request(step, safety, false).await
            }
            reply => reply,
        };
        let name = self.fleet.name(node);
        let (generation, note) = match reply {
            Ok(ModeReply { generation, persisted, .. }) => (generation, if persisted { " persisted" } else { "" }),
            Err(ClientError::Refused { reply, .. }) if reply.is_guarded() => return Ok(false),
            Err(ClientError::Refused { reply, .. }) if reply.code == "Leased" => {
                return Err(Halt::stopped(name, escaped(&reply.error)));
            }
            Err(error @ ClientError::Refused { .. }) => {
                return Err(Halt::failed(name, format!("{to} is refused: {}", escaped(&error.to_string()))));
            }
            // The answer was lost, but the change may have been made.
            Err(error) => (self.must_be(node, to, &error).await?, ""),
        };
        self.display.mode(node, to);
        self.has_changed(node, to);
        self.display.event(node, format!("changed: {from} -> {to}, generation {generation}{note}"));
        self.journal.note(format_args!("{CHANGED} {name} {from} -> {to} generation {generation}{note}"));
        Ok(true)
    }

    async fn request(&self, step: PlannedStep, safety: Safety, persist: bool) -> Result<ModeReply, ClientError> {
        let request = ModeRequest {
            mode: step.to.name(Spelling::Ssl).to_owned(),
            force: safety == Safety::Forced,
            guard: safety == Safety::Guarded,
            persist,
            holder: Some(self.leases.holder().to_owned()),
        };
        Ok(self.fleet.node(step.node).client.set_mode(&request).await?.value)
    }

    /// The node's generation; an error if the node is not in this mode now.
    async fn must_be(&self, node: usize, to: Mode, error: &ClientError) -> Result<u64, Halt> {
        let handle = self.fleet.node(node);
        let failed = |at: &str| Halt::failed(&handle.name, format!("{}{at}", escaped(&error.to_string())));
        let now =
            async { Node::of(&handle.name, handle.client.status().await?.value).map_err(AnswerError::Unreadable) };
        match now.await {
            Ok(now) if now.mode == to => Ok(now.status.generation),
            Ok(now) => Err(failed(&format!("; its mode is {}", now.mode))),
            Err(_) => Err(failed("")),
        }
    }

    /// Checks from outside that a node behaves as its mode requires. Returns a text about the result.
    ///
    /// # Errors
    /// A description of the difference.
    pub(super) async fn check_from_outside(&self, node: usize, now: &Node, mode: Mode) -> Result<String, Halt> {
        let handle = self.fleet.node(node);
        if now.is_outbound_only() {
            return Ok("verified: its links are up; no check from outside, since it has no inbound route".to_owned());
        }
        let address = match &handle.public {
            PublicAddress::At(address) => Some(address.clone()),
            PublicAddress::OwnName => now.server.as_ref().and_then(|server| server.me.as_deref()?.parse().ok()),
            PublicAddress::None => None,
        };
        let Some(address) = address else {
            return Ok("not checked from outside: no address is known, or --public is none".to_owned());
        };
        let shown = printable(&address.to_string());
        self.display.activity(node, format!("checking {shown} from outside"));
        let found = external_check::verify(&address, mode).await;
        let found = found.map_err(|why| Halt::failed(&handle.name, printable(&why)))?;
        if !mode.accepts_plaintext() {
            self.accept_own_row(node).await;
        }
        Ok(format!("verified at {shown}: {}", found.join(", ")))
    }

    /// The external check is itself a plaintext client that was refused. Marks its inventory row as accepted, so that
    /// it does not block later steps. If this fails, the row stays, with the application name of the check.
    async fn accept_own_row(&self, node: usize) {
        let client = &self.fleet.node(node).client;
        let until = tokio::time::Instant::now() + OWN_ROW;
        while tokio::time::Instant::now() < until {
            let Ok(seen) = client.clients(true).await else { return };
            let mut own = seen.value.clients;
            own.retain(|row| row.application.as_deref() == Some(APPLICATION));
            for row in own.iter().filter(|row| !row.accepted) {
                let _ = client.accept(&row.key, true, true).await;
            }
            if !own.is_empty() || self.interrupt.pause(POLL / 10).await.is_err() {
                return;
            }
        }
    }
}
