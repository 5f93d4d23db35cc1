//! Detects inherited sockets that do not match the options. Such sockets are errors: connections to a socket without an
//! accept loop would wait for ever, and a socket that accepts more than its option permits would expose the proxy.

use std::fmt::Display;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::listener_specs::{ADMIN, ROLES, listener_specs};
use crate::config::{Mistake, Settings};
use crate::net::{Inherited, Passed};

/// Returns a mistake for each inherited socket that does not match the settings.
pub(super) fn unexpected_sockets(inherited: &Inherited, settings: &Settings) -> Vec<Mistake> {
    let open = inherited.unix().filter_map(|passed| open_to_all(&passed.address));
    left_out(inherited, settings).into_iter().chain(open).chain(too_open_or_duplicate(inherited)).collect()
}

/// Returns a mistake for each inherited socket whose address is in no option, or in that of another role.
pub(super) fn left_out(inherited: &Inherited, settings: &Settings) -> Vec<Mistake> {
    let tcp: Vec<_> = listener_specs(settings).into_iter().map(|spec| (spec.role, spec.address)).collect();
    let unix: Vec<_> = settings.admin.unix_binds().map(|path| (ADMIN, path.to_owned())).collect();
    let tcp = inherited.tcp().filter_map(|passed| unexpected(passed, passed.address, &tcp));
    let shown = |passed: &Passed<PathBuf>| passed.address.display().to_string();
    let paths = inherited.unix().filter_map(|passed| unexpected(passed, shown(passed), &unix));
    tcp.chain(paths).collect()
}

/// Returns a mistake for each inherited TCP socket that accepts more than its option permits, or from which no worker
/// would accept.
fn too_open_or_duplicate(inherited: &Inherited) -> Vec<Mistake> {
    let all: Vec<&Passed<SocketAddr>> = inherited.tcp().collect();
    let mut mistakes = Vec::new();
    for (at, passed) in all.iter().enumerate() {
        let shown = passed.address.to_string();
        if passed.dual && passed.address.ip().is_unspecified() {
            let problem = "the socket also accepts IPv4 clients, but the option for [::] means IPv6 only";
            let remedy = "set BindIPv6Only=ipv6-only in the socket unit; to accept IPv4 too, add a ListenStream= and \
                an option for 0.0.0.0";
            mistakes.push(Mistake::of("LISTEN_FDS", &shown, problem, remedy));
        }
        if all[..at].iter().any(|other| other.address == passed.address) {
            let problem = "the service manager passed on two sockets with this address, and no worker would accept \
                 connections from the second";
            mistakes.push(Mistake::of(
                "LISTEN_FDS",
                &shown,
                problem,
                "configure a single socket: all workers accept from it",
            ));
        }
    }
    mistakes
}

fn unexpected<A: PartialEq>(passed: &Passed<A>, shown: impl Display, wanted: &[(&'static str, A)]) -> Option<Mistake> {
    let name = &*passed.name;
    let problem = match wanted.iter().find(|(_, address)| *address == passed.address) {
        None => format!(
            "the service manager passed on this socket ({name}), but no option has its address, and clients \
             that connect to it would wait for ever"
        ),
        // A socket name that is not a role is ignored.
        Some((role, _)) if *role == name || !ROLES.contains(&name) => return None,
        Some((role, _)) => {
            format!("the service manager named this socket {name}, but its address is that of {role} in the options")
        }
    };
    Some(Mistake::of("LISTEN_FDS", &shown.to_string(), problem, REMEDY))
}

/// Returns a mistake if every user of the host could connect to the admin socket, and thus change the mode.
fn open_to_all(path: &Path) -> Option<Mistake> {
    let mode = path.metadata().ok()?.permissions().mode() & 0o777;
    (mode & 0o002 != 0).then(|| {
        let problem = format!(
            "the socket's mode is {mode:04o}: every user of this host could change the mode of tlsramp through it"
        );
        Mistake::of("LISTEN_FDS", &path.display().to_string(), problem, "set SocketMode=0600 in the socket unit")
    })
}

const REMEDY: &str = "use the same address in ListenStream= and in the option (--port with --bind_ip, --outbound, \
    --adminBind, --probeBind), for [::] with BindIPv6Only=ipv6-only; FileDescriptorName= can be inbound, outbound, \
    admin or probes; to remove a listener, remove its ListenStream= too, stop the socket unit and the service, and start \
    both";

#[cfg(test)]
mod tests {
    use super::{ADMIN, unexpected};
    use crate::app::listener_specs::INBOUND;
    use crate::net::Passed;

    #[test]
    fn an_address_must_be_wanted_and_a_name_must_not_lie() {
        let wanted = [(INBOUND, 27017), (ADMIN, 28017)];
        let rows = [
            ("inbound", 27017, None),
            ("tlsramp.socket", 27017, None),
            ("unknown", 28017, None),
            ("admin", 27017, Some("named this socket admin, but its address is that of inbound")),
            ("inbound", 27018, Some("passed on this socket (inbound), but no option has its address")),
        ];
        for (name, address, problem) in rows {
            let found = unexpected(&Passed { name: name.into(), address, dual: false }, address, &wanted);
            let found = found.map(|mistake| mistake.problem);
            assert_eq!(found.is_some(), problem.is_some(), "{name} {address}");
            assert!(found.unwrap_or_default().contains(problem.unwrap_or_default()), "{name} {address}");
        }
    }
}
