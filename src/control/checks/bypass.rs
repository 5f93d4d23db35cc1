//! Connections that bypass this proxy, as blockers of a mode.

use std::cell::LazyCell;
use std::collections::BTreeMap;
use std::net::IpAddr;

use super::interception::{local_server, missing_rules};
use crate::control::blocker::{Blocker, BlockerKind};
use crate::control::blocking::blocking;
use crate::control::bypass_scan::{
    Bypass, BypassDirection, BypassRules, BypassScan, connections, own_addresses, own_sockets, scan,
};
use crate::control::view::View;
use crate::policy::Mode;

/// Scans for connections that bypass this proxy now.
pub(crate) async fn look_for_bypass(view: &View) {
    let (loaded, members) = (view.loaded(), view.members());
    let (server, transparent) = (local_server(&loaded.settings), loaded.settings.transparent);
    if server.is_none() && transparent.is_none() {
        return view.interception().set_scan(BypassScan::default());
    }
    let look = move || {
        // Reading the descriptors takes time for each connection of this process, so they are read only if the
        // addresses do not suffice.
        let own = LazyCell::new(own_sockets);
        let (rules, mut here) = (BypassRules { server, transparent, members: &members }, own_addresses());
        let mut all = connections(&rules, &mut here);
        // Inode 0 means that the connection is not accepted yet, so it is unknown whose it is. It may be a client's
        // connection to tlsramp: under TPROXY, such a connection has the server's address, and would count as a bypass.
        all.retain(|one| one.inode != 0);
        let mut found = scan(&all, &rules, &mut here, |one| own.contains(&one.inode));
        if !found.bypass.is_empty() {
            // `found` may have connections of tlsramp that ended before the descriptors were read.
            found.keep_open(&connections(&rules, &mut here));
        }
        found
    };
    // A scan that panicked counts as having found nothing.
    let found = blocking(look).await.unwrap_or_default();
    view.interception().set_scan(found);
}

/// Missing rules and bypassing connections, as blockers of a mode that accepts only TLS; none for other modes.
pub(crate) fn bypass_blockers(view: &View, to: Mode) -> Vec<Blocker> {
    if to.accepts_plaintext() {
        return Vec::new();
    }
    let rules = missing_rules(view).map(|missing| Blocker {
        kind: BlockerKind::Redirect,
        text: missing.text,
        remedy: "run `tlsramp netfilter --apply`".into(),
        ..Blocker::default()
    });
    rules.into_iter().chain(grouped(&view.interception().bypass())).collect()
}

/// One blocker for each peer and direction.
pub(crate) fn grouped(bypass: &[Bypass]) -> Vec<Blocker> {
    let mut peers = BTreeMap::<(BypassDirection, IpAddr), Vec<&Bypass>>::new();
    for connection in bypass {
        peers.entry((connection.direction, connection.remote.ip())).or_default().push(connection);
    }
    let blocker = |((direction, ip), all): ((BypassDirection, IpAddr), Vec<&Bypass>)| {
        let first = all[0];
        let ip = if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() };
        let (count, whose) = (all.len(), if first.member { "member" } else { "client" });
        let (how, filter, also) = match direction {
            BypassDirection::Inbound => ("from", format!("ss -K sport = :{} and dst {ip}", first.local.port()), ""),
            BypassDirection::Outbound => {
                let also = ", and tlsramp's own connections to it, which are made again";
                ("to", format!("ss -K dport = :{} and dst {ip}", first.remote.port()), also)
            }
        };
        Blocker {
            kind: BlockerKind::Bypass,
            text: format!(
                "bypass: {count} connections {how} {whose} {ip} bypass tlsramp: they were made before it was in their \
                 path, or by a path around it"
            ),
            remedy: format!("the older ones end when that peer reconnects; as root, `{filter}` ends them now{also}"),
            address: Some(ip),
            open: u64::try_from(count).ok(),
            ..Blocker::default()
        }
    };
    peers.into_iter().map(blocker).collect()
}
