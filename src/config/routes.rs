//! The routes: their listeners and targets, and the check that no route leads back to this proxy.

use std::net::{IpAddr, SocketAddr};

use super::lookup::{self, Lookup};
use super::options::OptionKey;
use super::raw::{Raw, RawValue};
use super::reader::OptionReader;
use super::settings::{InboundSettings, MemberSettings, OutboundSettings, Settings};
use super::values;
use crate::limits::{MOST_MEMBERS, MOST_OUTBOUND};
use crate::net::{HostPort, TRANSPARENT_IPS, UpstreamAddress, is_own};
use crate::policy::{Acceptance, LinkRule};

/// The inbound route, if an upstream is given and valid. `bound` are addresses that are already open and are kept.
pub(super) fn inbound(
    reader: &mut OptionReader<'_>,
    lookup: Lookup,
    bound: Option<&[SocketAddr]>,
) -> Option<InboundSettings> {
    let upstream =
        reader.read(OptionKey::Upstream, |text| text.parse::<UpstreamAddress>().map_err(|error| error.to_string()));
    let link = reader.read(OptionKey::UpstreamTls, |text| {
        values::choice(text, &[("policy", LinkRule::Policy), ("never", LinkRule::Never), ("always", LinkRule::Always)])
    });
    let acceptance = reader.read(OptionKey::InboundTls, |text| {
        values::choice(text, &[("terminate", Acceptance::Terminate), ("passthrough", Acceptance::Passthrough)])
    });
    let source = reader.read(OptionKey::UpstreamBind, values::ip);
    let port = reader.read(OptionKey::Port, values::port);
    let binds = match bound {
        Some(bound) => bound.to_vec(),
        None => binds(reader, port.unwrap_or(DEFAULT_PORT), lookup),
    };
    let inbound = InboundSettings {
        binds,
        transparent: reader.read(OptionKey::InboundTransparent, values::switch).unwrap_or(false),
        upstream: upstream?,
        link: link.unwrap_or(LinkRule::Policy),
        acceptance: acceptance.unwrap_or(Acceptance::Terminate),
        source,
    };
    let link_read = link.is_some() || !reader.given(OptionKey::UpstreamTls);
    check_link(reader, &inbound, link_read);
    check_source(reader, &inbound);
    Some(inbound)
}

/// The port of the inbound route; without an inbound route, the port that it would have. The default address of the
/// admin port depends on it.
pub(super) fn port(raw: &Raw) -> u16 {
    raw.get(OptionKey::Port).and_then(|entry| values::port(&entry.value).ok()).unwrap_or(DEFAULT_PORT)
}

/// The valid outbound routes.
pub(super) fn outbound(reader: &mut OptionReader<'_>, inbound: Option<&InboundSettings>) -> Vec<OutboundSettings> {
    let raw = reader.raw;
    let mut routes = Vec::<OutboundSettings>::new();
    for (at, entry) in raw.all(OptionKey::Outbound).enumerate() {
        if at == MOST_OUTBOUND {
            reader.refuse_entry(entry, &format!("more than {MOST_OUTBOUND} outbound routes are given"), "remove some");
            break;
        }
        let Some((listen, target, name)) = reader.read_entry(entry, values::outbound) else { continue };
        let same = routes.iter().map(|route| route.listen).find(|other| conflicts(*other, listen));
        let ours = inbound.and_then(|inbound| inbound.binds.iter().copied().find(|bind| conflicts(*bind, listen)));
        if same.is_some() {
            reader.refuse_entry(entry, "another outbound route listens there too", "give each route its own listener");
        } else if let Some(bind) = ours {
            let problem = format!("the inbound route listens there too, on {bind}");
            reader.refuse_entry(entry, &problem, "give one of them another address or port");
        } else {
            routes.push(OutboundSettings { listen, target, name });
        }
    }
    routes
}

/// The port of the transparent outbound route, if no other route listens there.
pub(super) fn transparent(
    reader: &mut OptionReader<'_>,
    inbound: Option<&InboundSettings>,
    outbound: &[OutboundSettings],
) -> Option<u16> {
    let port = reader.read(OptionKey::Transparent, values::port)?;
    let binds = inbound.into_iter().flat_map(|inbound| &inbound.binds);
    let listens = binds.chain(outbound.iter().map(|route| &route.listen));
    let ours = TRANSPARENT_IPS.map(|ip| SocketAddr::new(ip, port));
    let taken = listens.copied().find(|listen| ours.iter().any(|ours| conflicts(*listen, *ours)));
    if let Some(listen) = taken {
        let problem = format!("another route listens there too, on {listen}");
        reader.refuse(OptionKey::Transparent, &problem, "give one of them another port");
        return None;
    }
    Some(port)
}

/// The valid members.
pub(super) fn members(reader: &mut OptionReader<'_>) -> Vec<MemberSettings> {
    let raw = reader.raw;
    if let Some(entry) = raw.all(OptionKey::Member).nth(MOST_MEMBERS) {
        reader.refuse_entry(entry, &format!("more than {MOST_MEMBERS} members are given"), "remove some");
    }
    raw.all(OptionKey::Member).take(MOST_MEMBERS).filter_map(|entry| reader.read_entry(entry, values::member)).collect()
}

/// Refuses routes that lead to our own listeners. An outbound route may lead to our own inbound route, since mongod
/// dials its own name to find itself in the set.
pub(super) fn loops(
    reader: &mut OptionReader<'_>,
    inbound: Option<&InboundSettings>,
    outbound: &[OutboundSettings],
    lookup: Lookup,
) {
    let listens = outbound.iter().map(|route| route.listen).collect::<Vec<_>>();
    let binds = inbound.map_or(&[][..], |inbound| &inbound.binds);
    // Only targets with the port of a listener can lead back, so only these are resolved.
    let same_port = |listens: &[SocketAddr], port| listens.iter().any(|listen| listen.port() == port);
    let raw = reader.raw;
    let targets = raw.all(OptionKey::Outbound).take(MOST_OUTBOUND).filter_map(|entry| Some((entry, target_of(entry)?)));
    let targets = targets.filter(|(_, target)| same_port(&listens, target.port)).collect::<Vec<_>>();
    let upstream =
        inbound.and_then(tcp_target).filter(|target| same_port(binds, target.port) || same_port(&listens, target.port));
    let hosts = targets.iter().map(|(_, target)| target).chain(upstream).map(|target| target.host.as_str());
    let found = lookup::all(&hosts.collect::<Vec<_>>(), lookup);
    for ((entry, target), ips) in targets.iter().zip(&found) {
        if arrives(&listens, target.port, ips) {
            let remedy = "name the other server by an address that reaches it: on this host, the name resolves to the \
                listener of an outbound route";
            reader.refuse_entry(
                entry,
                "this target is one of our own outbound listeners, so that connections would loop",
                remedy,
            );
        }
    }
    let Some((target, ips)) = upstream.zip(found.last()) else { return };
    if arrives(binds, target.port, ips) {
        let remedy =
            format!("name the server's own address, or move this one with {}", reader.option_name(OptionKey::Port));
        reader.refuse(
            OptionKey::Upstream,
            "this target is our own inbound listener, so that connections would loop",
            &remedy,
        );
    } else if arrives(&listens, target.port, ips) {
        let problem = "this is one of our own outbound listeners, which leads to another server";
        reader.refuse(OptionKey::Upstream, problem, "name the server that this proxy fronts");
    }
}

/// Refuses an upstream that is a listener of the control plane or of the transparent outbound route.
pub(super) fn upstream_is_own_port(reader: &mut OptionReader<'_>, settings: &Settings, lookup: Lookup) {
    let Some(target) = settings.inbound.as_ref().and_then(tcp_target) else { return };
    let admin = settings.admin.tcp_binds().map(|at| (at, OptionKey::AdminBind));
    let probes = settings.admin.probes.iter().map(|at| (*at, OptionKey::ProbeBind));
    let transparent = settings.transparent_binds().map(|at| (at, OptionKey::Transparent));
    let same_port = admin.chain(probes).chain(transparent).filter(|(at, _)| at.port() == target.port);
    let same_port = same_port.collect::<Vec<_>>();
    if same_port.is_empty() {
        return;
    }
    let found = lookup::all(&[target.host.as_str()], lookup);
    let ips = found.first().map_or(&[][..], Vec::as_slice);
    if let Some((_, key)) = same_port.iter().find(|(at, _)| arrives(&[*at], target.port, ips)) {
        let problem = format!("this is our own listener of {}", reader.option_name(*key));
        reader.refuse(OptionKey::Upstream, &problem, "name the server that this proxy fronts");
    }
}

/// Whether listeners on `one` and `other` conflict. Port 0 never does: the kernel chooses a free port.
pub(super) fn conflicts(one: SocketAddr, other: SocketAddr) -> bool {
    let same_family = one.is_ipv4() == other.is_ipv4();
    one.port() != 0
        && one.port() == other.port()
        && (one.ip() == other.ip() || (same_family && (one.ip().is_unspecified() || other.ip().is_unspecified())))
}

/// Whether connections to `port` of one of `ips` arrive at one of the listeners.
fn arrives(listens: &[SocketAddr], port: u16, ips: &[IpAddr]) -> bool {
    let arrives = |ip: &IpAddr, listen: &SocketAddr| {
        let everywhere = listen.ip().is_unspecified() && ip.is_ipv4() == listen.is_ipv4() && is_own(*ip);
        listen.port() == port && (listen.ip() == *ip || everywhere)
    };
    ips.iter().any(|ip| listens.iter().any(|listen| arrives(ip, listen)))
}

const fn tcp_target(inbound: &InboundSettings) -> Option<&HostPort> {
    match &inbound.upstream {
        UpstreamAddress::Tcp(target) => Some(target),
        UpstreamAddress::Unix(_) => None,
    }
}

fn target_of(entry: &RawValue) -> Option<HostPort> {
    values::outbound(&entry.value).ok().map(|(_, target, _)| target)
}

/// The addresses to listen on, without duplicates.
fn binds(reader: &mut OptionReader<'_>, port: u16, lookup: Lookup) -> Vec<SocketAddr> {
    let text = reader.read(OptionKey::BindIp, |text| Ok(text.to_owned())).unwrap_or_else(|| DEFAULT_BIND.to_owned());
    let mut binds = Vec::new();
    for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let found = resolve(item, lookup);
        if found.is_empty() {
            let problem =
                format!("'{}' is neither an IP address nor a name that resolves", crate::text::printable(item));
            let remedy = "write addresses of this host, separated by commas; 0.0.0.0 is every IPv4 address";
            if is_name(item) {
                reader.refuse_for_now(OptionKey::BindIp, &problem, remedy);
            } else {
                reader.refuse(OptionKey::BindIp, &problem, remedy);
            }
        }
        for ip in found {
            let bind = SocketAddr::new(ip, port);
            if let Err(wrong) = values::listenable(bind) {
                reader.refuse(OptionKey::BindIp, &wrong, "write addresses of this host, separated by commas");
            } else if !binds.contains(&bind) {
                binds.push(bind);
            }
        }
    }
    if text.split(',').all(|item| item.trim().is_empty()) {
        reader.refuse(OptionKey::BindIp, "the list is empty", "write addresses of this host, separated by commas");
    }
    // A wildcard address includes the other addresses of its family; to open those too would fail with EADDRINUSE.
    let wide =
        |one: &SocketAddr| binds.iter().any(|bind| bind.ip().is_unspecified() && bind.is_ipv4() == one.is_ipv4());
    binds.iter().copied().filter(|bind| bind.ip().is_unspecified() || !wide(bind)).collect()
}

/// A name's IPv4 addresses, or its IPv6 addresses if it has no IPv4 ones. So `localhost` works on hosts without IPv6
/// too, as with mongod without `--ipv6`.
fn resolve(item: &str, lookup: Lookup) -> Vec<IpAddr> {
    if let Ok(ip) = item.parse() {
        return vec![ip];
    }
    if !is_name(item) {
        return Vec::new();
    }
    let found = lookup(item);
    let any_v4 = found.iter().any(IpAddr::is_ipv4);
    found.into_iter().filter(|ip| ip.is_ipv4() || !any_v4).collect()
}

/// Whether an item can be a host name. The resolver would accept "10" as 0.0.0.10.
fn is_name(item: &str) -> bool {
    values::host(item).is_some() && item.contains(|letter: char| letter.is_ascii_alphabetic())
}

fn check_link(reader: &mut OptionReader<'_>, inbound: &InboundSettings, link_read: bool) {
    if !link_read {
        return;
    }
    let link = reader.option_name(OptionKey::UpstreamTls);
    match (inbound.acceptance, inbound.link, &inbound.upstream) {
        (Acceptance::Passthrough, LinkRule::Policy, _) => reader.refuse(
            OptionKey::InboundTls,
            "inboundTLS passthrough cannot be combined with upstreamTLS policy: the link of plaintext clients must be \
             always or never TLS",
            &format!("set {link} to always, or to never for an upstream that accepts plaintext too"),
        ),
        (_, LinkRule::Policy, UpstreamAddress::Unix(_)) => reader.refuse(
            OptionKey::Upstream,
            "the link would be TLS in some modes, but a unix socket has no host name to verify a certificate for",
            &format!("set {link} to never: the connection stays on this host"),
        ),
        (_, LinkRule::Always, UpstreamAddress::Unix(_)) => reader.refuse(
            OptionKey::UpstreamTls,
            "a unix socket has no host name to verify a certificate for",
            &format!("set {link} to never: the connection stays on this host"),
        ),
        _ => {}
    }
}

fn check_source(reader: &mut OptionReader<'_>, inbound: &InboundSettings) {
    let Some(source) = inbound.source else { return };
    match &inbound.upstream {
        UpstreamAddress::Unix(_) => {
            reader.refuse(OptionKey::UpstreamBind, "a connection to a unix socket has no source address", "remove it");
        }
        UpstreamAddress::Tcp(target) => {
            if let Some(ip) = target.ip().filter(|ip| ip.is_ipv4() != source.is_ipv4()) {
                let problem = format!("its address family differs from that of the upstream, {ip}");
                reader.refuse(OptionKey::UpstreamBind, &problem, "give an address of the same family");
            }
        }
    }
}

const DEFAULT_PORT: u16 = 27017;
const DEFAULT_BIND: &str = "127.0.0.1";
