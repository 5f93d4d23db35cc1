//! Connections that wait for a slot, and which of them is next.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use tokio::sync::oneshot;

use super::table::Seated;

/// Where connections come from, as far as a fair share goes: an IPv4 address, or the first half of an IPv6 address, whose
/// other half a host may choose at will (RFC 8981).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Source {
    V4(Ipv4Addr),
    V6(u64),
}

/// The slots that each source holds, and the connections that wait. Each operation takes logarithmic time.
#[derive(Debug, Default)]
pub(super) struct Queue {
    sources: HashMap<Source, Holder>,
    /// Sources whose client has sent something go before others, then by the slots they hold, then by their first connection
    /// that waits. The first is served next.
    next: BTreeSet<(Turn, usize, u64, Source)>,
    /// Sources by the connections that wait. The last has the most.
    crowd: BTreeSet<(usize, Source)>,
    /// Members go before all others, in their order.
    members: BTreeMap<u64, Waiting>,
    count: usize,
    /// Those that are no members, and have sent something.
    spoken: usize,
}

#[derive(Debug, Default)]
struct Holder {
    slots: usize,
    /// Slots of connections that are not established: silent, in their opening, or waiting for their server.
    opening: usize,
    waiting: BTreeMap<(Turn, u64), Waiting>,
}

/// A client that has sent something can be served at once; one that is silent loses nothing by waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    Spoken,
    Silent,
}

/// One that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) ip: IpAddr,
    pub(super) since: Instant,
    pub(super) slot: oneshot::Sender<Seated>,
}

impl From<IpAddr> for Source {
    fn from(ip: IpAddr) -> Source {
        match ip {
            IpAddr::V4(ip) => Source::V4(ip),
            IpAddr::V6(ip) => {
                let [a, b, c, d, e, f, g, h, ..] = ip.octets();
                Source::V6(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
            }
        }
    }
}

impl Queue {
    /// How many wait.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// How many of them have sent something, or are members.
    pub(super) fn urgent(&self) -> usize {
        self.spoken + self.members.len()
    }

    /// Slots that a source holds for connections that are not established.
    pub(super) fn opening(&self, source: Source) -> usize {
        self.sources.get(&source).map_or(0, |holder| holder.opening)
    }

    /// A connection of this address has got a slot.
    pub(super) fn seated(&mut self, ip: IpAddr) {
        self.change(ip.into(), |holder| {
            holder.slots += 1;
            holder.opening += 1;
        });
    }

    /// A connection of this address, which has a slot, is established.
    pub(super) fn established(&mut self, ip: IpAddr) {
        self.change(ip.into(), |holder| holder.opening = holder.opening.saturating_sub(1));
    }

    /// A connection of this address has returned its slot.
    pub(super) fn released(&mut self, ip: IpAddr) {
        self.change(ip.into(), |holder| holder.slots = holder.slots.saturating_sub(1));
    }

    /// Adds one.
    pub(super) fn add(&mut self, id: u64, member: bool, waiting: Waiting) {
        if member {
            self.members.insert(id, waiting);
        } else {
            self.change(waiting.ip.into(), |holder| holder.waiting.insert((Turn::Silent, id), waiting));
        }
        self.count += 1;
    }

    /// One that waits has sent something.
    pub(super) fn spoke(&mut self, id: u64, ip: IpAddr) {
        let spoke = self.change(ip.into(), |holder| {
            let waiting = holder.waiting.remove(&(Turn::Silent, id))?;
            holder.waiting.insert((Turn::Spoken, id), waiting);
            Some(())
        });
        self.spoken += usize::from(spoke.is_some());
    }

    /// Removes one that no longer waits.
    pub(super) fn remove(&mut self, id: u64, ip: IpAddr) -> Option<Waiting> {
        let removed = self.members.remove(&id).or_else(|| {
            let spoken = self.change(ip.into(), |holder| holder.waiting.remove(&(Turn::Spoken, id)));
            self.spoken -= usize::from(spoken.is_some());
            spoken.or_else(|| self.change(ip.into(), |holder| holder.waiting.remove(&(Turn::Silent, id))))
        });
        self.count -= usize::from(removed.is_some());
        removed
    }

    /// The member that is next.
    pub(super) fn next_member(&self) -> Option<(u64, IpAddr)> {
        self.members.first_key_value().map(|(id, waiting)| (*id, waiting.ip))
    }

    /// Who is next of all others.
    pub(super) fn next(&self) -> Option<(u64, IpAddr)> {
        let (turn, _, id, source) = self.next.first()?;
        Some((*id, self.sources.get(source)?.waiting.get(&(*turn, *id))?.ip))
    }

    /// The last that came of the source with the most, if that has more than this one would have with one more. Members may
    /// take any place but another member's.
    pub(super) fn displaced_by(&self, ip: IpAddr, member: bool) -> Option<(u64, IpAddr)> {
        let own = self.sources.get(&Source::from(ip)).map_or(0, |holder| holder.waiting.len());
        let (most, source) = self.crowd.last()?;
        if !member && own + 1 >= *most {
            return None;
        }
        let ((_, id), waiting) = self.sources.get(source)?.waiting.last_key_value()?;
        Some((*id, waiting.ip))
    }

    /// Changes a source and its ranks.
    fn change<T>(&mut self, source: Source, change: impl FnOnce(&mut Holder) -> T) -> T {
        let holder = self.sources.entry(source).or_default();
        if let Some(((turn, first), _)) = holder.waiting.first_key_value() {
            self.next.remove(&(*turn, holder.slots, *first, source));
            self.crowd.remove(&(holder.waiting.len(), source));
        }
        let changed = change(holder);
        if let Some(((turn, first), _)) = holder.waiting.first_key_value() {
            self.next.insert((*turn, holder.slots, *first, source));
            self.crowd.insert((holder.waiting.len(), source));
        } else if holder.slots == 0 {
            self.sources.remove(&source);
        }
        changed
    }
}

#[cfg(test)]
impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.sources.is_empty() && self.next.is_empty() && self.crowd.is_empty() && self.members.is_empty()
    }
}
