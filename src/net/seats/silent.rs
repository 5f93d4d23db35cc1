//! Connections that hold a slot and have sent nothing, by address, and which of them leaves first.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

/// All of them. Each operation takes logarithmic time, however many there are.
#[derive(Debug, Default)]
pub(super) struct Silent {
    addresses: HashMap<IpAddr, Address>,
    /// The addresses that may have to give one up: how many they have, and which is their oldest. The last is the one.
    most: BTreeSet<(usize, u64, IpAddr)>,
    count: usize,
}

/// Those of one address, by number: older ones have lower numbers.
#[derive(Debug, Default)]
struct Address {
    connections: BTreeMap<u64, Connection>,
    member: bool,
}

#[derive(Debug)]
struct Connection {
    since: Instant,
    ask: oneshot::Sender<()>,
}

/// The address with the most silent connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Most {
    pub(super) ip: IpAddr,
    pub(super) count: usize,
}

impl Silent {
    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Adds one. The receiver hears when it is to leave.
    pub(super) fn add(&mut self, id: u64, ip: IpAddr, member: bool, since: Instant) -> oneshot::Receiver<()> {
        let (ask, asked) = oneshot::channel();
        self.change(ip, |address| {
            address.member = member;
            address.connections.insert(id, Connection { since, ask })
        });
        self.count += 1;
        asked
    }

    /// Removes one; whether it was there.
    pub(super) fn remove(&mut self, id: u64, ip: IpAddr) -> bool {
        let removed = self.change(ip, |address| address.connections.remove(&id)).is_some();
        self.count -= usize::from(removed);
        removed
    }

    /// The address that has the most, of those that have more than one and are not a member's. Of two with as many, the one
    /// whose oldest came last: a pool that was there first is not what filled the slots.
    pub(super) fn most(&mut self, is_member: &impl Fn(IpAddr) -> bool) -> Option<Most> {
        loop {
            let (count, _, ip) = *self.most.last()?;
            if !is_member(ip) {
                return Some(Most { ip, count });
            }
            // It has become known as a member since it connected.
            self.change(ip, |address| address.member = true);
        }
    }

    /// Asks the oldest of an address to leave, if it has been silent for so long. Returns its number; it is no longer one of
    /// these.
    pub(super) fn ask_oldest(&mut self, ip: IpAddr, now: Instant, least: Duration) -> Option<u64> {
        let address = self.addresses.get(&ip)?;
        let (id, connection) = address.connections.first_key_value()?;
        let id = *id;
        if now.saturating_duration_since(connection.since) <= least {
            return None;
        }
        let connection = self.change(ip, |address| address.connections.remove(&id))?;
        self.count -= 1;
        // One that has just ended is leaving anyway.
        let _ = connection.ask.send(());
        Some(id)
    }

    /// Changes an address and its rank.
    fn change<T>(&mut self, ip: IpAddr, change: impl FnOnce(&mut Address) -> T) -> T {
        let address = self.addresses.entry(ip).or_default();
        if let Some(rank) = address.rank(ip) {
            self.most.remove(&rank);
        }
        let changed = change(address);
        if let Some(rank) = address.rank(ip) {
            self.most.insert(rank);
        }
        if address.connections.is_empty() {
            self.addresses.remove(&ip);
        }
        changed
    }
}

impl Address {
    fn rank(&self, ip: IpAddr) -> Option<(usize, u64, IpAddr)> {
        let (oldest, _) = self.connections.first_key_value()?;
        (self.connections.len() > 1 && !self.member).then_some((self.connections.len(), *oldest, ip))
    }
}

#[cfg(test)]
impl Silent {
    pub(super) fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.most.is_empty()
    }
}
