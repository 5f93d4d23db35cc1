//! Tests of the inventory's rows, bounds and blockers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use proptest::prelude::{prop_assert, prop_assert_eq, proptest};
use serde_json::json;

use super::{AcceptError, ClientIdentity, Inventory, Transport};
use crate::limits::{INVENTORY_EVICTED, INVENTORY_ROWS};
use crate::mongo::ClientMetadata;

const HOUR: i64 = 3_600_000;
const DAY: Duration = Duration::from_secs(24 * 3600);

fn ip(number: u32) -> IpAddr {
    Ipv4Addr::from(0x0a00_0000 + number).into()
}

fn app(name: &str) -> ClientMetadata {
    ClientMetadata { application: Some(name.into()), driver: Some("PyMongo".into()), ..ClientMetadata::default() }
}

/// The identities of the plaintext blockers.
fn unmoved(inventory: &Inventory, window: Duration, now: i64) -> Vec<String> {
    inventory.plaintext_blockers(window, now, &BTreeMap::new()).into_iter().map(|one| one.identity.text()).collect()
}

#[test]
fn a_plaintext_client_blocks_until_it_has_moved_or_the_window_has() {
    let inventory = Inventory::default();
    // Dropping a guard records the current time, so these tests use the current time.
    let now = super::now_millis();
    let seat = inventory.open(ip(7), Transport::Plaintext, app("reports"), now);
    assert_eq!(unmoved(&inventory, Duration::ZERO, now), ["10.0.0.7/reports/PyMongo"], "open now");
    drop(seat);
    assert_eq!(unmoved(&inventory, Duration::ZERO, now), [""; 0], "a window of zero counts open ones only");
    assert_eq!(unmoved(&inventory, DAY, now + 23 * HOUR).len(), 1);
    assert_eq!(unmoved(&inventory, DAY, now + 25 * HOUR).len(), 0);

    let seat = inventory.open(ip(7), Transport::Tls13, app("reports"), now + HOUR);
    assert_eq!(unmoved(&inventory, DAY, now + 2 * HOUR).len(), 0, "seen by TLS since");
    assert_eq!(inventory.tls_blockers(DAY, now + 2 * HOUR).len(), 1);
    let other = inventory.open(ip(8), Transport::Plaintext, app("reports"), now);
    assert_eq!(
        unmoved(&inventory, DAY, now + 2 * HOUR),
        ["10.0.0.8/reports/PyMongo"],
        "another host is another client"
    );
    let again = inventory.open(ip(7), Transport::Plaintext, app("reports"), now + 3 * HOUR);
    assert_eq!(unmoved(&inventory, DAY, now + 3 * HOUR).len(), 2, "open on plaintext again, whatever it has on TLS");
    drop((seat, other, again));
}

#[test]
fn an_accepted_client_blocks_no_more_and_it_is_remembered() {
    let inventory = Inventory::default();
    let now = super::now_millis();
    drop(inventory.open(ip(7), Transport::Plaintext, app("old job"), now));
    let member = || ClientMetadata { internal: true, ..ClientMetadata::default() };
    let held = inventory.open(ip(9), Transport::Plaintext, member(), now);
    // For a member that has disconnected, its own mode decides how it connects again.
    drop(inventory.open(ip(10), Transport::Plaintext, member(), now));
    let key = ClientIdentity::parse("10.0.0.7/old%20job/PyMongo").unwrap();
    assert_eq!(inventory.accept(key.clone(), true, false), Ok(true));
    let unseen = ClientIdentity::parse("10.0.0.1/-/-").unwrap();
    assert_eq!(inventory.accept(unseen.clone(), true, false), Err(AcceptError::Unseen("10.0.0.1/-/-".into())));
    assert_eq!(inventory.accept(unseen.clone(), true, true), Ok(false), "it may come yet");
    assert_eq!(inventory.accept(unseen.clone(), false, false), Ok(false), "what is accepted can be taken back");
    assert!(inventory.accept(unseen, false, false).is_err(), "and only that");
    assert_eq!(unmoved(&inventory, DAY, now), ["10.0.0.9/-/-/member"]);

    let text = serde_json::to_string(&inventory.to_image()).unwrap();
    let back = Inventory::from_image(serde_json::from_str(&text).unwrap());
    // No client is connected after a restart.
    assert_eq!(unmoved(&back, DAY, now), [""; 0]);
    assert_eq!(back.accept(key, false, false), Ok(true));
    assert_eq!(unmoved(&back, DAY, now), ["10.0.0.7/old%20job/PyMongo"]);
    drop(held);
    assert_eq!(back.rows().len(), inventory.rows().len());
}

/// Whether a TLS row shows that a plaintext client has moved: (plaintext row, TLS row, expected answer).
#[test]
fn only_the_same_name_at_the_same_address_shows_a_move() {
    let named = |application: &str, driver: &str, version: &str| ClientMetadata {
        application: (!application.is_empty()).then(|| application.into()),
        driver: (!driver.is_empty()).then(|| driver.into()),
        driver_version: (!version.is_empty()).then(|| version.into()),
        internal: false,
    };
    let member = |client: ClientMetadata| ClientMetadata { internal: true, ..client };
    let mapped: IpAddr = "::ffff:10.0.0.7".parse().unwrap();
    let nameless = named("", "", "");
    for (by_plaintext, (from, by_tls), shows) in [
        (named("a", "d", "1"), (ip(7), named("a", "d", "2")), true),
        (named("a", "d", "1"), (mapped, named("a", "d", "1")), true),
        (named("", "d", "1"), (ip(7), named("", "d", "1")), true),
        (named("a", "", ""), (ip(7), named("a", "", "")), true),
        (named("a", "d", "1"), (ip(8), named("a", "d", "1")), false),
        (named("a", "d", "1"), (ip(7), named("b", "d", "1")), false),
        (named("a", "d", "1"), (ip(7), named("a", "e", "1")), false),
        (named("a", "d", "1"), (ip(7), named("", "d", "1")), false),
        (named("", "d", "1"), (ip(7), named("a", "d", "1")), false),
        (named("a", "d", "1"), (ip(7), nameless.clone()), false),
        (named("a", "d", "1"), (ip(7), member(named("a", "d", "1"))), false),
        (nameless.clone(), (ip(7), nameless.clone()), false),
        (nameless.clone(), (ip(7), named("a", "d", "1")), false),
        (nameless.clone(), (ip(7), member(nameless.clone())), false),
        (nameless.clone(), (mapped, nameless.clone()), false),
    ] {
        let inventory = Inventory::default();
        let now = super::now_millis();
        drop(inventory.open(ip(7), Transport::Plaintext, by_plaintext.clone(), now));
        let held = inventory.open(from, Transport::Tls13, by_tls.clone(), now + HOUR);
        let restarted = Inventory::from_image(inventory.to_image());
        for inventory in [&inventory, &restarted] {
            let left = usize::from(!shows);
            assert_eq!(unmoved(inventory, DAY, now + HOUR).len(), left, "{by_plaintext:?}, then {by_tls:?}");
        }
        assert_eq!(unmoved(&inventory, DAY, now + 25 * HOUR).len(), 0, "beyond the window");
        // A plaintext row of a member at the same address changes nothing.
        drop(inventory.open(ip(7), Transport::Plaintext, member(nameless.clone()), now + 2 * HOUR));
        assert_eq!(unmoved(&inventory, DAY, now + 2 * HOUR).len(), usize::from(!shows), "{by_plaintext:?}");
        drop(held);
    }
}

#[test]
fn a_client_that_has_said_nothing_yet_counts_as_nameless() {
    let inventory = Inventory::default();
    let now = super::now_millis();
    let unheard = BTreeMap::from([(ip(7), 2)]);
    let found = inventory.plaintext_blockers(Duration::ZERO, now, &unheard);
    assert_eq!((found.len(), found[0].identity.text().as_str(), found[0].open), (1, "10.0.0.7/-/-", 2));
    let held = inventory.open(ip(7), Transport::Plaintext, ClientMetadata::default(), now);
    let found = inventory.plaintext_blockers(Duration::ZERO, now, &unheard);
    assert_eq!((found.len(), found[0].open), (1, 3));
    assert_eq!(inventory.accept(ClientIdentity::parse("10.0.0.7/-/-").unwrap(), true, false), Ok(true));
    assert_eq!(inventory.plaintext_blockers(Duration::ZERO, now, &unheard), []);
    drop(held);
}

#[test]
fn a_flood_of_distinct_peers_stays_within_the_bound_and_the_loss_is_known() {
    let inventory = Inventory::default();
    let now = super::now_millis();
    let held = inventory.open(ip(1), Transport::Plaintext, app("stays"), now - HOUR);
    for number in 2..100_000 {
        drop(inventory.open(ip(number), Transport::Tls13, app("flood"), now));
    }
    assert!((INVENTORY_ROWS - INVENTORY_EVICTED..=INVENTORY_ROWS).contains(&inventory.len()));
    assert_eq!(inventory.lost(now), 0, "rows of TLS are no loss");
    drop(inventory.open(ip(100_000), Transport::Plaintext, app("job"), now));
    for number in 100_001..110_000 {
        drop(inventory.open(ip(number), Transport::Tls13, app("flood"), now));
    }
    assert_eq!(unmoved(&inventory, DAY, now), ["10.0.0.1/stays/PyMongo", "10.1.134.160/job/PyMongo"]);
    for number in 200_000..300_000 {
        drop(inventory.open(ip(number), Transport::Plaintext, app("flood"), now));
    }
    assert!(inventory.len() <= INVENTORY_ROWS);
    assert!(inventory.lost(now) > 90_000 && inventory.lost(now + 25 * HOUR) == 0);
    assert!(unmoved(&inventory, DAY, now).contains(&"10.0.0.1/stays/PyMongo".to_owned()), "what is open is kept");
    drop(held);
}

/// A client with a unique name.
fn stranger(number: u32) -> ClientMetadata {
    ClientMetadata { application: Some(format!("x{number}")), ..ClientMetadata::default() }
}

#[test]
fn the_names_of_one_address_beyond_a_bound_share_a_row() {
    let inventory = Inventory::default();
    let now = super::now_millis();
    drop(inventory.open(ip(7), Transport::Plaintext, app("job"), now));
    for number in 0..5000 {
        drop(inventory.open(ip(66), Transport::Plaintext, stranger(number), now));
        inventory.refused(ip(66), stranger(number), now);
    }
    let found = inventory.plaintext_blockers(DAY, now, &BTreeMap::new());
    assert_eq!((found.len(), inventory.len(), inventory.lost(now)), (66, 66, 0));
    assert!(found.iter().any(|one| one.identity.text() == "10.0.0.7/job/PyMongo"));
    let shared = found.iter().find(|one| one.identity.text() == "10.0.0.66/-/-/more").unwrap();
    assert!(shared.more_names.unwrap().abs_diff(4936) < 800, "{shared:?}");
    let row = inventory.rows().into_iter().find(|row| row.more_names.is_some()).unwrap();
    assert_eq!((row.total, row.refused), (2 * 4936, 4936));

    // The blockers and the counts survive a restart.
    let back =
        Inventory::from_image(serde_json::from_value(serde_json::to_value(inventory.to_image()).unwrap()).unwrap());
    assert_eq!(back.plaintext_blockers(DAY, now, &BTreeMap::new()).len(), 66);
    assert_eq!(back.rows().iter().map(|row| row.total).sum::<u64>(), 10_001);
    assert_eq!(back.rows().iter().find(|row| row.more_names.is_some()).unwrap().more_names, row.more_names);

    // The shared row counts as open while one of its connections is open, and ends with the window. A TLS connection
    // with one of its names does not count as a move.
    let held = inventory.open(ip(66), Transport::Plaintext, stranger(9000), now);
    assert!(unmoved(&inventory, Duration::ZERO, now).contains(&"10.0.0.66/-/-/more".to_owned()));
    drop(held);
    drop(inventory.open(ip(66), Transport::Tls13, stranger(9000), now + HOUR));
    assert_eq!(unmoved(&inventory, DAY, now + 2 * HOUR).len(), 66);
    assert_eq!(unmoved(&inventory, DAY, now + 25 * HOUR), [""; 0]);

    // The shared row is accepted by its key, and all clients of the address by another key.
    assert_eq!(inventory.accept(shared.identity.clone(), true, false), Ok(true));
    assert_eq!(unmoved(&inventory, DAY, now).len(), 65);
    assert_eq!(inventory.accept(ClientIdentity::parse("10.0.0.66/-/-/all").unwrap(), true, false), Ok(true));
    assert_eq!(unmoved(&inventory, DAY, now), ["10.0.0.7/job/PyMongo"]);
    assert!(inventory.accept(ClientIdentity::parse("10.0.0.8/-/-/all").unwrap(), true, false).is_err());
    // The second key does not accept members at that address.
    let member = ClientMetadata { internal: true, ..ClientMetadata::default() };
    let held = inventory.open(ip(66), Transport::Plaintext, member, now);
    assert_eq!(unmoved(&inventory, DAY, now).len(), 2);
    drop(held);
}

#[test]
fn rows_outside_the_window_give_way_to_new_names() {
    let inventory = Inventory::default();
    // Dropping a guard records the current time, so rows in the past are made with `refused`.
    let now = super::now_millis();
    for number in 0..200 {
        inventory.refused(ip(7), stranger(number), now - 25 * HOUR);
    }
    for number in 1000..1060 {
        inventory.refused(ip(7), stranger(number), now);
    }
    assert_eq!(unmoved(&inventory, DAY, now).len(), 60, "all by name");
    assert_eq!(inventory.len(), 65);
}

/// Clients with many names fill the table; the rows of other addresses are unchanged.
#[test]
fn a_full_table_takes_from_the_addresses_with_the_most_names() {
    for network in [false, true] {
        let inventory = Inventory::default();
        let now = super::now_millis();
        let jobs = || (1..100).map(|number| (ip(number), app("job")));
        for (ip, job) in jobs() {
            drop(inventory.open(ip, Transport::Plaintext, job, now));
        }
        let held = inventory.open(ip(1), Transport::Plaintext, app("held"), now);
        for number in 0..20_000 {
            // 200 addresses, or one address per name.
            let from = if network {
                IpAddr::V6(Ipv6Addr::from(0x2001_0db8_u128 << 96 | u128::from(number)))
            } else {
                ip(1000 + number % 200)
            };
            drop(inventory.open(from, Transport::Plaintext, stranger(number), now));
        }
        assert!(inventory.len() <= INVENTORY_ROWS);
        let found = unmoved(&inventory, DAY, now);
        assert!(jobs().all(|(ip, _)| found.contains(&format!("{ip}/job/PyMongo"))), "{network}");
        assert!(found.contains(&"10.0.0.1/held/PyMongo".to_owned()));
        assert_eq!(inventory.lost(now), 0, "{network}");
        let shared = if network { "2001:db8::/-/-/more" } else { "10.0.3.232/-/-/more" };
        assert!(found.contains(&shared.to_owned()), "{network}");
        drop(held);
    }
}

#[test]
fn connections_without_a_row_count_as_long_as_they_are_open() {
    let inventory = Inventory::default();
    let now = super::now_millis();
    let rows = u32::try_from(INVENTORY_ROWS).unwrap();
    let mut held: Vec<_> =
        (0..rows).map(|number| inventory.open(ip(number), Transport::Plaintext, app("a"), now)).collect();
    held.push(inventory.open(ip(rows), Transport::Plaintext, app("late"), now));
    held.push(inventory.open(ip(rows), Transport::Tls13, app("late"), now));
    assert_eq!((inventory.len(), inventory.unlisted(), inventory.lost(now)), (INVENTORY_ROWS, (1, 1), 1));
    held.clear();
    assert_eq!(inventory.unlisted(), (0, 0));
    let late = inventory.open(ip(rows), Transport::Plaintext, app("later"), now + 2000);
    assert!(inventory.len() <= INVENTORY_ROWS && inventory.unlisted() == (0, 0));
    drop(late);
}

#[test]
fn an_edited_image_is_bounded() {
    let row = |number: u32| serde_json::json!({ "ip": ip(number).to_string(), "kind": "plaintext", "driver": "x".repeat(9999) });
    let rows: Vec<_> = (0..10_000).map(row).chain([serde_json::json!({ "ip": "nonsense" })]).collect();
    let accepted: Vec<_> = (0..10_000).map(|number| format!("{}/-/-", ip(number))).collect();
    let image = serde_json::json!({ "rows": rows, "accepted": accepted, "unknown": 5 });
    let inventory = Inventory::from_image(serde_json::from_value(image).unwrap());
    assert_eq!(inventory.len(), INVENTORY_ROWS);
    assert!(inventory.rows().iter().all(|row| row.identity.driver.as_ref().unwrap().len() == 128));
}

fn numbers(inventory: &Inventory) -> BTreeMap<String, u64> {
    inventory.rows().into_iter().map(|row| (row.identity.text(), row.number)).collect()
}

#[test]
fn a_number_means_the_same_row_for_ever() {
    let inventory = Inventory::default();
    let now = super::now_millis();
    for name in ["a", "b", "c"] {
        inventory.refused(ip(7), app(name), now);
    }
    let at = |name: &str| format!("10.0.0.7/{name}/PyMongo");
    let expected = BTreeMap::from([(at("a"), 1), (at("b"), 2), (at("c"), 3)]);
    assert_eq!(numbers(&inventory), expected);
    let blockers = inventory.plaintext_blockers(DAY, now, &BTreeMap::from([(ip(9), 1)]));
    assert_eq!(blockers.iter().map(|one| one.number).collect::<Vec<_>>(), [Some(1), Some(2), Some(3), None]);

    // The file loses the row with the highest number. The next new row does not get this number.
    let mut image = serde_json::to_value(inventory.to_image()).unwrap();
    image["rows"].as_array_mut().unwrap().retain(|row| row["application"] != "c");
    let back = Inventory::from_image(serde_json::from_value(image.clone()).unwrap());
    back.refused(ip(7), app("d"), now);
    assert_eq!(numbers(&back), BTreeMap::from([(at("a"), 1), (at("b"), 2), (at("d"), 4)]));

    // The numbers are unique even if the file was edited or comes from an earlier version.
    for edited in [json!([2, 2, 0]), json!([7, 7, 7]), json!([u64::MAX, 1_u64 << 53, 0])] {
        let mut image = serde_json::to_value(inventory.to_image()).unwrap();
        image["nextNumber"] = edited[2].clone();
        for (row, number) in image["rows"].as_array_mut().unwrap().iter_mut().zip(edited.as_array().unwrap()) {
            row["number"] = number.clone();
        }
        let back = Inventory::from_image(serde_json::from_value(image).unwrap());
        back.refused(ip(7), app("d"), now);
        let found: BTreeSet<_> = numbers(&back).into_values().collect();
        assert!(found.len() == 4 && found.iter().all(|number| (1..100).contains(number)), "{edited}: {found:?}");
    }
}

proptest! {
    /// For any order of opens and closes, rows stay within the bound and open connections are counted.
    #[test]
    fn open_counts_are_exact(steps in proptest::collection::vec((0_u32..9000, 0_u8..3), 1..300)) {
        let inventory = Inventory::default();
        let mut seats = Vec::new();
        for (number, step) in steps {
            match step {
                0 => seats.push(inventory.open(ip(number), Transport::Plaintext, app("a"), 0)),
                1 => inventory.refused(ip(number), app("a"), 0),
                _ => drop(seats.pop()),
            }
            prop_assert!(inventory.len() <= INVENTORY_ROWS);
        }
        let open: u64 = inventory.rows().iter().map(|row| row.open).sum();
        prop_assert_eq!(open, seats.len() as u64);
    }
}
