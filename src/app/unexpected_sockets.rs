//! Sockets that were passed on and that the options do not want. They are mistakes: a socket that nobody accepts from
//! takes connections and leaves them waiting, and one that is open to more than an option says is worse.

use std::fmt::Display;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::config::{AdminBind, Mistake, Settings};
use crate::net::{Inherited, Passed, TRANSPARENT_IPS};

/// What of the sockets passed on does not go with the settings.
pub(super) fn unexpected_sockets(inherited: &Inherited, settings: &Settings) -> Vec<Mistake> {
    let tcp: Vec<_> = wanted(settings).into_iter().map(|wanted| (wanted.role, wanted.address)).collect();
    let unix: Vec<_> = settings.admin.binds.iter().filter_map(|bind| Some((ADMIN, unix(bind)?))).collect();
    let tcp = inherited.tcp().filter_map(|passed| stranger(passed, passed.address, &tcp));
    let shown = |passed: &Passed<PathBuf>| passed.address.display().to_string();
    let paths = inherited.unix().filter_map(|passed| stranger(passed, shown(passed), &unix));
    let open = inherited.unix().filter_map(|passed| open_to_all(&passed.address));
    tcp.chain(paths).chain(open).chain(unfit(inherited)).collect()
}

/// A mistake for each passed TCP socket that accepts more than its option says, or that no worker would accept from.
fn unfit(inherited: &Inherited) -> Vec<Mistake> {
    let all: Vec<&Passed<SocketAddr>> = inherited.tcp().collect();
    let mut mistakes = Vec::new();
    for (at, passed) in all.iter().enumerate() {
        let shown = passed.address.to_string();
        if passed.dual && passed.address.ip().is_unspecified() {
            let problem = "IPv4 clients reach this socket too, and the option for [::] means IPv6 alone";
            let remedy = "set BindIPv6Only=ipv6-only in the socket unit, and a ListenStream= and an option for 0.0.0.0 if \
                          IPv4 is wanted";
            mistakes.push(Mistake::of("LISTEN_FDS", &shown, problem, remedy));
        }
        if all[..at].iter().any(|other| other.address == passed.address) {
            let problem =
                "two sockets of this address are passed on, and no worker would accept the second one's connections";
            mistakes.push(Mistake::of("LISTEN_FDS", &shown, problem, "pass on one: all workers accept from it"));
        }
    }
    mistakes
}

/// A TCP address that an option names.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// What it is for.
    pub(super) role: &'static str,
    /// The option.
    pub(super) option: &'static str,
    /// Whether a host without IPv6 goes without it.
    pub(super) optional: bool,
    pub(super) address: SocketAddr,
}

impl Wanted {
    /// Whether connections to be relayed arrive there; each worker has a listener of its own then.
    pub(super) fn is_route(&self) -> bool {
        [INBOUND, OUTBOUND].contains(&self.role)
    }
}

/// Every TCP address that the options name.
pub(super) fn wanted(settings: &Settings) -> Vec<Wanted> {
    let listener = |role, option| move |address| Wanted { role, option, optional: false, address };
    let inbound = settings.inbound.iter().flat_map(|inbound| inbound.binds.iter().copied());
    let transparent = settings.transparent.iter().flat_map(|port| TRANSPARENT_IPS.map(|ip| SocketAddr::new(ip, *port)));
    let transparent = transparent.map(listener(OUTBOUND, "--outboundTransparent"));
    let transparent = transparent.map(|wanted| Wanted { optional: wanted.address.is_ipv6(), ..wanted });
    let outbound = settings.outbound.iter().map(|outbound| outbound.listen);
    let admin = settings.admin.binds.iter().filter_map(|bind| match bind {
        AdminBind::Tcp(address) => Some(*address),
        AdminBind::Unix(_) => None,
    });
    let probes = settings.admin.probes.iter().copied();
    let inbound = inbound.map(listener(INBOUND, "--port, --bind_ip")).chain(transparent);
    let control = admin.map(listener(ADMIN, "--adminBind")).chain(probes.map(listener(PROBES, "--probeBind")));
    inbound.chain(outbound.map(listener(OUTBOUND, "--outbound"))).chain(control).collect()
}

fn unix(bind: &AdminBind) -> Option<PathBuf> {
    match bind {
        AdminBind::Tcp(_) => None,
        AdminBind::Unix(path) => Some(path.clone()),
    }
}

fn stranger<A: PartialEq>(passed: &Passed<A>, shown: impl Display, wanted: &[(&'static str, A)]) -> Option<Mistake> {
    let name = &*passed.name;
    let problem = match wanted.iter().find(|(_, address)| *address == passed.address) {
        None => format!("the service manager passes on this socket ({name}), and no option listens there"),
        // A name of the unit's, or of nobody's, says nothing.
        Some((role, _)) if *role == name || !ROLES.contains(&name) => return None,
        Some((role, _)) => format!("the service manager calls this socket {name}, and by the options it is {role}"),
    };
    Some(Mistake::of("LISTEN_FDS", &shown.to_string(), problem, REMEDY))
}

/// Whoever connects to the admin socket may change the mode.
fn open_to_all(path: &Path) -> Option<Mistake> {
    let mode = path.metadata().ok()?.permissions().mode() & 0o777;
    (mode & 0o007 != 0).then(|| {
        let problem = format!("its mode is {mode:04o}: every user of this host may change the policy by it");
        Mistake::of("LISTEN_FDS", &path.display().to_string(), problem, "set SocketMode=0600 in the socket unit")
    })
}

pub(super) const INBOUND: &str = "inbound";
const OUTBOUND: &str = "outbound";
const ADMIN: &str = "admin";
const PROBES: &str = "probes";
const ROLES: [&str; 4] = [INBOUND, OUTBOUND, ADMIN, PROBES];

const REMEDY: &str = "let ListenStream= and an option (--port with --bind_ip, --outbound, --adminBind, --probeBind) name \
    the same address, for [::] with BindIPv6Only=ipv6-only; FileDescriptorName= may be inbound, outbound, admin, probes";

#[cfg(test)]
mod tests {
    use super::{ADMIN, INBOUND, stranger};
    use crate::net::Passed;

    #[test]
    fn an_address_must_be_wanted_and_a_name_must_not_lie() {
        let wanted = [(INBOUND, 27017), (ADMIN, 28017)];
        let rows = [
            ("inbound", 27017, None),
            ("tlsramp.socket", 27017, None),
            ("unknown", 28017, None),
            ("admin", 27017, Some("calls this socket admin, and by the options it is inbound")),
            ("inbound", 27018, Some("passes on this socket (inbound), and no option listens there")),
        ];
        for (name, address, problem) in rows {
            let found = stranger(&Passed { name: name.into(), address, dual: false }, address, &wanted);
            let found = found.map(|mistake| mistake.problem);
            assert_eq!(found.is_some(), problem.is_some(), "{name} {address}");
            assert!(found.unwrap_or_default().contains(problem.unwrap_or_default()), "{name} {address}");
        }
    }
}
