//! Old connections: moved at a message boundary, waited for, and named while they have not moved.

use std::time::Instant;

use super::halt::Halt;
use super::leftover;
use super::walk::Walk;
use crate::admin_client::ClientError;
use crate::control::Recycle;
use crate::control::views::{ConnectionRow, RecycleReply};
use crate::limits::{ROLLOUT_CONNECTIONS, ROLLOUT_MISSED, ROLLOUT_RECYCLE};
use crate::telemetry::now_millis;
use crate::text::escaped;

/// What a node has left after a request to move.
#[derive(Debug)]
pub(super) struct Left {
    rows: Vec<ConnectionRow>,
    count: usize,
    /// Why some were left alone, and how to move them all the same.
    risks: String,
}

impl Left {
    /// In one line.
    pub(super) fn in_words(&self) -> String {
        let Left { rows, count, risks } = self;
        let which = leftover::in_a_line(rows, now_millis());
        let colon = if which.is_empty() { "" } else { ": " };
        format!("old connections left to move: {count}{colon}{which}{risks}")
    }
}

impl Walk {
    /// Waits until these nodes have no connection left that their mode would not make, moving them.
    ///
    /// # Errors
    /// What is left when the wait is over, or a signal.
    pub(super) async fn moved(&self, nodes: &[usize]) -> Result<(), Halt> {
        let began = Instant::now();
        let mut missed = 0;
        loop {
            self.check()?;
            let left = match self.recycled(nodes).await {
                Err(Halt::Failed(_)) if missed < ROLLOUT_MISSED => {
                    missed += 1;
                    self.reached().await?;
                    continue;
                }
                left => left?,
            };
            missed = 0;
            if left.is_empty() {
                return Ok(());
            }
            if began.elapsed() >= self.wait {
                return Err(Halt::Stopped(self.not_moved(&left)));
            }
            self.interrupt.pause(ROLLOUT_RECYCLE).await?;
        }
    }

    async fn recycled(&self, nodes: &[usize]) -> Result<Vec<(usize, Left)>, Halt> {
        let mut all = Vec::new();
        for node in nodes {
            if let Some(left) = self.recycle(*node).await? {
                self.tell_changed(*node, &left.in_words());
                all.push((*node, left));
            }
        }
        Ok(all)
    }

    /// Moves a node's old connections, once. Returns what is left; `None` if nothing is.
    ///
    /// # Errors
    /// The node does not answer.
    pub(super) async fn recycle(&self, node: usize) -> Result<Option<Left>, Halt> {
        let client = &self.fleet.node(node).client;
        let failed = |error: ClientError| self.no_answer(node, &error.into());
        if client.status().await.map_err(failed)?.value.connections.non_conforming == 0 {
            return Ok(None);
        }
        self.screen.busy(node, "moving old connections");
        // Connections at risk are moved only by force, and an operator who gives a grace wants them gone too.
        let wish = Recycle { force: self.grace.is_some(), grace_secs: self.grace, wait_secs: None };
        let reply = client.recycle(&wish).await.map_err(failed)?.value;
        let RecycleReply { moved, cut, ended, .. } = reply;
        if moved + cut + ended > 0 {
            let cut = if cut > 0 { format!("{cut} cut, ") } else { String::new() };
            self.tell(node, &format!("old connections: {moved} moved, {cut}{ended} ended by themselves"));
        }
        let count = client.status().await.map_err(failed)?.value.connections.non_conforming;
        if count == 0 {
            return Ok(None);
        }
        let rows = client.connections(true).await.map_err(failed)?.value.connections;
        let risks: Vec<_> = reply.risks.iter().map(|risk| format!("; {}", escaped(risk))).collect();
        let hint = match reply.left_alone {
            0 => String::new(),
            _ => format!(" ({} recycle --force)", self.fleet.node(node).ctl),
        };
        Ok(Some(Left { rows, count, risks: risks.concat() + &hint }))
    }

    /// What is left when the wait is over: a line for each connection, and what ends it.
    fn not_moved(&self, left: &[(usize, Left)]) -> String {
        let mut lines = Vec::new();
        for (node, Left { rows, count, risks }) in left {
            let name = self.fleet.name(*node);
            lines.push(format!("{name}: old connections left to move: {count}{risks}"));
            let rows = leftover::lines(rows, ROLLOUT_CONNECTIONS, now_millis());
            lines.extend(rows.iter().map(|row| format!("{name}: {row}")));
        }
        lines.push(
            "--grace SECONDS ends the wait: it cuts what has not moved by then, and its clients may see an error"
                .to_owned(),
        );
        lines.join("\n")
    }
}
