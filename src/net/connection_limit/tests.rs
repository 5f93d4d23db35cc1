mod events;
mod room;

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

use super::slots::{Pool, TakenSlot};
use super::source::Source;
use super::table::{Granted, SlotTable};
use super::{ConnectionLimit, ConnectionSlot, QueuePlace, SlotLimits, SlotRequest, TooMany};
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

fn slot(limit: &ConnectionLimit, from: u8) -> ConnectionSlot {
    match limit.enter(ip(from), is_member) {
        Ok(SlotRequest::Granted(slot)) => slot,
        other => panic!("{other:?}"),
    }
}

fn place(limit: &ConnectionLimit, from: u8) -> QueuePlace {
    match limit.enter(ip(from), is_member) {
        Ok(SlotRequest::Queued(place)) => place,
        other => panic!("{other:?}"),
    }
}

async fn served(place: &mut QueuePlace) -> ConnectionSlot {
    place.slot_within(Duration::from_secs(10)).await.unwrap().unwrap()
}

#[tokio::test]
async fn members_find_a_slot_when_others_do_not() {
    let limit = ConnectionLimit::new(6, 1);
    limit.resize(limits(6, 2), is_member);
    let strangers: Vec<_> = (1..5).map(|from| slot(&limit, from)).collect();
    assert!(limit.usage().full);
    let mut members: Vec<_> = (0..2).map(|_| slot(&limit, MEMBER)).collect();
    let mut stranger = place(&limit, 5);
    assert_eq!(limit.enter(ip(6), is_member).unwrap_err(), TooMany::Full, "the queue is as bounded as the slots");
    let mut member = place(&limit, MEMBER);
    assert_eq!(stranger.slot_within(Duration::ZERO).await.unwrap_err(), TooMany::Full, "a member takes the place");
    drop(members.pop());
    drop(served(&mut member).await);
    let mut stranger = place(&limit, 5);
    drop(strangers);
    drop(served(&mut stranger).await);
    drop((members, stranger, member));
    assert_eq!(limit.usage(), super::SlotUsage { limit: 6, ..super::SlotUsage::default() });
}

#[tokio::test]
async fn a_free_slot_goes_to_the_address_that_holds_the_fewest() {
    let limit = ConnectionLimit::new(3, 4);
    let mut held: Vec<_> = [1, 1, 2].map(|from| slot(&limit, from)).into();
    let mut greedy = place(&limit, 1);
    let mut modest = place(&limit, 3);
    drop(held.pop());
    let _modest = served(&mut modest).await;
    assert!(greedy.slot_within(Duration::ZERO).await.unwrap().is_none());
    drop(held.pop());
    drop(served(&mut greedy).await);
}

#[test]
fn a_full_queue_is_shared_too() {
    let limit = ConnectionLimit::new(1, 3);
    let _held = slot(&limit, 1);
    let crowd: Vec<_> = (0..3).map(|_| place(&limit, 2)).collect();
    let other = place(&limit, 3);
    // One connection of address 2 was displaced. With another one, address 3 would have as many as address 2 has now.
    assert_eq!(limit.enter(ip(3), is_member).unwrap_err(), TooMany::Full);
    drop((crowd, other));
    assert_eq!(limit.usage().waiting, 0);
}

#[test]
fn one_address_may_have_so_many_and_members_any_number() {
    let limit = ConnectionLimit::new(10, 3);
    limit.resize(SlotLimits { per_address: Some(2), ..limits(10, 0) }, is_member);
    let mut held: Vec<_> = [1, 1, MEMBER, MEMBER, MEMBER, 2].map(|from| slot(&limit, from)).into();
    assert_eq!(limit.enter(ip(1), is_member).unwrap_err(), TooMany::FromAddress);
    held.remove(0);
    held.push(slot(&limit, 1));
    // An IPv4-mapped IPv6 address counts as its IPv4 address.
    let mapped = Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped().into();
    assert_eq!(limit.enter(mapped, is_member).unwrap_err(), TooMany::FromAddress);
    limit.resize(limits(10, 0), is_member);
    held.push(slot(&limit, 1));
}

#[test]
fn at_most_half_are_kept_and_a_full_house_is_said_once() {
    let limit = ConnectionLimit::new(10, 0);
    limit.resize(limits(3, 64), is_member);
    let mut all: Vec<_> = (1..3).map(|from| slot(&limit, from)).collect();
    assert_eq!(limit.enter(ip(3), is_member).unwrap_err(), TooMany::Full);
    assert!(limit.says_full() && !limit.says_full());
    all.clear();
    let _free = slot(&limit, 1);
    assert!(limit.says_full());
}

/// A few messages at the beginning do not mark a connection as in use, nor does a message before it is established.
#[test]
fn which_requests_show_that_a_connection_is_in_use() {
    let limit = ConnectionLimit::new(1, 0);
    let mut slot = slot(&limit, 1);
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
    let limit = ConnectionLimit::new(20, 20);
    limit.resize(limits(20, 10), is_member);
    let mut strangers: Vec<_> = (0..10).map(|_| slot(&limit, 1)).collect();
    let mut members: Vec<_> = (0..10).map(|_| slot(&limit, MEMBER)).collect();
    let mut waiting: Vec<_> = (0..15).map(|_| place(&limit, 2)).collect();
    for (size, kept) in [(20, 0), (12, 6), (12, 0), (20, 10), (20, 0)] {
        limit.resize(limits(size, kept), is_member);
        assert_eq!(limit.usage().used, 20, "{size}, {kept}");
    }
    let mut fetch = || {
        let fetched: Vec<_> = waiting.iter_mut().filter_map(|place| place.slot.try_recv().ok()).collect();
        fetched.into_iter().map(|taken| limit.slot(taken)).collect::<Vec<_>>()
    };
    members.pop();
    strangers.extend(fetch());
    assert_eq!((strangers.len(), limit.usage().used), (11, 20), "one for one");
    limit.resize(limits(20, 10), is_member);
    strangers.truncate(9);
    strangers.extend(fetch());
    assert_eq!((strangers.len(), limit.usage().used), (10, 19), "the last is a member's");
    members.push(slot(&limit, MEMBER));
}

#[tokio::test]
async fn who_waits_is_a_member_by_what_the_set_is_now() {
    let limit = ConnectionLimit::new(4, 8);
    limit.resize(limits(4, 2), |_| false);
    let _strangers = [slot(&limit, 1), slot(&limit, 2)];
    let enter = |from: u8| match limit.enter(ip(from), |_| false) {
        Ok(SlotRequest::Queued(place)) => place,
        other => panic!("{other:?}"),
    };
    let (mut stranger, mut member) = (enter(3), enter(MEMBER));
    limit.resize(limits(4, 2), is_member);
    let held = [served(&mut member).await, slot(&limit, MEMBER)];
    assert_eq!(stranger.slot_within(Duration::ZERO).await.unwrap().map(drop), None);
    // A former member waits like all other addresses.
    let mut former = place(&limit, MEMBER);
    limit.resize(limits(4, 0), |_| false);
    drop(held);
    drop((served(&mut stranger).await, served(&mut former).await));
}

proptest! {
    /// In any order of entering, sending, leaving and resizing: no more connections are served than there are slots, no
    /// connection waits while a slot is free, and in the end all tables are empty.
    #[test]
    fn the_counts_are_right(steps in proptest::collection::vec((0_u8..6, 0_u8..8), 0..80)) {
        let limit = ConnectionLimit::new(4, 5);
        let (mut slots, mut places) = (Vec::new(), Vec::new());
        for (step, number) in steps {
            match step {
                0 | 1 => match limit.enter(ip(number), |address| address == ip(7)) {
                    Ok(SlotRequest::Granted(slot)) => slots.push(slot),
                    Ok(SlotRequest::Queued(place)) => places.push(place),
                    Err(TooMany::Full) => prop_assert!(limit.usage().waiting == 5 || limit.usage().full),
                    Err(TooMany::FromAddress) => prop_assert!(false, "no limit"),
                },
                2 => drop(slots.pop()),
                3 => drop((!places.is_empty()).then(|| places.remove(0))),
                4 => if let Some(slot) = slots.last_mut() {
                    slot.heard();
                    if number > 3 { slot.established(); slot.requested_at(Instant::now() + 2 * IN_USE_AFTER) }
                },
                5 if number > 3 => if let Some(place) = places.last() { place.spoke(|address| address == ip(7)) },
                _ => limit.resize(limits(usize::from(number), 1), is_member),
            }
            let mut fetched = Vec::new();
            for place in &mut places {
                if let Ok(taken) = place.slot.try_recv() {
                    prop_assert!(taken.pool == Pool::Open || taken.ip == ip(7));
                    fetched.push(place.id);
                    slots.push(place.limit.slot(taken));
                }
            }
            places.retain(|place| !fetched.contains(&place.id));
            let usage = limit.usage();
            prop_assert_eq!(usage.used, slots.len());
            prop_assert!(usage.silent <= usage.used);
            prop_assert!(usage.waiting == 0 || usage.full);
            prop_assert!(usage.waiting <= places.len());
        }
        slots.clear();
        places.clear();
        let usage = limit.usage();
        prop_assert_eq!((usage.used, usage.silent, usage.waiting), (0, 0, 0));
        prop_assert!(limit.table().is_empty());
    }
}
