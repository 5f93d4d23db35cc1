//! The links to other servers: for each destination of an outbound route, the last result of its connections and of its
//! probe. A link that fails causes a warning, a metric, and a blocker.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::ServerName;

use super::probe::{DialledDestination, LinkSeen, Traffic};
use super::remedy::RedirectedServer;
use super::view::View;
use crate::limits::{LINK_FAILING, LINKS_WARNED};
use crate::policy::{Acceptance, Link};
use crate::route::RouteId;
use crate::telemetry::{LinkFailure, LinkKey, LinkRecord, RedirectedTo, now_millis};
use crate::text::printable;

/// A link and its last result.
#[derive(Debug)]
pub struct LinkHealth {
    /// The route and the destination.
    pub key: LinkKey,
    redirected: Option<SocketAddr>,
    /// The names that are accepted for the server; its certificate must contain one of them.
    pub names: Vec<ServerName<'static>>,
    /// Whether the last link was TLS or plaintext.
    pub link: Option<Link>,
    /// The number of open connections to the destination.
    pub open: usize,
    /// When the link was last made or successfully probed, in milliseconds since 1970.
    pub last_ok: Option<i64>,
    /// When the link last failed, in milliseconds since 1970.
    pub last_failed: Option<i64>,
    /// The reason for the failure, if the link fails now.
    pub failure: Option<LinkFailure>,
    /// The option that names the server so that its certificate verifies, if one is known.
    pub suggestion: Option<String>,
    /// Whether the last probe failed. Then the list of servers has a warning already.
    probed_down: bool,
}

/// The links, sorted by route and destination.
pub(super) fn links(view: &View) -> Vec<LinkHealth> {
    let mut rows: BTreeMap<LinkKey, LinkHealth> = BTreeMap::new();
    for seen in view.prober().links() {
        let row = LinkHealth::probed(seen);
        rows.entry(row.key.clone()).or_insert(row);
    }
    let (open, members) = (open_links(view), view.members());
    for (key, record) in recent(view, &open) {
        let found = LinkHealth::dialled(key.clone(), record);
        let row = match rows.remove(&key) {
            Some(probed) => probed.with(found),
            None => found,
        };
        rows.insert(key, row);
    }
    let mut rows: Vec<_> = rows.into_values().collect();
    for row in &mut rows {
        row.open = open.get(&row.key).map_or(0, |open| open.all);
        let names = row.redirected.map(|address| members.names_at(address));
        if let Some(names) = names.filter(|names| *names != row.names) {
            // The destination's names have changed since the attempt: the suggestion may be outdated.
            (row.names, row.suggestion) = (names, None);
        }
    }
    // A row without a dial, a probe or an open connection shows nothing.
    rows.retain(|row| row.last_ok.is_some() || row.last_failed.is_some() || row.open > 0);
    rows
}

/// Returns two kinds of destinations. First, outbound destinations whose link protocol the mode decides and that have
/// an open connection or were dialled within the guard window. Second, destinations of connections that were made
/// before the redirect, if the server's name is unknown.
pub(super) fn dialled(view: &View) -> Vec<DialledDestination> {
    let (open, now) = (open_links(view), now_millis());
    let window = i64::try_from(view.loaded().settings.admin.guard_window.as_millis()).unwrap_or(i64::MAX);
    let by_policy = |(key, record): (LinkKey, LinkRecord)| {
        let by_policy = open.get(&key).map_or(0, |open| open.by_policy);
        let recent = record.by_policy.is_some_and(|last| now.saturating_sub(last) < window);
        let row = LinkHealth::dialled(key.clone(), record.clone());
        let failing = row.failure.clone().zip(row.last_failed).filter(|_| row.fails_now(now));
        let traffic = Traffic { open: by_policy, failing };
        let redirected = record.redirected;
        (recent || by_policy > 0).then_some(DialledDestination { key, redirected, traffic, bypasses: false })
    };
    let recent = recent(view, &open);
    let forgotten = open.iter().filter(|(key, _)| recent.iter().all(|(known, _)| known != *key));
    let forgotten: Vec<_> = forgotten.filter_map(|(key, open)| open.alone(key)).collect();
    let mut dialled: Vec<_> = recent.into_iter().filter_map(by_policy).chain(forgotten).collect();
    for original in view.interception().unnamed() {
        let key = LinkKey { route: RouteId::Transparent, destination: original.to_string().into() };
        if dialled.iter().all(|known| known.key != key) {
            let redirected = Some(RedirectedTo { original, dialled: original });
            dialled.push(DialledDestination { key, redirected, traffic: Traffic::default(), bypasses: true });
        }
    }
    dialled
}

/// The destinations that were dialled within the guard window, or have open connections.
fn recent(view: &View, open: &HashMap<LinkKey, OpenLinks>) -> Vec<(LinkKey, LinkRecord)> {
    let window = i64::try_from(view.loaded().settings.admin.guard_window.as_millis()).unwrap_or(i64::MAX);
    let now = now_millis();
    let mut recent = view.observer().links.list();
    recent.retain(|(key, record)| open.contains_key(key) || now.saturating_sub(record.last()) < window);
    recent
}

/// The open connections of outbound routes by destination.
fn open_links(view: &View) -> HashMap<LinkKey, OpenLinks> {
    let mut links = HashMap::<_, OpenLinks>::new();
    for open in view.observer().open_connections.list() {
        let Some(upstream) = open.upstream.as_deref().filter(|_| open.acceptance == Acceptance::Outbound) else {
            continue;
        };
        let key = LinkKey { route: open.route.id.clone(), destination: Arc::clone(&upstream.name) };
        let links = links.entry(key).or_default();
        links.all += 1;
        links.by_policy += usize::from(open.link != Link::Untouched);
    }
    links
}

/// Open connections to one destination.
#[derive(Debug, Default)]
struct OpenLinks {
    all: usize,
    /// The number of connections whose link protocol the mode decides. TLS that is passed through does not count.
    by_policy: usize,
}

impl OpenLinks {
    /// Rebuilds a destination that the bounded table has dropped, from the records of its open connections.
    fn alone(&self, key: &LinkKey) -> Option<DialledDestination> {
        let original = key.destination.parse().ok().filter(|_| key.route == RouteId::Transparent)?;
        let redirected = Some(RedirectedTo { original, dialled: original });
        let traffic = Traffic { open: self.by_policy, failing: None };
        (self.by_policy > 0).then(|| DialledDestination { key: key.clone(), redirected, traffic, bypasses: false })
    }
}

/// A warning for each link that fails now, up to a bound. Servers whose probe fails have warnings of their own.
pub(super) fn warnings(rows: &[LinkHealth]) -> Vec<String> {
    let failing = rows.iter().filter(|row| row.fails_now(now_millis()) && !row.probed_down);
    let mut warnings: Vec<_> = failing.map(LinkHealth::warning).collect();
    let more = warnings.len().saturating_sub(LINKS_WARNED);
    if more > 0 {
        warnings.truncate(LINKS_WARNED);
        warnings.push(format!("and {more} more links of outbound routes fail"));
    }
    warnings
}

impl LinkHealth {
    fn probed(seen: LinkSeen) -> LinkHealth {
        let LinkSeen { route, destination, redirected, names, link, up, checked, failure, other } = seen;
        let suggestion = redirected.and_then(|address| {
            let peer = RedirectedServer { address, names: &names };
            peer.suggestion(&failure.fault).or_else(|| peer.suggestion(&other))
        });
        LinkHealth {
            key: LinkKey { route, destination },
            redirected,
            link,
            open: 0,
            last_ok: checked.filter(|_| up),
            last_failed: checked.filter(|_| !up),
            failure: (!up && checked.is_some()).then_some(failure),
            suggestion,
            probed_down: !up && checked.is_some(),
            names,
        }
    }

    fn dialled(key: LinkKey, record: LinkRecord) -> LinkHealth {
        let failure = record.failing().cloned();
        let LinkRecord { redirected, names, link, last_ok, last_failed, .. } = record;
        let redirected = redirected.map(|to| to.original);
        let peer = redirected.map(|address| RedirectedServer { address, names: &names });
        let suggestion = peer.zip(failure.as_ref()).and_then(|(peer, failure)| peer.suggestion(&failure.fault));
        let failure = failure.map(|failure| LinkFailure {
            text: peer.map_or_else(|| failure.text.clone(), |peer| peer.reason(&failure.text, &failure.fault)),
            fault: failure.fault,
        });
        let (open, probed_down) = (0, false);
        LinkHealth {
            key,
            redirected,
            link: Some(link),
            open,
            last_ok,
            last_failed,
            failure,
            suggestion,
            probed_down,
            names,
        }
    }

    /// Combines the results of the probe and of connections: the later one counts.
    fn with(self, dialled: LinkHealth) -> LinkHealth {
        let last = |row: &LinkHealth| row.last_ok.max(row.last_failed);
        let (last_ok, last_failed) = (self.last_ok.max(dialled.last_ok), self.last_failed.max(dialled.last_failed));
        let dialled_later = last(&dialled) > last(&self);
        let suggestion = self.suggestion.clone().or_else(|| dialled.suggestion.clone());
        let later = if dialled_later { dialled } else { self };
        LinkHealth { last_ok, last_failed, suggestion, ..later }
    }

    /// Whether the link works, as far as is known.
    pub fn up(&self) -> bool {
        self.failure.is_none() && (self.last_ok.is_some() || self.open > 0)
    }

    /// Whether the link fails, and its last failure is younger than [`LINK_FAILING`].
    fn fails_now(&self, now: i64) -> bool {
        let since = i64::try_from(LINK_FAILING.as_millis()).unwrap_or(i64::MAX);
        self.failure.is_some() && self.last_failed.is_some_and(|last| now.saturating_sub(last) < since)
    }

    /// Whether the link failed, and nothing has tried it for [`LINK_FAILING`].
    pub(super) fn is_given_up(&self, now: i64) -> bool {
        self.failure.is_some() && !self.probed_down && self.open == 0 && !self.fails_now(now)
    }

    fn warning(&self) -> String {
        let LinkKey { route, destination } = &self.key;
        let reason = self.failure.as_ref().map_or("unknown reason", |failure| &failure.text);
        let mend =
            self.suggestion.as_ref().map(|option| format!("; if this is the intended server, start with: {option}"));
        format!("{destination} ({route}) cannot be reached: {}{}", printable(reason), mend.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{LinkHealth, warnings};
    use crate::control::probe::LinkSeen;
    use crate::limits::{LINK_FAILING, LINKS_WARNED};
    use crate::policy::Link;
    use crate::route::RouteId;
    use crate::telemetry::{LinkFailure, LinkKey, LinkRecord, RedirectedTo, now_millis};
    use crate::tls::PeerFault;

    fn wrong_name() -> LinkFailure {
        LinkFailure { text: "as rustls has it".into(), fault: PeerFault::WrongName(vec!["db7".into()]) }
    }

    fn dialled(last_ok: Option<i64>, last_failed: Option<i64>) -> LinkHealth {
        let key = LinkKey { route: RouteId::Transparent, destination: "10.0.0.7:27017".into() };
        let original = "10.0.0.7:27017".parse().unwrap();
        let record = LinkRecord {
            redirected: Some(RedirectedTo { original, dialled: original }),
            names: vec![rustls::pki_types::ServerName::IpAddress(original.ip().into())],
            link: Link::Tls,
            by_policy: None,
            last_ok,
            last_failed,
            failure: last_failed.map(|_| wrong_name()),
        };
        LinkHealth::dialled(key, record)
    }

    fn probed(up: bool, checked: i64) -> LinkHealth {
        LinkHealth::probed(LinkSeen {
            route: RouteId::Transparent,
            destination: "10.0.0.7:27017".into(),
            redirected: None,
            names: Vec::new(),
            link: Some(Link::Tls),
            up,
            checked: Some(checked),
            failure: LinkFailure { text: "down".into(), fault: PeerFault::Other },
            other: PeerFault::Other,
        })
    }

    #[test]
    fn what_is_later_counts() {
        let now = now_millis();
        let long_ago = now - i64::try_from((LINK_FAILING + Duration::from_secs(1)).as_millis()).unwrap();
        let rows = [
            // From connections alone: it works, it fails, it failed and is no longer dialled, but one is still open.
            (dialled(Some(now), None), true, false, false, None),
            (dialled(Some(now - 1), Some(now)), false, true, false, Some("db7")),
            (dialled(None, Some(long_ago)), false, false, true, Some("db7")),
            (LinkHealth { open: 1, ..dialled(None, Some(long_ago)) }, false, false, false, Some("db7")),
            // With a probe: it succeeds after a failed dial or before one, and fails after a dial that succeeded.
            (probed(true, now).with(dialled(None, Some(now - 1))), true, false, false, None),
            (probed(true, now - 1).with(dialled(None, Some(now))), false, true, false, Some("db7")),
            (probed(false, now).with(dialled(Some(now - 1), None)), false, true, false, Some("down")),
            (probed(false, long_ago), false, false, false, Some("down")),
        ];
        for (number, (row, up, fails, given_up, reason)) in rows.iter().enumerate() {
            assert_eq!((row.up(), row.fails_now(now), row.is_given_up(now)), (*up, *fails, *given_up), "{number}");
            let failure = row.failure.as_ref().map(|failure| &*failure.text);
            assert_eq!(failure.is_some(), reason.is_some(), "{number}: {row:?}");
            assert!(failure.unwrap_or_default().contains(reason.unwrap_or_default()), "{number}");
        }
        let warned = warnings(&rows.map(|(row, ..)| row));
        // The list of servers already reports that a probed server is down.
        assert_eq!(warned.len(), 2, "{warned:?}");
        assert!(warned[0].contains("--member db7:27017=10.0.0.7"), "{warned:?}");
        let many: Vec<_> = (0..=LINKS_WARNED).map(|_| dialled(None, Some(now))).collect();
        assert_eq!(warnings(&many).last().unwrap(), "and 1 more links of outbound routes fail");
    }
}
