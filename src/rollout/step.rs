//! One node's step: the change, and the look from outside whether it has come about.

use super::fleet::{NoAnswer, Public};
use super::halt::Halt;
use super::journal::CHANGED;
use super::node::Node;
use super::outside::{self, APPLICATION};
use super::plan::Step;
use super::walk::Walk;
use crate::admin_client::ClientError;
use crate::control::requests::ModeRequest;
use crate::control::views::ModeReply;
use crate::limits::{ROLLOUT_LOOK, ROLLOUT_OWN_ROW};
use crate::policy::{Mode, Spelling};
use crate::text::{escaped, printable};

/// How a step is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// As the ladder has it, refused where it would hurt.
    Guarded,
    /// Back, whatever it hurts.
    Forced,
}

impl Walk {
    /// Changes a node's mode. False: its guard has found someone who was not there before.
    ///
    /// # Errors
    /// The node refuses for another reason, or is gone; the lease is another's.
    pub(super) async fn change(&self, step: Step, from: Mode, how: How) -> Result<bool, Halt> {
        let Step { node, to } = step;
        self.screen.busy(node, format!("{from} -> {to}"));
        let reply = match self.ask(step, how, true).await {
            // A way back is not given up for want of a file: that a restart would undo it, is said at the end.
            Err(ClientError::Refused { reply, .. }) if how == How::Forced && reply.code == NO_STATE_FILE => {
                self.ask(step, how, false).await
            }
            reply => reply,
        };
        let name = self.fleet.name(node);
        let (generation, note) = match reply {
            Ok(ModeReply { generation, persisted, .. }) => (generation, if persisted { " persisted" } else { "" }),
            Err(ClientError::Refused { reply, .. }) if reply.code == "Guarded" => return Ok(false),
            Err(ClientError::Refused { reply, .. }) if reply.code == "Leased" => {
                return Err(Halt::stopped(name, escaped(&reply.error)));
            }
            Err(error @ ClientError::Refused { .. }) => {
                return Err(Halt::failed(name, format!("{to} is refused: {}", escaped(&error.to_string()))));
            }
            // The answer was lost; the change may not be.
            Err(error) => (self.must_be(node, to, &error).await?, ""),
        };
        self.screen.mode(node, to);
        self.has_changed(node, to);
        self.screen.doing(node, format!("changed: {from} -> {to}, generation {generation}{note}"));
        self.journal.note(format_args!("{CHANGED} {name} {from} -> {to} generation {generation}{note}"));
        Ok(true)
    }

    async fn ask(&self, step: Step, how: How, persist: bool) -> Result<ModeReply, ClientError> {
        let request = ModeRequest {
            mode: step.to.name(Spelling::Ssl).to_owned(),
            force: how == How::Forced,
            guard: how == How::Guarded,
            persist,
            holder: Some(self.leases.holder().to_owned()),
        };
        Ok(self.fleet.node(step.node).client.set_mode(&request).await?.value)
    }

    /// Its generation, if that is its mode now.
    async fn must_be(&self, node: usize, to: Mode, error: &ClientError) -> Result<u64, Halt> {
        let handle = self.fleet.node(node);
        let now = async { Node::of(&handle.name, &handle.client.status().await?.value).map_err(NoAnswer::Unreadable) };
        match now.await {
            Ok(now) if now.mode == to => Ok(now.generation),
            Ok(now) => {
                Err(Halt::failed(&handle.name, format!("{}; it is at {}", escaped(&error.to_string()), now.mode)))
            }
            Err(_) => Err(Halt::failed(&handle.name, escaped(&error.to_string()))),
        }
    }

    /// Looks from outside whether a node does as its mode says. Returns what was found, in words.
    ///
    /// # Errors
    /// What it does instead.
    pub(super) async fn look_from_outside(&self, node: usize, now: &Node, mode: Mode) -> Result<String, Halt> {
        let handle = self.fleet.node(node);
        if now.is_outbound_only() {
            return Ok("verified: its links are up; it takes no clients, so there is nothing to look at".to_owned());
        }
        let place = match &handle.public {
            Public::At(place) => Some(place.clone()),
            Public::Own => now.server.as_ref().and_then(|server| server.me.as_deref()).and_then(|me| me.parse().ok()),
            Public::Nowhere => None,
        };
        let Some(place) = place else {
            return Ok("not looked at from outside: no address is known (--public)".to_owned());
        };
        self.screen.busy(node, format!("looking at {} from outside", printable(&place.to_string())));
        let found = outside::verify(&place, mode).await.map_err(|why| Halt::failed(&handle.name, printable(&why)))?;
        if !mode.accepts_plaintext() {
            self.accept_own_row(node).await;
        }
        Ok(format!("verified at {}: {}", printable(&place.to_string()), found.join(", ")))
    }

    /// Our own plaintext opening made a row among the clients, which must not stand in anybody's way later. Best effort:
    /// the row is that of a refused client, named so that people know it.
    async fn accept_own_row(&self, node: usize) {
        let client = &self.fleet.node(node).client;
        let until = tokio::time::Instant::now() + ROLLOUT_OWN_ROW;
        while tokio::time::Instant::now() < until {
            let Ok(seen) = client.clients(true).await else { return };
            let ours: Vec<_> =
                seen.value.clients.into_iter().filter(|row| row.application.as_deref() == Some(APPLICATION)).collect();
            for row in ours.iter().filter(|row| !row.accepted) {
                let _ = client.accept(&row.key, true).await;
            }
            if !ours.is_empty() || self.interrupt.pause(ROLLOUT_LOOK / 10).await.is_err() {
                return;
            }
        }
    }
}

const NO_STATE_FILE: &str = "NoStateFile";
