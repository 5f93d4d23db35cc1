//! Tests which of a host's connections bypass tlsramp.

use std::fs::read_link;
use std::net::{IpAddr, TcpListener};
use std::os::fd::AsRawFd;

use super::{BypassRules, own_sockets, scan, socket};
use crate::control::checks::bypass::grouped;
use crate::net::Established;
use crate::state::{Member, MemberList, NameSource};

fn connection(local: &str, remote: &str, ours: bool) -> Established {
    Established {
        local: local.parse().unwrap(),
        remote: remote.parse().unwrap(),
        inode: u64::from(ours),
        transparent: false,
    }
}

#[test]
fn sockets_of_this_process() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let held = read_link(format!("/proc/self/fd/{}", listener.as_raw_fd())).unwrap();
    assert!(own_sockets().contains(&socket(held.to_str().unwrap()).unwrap()));
}

/// A connection of tlsramp's own that ends between two scans has no descriptor by which it could be recognised.
#[test]
fn what_has_ended_meanwhile_does_not_go_scan() {
    let members = MemberList::new(Vec::new());
    let rules = BypassRules { server: Some(27017), transparent: None, members: &members };
    let all = ["10.9.9.9:40000", "10.9.9.9:40001"].map(|client| connection("10.0.0.1:27017", client, false));
    let mut found = scan(&all, &rules, &mut |_| false, |_| false);
    assert_eq!(found.bypass.len(), 2);
    found.keep_open(&all[1..]);
    assert_eq!(found.bypass.iter().map(|one| one.remote.to_string()).collect::<Vec<_>>(), ["10.9.9.9:40001"]);
}

#[test]
fn what_goes_scan() {
    let member = |name: &str, ip: &str| Member {
        name: name.parse().unwrap(),
        addresses: vec![ip.parse().unwrap()],
        sources: vec![NameSource::Option],
    };
    let members = MemberList::new(vec![member("db1:27017", "10.0.0.1"), member("db2:27017", "10.0.0.2")]);
    let all = [
        // A client and a member that connected before the redirect.
        connection("10.0.0.1:27017", "10.9.9.9:40000", false),
        connection("10.0.0.1:27017", "10.0.0.2:40001", false),
        connection("10.0.0.1:27017", "10.0.0.2:40002", false),
        // Through tlsramp: the client's connection, and tlsramp's to mongod, which comes from an address of this host.
        connection("10.0.0.1:27117", "10.9.9.9:40003", true),
        connection("10.0.0.1:40004", "127.0.0.1:27017", true),
        connection("127.0.0.1:27017", "10.0.0.1:40004", false),
        // From mongod to the other member: one that was made before the redirect, and one that was redirected (its two
        // ends). The fourth is tlsramp's own connection for the redirected one.
        connection("10.0.0.1:40005", "10.0.0.2:27017", false),
        connection("10.0.0.1:40006", "10.0.0.2:27017", false),
        connection("127.0.0.1:27018", "10.0.0.1:40006", true),
        connection("10.0.0.1:40007", "10.0.0.2:27017", true),
        // From mongod to itself, and an unrelated connection.
        connection("10.0.0.1:40008", "10.0.0.1:27017", false),
        connection("10.0.0.1:40009", "10.0.0.2:443", false),
        // To servers without a known name: two that were made before the redirect, one that was redirected (its two
        // ends), and one of tlsramp. The last is a client whose own port is one that members use.
        connection("10.0.0.1:40010", "10.0.0.7:27017", false),
        connection("10.0.0.1:40011", "10.0.0.7:27017", false),
        connection("10.0.0.1:40012", "10.0.0.8:27017", false),
        connection("127.0.0.1:27018", "10.0.0.1:40012", true),
        connection("10.0.0.1:40013", "10.0.0.9:27017", true),
        connection("10.0.0.1:27017", "10.9.9.9:27017", false),
    ];
    let mut own = |ip: IpAddr| ip.is_loopback() || ip == "10.0.0.1".parse::<IpAddr>().unwrap();
    let rules = BypassRules { server: Some(27017), transparent: Some(27018), members: &members };
    // The connections of clients and members, and the accepted ends of redirected connections.
    let concerned: Vec<_> = all.into_iter().filter(|one| rules.concern(one, &mut own)).collect();
    assert_eq!(concerned.len(), 13, "{concerned:?}");
    let found = scan(&concerned, &rules, &mut own, |one| one.inode == 1);
    assert_eq!(found.unnamed, ["10.0.0.7:27017".parse().unwrap()]);
    let found: Vec<_> =
        found.bypass.into_iter().filter(|row| row.remote != "10.9.9.9:27017".parse().unwrap()).collect();
    let shown: Vec<_> = found.iter().map(|row| (row.direction.name(), row.remote.to_string(), row.member)).collect();
    assert_eq!(
        shown,
        [
            ("inbound", "10.9.9.9:40000".to_owned(), false),
            ("inbound", "10.0.0.2:40001".to_owned(), true),
            ("inbound", "10.0.0.2:40002".to_owned(), true),
            ("outbound", "10.0.0.2:27017".to_owned(), true)
        ]
    );
    let blockers = grouped(&found);
    let texts: Vec<_> = blockers.iter().map(|blocker| (&*blocker.text, &*blocker.remedy)).collect();
    assert_eq!(blockers.len(), 3, "{texts:?}");
    assert!(texts[0].0.contains("2 connections from member 10.0.0.2"), "{texts:?}");
    assert!(
        texts[2].0.contains("1 connections to member 10.0.0.2")
            && texts[2].1.contains("ss -K dport = :27017 and dst 10.0.0.2")
    );
    // Without a redirect of outgoing connections, mongod's own connections are no bypass.
    let inbound_only = BypassRules { transparent: None, ..rules };
    let found = scan(&concerned, &inbound_only, &mut own, |one| one.inode == 1);
    assert_eq!((found.bypass.len(), found.unnamed.len()), (4, 0));
}
