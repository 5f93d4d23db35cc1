//! Whether every node reaches every server, by its probes and links. Checked after each step, before the step counts as
//! verified, and once more at the end.

use std::collections::BTreeMap;
use std::time::Instant;

use super::context::Rollout;
use super::halt::Halt;
use super::limits::{POLL, UNHEALTHY};
use super::node::Node;
use crate::admin::replies::{LinkStatus, UpstreamStatus};
use crate::policy::Mode;
use crate::text::printable;

/// Servers that a node does not reach, by the index of the node, the route and the server; the value is the reason.
pub(super) type UnreachedServers = BTreeMap<(usize, String, String), String>;

/// All servers that a node does not reach. PURE.
pub(super) fn unreached(nodes: &[Node]) -> UnreachedServers {
    let mut found = UnreachedServers::new();
    for (place, node) in nodes.iter().enumerate() {
        for up in node.outbound.iter().filter(|up| !up.up && !up.checked.is_empty()) {
            let link = node.status.links.iter().find(|link| is_link_of(link, up));
            let reason = up.reason.as_deref().unwrap_or("the reason is unknown");
            found.insert((place, up.route.clone(), up.upstream.clone()), with_suggestion(reason, link));
        }
        // A failed server is reported above under its name. Skip its redirected link, which is listed under the
        // server's address.
        let is_probed = |link: &LinkStatus| node.outbound.iter().any(|up| !up.up && is_link_of(link, up));
        for link in node.status.links.iter().filter(|link| !link.up && !is_probed(link)) {
            if let Some(reason) = &link.reason {
                let key = (place, link.route.clone(), link.destination.clone());
                found.insert(key, with_suggestion(reason, Some(link)));
            }
        }
    }
    found
}

fn is_link_of(link: &LinkStatus, up: &UpstreamStatus) -> bool {
    link.route == up.route && (link.destination == up.upstream || (link.reason.is_some() && link.reason == up.reason))
}

/// The reason, with the option that the node suggests.
fn with_suggestion(reason: &str, link: Option<&LinkStatus>) -> String {
    let option = link.and_then(|link| link.suggestion.as_deref());
    let option =
        option.map(|option| format!("; if this is the intended server, start the node's tlsramp with {option}"));
    format!("{reason}{}", option.unwrap_or_default())
}

/// Whether a node has probed its outbound links since it changed to this mode. PURE.
fn has_probed(before: &Node, node: &Node, mode: Mode) -> bool {
    let link = if mode.dials_tls() { "tls" } else { "plaintext" };
    // If nothing is probed, there is nothing to wait for.
    let probes = node.outbound.iter().any(|up| !up.checked.is_empty());
    let is_new = |up: &UpstreamStatus| {
        let same = |old: &&UpstreamStatus| (&old.route, &old.upstream) == (&up.route, &up.upstream);
        match before.outbound.iter().find(same) {
            // This server is never probed.
            Some(old) if old.checked.is_empty() && up.checked.is_empty() => true,
            Some(old) if old.checked == up.checked => false,
            Some(_) | None => up.link == link || up.link == "untouched",
        }
    };
    !probes || node.outbound.iter().all(is_new)
}

/// The problems after a node's step to a mode: servers that were reached before and are not now, unhealthy servers,
/// redirect rules that are gone, and links of the node that were not probed since. PURE.
fn got_worse(before: &[Node], now: &[Node], node: usize, mode: Mode) -> UnreachedServers {
    let known = unreached(before);
    let mut found = unreached(now);
    found.retain(|key, _| !known.contains_key(key));
    let mut add = |place, route: &str, server: &str, reason| found.insert((place, route.into(), server.into()), reason);
    for (place, (old, new)) in before.iter().zip(now).enumerate() {
        if let Some(ailment) = new.ailment() {
            add(place, "inbound", "its server", ailment);
        }
        if (old.status.redirect, new.status.redirect) == (Some(true), Some(false)) {
            let reason = "its redirect rules are missing (tlsramp netfilter ... --apply)".to_owned();
            add(place, "outbound transparent", "the other members", reason);
        }
        if place == node && !has_probed(old, new, mode) {
            let reason = format!("its links were not probed since it changed to {mode}");
            add(place, "outbound", "every server", reason);
        }
    }
    found
}

/// A line for each server. PURE.
pub(super) fn text(found: &UnreachedServers, names: &[String]) -> String {
    let line = |((node, route, server), reason): (&(usize, String, String), &String)| {
        let name = names.get(*node).map(String::as_str).unwrap_or_default();
        format!("{name}: it does not reach {} ({}): {}", printable(server), printable(route), printable(reason))
    };
    found.iter().map(line).collect::<Vec<_>>().join("\n")
}

impl Rollout {
    /// Waits, within a bound, until every node reaches the servers that it reached before a step; the node that took
    /// the step must reach them by the links of its new mode.
    ///
    /// # Errors
    /// Servers that are not reached, with the reason; an unhealthy server; missing redirect rules; a signal.
    pub(super) async fn all_still_reached(&self, before: &[Node], node: usize, mode: Mode) -> Result<(), Halt> {
        self.until_reached(|now| got_worse(before, now, node, mode)).await
    }

    /// Waits, within a bound, until every node reaches every listed node and every server that it reached at the start.
    ///
    /// # Errors
    /// Servers that are not reached, with the reason; a signal.
    pub(super) async fn all_reached(&self, nodes: &[Node], at_start: &UnreachedServers) -> Result<(), Halt> {
        if unreached(nodes).is_empty() {
            return Ok(());
        }
        let survey = self.survey(nodes).await?;
        let is_listed = |node: usize, server: &str| {
            server.parse().is_ok_and(|target| survey.listed.has(node, &target, &survey.resolved))
        };
        self.until_reached(|nodes| {
            let mut found = unreached(nodes);
            found.retain(|key, _| !at_start.contains_key(key) || is_listed(key.0, &key.2));
            found
        })
        .await
    }

    async fn until_reached(&self, look: impl Fn(&[Node]) -> UnreachedServers) -> Result<(), Halt> {
        let began = Instant::now();
        loop {
            self.check()?;
            let found = look(&self.reached().await?);
            if found.is_empty() {
                return Ok(());
            }
            if began.elapsed() >= UNHEALTHY {
                return Err(Halt::Failed(text(&found, &self.fleet.names())));
            }
            for ((node, _, server), reason) in &found {
                self.display.activity(*node, format!("waiting for {}: {}", printable(server), printable(reason)));
            }
            self.interrupt.pause(POLL).await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Node, got_worse, has_probed, text, unreached};
    use crate::admin::replies::{LinkStatus, UpstreamStatus};
    use crate::policy::Mode::{Allow, Prefer};
    use crate::rollout::node::MemberState;
    use crate::rollout::node::tests::member;

    fn upstream(up: bool, link: &str, checked: &str) -> UpstreamStatus {
        UpstreamStatus {
            route: "outbound transparent".into(),
            upstream: "db7:27017".into(),
            up,
            link: link.into(),
            checked: checked.into(),
            reason: (!up).then(|| "no name\nverifies it".into()),
            ..UpstreamStatus::default()
        }
    }

    #[test]
    fn a_server_that_a_node_does_not_reach_is_named_with_the_reason() {
        for (up, found) in [
            (upstream(true, "tls", "t"), false),
            (upstream(false, "tls", "t"), true),
            // Without a probe, or before the first, nothing is known.
            (upstream(false, "", ""), false),
        ] {
            let mut node = member("a", MemberState::Primary, Prefer, &["a"]);
            node.outbound = vec![up];
            let unreached = unreached(&[node]);
            assert_eq!(!unreached.is_empty(), found, "{unreached:?}");
            let expected = if found {
                r"a:28017: it does not reach db7:27017 (outbound transparent): no name\nverifies it"
            } else {
                ""
            };
            assert_eq!(text(&unreached, &["a:28017".into()]), expected);
        }
    }

    #[test]
    fn a_link_without_a_probe_counts_and_its_remedy_is_named() {
        let link = |destination: &str, up, reason: Option<&str>| LinkStatus {
            route: "outbound transparent".into(),
            destination: destination.into(),
            up,
            reason: reason.map(Into::into),
            suggestion: Some("--member db7:27017=10.0.0.7".into()),
            ..LinkStatus::default()
        };
        let mut node = member("a", MemberState::Primary, Prefer, &["a"]);
        let mend = "; if this is the intended server, start the node's tlsramp with --member db7:27017=10.0.0.7";
        for (probed, link, expected) in [
            (
                None,
                link("10.0.0.7:27017", false, Some("no name")),
                Some(format!("10.0.0.7:27017 (outbound transparent): no name{mend}")),
            ),
            (None, link("10.0.0.7:27017", true, None), None),
            (None, link("10.0.0.7:27017", false, None), None),
            // The server is probed by its name and linked to by its address, but has only one line.
            (
                Some(upstream(false, "tls", "t")),
                link("10.0.0.7:27017", false, Some("no name\nverifies it")),
                Some(format!(r"db7:27017 (outbound transparent): no name\nverifies it{mend}")),
            ),
        ] {
            node.outbound = probed.into_iter().collect();
            node.status.links = vec![link];
            let found = text(&unreached(&[node.clone()]), &["a".into()]);
            let expected = expected.map(|text| format!("a: it does not reach {text}")).unwrap_or_default();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn only_changes_for_the_worse_count() {
        let node = |change: fn(&mut Node)| {
            let mut node = member("a", MemberState::Primary, Prefer, &["a"]);
            node.outbound = vec![upstream(true, "tls", "t")];
            node.status.redirect = Some(true);
            change(&mut node);
            node
        };
        let down: fn(&mut Node) = |node| node.outbound = vec![upstream(false, "tls", "t")];
        let ill: fn(&mut Node) = |node| node.server.iter_mut().for_each(|server| server.up = false);
        let gone: fn(&mut Node) = |node| node.status.redirect = Some(false);
        let well: fn(&mut Node) = |_| {};
        for (before, now, part) in [
            (well, well, None),
            (well, down, Some("does not reach db7:27017")),
            (down, down, None),
            (well, ill, Some("does not reach its server (inbound): the server behind it was not probed yet")),
            (well, gone, Some("its redirect rules are missing")),
            (gone, gone, None),
        ] {
            // Another node took the step.
            let found = got_worse(&[node(before)], &[node(now)], 1, Prefer);
            let text = text(&found, &["a".into()]);
            assert!(part.map_or(text.is_empty(), |part| text.contains(part)), "{part:?}: {text}");
        }
        let found = got_worse(&[node(well)], &[node(well)], 0, Prefer);
        assert!(text(&found, &["a".into()]).contains("not probed since it changed to preferSSL"), "{found:?}");
    }

    #[test]
    fn only_a_probe_by_the_new_link_counts() {
        let mut before = member("a", MemberState::Primary, Prefer, &["a"]);
        before.outbound = vec![upstream(true, "plaintext", "t")];
        for (up, mode, fresh) in [
            (upstream(true, "plaintext", "u"), Prefer, false),
            (upstream(true, "tls", "u"), Prefer, true),
            (upstream(false, "tls", "u"), Prefer, true),
            (upstream(true, "untouched", "u"), Prefer, true),
            (upstream(true, "tls", "u"), Allow, false),
            (upstream(true, "plaintext", "u"), Allow, true),
            (upstream(true, "plaintext", "t"), Allow, false),
            (upstream(false, "", ""), Prefer, true),
        ] {
            let node = Node { outbound: vec![up], ..before.clone() };
            assert_eq!(has_probed(&before, &node, mode), fresh, "{node:?}");
        }
        let outbound = vec![upstream(true, "tls", "u"), upstream(false, "", "")];
        let node = Node { outbound, ..before.clone() };
        assert!(!has_probed(&before, &node, Prefer), "one of them was not probed yet");
    }
}
