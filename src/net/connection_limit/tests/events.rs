//! Random orders of events, compared with a simple model that visits every connection.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use proptest::prelude::{Strategy, TestCaseError, any, prop_assert, prop_assert_eq, proptest};
use tokio::sync::oneshot;

use super::{Granted, MEMBER, Pool, SlotTable, Source, TakenSlot, ip, limits};
use crate::limits::{IN_USE_FOR, SILENT_LEAST};

/// An event; the number selects a source, slot or place.
#[derive(Debug, Clone, Copy)]
enum Event {
    Enters(u8),
    Returns(u8),
    Leaves(u8),
    Speaks(u8),
    SpeaksWaiting(u8),
    Requests(u8),
    Resizes(u8, u8),
    MembersAre(bool),
    TimePasses(u8),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = (0_u8..20, any::<u8>(), any::<u8>()).prop_map(|(kind, number, other)| match kind {
        0..=7 => Event::Enters(number),
        8 | 9 => Event::Returns(number),
        10 => Event::Leaves(number),
        11 => Event::Speaks(number),
        12..=14 => Event::SpeaksWaiting(number),
        15 => Event::Requests(number),
        16 => Event::Resizes(1 + number % 12, other % 7),
        17 => Event::MembersAre(number % 3 != 0),
        _ => Event::TimePasses(number % 20),
    });
    proptest::collection::vec(event, 0..120)
}

struct Taken {
    taken: TakenSlot,
    silent: bool,
    requested: Option<Instant>,
}

struct Waits {
    id: u64,
    ip: IpAddr,
    member: bool,
    spoken: bool,
    slot: oneshot::Receiver<TakenSlot>,
}

struct World {
    table: SlotTable,
    now: Instant,
    members: bool,
    taken: Vec<Taken>,
    waiting: Vec<Waits>,
}

/// Two of the addresses belong to the same source.
fn address(number: u8) -> IpAddr {
    match number % 8 {
        0 => ip(MEMBER),
        host @ (1 | 2) => IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(host)]),
        last => ip(last % 5),
    }
}

impl World {
    fn new() -> World {
        World {
            table: SlotTable::new(limits(6, 0), 12),
            now: Instant::now(),
            members: true,
            taken: Vec::new(),
            waiting: Vec::new(),
        }
    }

    fn is_member(&self) -> impl Fn(IpAddr) -> bool + use<> {
        let members = self.members;
        move |address| members && address == ip(MEMBER)
    }

    fn happens(&mut self, event: Event) -> Result<(), TestCaseError> {
        let place = |number: u8, count: usize| (count > 0).then(|| usize::from(number) % count);
        match event {
            Event::Enters(number) => self.enters(address(number)),
            Event::Returns(number) => {
                if let Some(place) = place(number, self.taken.len()) {
                    self.returns(place);
                }
            }
            Event::Leaves(number) => {
                if let Some(place) = place(number, self.waiting.len()) {
                    let Waits { id, ip, .. } = self.waiting.remove(place);
                    self.table.leave(id, ip);
                }
            }
            Event::Speaks(number) => {
                if let Some(place) = place(number, self.taken.len()) {
                    self.speaks(place);
                }
            }
            Event::SpeaksWaiting(number) => {
                if let Some(place) = place(number, self.waiting.len()) {
                    let waits = &mut self.waiting[place];
                    waits.spoken = true;
                    self.table.spoke(waits.id, waits.ip);
                }
            }
            Event::Requests(number) => {
                if let Some(place) = place(number, self.taken.len()) {
                    self.speaks(place);
                    let Taken { taken, requested, .. } = &mut self.taken[place];
                    self.table.requested(taken.id, taken.ip, requested.replace(self.now), self.now);
                }
            }
            Event::Resizes(size, kept) => {
                let kept = if self.members { usize::from(kept).min(usize::from(size) / 2) } else { 0 };
                self.resizes(usize::from(size), kept);
            }
            Event::MembersAre(known) => {
                self.members = known;
                let is_member = self.is_member();
                self.waiting.iter_mut().for_each(|waits| waits.member = is_member(waits.ip));
                let size = self.table.limits.size;
                self.resizes(size, if known { size / 3 } else { 0 });
            }
            Event::TimePasses(seconds) => {
                self.now += SILENT_LEAST + Duration::from_secs(1 + u64::from(seconds));
                self.make_room()?;
            }
        }
        Ok(())
    }

    fn enters(&mut self, ip: IpAddr) {
        let member = self.is_member()(ip);
        let id = self.table.admit(ip, member).unwrap();
        if let Some(taken) = self.table.seat_at_once(id, ip, member, self.now) {
            self.taken.push(Taken { taken, silent: true, requested: None });
        } else if let Ok(slot) = self.table.wait(id, ip, member, self.now) {
            self.waiting.push(Waits { id, ip, member, spoken: false, slot });
            // The new connection may have displaced a waiting one.
            self.waiting
                .retain_mut(|waits| !matches!(waits.slot.try_recv(), Err(oneshot::error::TryRecvError::Closed)));
        }
    }

    fn speaks(&mut self, place: usize) {
        let Taken { taken, silent, .. } = &mut self.taken[place];
        *silent = false;
        self.table.heard(taken.id, taken.ip);
    }

    fn returns(&mut self, place: usize) {
        let Taken { taken: TakenSlot { id, ip, pool, .. }, requested, .. } = self.taken.remove(place);
        let granted = self.table.release(id, ip, pool, requested);
        self.take(granted);
    }

    fn resizes(&mut self, size: usize, kept: usize) {
        let granted = self.table.resize(limits(size, kept), self.is_member());
        self.take(granted);
    }

    fn take(&mut self, granted: Vec<Granted>) {
        for (_, taken) in granted {
            let place = self.waiting.iter().position(|waits| waits.id == taken.id).unwrap();
            let waited = self.waiting.remove(place);
            self.taken.push(Taken { taken, silent: true, requested: None });
            if waited.spoken {
                self.speaks(self.taken.len() - 1);
            }
        }
    }

    /// Asks silent connections to close until no more can be asked. Each of them closes at once.
    fn make_room(&mut self) -> Result<(), TestCaseError> {
        loop {
            let (before, least) = (self.silent(), self.least_unused());
            let member = self.waiting.iter().any(|waits| waits.member);
            self.table.make_room(self.now, self.is_member());
            let asked = |taken: &mut Taken| taken.silent && taken.taken.silence.try_recv().is_ok();
            let asked: Vec<_> =
                self.taken.iter_mut().filter_map(|taken| asked(taken).then_some(taken.taken.id)).collect();
            for id in &asked {
                let place = self.taken.iter().position(|taken| taken.taken.id == *id).unwrap();
                let from = self.taken[place].taken.ip;
                prop_assert!(!self.is_member()(from), "a member's");
                let source = Source::from(from);
                prop_assert!(before[&source] > 1, "the last");
                let own = self.waiting.iter().any(|waits| waits.spoken && Source::from(waits.ip) == source);
                prop_assert!(
                    member || own || least.is_some_and(|least| least < before[&source]),
                    "of {before:?} for {least:?}"
                );
                self.returns(place);
            }
            if asked.is_empty() {
                return self.nobody_is_entitled();
            }
        }
    }

    /// Returns the number of silent connections of each source, members' excluded.
    fn silent(&self) -> BTreeMap<Source, usize> {
        let mut silent = BTreeMap::new();
        let is_member = self.is_member();
        for Taken { taken, .. } in self.taken.iter().filter(|taken| taken.silent && !is_member(taken.taken.ip)) {
            *silent.entry(Source::from(taken.ip)).or_default() += 1;
        }
        silent
    }

    /// Returns the fewest slots not in use among the sources with a waiting client that has sent something.
    fn least_unused(&self) -> Option<usize> {
        let waiting = self.waiting.iter().filter(|waits| waits.spoken && !waits.member);
        let is_in_use = |noted: Instant| self.now.duration_since(noted) <= IN_USE_FOR;
        let unused = |source| {
            let unused =
                |taken: &&Taken| Source::from(taken.taken.ip) == source && !taken.requested.is_some_and(is_in_use);
            self.taken.iter().filter(unused).count()
        };
        waiting.map(|waits| unused(Source::from(waits.ip))).min()
    }

    /// Checks that no connection waits for which a silent one could be asked to close.
    fn nobody_is_entitled(&self) -> Result<(), TestCaseError> {
        let silent = self.silent();
        let Some(most) = silent.values().max().copied().filter(|most| *most > 1) else { return Ok(()) };
        let member = self.waiting.iter().any(|waits| waits.member);
        let entitled = member || self.least_unused().is_some_and(|least| least < most);
        prop_assert!(!entitled, "{silent:?}, and {:?} waits", self.least_unused());
        Ok(())
    }

    /// Checks the invariants that hold after every event.
    fn holds(&self, used_before: usize) -> Result<(), TestCaseError> {
        let (usage, limits) = (self.table.usage(), self.table.limits);
        let used = self.taken.len();
        let silent = self.taken.iter().filter(|taken| taken.silent).count();
        prop_assert_eq!((usage.used, usage.silent, usage.waiting), (used, silent, self.waiting.len()));
        prop_assert!(used <= limits.size.max(used_before), "{used} of {}, {used_before} before", limits.size);
        let open = self.taken.iter().filter(|taken| taken.taken.pool == Pool::Open).count();
        let free = used < limits.size;
        for waits in &self.waiting {
            let may = if waits.member { free } else { free && open < limits.size - limits.kept };
            prop_assert!(!may, "{} waits, {used} of {limits:?} are taken, {open} of them open", waits.ip);
        }
        prop_assert_eq!(usage.full, !(free && open < limits.size - limits.kept));
        Ok(())
    }
}

proptest! {
    /// The slots in use never grow beyond the current limit. No connection waits while a slot is free that it may use;
    /// for members that includes the reserve. Silent connections are closed by the rule, and for every connection that
    /// qualifies. In the end all tables are empty.
    #[test]
    fn any_order_of_events(events in events()) {
        let mut world = World::new();
        for event in events {
            let used = world.taken.len();
            world.happens(event)?;
            world.holds(used)?;
        }
        for Waits { id, ip, .. } in std::mem::take(&mut world.waiting) {
            world.table.leave(id, ip);
        }
        while !world.taken.is_empty() {
            world.returns(0);
        }
        prop_assert!(world.table.is_empty());
    }
}
