//! Connections that hold a slot and have sent nothing, by source, and which of them is asked to close first.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::source::Source;

/// All silent connections. Each operation takes time logarithmic in their number.
#[derive(Debug, Default)]
pub(super) struct Silent {
    sources: HashMap<Source, SilentGroup>,
    /// The sources whose connections may be asked to close, by the number of their silent connections, then by their
    /// oldest one. The last source is chosen.
    most: BTreeSet<(usize, u64, Source)>,
    count: usize,
}

/// The silent connections of one source.
#[derive(Debug, Default)]
struct SilentGroup {
    /// Connections by id; older ones have lower ids.
    connections: BTreeMap<u64, SilentConnection>,
    /// Connections of members, which are never asked to close.
    members: BTreeMap<(IpAddr, u64), SilentConnection>,
}

#[derive(Debug)]
struct SilentConnection {
    ip: IpAddr,
    since: Instant,
    ask: oneshot::Sender<()>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Most {
    pub(super) source: Source,
    pub(super) count: usize,
}

impl Silent {
    /// Returns the number of silent connections.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Adds a silent connection. The returned receiver resolves when the connection should close.
    pub(super) fn add(&mut self, id: u64, ip: IpAddr, member: bool, since: Instant) -> oneshot::Receiver<()> {
        let (ask, asked) = oneshot::channel();
        let connection = SilentConnection { ip, since, ask };
        self.change(ip.into(), |group| {
            if member {
                group.members.insert((ip, id), connection);
            } else {
                group.is_no_member(ip);
                group.connections.insert(id, connection);
            }
        });
        self.count += 1;
        asked
    }

    /// Removes a silent connection. Returns whether it was present.
    pub(super) fn remove(&mut self, id: u64, ip: IpAddr) -> bool {
        let removed =
            self.change(ip.into(), |group| group.connections.remove(&id).or_else(|| group.members.remove(&(ip, id))));
        self.count -= usize::from(removed.is_some());
        removed.is_some()
    }

    /// Returns the source with the most silent connections among those with more than one, members' connections
    /// excluded. Of two sources with equal numbers, it is the one whose oldest silent connection is newer, because the
    /// later source has taken the last free slots.
    pub(super) fn most(&mut self, is_member: &impl Fn(IpAddr) -> bool) -> Option<Most> {
        loop {
            let (count, oldest, source) = *self.most.last()?;
            let ip = self.sources.get(&source)?.connections.get(&oldest)?.ip;
            if !is_member(ip) {
                return Some(Most { source, count });
            }
            // The address has become a member's since the connection was accepted.
            self.change(source, |group| {
                let connection = group.connections.remove(&oldest);
                group.members.extend(connection.map(|connection| ((ip, oldest), connection)));
            });
        }
    }

    /// Removes the protection from connections of former members. Visits the connections of all members; to be called
    /// after a change of the members or of the settings.
    pub(super) fn review(&mut self, is_member: &impl Fn(IpAddr) -> bool) {
        let members =
            self.sources.iter().flat_map(|(source, group)| group.members.keys().map(|(ip, _)| (*source, *ip)));
        let former: BTreeSet<_> = members.filter(|(_, ip)| !is_member(*ip)).collect();
        for (source, ip) in former {
            self.change(source, |group| group.is_no_member(ip));
        }
    }

    /// Asks the oldest connection of a source to close, if it has been silent for longer than `least`. Removes it and
    /// returns its id.
    pub(super) fn ask_oldest(&mut self, source: Source, now: Instant, least: Duration) -> Option<u64> {
        let (id, connection) = self.sources.get(&source)?.connections.first_key_value()?;
        let id = *id;
        if now.saturating_duration_since(connection.since) <= least {
            return None;
        }
        let connection = self.change(source, |group| group.connections.remove(&id))?;
        self.count -= 1;
        // If the receiver is gone, the connection is ending anyway.
        let _ = connection.ask.send(());
        Some(id)
    }

    /// Changes a source and updates its rank.
    fn change<T>(&mut self, source: Source, change: impl FnOnce(&mut SilentGroup) -> T) -> T {
        let group = self.sources.entry(source).or_default();
        if let Some(rank) = group.rank(source) {
            self.most.remove(&rank);
        }
        let changed = change(group);
        if let Some(rank) = group.rank(source) {
            self.most.insert(rank);
        }
        if group.connections.is_empty() && group.members.is_empty() {
            self.sources.remove(&source);
        }
        changed
    }
}

impl SilentGroup {
    fn rank(&self, source: Source) -> Option<(usize, u64, Source)> {
        let (oldest, _) = self.connections.first_key_value()?;
        (self.connections.len() > 1).then_some((self.connections.len(), *oldest, source))
    }

    /// Removes the protection from connections that this address made while it was a member's.
    fn is_no_member(&mut self, ip: IpAddr) {
        while let Some((key, _)) = self.members.range((ip, 0)..=(ip, u64::MAX)).next() {
            let key = *key;
            let connection = self.members.remove(&key);
            self.connections.extend(connection.map(|connection| (key.1, connection)));
        }
    }
}

#[cfg(test)]
impl Silent {
    pub(super) fn is_empty(&self) -> bool {
        self.sources.is_empty() && self.most.is_empty()
    }
}
