//! What is waited for: clients that have not moved, links that are of the old kind. Who it is, is shown all the while.

use std::collections::BTreeMap;
use std::time::Instant;

use super::fleet::NoAnswer;
use super::halt::Halt;
use super::walk::{Walk, all_of};
use crate::control::Recycle;
use crate::control::views::Blocker;
use crate::limits::{OTHER_LINK_AGAIN, ROLLOUT_LOOK, ROLLOUT_MISSED, ROLLOUT_NAMED, ROLLOUT_RECYCLE};
use crate::policy::{Mode, Spelling};
use crate::text::escaped;

/// Who is in the way, node by node.
pub(super) type InTheWay = BTreeMap<usize, Vec<Blocker>>;

impl Walk {
    /// Waits until nothing stands in the way of a mode at any of these nodes.
    ///
    /// # Errors
    /// Who still does, when the wait is over; a server that the mode could not reach; a signal.
    pub(super) async fn ready(&self, nodes: &[usize], to: Mode) -> Result<(), Halt> {
        let began = Instant::now();
        // What is known of TLS to a server may be a minute old, from before that server took it.
        let patience = self.wait.min(OTHER_LINK_AGAIN + ROLLOUT_RECYCLE);
        let mut missed = 0;
        loop {
            self.check()?;
            let found = match self.in_the_way(nodes, to).await {
                Err(Halt::Failed(_)) if missed < ROLLOUT_MISSED => {
                    missed += 1;
                    self.reached().await?;
                    continue;
                }
                found => found?,
            };
            missed = 0;
            if found.is_empty() {
                return Ok(());
            }
            let is_fatal = |blocker: &Blocker| blocker.fatal || blocker.kind == "upstream";
            let fatal = found.iter().find_map(|(node, all)| Some((node, all.iter().find(|one| is_fatal(one))?)));
            if let Some((node, blocker)) = fatal
                && began.elapsed() >= patience
            {
                let text = format!("{}: {}", escaped(&blocker.text), escaped(&blocker.remedy));
                return Err(Halt::failed(self.fleet.name(*node), text));
            }
            if fatal.is_none() && began.elapsed() >= self.wait {
                return Err(Halt::Stopped(self.waited_for(&found, to)));
            }
            for node in nodes {
                match found.get(node) {
                    Some(blockers) => {
                        self.tell_changed(*node, &format!("before {to}, waiting for: {}", named(blockers)))
                    }
                    None => self.screen.busy(*node, format!("ready for {to}")),
                }
            }
            self.interrupt.pause(ROLLOUT_LOOK).await?;
        }
    }

    /// Who stands in the way of a mode at these nodes.
    async fn in_the_way(&self, nodes: &[usize], to: Mode) -> Result<InTheWay, Halt> {
        let answers = self.fleet.each(nodes, |handle| async move {
            let ready = handle.client.ready(to, Spelling::Ssl).await?.value;
            if to.accepts_tls() {
                return Ok(ready.blockers);
            }
            let clients = handle.client.clients(false).await?.value.clients;
            // Members follow their own policy: by the time of this step, all dial plaintext.
            let is_member = |one: &Blocker| {
                clients.iter().any(|row| {
                    row.member && Some(&row.ip) == one.address.as_ref() && row.application == one.application
                })
            };
            Ok(ready.blockers.into_iter().filter(|one| !is_member(one)).collect())
        });
        let answers: Vec<Vec<Blocker>> =
            all_of(answers.await).map_err(|(at, error)| self.no_answer(nodes[at], &error))?;
        Ok(nodes.iter().copied().zip(answers).filter(|(_, blockers)| !blockers.is_empty()).collect())
    }

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
                return Err(Halt::Stopped(left.join("\n")));
            }
            self.interrupt.pause(ROLLOUT_RECYCLE).await?;
        }
    }

    async fn recycled(&self, nodes: &[usize]) -> Result<Vec<String>, Halt> {
        let mut left = Vec::new();
        for node in nodes {
            if let Some(why) = self.recycle(*node).await? {
                self.tell_changed(*node, &why);
                left.push(format!("{}: {why}", self.fleet.name(*node)));
            }
        }
        Ok(left)
    }

    /// Moves a node's old connections, once. None where there are none left; else what is, in words.
    ///
    /// # Errors
    /// The node does not answer.
    pub(super) async fn recycle(&self, node: usize) -> Result<Option<String>, Halt> {
        let client = &self.fleet.node(node).client;
        let failed = |error: crate::admin_client::ClientError| self.no_answer(node, &error.into());
        if client.status().await.map_err(failed)?.value.connections.non_conforming == 0 {
            return Ok(None);
        }
        self.screen.busy(node, "moving old connections");
        let reply = client.recycle(&Recycle::default()).await.map_err(failed)?.value;
        if reply.moved + reply.ended > 0 {
            let text = format!("old connections: {} moved, {} ended by themselves", reply.moved, reply.ended);
            self.tell(node, &text);
        }
        let left = client.status().await.map_err(failed)?.value.connections.non_conforming;
        if left == 0 {
            return Ok(None);
        }
        let risks: Vec<_> = reply.risks.iter().map(|risk| format!("; {}", escaped(risk))).collect();
        let hint = match reply.left_alone {
            0 => String::new(),
            _ => format!(" (tlsramp ctl --admin {} recycle --force)", self.fleet.name(node)),
        };
        Ok(Some(format!("old connections left to move: {left}{}{hint}", risks.concat())))
    }

    fn no_answer(&self, node: usize, error: &NoAnswer) -> Halt {
        Halt::failed(self.fleet.name(node), error)
    }

    /// For the record only what is new.
    fn tell_changed(&self, node: usize, text: &str) {
        if self.screen.is_doing(node, text) {
            return;
        }
        self.tell(node, text);
    }

    /// Who was waited for, in full: what each would have to do, and how it is accepted.
    fn waited_for(&self, found: &InTheWay, to: Mode) -> String {
        let mut lines = vec![format!("waited {} s, and {to} would still hurt:", self.wait.as_secs())];
        for (node, blockers) in found {
            let name = self.fleet.name(*node);
            for Blocker { text, remedy, key, .. } in blockers {
                lines.push(format!("{name}: {}: {}", escaped(text), escaped(remedy)));
                lines.extend(key.iter().map(|key| {
                    format!("{name}: accept it by: tlsramp ctl --admin {name} accept {}", quoted(&escaped(key)))
                }));
            }
        }
        lines.join("\n")
    }
}

/// Some of them, in one line.
pub(super) fn named(blockers: &[Blocker]) -> String {
    let mut named: Vec<_> = blockers.iter().take(ROLLOUT_NAMED).map(|blocker| escaped(&blocker.text)).collect();
    if let Some(more) = blockers.len().checked_sub(ROLLOUT_NAMED).filter(|more| *more > 0) {
        named.push(format!("and {more} more"));
    }
    named.join("; ")
}

/// For a shell: a name that a client has given itself must not become a command of whoever copies it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::{named, quoted};
    use crate::control::views::Blocker;

    #[test]
    fn who_is_waited_for_fits_a_line_and_is_no_command() {
        let blockers: Vec<_> = (0..6).map(|n| Blocker { text: format!("a{n}\n"), ..Blocker::default() }).collect();
        assert_eq!(named(&blockers), r"a0\n; a1\n; a2\n; a3\n; and 2 more");
        assert_eq!(named(&blockers[..1]), r"a0\n");
        assert_eq!(quoted("1.1.1.1/x'; rm -rf ~ #/d"), r"'1.1.1.1/x'\''; rm -rf ~ #/d'");
    }
}
