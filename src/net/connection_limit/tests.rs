mod events;
mod room;

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

use super::source::Source;
use super::table::{Granted, Pool, Seated, Table};
use super::{ConnectionLimit, ConnectionSlot, Entry, Place, SlotLimits, TooMany};
use crate::limits::{IN_USE_AFTER, IN_USE_NOTED};

fn ip(last: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, last).into()
}

const MEMBER: u8 = 200;

fn is_member(address: IpAddr) -> bool {
    address == ip(MEMBER)
}

fn limits(size: usize, kept: usize) -> SlotLimits {
    SlotLimits { size, kept, per_address: None }
}

fn slot(seats: &ConnectionLimit, from: u8) -> ConnectionSlot {
    match seats.enter(ip(from), is_member) {
        Ok(Entry::Slot(slot)) => slot,
        other => panic!("{other:?}"),
    }
}

fn place(seats: &ConnectionLimit, from: u8) -> Place {
    match seats.enter(ip(from), is_member) {
        Ok(Entry::Place(place)) => place,
        other => panic!("{other:?}"),
    }
}

async fn served(place: &mut Place) -> ConnectionSlot {
    place.slot_within(Duration::from_secs(10)).await.unwrap().unwrap()
}

#[tokio::test]
async fn members_find_a_slot_when_others_do_not() {
    let seats = ConnectionLimit::new(6, 1);
    seats.resize(limits(6, 2), is_member);
    let strangers: Vec<_> = (1..5).map(|from| slot(&seats, from)).collect();
    assert!(seats.usage().full);
    let mut members: Vec<_> = (0..2).map(|_| slot(&seats, MEMBER)).collect();
    let mut stranger = place(&seats, 5);
    assert_eq!(seats.enter(ip(6), is_member).unwrap_err(), TooMany::Full, "the queue is as bounded as the slots");
    let mut member = place(&seats, MEMBER);
    assert_eq!(stranger.slot_within(Duration::ZERO).await.unwrap_err(), TooMany::Full, "a member takes the place");
    drop(members.pop());
    drop(served(&mut member).await);
    let mut stranger = place(&seats, 5);
    drop(strangers);
    drop(served(&mut stranger).await);
    drop((members, stranger, member));
    assert_eq!(seats.usage(), super::SlotUsage { limit: 6, ..super::SlotUsage::default() });
}

#[tokio::test]
async fn a_free_slot_goes_to_the_address_that_holds_the_fewest() {
    let seats = ConnectionLimit::new(3, 4);
    let mut held: Vec<_> = [1, 1, 2].map(|from| slot(&seats, from)).into();
    let mut greedy = place(&seats, 1);
    let mut modest = place(&seats, 3);
    drop(held.pop());
    let _modest = served(&mut modest).await;
    assert!(greedy.slot_within(Duration::ZERO).await.unwrap().is_none());
    drop(held.pop());
    drop(served(&mut greedy).await);
}

#[test]
fn a_full_queue_is_shared_too() {
    let seats = ConnectionLimit::new(1, 3);
    let _held = slot(&seats, 1);
    let crowd: Vec<_> = (0..3).map(|_| place(&seats, 2)).collect();
    let other = place(&seats, 3);
    // One of address 2 had to go; the next of address 3 would have as many as are left.
    assert_eq!(seats.enter(ip(3), is_member).unwrap_err(), TooMany::Full);
    drop((crowd, other));
    assert_eq!(seats.usage().waiting, 0);
}

#[test]
fn one_address_may_have_so_many_and_members_any_number() {
    let seats = ConnectionLimit::new(10, 3);
    seats.resize(SlotLimits { per_address: Some(2), ..limits(10, 0) }, is_member);
    let mut held: Vec<_> = [1, 1, MEMBER, MEMBER, MEMBER, 2].map(|from| slot(&seats, from)).into();
    assert_eq!(seats.enter(ip(1), is_member).unwrap_err(), TooMany::FromAddress);
    held.remove(0);
    held.push(slot(&seats, 1));
    // An IPv4 address written as IPv6 is the same.
    let mapped = Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped().into();
    assert_eq!(seats.enter(mapped, is_member).unwrap_err(), TooMany::FromAddress);
    seats.resize(limits(10, 0), is_member);
    held.push(slot(&seats, 1));
}

#[test]
fn at_most_half_are_kept_and_a_full_house_is_said_once() {
    let seats = ConnectionLimit::new(10, 0);
    seats.resize(limits(3, 64), is_member);
    let mut all: Vec<_> = (1..3).map(|from| slot(&seats, from)).collect();
    assert_eq!(seats.enter(ip(3), is_member).unwrap_err(), TooMany::Full);
    assert!(seats.says_full() && !seats.says_full());
    all.clear();
    let _free = slot(&seats, 1);
    assert!(seats.says_full());
}

/// A few messages at the beginning show nothing, nor does one before the connection is established.
#[test]
fn which_requests_show_that_a_connection_is_in_use() {
    let seats = ConnectionLimit::new(1, 0);
    let mut slot = slot(&seats, 1);
    let began = Instant::now();
    slot.requested_at(began + 2 * IN_USE_AFTER);
    assert_eq!(slot.0.requested, None);
    slot.established();
    slot.requested_at(began + IN_USE_AFTER / 2);
    assert_eq!(slot.0.requested, None);
    let first = began + 2 * IN_USE_AFTER;
    for (at, noted) in [(0, 0), (1, 0), (4, 0), (6, 6), (8, 6), (100, 100)] {
        slot.requested_at(first + at * IN_USE_NOTED / 5);
        assert_eq!(slot.0.requested, Some(first + noted * IN_USE_NOTED / 5));
    }
}

#[test]
fn a_lower_limit_or_reserve_lets_nobody_in_beyond_it() {
    let seats = ConnectionLimit::new(20, 20);
    seats.resize(limits(20, 10), is_member);
    let mut strangers: Vec<_> = (0..10).map(|_| slot(&seats, 1)).collect();
    let mut members: Vec<_> = (0..10).map(|_| slot(&seats, MEMBER)).collect();
    let mut waiting: Vec<_> = (0..15).map(|_| place(&seats, 2)).collect();
    for (size, kept) in [(20, 0), (12, 6), (12, 0), (20, 10), (20, 0)] {
        seats.resize(limits(size, kept), is_member);
        assert_eq!(seats.usage().used, 20, "{size}, {kept}");
    }
    let mut fetch = || {
        let fetched: Vec<_> = waiting.iter_mut().filter_map(|place| place.slot.try_recv().ok()).collect();
        fetched.into_iter().map(|seated| seats.slot(seated)).collect::<Vec<_>>()
    };
    members.pop();
    strangers.extend(fetch());
    assert_eq!((strangers.len(), seats.usage().used), (11, 20), "one for one");
    seats.resize(limits(20, 10), is_member);
    strangers.truncate(9);
    strangers.extend(fetch());
    assert_eq!((strangers.len(), seats.usage().used), (10, 19), "the last is a member's");
    members.push(slot(&seats, MEMBER));
}

#[tokio::test]
async fn who_waits_is_a_member_by_what_the_set_is_now() {
    let seats = ConnectionLimit::new(4, 8);
    seats.resize(limits(4, 2), |_| false);
    let _strangers = [slot(&seats, 1), slot(&seats, 2)];
    let enter = |from: u8| match seats.enter(ip(from), |_| false) {
        Ok(Entry::Place(place)) => place,
        other => panic!("{other:?}"),
    };
    let (mut stranger, mut member) = (enter(3), enter(MEMBER));
    seats.resize(limits(4, 2), is_member);
    let held = [served(&mut member).await, slot(&seats, MEMBER)];
    assert_eq!(stranger.slot_within(Duration::ZERO).await.unwrap().map(drop), None);
    // One that is a member no more waits like all others.
    let mut former = place(&seats, MEMBER);
    seats.resize(limits(4, 0), |_| false);
    drop(held);
    drop((served(&mut stranger).await, served(&mut former).await));
}

proptest! {
    /// Whatever the order of coming, speaking, leaving and resizing: no more are served than there are slots, nobody waits
    /// while one is free, and in the end all tables are empty.
    #[test]
    fn the_counts_are_right(steps in proptest::collection::vec((0_u8..6, 0_u8..8), 0..80)) {
        let seats = ConnectionLimit::new(4, 5);
        let (mut slots, mut places) = (Vec::new(), Vec::new());
        for (step, number) in steps {
            match step {
                0 | 1 => match seats.enter(ip(number), |address| address == ip(7)) {
                    Ok(Entry::Slot(slot)) => slots.push(slot),
                    Ok(Entry::Place(place)) => places.push(place),
                    Err(TooMany::Full) => prop_assert!(seats.usage().waiting == 5 || seats.usage().full),
                    Err(TooMany::FromAddress) => prop_assert!(false, "no limit"),
                },
                2 => drop(slots.pop()),
                3 => drop((!places.is_empty()).then(|| places.remove(0))),
                4 => if let Some(slot) = slots.last_mut() {
                    slot.heard();
                    if number > 3 { slot.established(); slot.requested_at(Instant::now() + 2 * IN_USE_AFTER) }
                },
                5 if number > 3 => if let Some(place) = places.last() { place.spoke(|address| address == ip(7)) },
                _ => seats.resize(limits(usize::from(number), 1), is_member),
            }
            let mut fetched = Vec::new();
            for place in &mut places {
                if let Ok(seated) = place.slot.try_recv() {
                    prop_assert!(seated.pool == Pool::Open || seated.ip == ip(7));
                    fetched.push(place.id);
                    slots.push(place.seats.slot(seated));
                }
            }
            places.retain(|place| !fetched.contains(&place.id));
            let usage = seats.usage();
            prop_assert_eq!(usage.used, slots.len());
            prop_assert!(usage.silent <= usage.used);
            prop_assert!(usage.waiting == 0 || usage.full);
            prop_assert!(usage.waiting <= places.len());
        }
        slots.clear();
        places.clear();
        let usage = seats.usage();
        prop_assert_eq!((usage.used, usage.silent, usage.waiting), (0, 0, 0));
        prop_assert!(seats.table().is_empty());
    }
}
