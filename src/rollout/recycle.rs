//! Recycles old connections at a message boundary, waits for them, and names those that remain.

use std::time::Instant;

use super::context::Rollout;
use super::halt::Halt;
use super::limits::{CONNECTIONS_LISTED, RECYCLE};
use super::remaining;
use crate::admin::replies::{ConnectionRow, RecycleReply};
use crate::admin::requests::RecycleParameters;
use crate::admin_client::ClientError;
use crate::telemetry::now_millis;
use crate::text::escaped;

/// The old connections of a node that remain after a recycle request.
#[derive(Debug)]
pub(super) struct RemainingConnections {
    rows: Vec<ConnectionRow>,
    count: usize,
    /// The reasons why some were left open, and the command that recycles them too.
    risks: String,
}

impl RemainingConnections {
    pub(super) fn text(&self) -> String {
        let RemainingConnections { rows, count, risks } = self;
        let which = remaining::in_a_line(rows, now_millis());
        let colon = if which.is_empty() { "" } else { ": " };
        format!("old connections that remain: {count}{colon}{which}{risks}")
    }
}

impl Rollout {
    /// Recycles the old connections of these nodes until all open connections conform to their node's mode.
    ///
    /// # Errors
    /// The connections that remain when the wait is over, or a signal.
    pub(super) async fn move_all(&self, nodes: &[usize]) -> Result<(), Halt> {
        let began = Instant::now();
        loop {
            self.check()?;
            let Some(remaining) = self.tolerate(self.recycle_all(nodes).await).await? else { continue };
            if remaining.is_empty() {
                return Ok(());
            }
            if began.elapsed() >= self.wait {
                return Err(Halt::Stopped(self.not_moved(&remaining)));
            }
            self.interrupt.pause(RECYCLE).await?;
        }
    }

    async fn recycle_all(&self, nodes: &[usize]) -> Result<Vec<(usize, RemainingConnections)>, Halt> {
        let mut all = Vec::new();
        for node in nodes {
            if let Some(remaining) = self.recycle(*node).await? {
                self.tell_changed(*node, &remaining.text());
                all.push((*node, remaining));
            }
        }
        Ok(all)
    }

    /// Recycles a node's old connections once. Returns those that remain, if any.
    ///
    /// # Errors
    /// The node does not answer.
    pub(super) async fn recycle(&self, node: usize) -> Result<Option<RemainingConnections>, Halt> {
        let client = &self.fleet.node(node).client;
        let failed = |error: ClientError| self.no_answer(node, &error.into());
        if client.status().await.map_err(failed)?.value.connections.non_conforming == 0 {
            return Ok(None);
        }
        self.display.activity(node, "recycling old connections");
        // With --grace, connections whose clients may see an error have to end too. Without `force`, they would be left
        // open.
        let request = RecycleParameters { force: self.grace.is_some(), grace_secs: self.grace, wait_secs: None };
        let reply = client.recycle(&request).await.map_err(failed)?.value;
        let RecycleReply { moved, cut, ended, .. } = reply;
        if moved + cut + ended > 0 {
            let cut = if cut > 0 { format!("{cut} cut, ") } else { String::new() };
            self.tell(node, &format!("old connections: {moved} recycled, {cut}{ended} ended by client or server"));
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
        Ok(Some(RemainingConnections { rows, count, risks: risks.concat() + &hint }))
    }

    /// Lines for the first connections that remain when the wait is over, and the option that cuts such connections.
    fn not_moved(&self, remaining: &[(usize, RemainingConnections)]) -> String {
        let mut lines = Vec::new();
        for (node, RemainingConnections { rows, count, risks }) in remaining {
            let name = self.fleet.name(*node);
            lines.push(format!("{name}: old connections that remain: {count}{risks}"));
            let rows = remaining::lines(rows, CONNECTIONS_LISTED, now_millis());
            lines.extend(rows.iter().map(|row| format!("{name}: {row}")));
        }
        lines.push(
            "--grace SECONDS ends the wait: it cuts connections that remain by then, and their clients may see an error"
                .to_owned(),
        );
        lines.join("\n")
    }
}
