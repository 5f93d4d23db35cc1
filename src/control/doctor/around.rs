//! The checks of this host's own network: interception rules, and ports and connections that bypass this proxy.

use std::net::SocketAddr;

use super::finding::{CheckVerdict, DoctorCheck, DoctorFinding};
use crate::control::checks::bypass::grouped;
use crate::control::checks::interception::Interception;
use crate::control::view::View;
use crate::net::{Listening, listening};
use crate::policy::Mode;
use crate::text::printable;

/// The interception rules, as last checked.
pub(super) fn rules(interception: &Interception, mode: Mode) -> DoctorFinding {
    let id = DoctorCheck::Interception;
    if !interception.is_expected() {
        return DoctorFinding::ok(id, NETFILTER, "no rules are needed: no transparent route is configured");
    }
    match (interception.missing(mode), interception.rules) {
        (Some(missing), _) => {
            let fails = missing.critical || missing.not_ready;
            let verdict = if fails { CheckVerdict::Failed } else { CheckVerdict::Warning };
            DoctorFinding::bad(id, NETFILTER, verdict, missing.text, "`tlsramp netfilter --apply`")
        }
        (None, None) => {
            let (text, remedy) = ("the rules were not checked yet", "try again in a few seconds");
            DoctorFinding::bad(id, NETFILTER, CheckVerdict::NotChecked, text, remedy)
        }
        (None, Some(_)) => DoctorFinding::ok(id, NETFILTER, "the rules are in force"),
    }
}

/// Ports and connections that bypass this proxy. To be called after a scan for connections.
pub(super) fn ways_around(view: &View, interception: &Interception, advertised: Option<&str>) -> Vec<DoctorFinding> {
    let mode = view.mode().0;
    let mut found: Vec<_> = advertised_port(interception, advertised).into_iter().collect();
    let ours: Vec<_> = view.listeners().addresses().into_iter().map(|(_, address)| address).collect();
    match listening() {
        Ok(all) => found.extend(open_port(interception, &all, &ours, mode)),
        Err(error) => found.push(DoctorFinding::bad(
            DoctorCheck::Bypass,
            "listeners of this host",
            CheckVerdict::NotChecked,
            format!("cannot read the list of listeners: {error}"),
            "list them as root: `ss -ltnp`",
        )),
    }
    let verdict = if mode.accepts_plaintext() { CheckVerdict::Warning } else { CheckVerdict::Failed };
    found.extend(grouped(&view.interception().bypass()).into_iter().map(|blocker| {
        let subject = blocker.address.unwrap_or_default();
        DoctorFinding::bad(DoctorCheck::Bypass, subject, verdict, blocker.text, blocker.remedy)
    }));
    if found.is_empty() {
        found.push(DoctorFinding::ok(DoctorCheck::Bypass, "this host", "no port or connection bypasses tlsramp"));
    }
    found
}

/// The finding if the set advertises the server's own port, to which drivers and members then connect.
fn advertised_port(interception: &Interception, advertised: Option<&str>) -> Option<DoctorFinding> {
    let (own, me) = (interception.leads_around()?, advertised?);
    let port = interception.listens.first().copied().unwrap_or_default();
    Some(DoctorFinding::bad(
        DoctorCheck::Bypass,
        printable(me),
        CheckVerdict::Failed,
        format!("the set advertises this name with {own}, the server's own port: drivers and members bypass tlsramp"),
        format!(
            "let the set advertise port {port} (rs.reconfig), or redirect connections to {own}: \
             `tlsramp netfilter --apply`"
        ),
    ))
}

/// The finding if the server listens on an address that other hosts can reach, and no rule intercepts connections to
/// it.
fn open_port(interception: &Interception, all: &[Listening], ours: &[SocketAddr], mode: Mode) -> Option<DoctorFinding> {
    let server = interception.server.filter(|_| !interception.covers_inbound() || interception.rules != Some(true))?;
    // `advertised_port` reports a port that the set advertises.
    let port = interception.leads_around().is_none().then_some(server)?;
    let is_open = |one: &&Listening| {
        let ip = one.local.ip().to_canonical();
        one.local.port() == port && !ip.is_loopback() && !ours.contains(&one.local)
    };
    let open: Vec<_> = all.iter().filter(is_open).map(|one| one.local.to_string()).collect();
    let at = open.first()?;
    let verdict = if mode.accepts_plaintext() { CheckVerdict::Warning } else { CheckVerdict::Failed };
    Some(DoctorFinding::bad(
        DoctorCheck::Bypass,
        at,
        verdict,
        format!("the server listens on this address: other hosts can connect to port {port} and bypass tlsramp"),
        "start the server with `--bind_ip localhost` (net.bindIp), or block that port in the firewall",
    ))
}

const NETFILTER: &str = "tlsramp netfilter";

#[cfg(test)]
mod tests {
    use super::{CheckVerdict, Interception, advertised_port, open_port, rules};
    use crate::net::Listening;
    use crate::policy::Mode;

    fn fronting(rules: Option<bool>, outbound: bool, advertised: Option<u16>) -> Interception {
        let listens = vec![27017];
        Interception { rules, once: false, outbound, inbound: false, server: Some(27018), listens, advertised }
    }

    #[test]
    fn rules_are_judged() {
        for (interception, mode, verdict) in [
            (fronting(None, false, None), Mode::Require, CheckVerdict::Ok),
            (fronting(None, true, None), Mode::Require, CheckVerdict::NotChecked),
            (fronting(Some(true), true, None), Mode::Require, CheckVerdict::Ok),
            (fronting(Some(false), true, None), Mode::Require, CheckVerdict::Failed),
            (fronting(Some(false), true, Some(27017)), Mode::Disabled, CheckVerdict::Warning),
        ] {
            assert_eq!(rules(&interception, mode).verdict, verdict, "{interception:?} {mode}");
        }
    }

    #[test]
    fn ports_that_lead_around_are_found() {
        let at = |text: &str| Listening { local: text.parse().unwrap(), v6_only: false, transparent: None };
        let found = |interception: &Interception, at: Listening, mode| {
            open_port(interception, &[at], &["0.0.0.0:27017".parse().unwrap()], mode).map(|found| found.verdict)
        };
        let plain = fronting(None, false, Some(27017));
        for (address, mode, verdict) in [
            ("0.0.0.0:27018", Mode::Prefer, Some(CheckVerdict::Warning)),
            ("[::]:27018", Mode::Require, Some(CheckVerdict::Failed)),
            ("10.0.0.1:27018", Mode::Require, Some(CheckVerdict::Failed)),
            ("127.0.0.1:27018", Mode::Require, None),
            ("[::1]:27018", Mode::Require, None),
            ("0.0.0.0:27019", Mode::Require, None),
            ("0.0.0.0:27017", Mode::Require, None),
        ] {
            assert_eq!(found(&plain, at(address), mode), verdict, "{address}");
        }
        // Rules that are in force hand these connections over.
        assert_eq!(found(&fronting(Some(true), true, None), at("0.0.0.0:27018"), Mode::Require), None);
        let advertised = fronting(None, false, Some(27018));
        assert_eq!(found(&advertised, at("0.0.0.0:27018"), Mode::Require), None);
        let said = advertised_port(&advertised, Some("db1:27018")).unwrap();
        assert!(said.verdict == CheckVerdict::Failed && said.subject == "db1:27018", "{said:?}");
        assert_eq!(advertised_port(&plain, Some("db1:27017")), None);
    }
}
