//! Waits for clients that a mode would refuse, and names them in the meantime.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Instant;

use super::command::ACCEPT;
use super::context::Rollout;
use super::fleet::all_of;
use super::halt::Halt;
use super::limits::{NAMED_IN_LINE, POLL, RECYCLE};
use crate::admin::replies::{BlockerKind, BlockerReply, ConnectionRow};
use crate::admin_client::quoted;
use crate::limits::OTHER_LINK_AGAIN;
use crate::policy::{Mode, Spelling};
use crate::telemetry::{ClientIdentity, Scope};
use crate::text::escaped;

type BlockersByNode = BTreeMap<usize, Vec<BlockerReply>>;

impl Rollout {
    /// Waits until these nodes are ready for a mode.
    ///
    /// # Errors
    /// The blockers that remain when the wait is over; a server that would be unreachable in the mode; a signal.
    pub(super) async fn ready(&self, nodes: &[usize], to: Mode) -> Result<(), Halt> {
        let began = Instant::now();
        // A node tries TLS to a server at most once a minute, so its last result may be from before the server had TLS.
        // A fatal blocker therefore ends the wait only after that time.
        let fatal_wait = self.wait.min(OTHER_LINK_AGAIN + RECYCLE);
        loop {
            self.check()?;
            let Some(found) = self.tolerate(self.blockers(nodes, to).await).await? else { continue };
            if found.is_empty() {
                return Ok(());
            }
            let is_fatal = |blocker: &BlockerReply| blocker.fatal || blocker.kind == BlockerKind::Upstream;
            let fatal = found.iter().find_map(|(node, all)| Some((node, all.iter().find(|one| is_fatal(one))?)));
            if let Some((node, blocker)) = fatal
                && began.elapsed() >= fatal_wait
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
                        let hint = hint(blockers, &self.fleet.node(*node).ctl, to);
                        self.tell_changed(*node, &format!("before {to}, waiting for: {}{hint}", in_a_line(blockers)));
                    }
                    None => self.display.activity(*node, format!("ready for {to}")),
                }
            }
            self.interrupt.pause(POLL).await?;
        }
    }

    async fn blockers(&self, nodes: &[usize], to: Mode) -> Result<BlockersByNode, Halt> {
        let links = if to.accepts_tls() { BTreeSet::new() } else { self.application_links().await? };
        let answers = self.fleet.each(nodes, |handle| {
            let links = links.clone();
            async move {
                let ready = handle.client.ready(to, Spelling::Ssl).await?.value;
                if to.accepts_tls() {
                    return Ok(ready.blockers);
                }
                let open = handle.client.connections(false).await?.value.connections;
                // Members are not waited for: they follow the policy of their own tlsramp, and before any node takes
                // the step to `disabled`, all dial plaintext.
                let blocks = |one: &BlockerReply| !one.member && !comes_by_a_node(one, &open, &links);
                Ok(ready.blockers.into_iter().filter(blocks).collect())
            }
        });
        let answers: Vec<Vec<BlockerReply>> =
            all_of(answers.await).map_err(|(at, error)| self.no_answer(nodes[at], &error))?;
        Ok(nodes.iter().copied().zip(answers).filter(|(_, blockers)| !blockers.is_empty()).collect())
    }

    /// The source addresses of the open links from proxies beside applications.
    async fn application_links(&self) -> Result<BTreeSet<SocketAddr>, Halt> {
        let nodes = self.reached().await?;
        let beside: Vec<_> = (0..nodes.len()).filter(|node| nodes[*node].is_outbound_only()).collect();
        let answers = self
            .fleet
            .each(&beside, |handle| async move { Ok(handle.client.connections(false).await?.value.connections) });
        let rows = all_of(answers.await).map_err(|(at, error)| self.no_answer(beside[at], &error))?;
        Ok(rows.into_iter().flatten().filter_map(|row| canonical(&row.upstream_local?)).collect())
    }

    /// All blockers, with their remedies, and the commands that accept them.
    fn waited_for(&self, found: &BlockersByNode, to: Mode) -> String {
        let mut lines = vec![format!("waited {} s; {to} would still refuse or cut off:", self.wait.as_secs())];
        for (node, blockers) in found {
            let (name, ctl) = (self.fleet.name(*node), &self.fleet.node(*node).ctl);
            for BlockerReply { text, remedy, key, .. } in blockers {
                lines.push(format!("{name}: {}: {}", escaped(text), escaped(remedy)));
                let accept =
                    |key: &String| format!("{name}: to accept it, run: {ctl} accept {}", quoted(&escaped(key)));
                lines.extend(key.iter().map(accept));
            }
        }
        if found.values().flatten().any(|blocker| blocker.key.is_some()) {
            lines.push(format!(
                "or, to accept clients on all nodes at once: run this rollout again with --{ACCEPT} KEY for each key \
                 above"
            ));
        }
        lines.join("\n")
    }
}

/// Names the first few blockers in one line, and the number of the others.
pub(super) fn in_a_line(blockers: &[BlockerReply]) -> String {
    let mut named: Vec<_> = blockers.iter().take(NAMED_IN_LINE).map(|blocker| escaped(&blocker.text)).collect();
    named.extend((blockers.len() > NAMED_IN_LINE).then(|| format!("and {} more", blockers.len() - NAMED_IN_LINE)));
    named.join("; ")
}

/// Names the command that prints how to end connections that bypass tlsramp, since they do not end by themselves.
fn hint(blockers: &[BlockerReply], ctl: &str, to: Mode) -> String {
    if !blockers.iter().any(|blocker| blocker.kind == BlockerKind::Bypass) {
        return String::new();
    }
    format!(" ({ctl} ready --to {to} prints the commands that end them)")
}

/// Whether all open TLS connections of a client are links of listed proxies beside applications. Such links follow the
/// policy of the rollout too.
fn comes_by_a_node(blocker: &BlockerReply, open: &[ConnectionRow], links: &BTreeSet<SocketAddr>) -> bool {
    let is_its = |row: &&ConnectionRow| blocker.client.is_some() && client_key(row) == blocker.client;
    let mut its = open.iter().filter(is_its).filter(|row| row.opening != "plaintext").peekable();
    its.peek().is_some() && its.all(|row| canonical(&row.peer).is_some_and(|peer| links.contains(&peer)))
}

/// The key of a connection's client, in the form that blockers use.
fn client_key(row: &ConnectionRow) -> Option<String> {
    let (application, driver) = (row.application.clone(), row.driver.clone());
    let scope = if row.member { Scope::Member } else { Scope::Client };
    Some(ClientIdentity { ip: canonical(&row.peer)?.ip(), application, driver, scope }.text())
}

/// The address; an IPv4-mapped one as IPv4.
fn canonical(address: &str) -> Option<SocketAddr> {
    let address = address.parse::<SocketAddr>().ok()?;
    Some(SocketAddr::new(address.ip().to_canonical(), address.port()))
}

#[cfg(test)]
mod tests {
    use super::{comes_by_a_node, hint, in_a_line};
    use crate::admin::replies::{BlockerKind, BlockerReply, ConnectionRow};

    #[test]
    fn clients_that_follow_the_policy_are_not_waited_for() {
        let blocker = BlockerReply { client: Some("1.1.1.1/shop/-".into()), ..BlockerReply::default() };
        let row = |peer: &str, opening: &str| ConnectionRow {
            peer: peer.into(),
            opening: opening.into(),
            application: Some("shop".into()),
            ..ConnectionRow::default()
        };
        let links = ["1.1.1.1:5", "1.1.1.1:6"].map(|link| link.parse().unwrap()).into_iter().collect();
        for (open, follows) in [
            (vec![row("1.1.1.1:5", "tls"), row("[::ffff:1.1.1.1]:6", "tls"), row("1.1.1.1:7", "plaintext")], true),
            (vec![row("1.1.1.1:5", "tls"), row("1.1.1.1:7", "tls")], false),
            (vec![row("2.2.2.2:5", "tls")], false),
            (Vec::new(), false),
        ] {
            assert_eq!(comes_by_a_node(&blocker, &open, &links), follows, "{open:?}");
        }
        // Other clients of the same address do not count: a member, another driver, one without a name.
        let open = [row("1.1.1.1:5", "tls")];
        for key in ["1.1.1.1/shop/-/member", "1.1.1.1/shop/PyMongo", "1.1.1.1/-/-"] {
            let blocker = BlockerReply { client: Some(key.into()), ..BlockerReply::default() };
            assert!(!comes_by_a_node(&blocker, &open, &links), "{key}");
        }
        assert!(!comes_by_a_node(&BlockerReply::default(), &open, &links));
    }

    #[test]
    fn bypassing_connections_come_with_the_command_against_them() {
        let blocker = |kind| BlockerReply { kind, ..BlockerReply::default() };
        let expected = " (tlsramp ctl ready --to requireSSL prints the commands that end them)";
        let require = crate::policy::Mode::Require;
        assert_eq!(
            hint(&[blocker(BlockerKind::PlaintextOpen), blocker(BlockerKind::Bypass)], "tlsramp ctl", require),
            expected
        );
        assert_eq!(hint(&[blocker(BlockerKind::PlaintextOpen)], "tlsramp ctl", require), "");
    }

    #[test]
    fn blockers_fit_a_line() {
        let blockers: Vec<_> =
            (0..6).map(|n| BlockerReply { text: format!("a{n}\n"), ..BlockerReply::default() }).collect();
        assert_eq!(in_a_line(&blockers), r"a0\n; a1\n; a2\n; a3\n; and 2 more");
        assert_eq!(in_a_line(&blockers[..1]), r"a0\n");
    }
}
