use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

use super::table::{Pool, Seated, Table};
use super::{Entry, Place, Seats, Slot, SlotLimits, TooMany};
use crate::limits::SILENT_LEAST;

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

fn slot(seats: &Seats, from: u8) -> Slot {
    match seats.enter(ip(from), is_member) {
        Ok(Entry::Seat(slot)) => slot,
        other => panic!("{other:?}"),
    }
}

fn place(seats: &Seats, from: u8) -> Place {
    match seats.enter(ip(from), is_member) {
        Ok(Entry::Place(place)) => place,
        other => panic!("{other:?}"),
    }
}

async fn served(place: &mut Place) -> Slot {
    place.slot_within(Duration::from_secs(10)).await.unwrap().unwrap()
}

#[tokio::test]
async fn members_find_a_slot_when_others_do_not() {
    let seats = Seats::new(6, 1);
    seats.resize(limits(6, 2));
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
    let seats = Seats::new(3, 4);
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
    let seats = Seats::new(1, 3);
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
    let seats = Seats::new(10, 3);
    seats.resize(SlotLimits { per_address: Some(2), ..limits(10, 0) });
    let mut held: Vec<_> = [1, 1, MEMBER, MEMBER, MEMBER, 2].map(|from| slot(&seats, from)).into();
    assert_eq!(seats.enter(ip(1), is_member).unwrap_err(), TooMany::FromAddress);
    held.remove(0);
    held.push(slot(&seats, 1));
    // An IPv4 address written as IPv6 is the same.
    let mapped = Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped().into();
    assert_eq!(seats.enter(mapped, is_member).unwrap_err(), TooMany::FromAddress);
    seats.resize(limits(10, 0));
    held.push(slot(&seats, 1));
}

#[test]
fn at_most_half_are_kept_and_a_full_house_is_said_once() {
    let seats = Seats::new(10, 0);
    seats.resize(limits(3, 64));
    let mut all: Vec<_> = (1..3).map(|from| slot(&seats, from)).collect();
    assert_eq!(seats.enter(ip(3), is_member).unwrap_err(), TooMany::Full);
    assert!(seats.says_full() && !seats.says_full());
    all.clear();
    let _free = slot(&seats, 1);
    assert!(seats.says_full());
}

/// A table with silent connections of these addresses, in this order.
fn silent(now: Instant, from: &[u8]) -> (Table, Vec<Seated>) {
    let mut table = Table::new(limits(from.len(), 0), 100);
    let seat = |address: &u8| {
        let id = table.admit(ip(*address), is_member(ip(*address))).unwrap();
        table.seat_at_once(id, ip(*address), is_member(ip(*address)), now).unwrap()
    };
    let seated = from.iter().map(seat).collect();
    (table, seated)
}

/// The places in `seated` that are asked to leave when one waits from this address.
fn asked(now: Instant, from: &[u8], newcomers: &[u8]) -> Vec<usize> {
    let (mut table, mut seated) = silent(now, from);
    let mut waits = Vec::new();
    for newcomer in newcomers {
        let member = is_member(ip(*newcomer));
        let id = table.admit(ip(*newcomer), member).unwrap();
        waits.push(table.wait(id, ip(*newcomer), member, now).unwrap());
        table.spoke(id, ip(*newcomer));
    }
    table.make_room(now + SILENT_LEAST, is_member);
    assert!(seated.iter_mut().all(|seated| seated.silence.try_recv().is_err()), "not silent for long enough");
    table.make_room(now + SILENT_LEAST + Duration::from_millis(1), is_member);
    (0..seated.len()).filter(|place| seated[*place].silence.try_recv().is_ok()).collect()
}

#[test]
fn who_makes_room() {
    let now = Instant::now();
    let rows: &[(&[u8], &[u8], &[usize])] = &[
        // The oldest of the address with the most.
        (&[1, 2, 2, 2], &[3], &[1]),
        (&[2, 1, 2, 1, 2], &[3, 4], &[0, 2]),
        // Never the last of an address.
        (&[1, 2, 3], &[4], &[]),
        (&[1, 1], &[4, 5, 6], &[0]),
        // Never a member's.
        (&[MEMBER, MEMBER, MEMBER, 1], &[4], &[]),
        (&[MEMBER, MEMBER, MEMBER, 1, 1], &[4], &[3]),
        // Of two with as many, the one that came later.
        (&[1, 1, 2, 2], &[4], &[2]),
        // An address does not drive out another's by connections of its own: only down to as many as it has.
        (&[1, 1, 2, 2, 2], &[1], &[2]),
        (&[1, 1, 1, 2, 2, 2], &[1], &[]),
        (&[1, 1, 1, 2, 2], &[2], &[0]),
        (&[1, 1, 1, 1], &[2, 2, 2, 2, 2], &[0, 1]),
        // Its own it does.
        (&[1, 1, 1], &[1], &[0]),
        // A member may take any that may be taken.
        (&[1, 1], &[MEMBER, MEMBER], &[0]),
    ];
    for (from, newcomers, expected) in rows {
        assert_eq!(asked(now, from, newcomers), *expected, "{from:?}, then {newcomers:?}");
    }
}

/// The later half of an IPv6 address is its host's choice, so that many addresses are no claim to many slots.
#[test]
fn a_host_with_many_ipv6_addresses_drives_out_no_pool() {
    let now = Instant::now();
    let (mut table, mut pool) = silent(now, &[1, 1, 1, 1]);
    table.limits.size = 7;
    let address = |host: u16| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, host]);
    let mut held = Vec::new();
    for host in 0..3 {
        let id = table.admit(address(host), false).unwrap();
        held.push(table.seat_at_once(id, address(host), false, now).unwrap());
    }
    let id = table.admit(address(3), false).unwrap();
    let _waits = table.wait(id, address(3), false, now).unwrap();
    table.spoke(id, address(3));
    table.make_room(now + 2 * SILENT_LEAST, is_member);
    assert!(pool[0].silence.try_recv().is_ok(), "it has three slots, the pool four");
    let id = table.admit(address(4), false).unwrap();
    let _waits = table.wait(id, address(4), false, now).unwrap();
    table.spoke(id, address(4));
    table.make_room(now + 2 * SILENT_LEAST, is_member);
    assert!(pool[1..].iter_mut().all(|seated| seated.silence.try_recv().is_err()));
}

/// A busy application finds room although it holds more slots than the silent address: its connections are established.
#[test]
fn established_connections_are_no_reason_to_wait() {
    let now = Instant::now();
    let (mut table, mut seated) = silent(now, &[1, 1, 1, 1, 1, 1, 2, 2, 2]);
    for busy in &seated[..6] {
        table.heard(busy.id, busy.ip);
        table.established(busy.ip);
    }
    let id = table.admit(ip(1), false).unwrap();
    let _waits = table.wait(id, ip(1), false, now).unwrap();
    table.make_room(now + 2 * SILENT_LEAST, is_member);
    assert!(seated[6].silence.try_recv().is_err(), "what waits has said nothing");
    table.spoke(id, ip(1));
    table.make_room(now + 2 * SILENT_LEAST, is_member);
    assert!(seated[6].silence.try_recv().is_ok());
}

/// Silent ones that wait drive nobody out, and whoever has said something goes before them.
#[tokio::test]
async fn a_client_that_has_spoken_goes_before_silent_ones() {
    let now = Instant::now();
    let (mut table, mut pool) = silent(now, &[1, 1, 1, 1]);
    let mut wait = |from: u8| {
        let id = table.admit(ip(from), false).unwrap();
        (id, table.wait(id, ip(from), false, now).unwrap())
    };
    let waiting: Vec<_> = (0..10).map(|_| wait(2)).collect();
    table.make_room(now + 2 * SILENT_LEAST, is_member);
    assert!(pool.iter_mut().all(|seated| seated.silence.try_recv().is_err()));
    table.spoke(waiting[7].0, ip(2));
    table.make_room(now + 2 * SILENT_LEAST, is_member);
    assert!(pool[0].silence.try_recv().is_ok() && pool[1].silence.try_recv().is_err());
    let granted = table.release(pool[0].id, ip(1), Pool::Open, false);
    assert_eq!(granted.iter().map(|(_, seated)| seated.id).collect::<Vec<_>>(), [waiting[7].0]);
}

#[test]
fn one_that_speaks_when_it_is_asked_stays_and_another_is_asked() {
    let now = Instant::now();
    let (mut table, mut seated) = silent(now, &[1, 1, 1]);
    let id = table.admit(ip(2), false).unwrap();
    let _waits = table.wait(id, ip(2), false, now).unwrap();
    table.spoke(id, ip(2));
    let (speaking, last) = seated.split_at_mut(2);
    for speaking in speaking {
        table.make_room(now + 2 * SILENT_LEAST, is_member);
        table.make_room(now + 2 * SILENT_LEAST, is_member);
        assert!(speaking.silence.try_recv().is_ok());
        table.heard(speaking.id, speaking.ip);
    }
    assert!(last[0].silence.try_recv().is_err(), "it is the last");
    assert_eq!(table.usage().silent, 1);
}

proptest! {
    /// Whatever the order of coming, speaking, leaving and resizing: no more are served than there are slots, nobody waits
    /// while one is free, and in the end all tables are empty.
    #[test]
    fn the_counts_are_right(steps in proptest::collection::vec((0_u8..6, 0_u8..8), 0..80)) {
        let seats = Seats::new(4, 5);
        let (mut slots, mut places) = (Vec::new(), Vec::new());
        for (step, number) in steps {
            match step {
                0 | 1 => match seats.enter(ip(number), |address| address == ip(7)) {
                    Ok(Entry::Seat(slot)) => slots.push(slot),
                    Ok(Entry::Place(place)) => places.push(place),
                    Err(TooMany::Full) => prop_assert!(seats.usage().waiting == 5 || seats.usage().full),
                    Err(TooMany::FromAddress) => prop_assert!(false, "no limit"),
                },
                2 => drop(slots.pop()),
                3 => drop((!places.is_empty()).then(|| places.remove(0))),
                4 => if let Some(slot) = slots.last_mut() {
                    slot.heard();
                    if number > 3 { slot.established() }
                },
                5 if number > 3 => if let Some(place) = places.last() { place.spoke(|address| address == ip(7)) },
                _ => seats.resize(limits(usize::from(number), 1)),
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
