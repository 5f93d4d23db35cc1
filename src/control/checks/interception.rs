//! The consequences of interception rules: whether inbound connections depend on them, and what happens if they are
//! missing.

use crate::config::Settings;
use crate::control::view::View;
use crate::net::{HostPort, UpstreamAddress, is_own};
use crate::policy::Mode;
use crate::route::RouteId;

/// The state of the rules, and the ports to which they apply.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interception {
    /// Whether the rules were in force at the last check; `None` before the first check, or if no rules are expected.
    pub(crate) rules: Option<bool>,
    /// Whether the rules have been in force at any time since the start.
    pub(crate) once: bool,
    /// Whether outgoing connections have to be redirected: `--outboundTransparent`.
    pub(crate) outbound: bool,
    /// Whether incoming connections have to be handed over: `--inboundTransparent`.
    pub(crate) inbound: bool,
    /// The port of the fronted server, if it listens on TCP on this host.
    pub(crate) server: Option<u16>,
    /// The ports that the inbound route listens on.
    pub(crate) listens: Vec<u16>,
    /// The port at which the replica set advertises the fronted server, if known.
    pub(crate) advertised: Option<u16>,
}

/// Expected rules that are not in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MissingRules {
    /// The effects in the mode in force, and the remedy.
    pub(crate) text: String,
    /// Whether connections fail, or are accepted against the mode in force.
    pub(crate) critical: bool,
    /// Whether this proxy is not ready, because inbound connections depend on the rules and bypass the proxy without
    /// them.
    pub(crate) not_ready: bool,
}

impl Interception {
    /// Whether rules are expected: a transparent route depends on them, or they were in force before.
    pub(crate) const fn is_expected(&self) -> bool {
        self.outbound || self.inbound || self.once
    }

    /// Whether inbound connections reach this proxy only through the rules. This holds if rules are expected, the
    /// inbound route does not listen on the server's port, and the set does not advertise the route's port.
    pub(crate) fn covers_inbound(&self) -> bool {
        let ours = |port: u16| self.listens.contains(&port);
        self.is_expected() && self.server.is_some_and(|server| !ours(server)) && !self.advertised.is_some_and(ours)
    }

    /// The server's port, if drivers bypass this proxy: the set advertises that port, the inbound route does not listen
    /// on it, and no rules redirect it.
    pub(crate) fn leads_around(&self) -> Option<u16> {
        let server = self.server.filter(|server| self.advertised == Some(*server) && !self.listens.contains(server));
        server.filter(|_| !self.is_expected())
    }

    /// The effects of missing rules; `None` if no rules are expected, or they are in force or not checked yet.
    pub(crate) fn missing(&self, mode: Mode) -> Option<MissingRules> {
        if self.rules != Some(false) {
            return None;
        }
        let inbound = self.covers_inbound();
        let mut effects = Vec::new();
        if inbound && !mode.accepts_plaintext() {
            effects.push("clients without TLS are accepted");
        }
        if inbound && mode.accepts_tls() {
            effects.push("clients and members that use TLS cannot connect to a server that does not support TLS");
        }
        if mode.dials_tls() {
            effects.push("this server's own connections leave in plaintext, which members in requireSSL refuse");
        }
        let start = match (self.once, self.outbound) {
            (true, _) => GONE,
            (false, true) => ABSENT,
            (false, false) => ABSENT_INBOUND,
        };
        let effects = if effects.is_empty() { String::new() } else { format!(" In {mode}, {}.", effects.join("; ")) };
        Some(MissingRules {
            text: format!("{start}{effects} {REMEDY}"),
            critical: (inbound && mode.accepts_tls()) || mode.dials_tls(),
            // A sidecar in `disabled` may start before its rules are set.
            not_ready: inbound && (self.once || mode != Mode::Disabled),
        })
    }
}

/// The state of the rules, as last checked.
pub(crate) fn interception(view: &View) -> Interception {
    let loaded = view.loaded();
    let settings = &loaded.settings;
    let inbound = view.servers().into_iter().find(|server| server.route == RouteId::Inbound);
    let advertised = inbound.and_then(|server| server.hello?.me?.parse::<HostPort>().ok()).map(|me| me.port);
    let listens = view.listeners().addresses().into_iter().filter(|(route, _)| *route == RouteId::Inbound);
    Interception {
        rules: view.interception().rules(),
        once: view.interception().once(),
        outbound: settings.transparent.is_some(),
        inbound: is_inbound_transparent(settings),
        server: local_server(settings),
        listens: listens.map(|(_, at)| at.port()).collect(),
        advertised,
    }
}

/// The effects of missing rules in the mode in force; `None` if no rules are expected, or they are in force or not
/// checked yet.
pub(crate) fn missing_rules(view: &View) -> Option<MissingRules> {
    interception(view).missing(view.mode().0)
}

/// Whether the kernel hands connections to the server's address over to the inbound route.
pub(crate) fn is_inbound_transparent(settings: &Settings) -> bool {
    settings.inbound.as_ref().is_some_and(|inbound| inbound.transparent)
}

/// The port of the fronted server, if its address in the settings shows that it is on this host.
pub(crate) fn local_server(settings: &Settings) -> Option<u16> {
    match &settings.inbound.as_ref()?.upstream {
        UpstreamAddress::Tcp(target) if target.host == "localhost" || target.ip().is_some_and(is_own) => {
            Some(target.port)
        }
        UpstreamAddress::Tcp(_) | UpstreamAddress::Unix(_) => None,
    }
}

const GONE: &str = "the interception rules are missing: new connections bypass tlsramp.";
const ABSENT: &str = "no interception rules are in force, so nothing arrives at outboundTransparent.";
const ABSENT_INBOUND: &str = "no interception rules are in force, so nothing arrives at inboundTransparent.";
const REMEDY: &str = "Install them: tlsramp netfilter --apply";

#[cfg(test)]
mod tests {
    use super::Interception;
    use crate::policy::Mode::{self, Allow, Disabled, Prefer, Require};

    /// The tutorial's sidecar: mongod on 27017, tlsramp on 27117.
    fn sidecar(rules: Option<bool>, once: bool) -> Interception {
        let inbound = false;
        Interception {
            rules,
            once,
            outbound: true,
            inbound,
            server: Some(27017),
            listens: vec![27117],
            advertised: Some(27017),
        }
    }

    #[test]
    fn what_interception_covers_leads_nowhere_around() {
        let plain = Interception { outbound: false, ..sidecar(None, false) };
        for (what, interception, leads, covers) in [
            ("no rules, and none expected", plain.clone(), Some(27017), false),
            ("rules in force", sidecar(Some(true), true), None, true),
            ("not looked at yet", sidecar(None, false), None, true),
            ("rules gone: another warning says so", sidecar(Some(false), true), None, true),
            ("inbound alone, seen", Interception { once: true, rules: Some(true), ..plain.clone() }, None, true),
            (
                "inbound alone, seen and gone",
                Interception { once: true, rules: Some(false), ..plain.clone() },
                None,
                true,
            ),
            ("transparent inbound, none yet", Interception { inbound: true, ..plain.clone() }, None, true),
            ("the set advertises us", Interception { advertised: Some(27117), ..plain.clone() }, None, false),
            ("another server altogether", Interception { advertised: Some(1), ..plain.clone() }, None, false),
            ("nothing known of the set", Interception { advertised: None, ..plain.clone() }, None, false),
            ("same port, other addresses", Interception { listens: vec![27017], ..plain.clone() }, None, false),
            ("server elsewhere", Interception { server: None, ..plain }, None, false),
            ("outbound alone", Interception { advertised: Some(27117), ..sidecar(Some(true), true) }, None, false),
            ("explicit, same port", Interception { listens: vec![27017], ..sidecar(Some(true), true) }, None, false),
            ("no set yet", Interception { advertised: None, ..sidecar(Some(true), true) }, None, true),
            (
                "outbound proxy",
                Interception { server: None, listens: vec![], ..sidecar(Some(true), true) },
                None,
                false,
            ),
        ] {
            assert_eq!(interception.leads_around(), leads, "{what}");
            assert_eq!(interception.covers_inbound(), covers, "{what}");
        }
    }

    #[test]
    fn rules_that_are_missing_in_each_mode() {
        const IN: &str = "without TLS are accepted";
        const OUT: &str = "cannot connect to a server";
        const LEAVES: &str = "leave in plaintext";
        let rows: [(Mode, bool, &[&str], bool, bool); 8] = [
            (Disabled, true, &[], false, true),
            (Allow, true, &[OUT], true, true),
            (Prefer, true, &[OUT, LEAVES], true, true),
            (Require, true, &[IN, OUT, LEAVES], true, true),
            (Disabled, false, &[], false, false),
            (Allow, false, &[OUT], true, true),
            (Prefer, false, &[OUT, LEAVES], true, true),
            (Require, false, &[IN, OUT, LEAVES], true, true),
        ];
        for (mode, once, effects, critical, not_ready) in rows {
            let missing = sidecar(Some(false), once).missing(mode).unwrap();
            assert_eq!((missing.critical, missing.not_ready), (critical, not_ready), "{mode} {once}: {missing:?}");
            for effect in [IN, OUT, LEAVES] {
                assert_eq!(missing.text.contains(effect), effects.contains(&effect), "{mode}: {}", missing.text);
            }
            let start = if once { "the interception rules are missing" } else { "no interception rules are in force" };
            assert!(missing.text.starts_with(start) && missing.text.ends_with("--apply"), "{}", missing.text);
            for rules in [None, Some(true)] {
                assert_eq!(sidecar(rules, once).missing(mode), None);
            }
        }
        // Only incoming connections are handed over.
        let inbound = Interception { outbound: false, inbound: true, ..sidecar(Some(false), false) };
        let missing = inbound.missing(Require).unwrap();
        assert!(missing.not_ready && missing.text.starts_with("no interception rules are in force"), "{missing:?}");
        // Outgoing connections alone: the listeners are ready.
        let outbound = Interception { server: None, ..sidecar(Some(false), true) };
        let missing = [Disabled, Allow, Prefer, Require].map(|mode| outbound.missing(mode).unwrap());
        assert_eq!(missing.clone().map(|missing| missing.critical), [false, false, true, true]);
        assert!(missing.iter().all(|missing| !missing.not_ready && !missing.text.contains(IN)));
    }
}
