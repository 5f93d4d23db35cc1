//! For which connections a silent one is asked to close, and which one.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::{Granted, MEMBER, Pool, SlotTable, TakenSlot, ip, is_member, limits};
use crate::limits::{IN_USE_FOR, SILENT_LEAST};

/// Creates a table with silent connections of these addresses, in this order.
fn silent(now: Instant, from: &[u8]) -> (SlotTable, Vec<TakenSlot>) {
    let mut table = SlotTable::new(limits(from.len(), 0), 100);
    let seat = |address: &u8| {
        let id = table.admit(ip(*address), is_member(ip(*address))).unwrap();
        table.seat_at_once(id, ip(*address), is_member(ip(*address)), now).unwrap()
    };
    let taken = from.iter().map(seat).collect();
    (table, taken)
}

/// Creates silent connections of the addresses `from`. Returns which of them are asked to close when connections of the
/// addresses `newcomers` wait.
fn asked(now: Instant, from: &[u8], newcomers: &[u8]) -> Vec<usize> {
    let (mut table, mut taken) = silent(now, from);
    let mut waits = Vec::new();
    for newcomer in newcomers {
        let member = is_member(ip(*newcomer));
        let id = table.admit(ip(*newcomer), member).unwrap();
        waits.push(table.wait(id, ip(*newcomer), member, now).unwrap());
        table.spoke(id, ip(*newcomer));
    }
    table.make_room(now + SILENT_LEAST, is_member);
    assert!(taken.iter_mut().all(|taken| taken.silence.try_recv().is_err()), "not silent for long enough");
    table.make_room(now + SILENT_LEAST + Duration::from_millis(1), is_member);
    (0..taken.len()).filter(|place| taken[*place].silence.try_recv().is_ok()).collect()
}

#[test]
fn who_makes_room() {
    let now = Instant::now();
    let rows: &[(&[u8], &[u8], &[usize])] = &[
        // The oldest connection of the address with the most is asked.
        (&[1, 2, 2, 2], &[3], &[1]),
        (&[2, 1, 2, 1, 2], &[3, 4], &[0, 2]),
        // The last connection of an address is never asked.
        (&[1, 2, 3], &[4], &[]),
        (&[1, 1], &[4, 5, 6], &[0]),
        // A member's connection is never asked.
        (&[MEMBER, MEMBER, MEMBER, 1], &[4], &[]),
        (&[MEMBER, MEMBER, MEMBER, 1, 1], &[4], &[3]),
        // Of two addresses with equal numbers, the one that came later is asked.
        (&[1, 1, 2, 2], &[4], &[2]),
        // An address evicts silent connections of another only while it holds fewer slots than the other has silent
        // ones.
        (&[1, 1, 2, 2, 2], &[1], &[2]),
        (&[1, 1, 1, 2, 2, 2], &[1], &[]),
        (&[1, 1, 1, 2, 2], &[2], &[0]),
        (&[1, 1, 1, 1], &[2, 2, 2, 2, 2], &[0, 1]),
        // It may evict its own at any number.
        (&[1, 1, 1], &[1], &[0]),
        // For a member, the numbers do not matter, but the last connection of an address is not asked either.
        (&[1, 1], &[MEMBER, MEMBER], &[0]),
    ];
    for (from, newcomers, expected) in rows {
        assert_eq!(asked(now, from, newcomers), *expected, "{from:?}, then {newcomers:?}");
    }
}

/// A host chooses the second half of its IPv6 address at will. So its addresses count as one source: having many of
/// them, it neither gets more slots nor keeps more silent connections.
#[test]
fn a_host_with_many_ipv6_addresses_makes_room() {
    let now = Instant::now();
    let address = |network: u16, host: u16| IpAddr::from([0x2001, 0xdb8, 0, network, 0, 0, 0, host]);
    let mut table = SlotTable::new(limits(6, 0), 10);
    let enter = |table: &mut SlotTable, address| {
        let id = table.admit(address, false).unwrap();
        table.seat_at_once(id, address, false, now).unwrap()
    };
    let mut pool: Vec<_> = (0..4).map(|host| enter(&mut table, address(1, host))).collect();
    pool.extend((0..2).map(|host| enter(&mut table, address(2, host))));
    for from in [address(3, 1), address(1, 9)] {
        let id = table.admit(from, false).unwrap();
        let _waits = table.wait(id, from, false, now).unwrap();
        table.spoke(id, from);
        table.make_room(now + 2 * SILENT_LEAST, is_member);
        table.leave(id, from);
    }
    let asked: Vec<_> = (0..6).filter(|place| pool[*place].silence.try_recv().is_ok()).collect();
    assert_eq!(asked, [0, 1], "also for one of its own");
}

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
    assert!(pool[1..].iter_mut().all(|taken| taken.silence.try_recv().is_err()));
}

/// A busy application gets a slot although it holds more slots than the silent address, if its connections carry
/// requests. Established connections that carry none count the same as silent ones.
#[test]
fn connections_that_are_in_use_are_no_reason_to_wait() {
    let now = Instant::now();
    for (requested, room) in [(0, None), (3, None), (4, Some(6)), (6, Some(6))] {
        let (mut table, mut taken) = silent(now, &[1, 1, 1, 1, 1, 1, 2, 2, 2]);
        let later = now + 2 * SILENT_LEAST;
        for (place, busy) in taken[..6].iter().enumerate() {
            table.heard(busy.id, busy.ip);
            if place < requested {
                table.requested(busy.id, busy.ip, None, later);
            }
        }
        let id = table.admit(ip(1), false).unwrap();
        let _waits = table.wait(id, ip(1), false, now).unwrap();
        table.make_room(later, is_member);
        assert!(taken[6].silence.try_recv().is_err(), "what waits has said nothing");
        table.spoke(id, ip(1));
        table.make_room(later + IN_USE_FOR + Duration::from_millis(1), is_member);
        assert!(taken.iter_mut().all(|taken| taken.silence.try_recv().is_err()), "the last request is too long ago");
        for busy in &taken[..requested] {
            table.requested(busy.id, busy.ip, Some(later), later + IN_USE_FOR);
        }
        table.make_room(later + IN_USE_FOR + Duration::from_millis(1), is_member);
        let asked: Vec<_> = (0..9).filter(|place| taken[*place].silence.try_recv().is_ok()).collect();
        assert_eq!(asked, Vec::from_iter(room), "{requested} are in use");
    }
}

/// A returned slot goes to the source that holds the fewest slots, except a slot that was freed for another source.
#[test]
fn a_backlog_blocks_nobody_for_whom_room_may_be_made() {
    let now = Instant::now();
    let (mut table, mut taken) = silent(now, &[1, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3]);
    let later = now + 2 * SILENT_LEAST;
    for used in &taken[..9] {
        table.heard(used.id, used.ip);
    }
    for busy in &taken[..4] {
        table.requested(busy.id, busy.ip, None, later);
    }
    let wait = |table: &mut SlotTable, from: u8| {
        let id = table.admit(ip(from), false).unwrap();
        let slot = table.wait(id, ip(from), false, now).unwrap();
        table.spoke(id, ip(from));
        (id, slot)
    };
    let backlog: Vec<_> = (0..5).map(|_| wait(&mut table, 2)).collect();
    let (busy, _slot) = wait(&mut table, 1);
    table.make_room(later, is_member);
    table.make_room(later, is_member);
    let asked: Vec<_> = (0..12).filter(|place| taken[*place].silence.try_recv().is_ok()).collect();
    assert_eq!(asked, [9], "one is asked for the one that is entitled, and none for those that are not");
    let ids = |granted: Vec<Granted>| granted.iter().map(|(_, taken)| taken.id).collect::<Vec<_>>();
    let back = table.release(taken[8].id, ip(2), Pool::Open, None);
    assert_eq!(ids(back), [backlog[0].0], "one that comes back by itself");
    let made = table.release(taken[9].id, ip(3), Pool::Open, None);
    assert_eq!(ids(made), [busy]);
}

/// Silent connections of a former member's address lose their protection.
#[test]
fn former_members_make_room_too() {
    let now = Instant::now();
    let (mut table, mut pool) = silent(now, &[MEMBER, MEMBER, 1]);
    let id = table.admit(ip(2), false).unwrap();
    let _waits = table.wait(id, ip(2), false, now).unwrap();
    table.spoke(id, ip(2));
    table.make_room(now + 2 * SILENT_LEAST, is_member);
    assert!(pool[0].silence.try_recv().is_err());
    assert!(table.resize(limits(3, 0), |_| false).is_empty());
    table.make_room(now + 2 * SILENT_LEAST, |_| false);
    assert!(pool[0].silence.try_recv().is_ok());
}

/// After the limit was lowered, the surplus connections close before a waiting one is served.
#[test]
fn a_lower_limit_is_reached_by_those_that_are_silent() {
    let now = Instant::now();
    let (mut table, mut taken) = silent(now, &[1, 1, 1, 1, 1, 1]);
    assert!(table.resize(limits(3, 0), is_member).is_empty());
    let id = table.admit(ip(2), false).unwrap();
    let _waits = table.wait(id, ip(2), false, now).unwrap();
    table.make_room(now + 2 * SILENT_LEAST, is_member);
    assert!(taken.iter_mut().all(|taken| taken.silence.try_recv().is_err()));
    table.spoke(id, ip(2));
    table.make_room(now + 2 * SILENT_LEAST, is_member);
    let asked: Vec<_> = (0..6).filter(|place| taken[*place].silence.try_recv().is_ok()).collect();
    assert_eq!(asked, [0, 1, 2, 3]);
    let granted: Vec<_> =
        asked.iter().map(|place| table.release(taken[*place].id, ip(1), Pool::Open, None).len()).collect();
    assert_eq!(granted, [0, 0, 0, 1]);
}

/// Silent clients that wait do not cause others to be closed, and clients that have sent something are served before
/// them.
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
    assert!(pool.iter_mut().all(|taken| taken.silence.try_recv().is_err()));
    table.spoke(waiting[7].0, ip(2));
    table.make_room(now + 2 * SILENT_LEAST, is_member);
    assert!(pool[0].silence.try_recv().is_ok() && pool[1].silence.try_recv().is_err());
    let granted = table.release(pool[0].id, ip(1), Pool::Open, None);
    assert_eq!(granted.iter().map(|(_, taken)| taken.id).collect::<Vec<_>>(), [waiting[7].0]);
}

#[test]
fn one_that_speaks_when_it_is_asked_stays_and_another_is_asked() {
    let now = Instant::now();
    let (mut table, mut taken) = silent(now, &[1, 1, 1]);
    let id = table.admit(ip(2), false).unwrap();
    let _waits = table.wait(id, ip(2), false, now).unwrap();
    table.spoke(id, ip(2));
    let (speaking, last) = taken.split_at_mut(2);
    for speaking in speaking {
        table.make_room(now + 2 * SILENT_LEAST, is_member);
        table.make_room(now + 2 * SILENT_LEAST, is_member);
        assert!(speaking.silence.try_recv().is_ok());
        table.heard(speaking.id, speaking.ip);
    }
    assert!(last[0].silence.try_recv().is_err(), "it is the last");
    assert_eq!(table.usage().silent, 1);
}
