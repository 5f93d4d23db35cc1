//! The values given, validated together: every mistake at once, each with what to do.

use std::net::{IpAddr, Ipv4Addr};

use clap::ArgMatches;
use ipnet::IpNet;
use nix::unistd::Group;

use super::command::{
    ACKNOWLEDGE, APPLY, EXEMPT_GROUP, KEEP, MEMBER_ADDRESS, MEMBER_PORT, OUTBOUND, PORT, REDIRECT, REMOVE,
    SERVER_ADDRESS, SERVER_PORT, SHOW, TABLE, WHEN_DOWN,
};
use super::network;
use crate::config::Mistake;
use crate::limits::NETFILTER_MEMBERS;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    Print(Sidecar),
    Apply(Sidecar),
    Keep(Sidecar),
    /// The table of this name.
    Show(String),
    /// The table of this name.
    Remove(String),
}

/// The rules of a sidecar: at least one direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sidecar {
    pub(super) table: String,
    pub(super) inbound: Option<Inbound>,
    pub(super) outbound: Option<Outbound>,
    /// The port that the canary is redirected to: the outbound one, else the inbound one.
    pub(super) canary_to: u16,
}

/// Connections from other hosts, to the mongod's port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Inbound {
    pub(super) server_port: u16,
    /// Never the server's.
    pub(super) port: u16,
    pub(super) intercept: Intercept,
    /// The server's addresses, if they were given; else the kernel is asked.
    pub(super) server_addresses: Vec<IpAddr>,
    /// With `Redirect`: rules of the host that name the port were looked at by the operator.
    pub(super) acknowledged: bool,
}

/// How connections from other hosts are led to tlsramp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Intercept {
    /// Without rewriting the packet.
    Tproxy(WhenDown),
    /// By rewriting its destination.
    Redirect,
}

/// What becomes of new connections while tlsramp does not listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WhenDown {
    Refuse,
    /// They reach the server as they are.
    Bypass,
}

/// Connections of the local mongod, to other members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outbound {
    pub(super) port: u16,
    /// In order, each once; at least one.
    pub(super) member_ports: Vec<u16>,
    /// Without overlap. Empty: every other host.
    pub(super) member_addresses: Vec<IpNet>,
    pub(super) exempt: u32,
    /// The group as it was given.
    pub(super) exempt_group: String,
}

impl Asked {
    /// # Errors
    /// Every mistake.
    pub(super) fn of(given: &ArgMatches) -> Result<Asked, Vec<Mistake>> {
        let mut mistakes = Vec::new();
        let verbs: Vec<_> = [APPLY, SHOW, REMOVE, KEEP].into_iter().filter(|verb| given.get_flag(verb)).collect();
        if verbs.len() > 1 {
            let names = verbs.iter().map(|verb| format!("--{verb}")).collect::<Vec<_>>().join(", ");
            mistakes.push(mistake(&names, "they exclude each other", "give one of them"));
        }
        let mut given = Given { given, mistakes };
        let table = given.table();
        // The options of `--apply` are allowed with `--show` and `--remove`: a command line is repeated with another verb.
        let by_table = verbs == [SHOW] || verbs == [REMOVE];
        let sidecar = if by_table { None } else { given.sidecar(&table) };
        if !given.mistakes.is_empty() {
            return Err(given.mistakes);
        }
        Ok(match (sidecar, verbs.first()) {
            (None, Some(&SHOW)) => Asked::Show(table),
            (None, _) => Asked::Remove(table),
            (Some(sidecar), Some(&APPLY)) => Asked::Apply(sidecar),
            (Some(sidecar), Some(&KEEP)) => Asked::Keep(sidecar),
            (Some(sidecar), _) => Asked::Print(sidecar),
        })
    }
}

struct Given<'a> {
    given: &'a ArgMatches,
    mistakes: Vec<Mistake>,
}

impl Given<'_> {
    fn text(&self, name: &str) -> Option<String> {
        self.given.get_one::<String>(name).cloned()
    }

    fn wrong(&mut self, name: &str, value: &str, problem: impl Into<String>, remedy: &str) {
        self.mistakes.push(Mistake::of(&format!("--{name}"), value, problem, remedy));
    }

    fn lacks(&mut self, name: &str, problem: &str, remedy: &str) {
        self.mistakes.push(mistake(&format!("--{name}"), problem, remedy));
    }

    fn table(&mut self) -> String {
        let name = self.text(TABLE).unwrap_or_default();
        let letters = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
        if !letters || !name.starts_with(|first: char| first.is_ascii_alphabetic()) || name.len() > LONGEST_NAME {
            let problem = format!("expected a name of at most {LONGEST_NAME} letters, digits, _ and -, a letter first");
            self.wrong(TABLE, &name, problem, "give the table another name, such as tlsramp2");
        }
        name
    }

    fn sidecar(&mut self, table: &str) -> Option<Sidecar> {
        let before = self.mistakes.len();
        let server_port = self.port(SERVER_PORT);
        let (inbound, outbound) = (self.inbound(server_port), self.outbound(server_port));
        let given = [PORT, OUTBOUND].map(|name| self.text(name));
        if given == [None, None] {
            let remedy = "give --serverPort and --port, or --outboundTransparent and --exemptGroup, or all of them";
            self.lacks(&format!("{PORT}, --{OUTBOUND}"), "there is nothing to intercept", remedy);
        }
        if let (Some(inbound), Some(outbound)) = (&inbound, &outbound)
            && inbound.port == outbound.port
        {
            let problem = "expected another port than --port: tlsramp takes what comes to it for the mongod's own";
            self.wrong(OUTBOUND, &outbound.port.to_string(), problem, "give tlsramp a port for each direction");
        }
        let canary_to =
            outbound.as_ref().map(|outbound| outbound.port).or(inbound.as_ref().map(|inbound| inbound.port))?;
        let whole = self.mistakes.len() == before;
        whole.then(|| Sidecar { table: table.to_owned(), inbound, outbound, canary_to })
    }

    fn inbound(&mut self, server_port: Option<u16>) -> Option<Inbound> {
        let port = self.port(PORT);
        if self.text(PORT).is_some() && self.text(SERVER_PORT).is_none() {
            self.lacks(SERVER_PORT, "--port needs it: it is the port that is intercepted", "give the mongod's port");
        }
        let (intercept, server_addresses) = (self.intercept(), self.server_addresses());
        if port.is_none() {
            for name in [WHEN_DOWN, SERVER_ADDRESS] {
                if let Some(value) = self.text(name) {
                    let problem = "without --port there is no inbound rule that it could apply to";
                    self.wrong(name, &value, problem, "give --port, or leave it out");
                }
            }
        }
        let acknowledged = self.given.get_flag(ACKNOWLEDGE);
        let inbound =
            Inbound { server_port: server_port?, port: port?, intercept: intercept?, server_addresses, acknowledged };
        if inbound.port == inbound.server_port {
            let remedy = "give the port that tlsramp listens on; the mongod keeps its own";
            self.wrong(PORT, &inbound.port.to_string(), "expected another port than --serverPort", remedy);
            return None;
        }
        Some(inbound)
    }

    fn intercept(&mut self) -> Option<Intercept> {
        let redirect = self.given.get_flag(REDIRECT);
        if self.given.get_flag(ACKNOWLEDGE) && !redirect {
            let problem = "it is for --redirect alone: TPROXY does not change what rules of the host see";
            self.lacks(ACKNOWLEDGE, problem, "leave it out");
        }
        let when_down = self.text(WHEN_DOWN);
        if redirect {
            for name in [WHEN_DOWN, SERVER_ADDRESS] {
                if let Some(value) = self.text(name) {
                    let problem = "it is for TPROXY: a redirect leads every address of the host to tlsramp, up or down";
                    self.wrong(name, &value, problem, "leave it out, or leave out --redirect");
                }
            }
            return Some(Intercept::Redirect);
        }
        match when_down.as_deref() {
            None | Some("refuse") => Some(Intercept::Tproxy(WhenDown::Refuse)),
            Some("bypass") => Some(Intercept::Tproxy(WhenDown::Bypass)),
            Some(other) => {
                let remedy = "give refuse (the default), or bypass, by which clients reach the mongod without tlsramp";
                self.wrong(WHEN_DOWN, other, "expected refuse or bypass", remedy);
                None
            }
        }
    }

    fn server_addresses(&mut self) -> Vec<IpAddr> {
        let mut addresses = Vec::new();
        for value in self.list(SERVER_ADDRESS) {
            match value.parse::<IpAddr>() {
                Ok(ip) if ip.is_loopback() => {
                    let remedy = "leave it out: connections within the host are never intercepted";
                    self.wrong(SERVER_ADDRESS, &value, "expected an address that other hosts reach", remedy);
                }
                Ok(ip) if ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST) => {
                    let problem = "expected an address of this host, not multicast or broadcast";
                    self.wrong(SERVER_ADDRESS, &value, problem, "give an address of the mongod's --bind_ip");
                }
                Ok(ip) => addresses.push(ip),
                Err(_) => {
                    let remedy = "give an address of the mongod's --bind_ip, or 0.0.0.0 or :: for all of the host's";
                    self.wrong(SERVER_ADDRESS, &value, "expected an IP address", remedy);
                }
            }
        }
        addresses
    }

    fn outbound(&mut self, server_port: Option<u16>) -> Option<Outbound> {
        let port = self.port(OUTBOUND);
        let (ports, addresses) = (self.member_ports(server_port), self.member_addresses());
        let exempt = self.exempt();
        if self.text(OUTBOUND).is_none() {
            for name in [MEMBER_PORT, MEMBER_ADDRESS, EXEMPT_GROUP] {
                if let Some(value) = self.text(name) {
                    let problem = "without --outboundTransparent there is no outbound redirect that it could apply to";
                    self.wrong(name, &value, problem, "give --outboundTransparent, or leave it out");
                }
            }
            return None;
        }
        if self.text(EXEMPT_GROUP).is_none() {
            let problem = "--outboundTransparent needs it: without, tlsramp's own connections would come back to it";
            self.lacks(EXEMPT_GROUP, problem, "give the group that tlsramp runs in, and no mongod");
        }
        let has_ports = self.text(MEMBER_PORT).is_some() || self.text(SERVER_PORT).is_some();
        if !has_ports {
            self.lacks(MEMBER_PORT, "--outboundTransparent needs it, or --serverPort", "give the other members' ports");
        }
        let port = port?;
        if Some(port) == server_port {
            let problem = "expected another port than --serverPort: the mongod listens there";
            self.wrong(OUTBOUND, &port.to_string(), problem, "give a port that nothing listens on yet");
        }
        let (exempt, exempt_group) = exempt?;
        Some(Outbound { port, member_ports: ports, member_addresses: addresses, exempt, exempt_group })
    }

    fn member_ports(&mut self, server_port: Option<u16>) -> Vec<u16> {
        let values = self.list(MEMBER_PORT);
        let mut ports: Vec<u16> = values.iter().filter_map(|value| self.parse_port(MEMBER_PORT, value)).collect();
        if values.is_empty() {
            ports.extend(server_port);
        }
        ports.sort_unstable();
        ports.dedup();
        ports
    }

    fn member_addresses(&mut self) -> Vec<IpNet> {
        let mut networks = Vec::new();
        for value in self.list(MEMBER_ADDRESS) {
            match network::parse(&value) {
                Ok(network) => networks.push(network),
                Err((problem, remedy)) => self.wrong(MEMBER_ADDRESS, &value, problem, &remedy),
            }
        }
        // nft refuses sets that overlap.
        IpNet::aggregate(&networks)
    }

    /// The values of a repeatable option.
    fn list(&mut self, name: &str) -> Vec<String> {
        let values: Vec<String> = self.given.get_many::<String>(name).into_iter().flatten().cloned().collect();
        if values.len() > NETFILTER_MEMBERS {
            let problem = format!("expected at most {NETFILTER_MEMBERS} of them");
            self.lacks(name, &problem, &format!("give networks in place of addresses, or leave --{name} out"));
        }
        values
    }

    fn exempt(&mut self) -> Option<(u32, String)> {
        let text = self.text(EXEMPT_GROUP)?;
        let found = match text.parse::<u32>() {
            // The highest one means "none" to the kernel.
            Ok(u32::MAX) => Err("expected a group".to_owned()),
            Ok(number) => Ok(number),
            Err(_) => match Group::from_name(&text) {
                Ok(Some(group)) => Ok(group.gid.as_raw()),
                Ok(None) => Err("there is no such group on this host".to_owned()),
                Err(error) => Err(format!("it cannot be looked up: {}", error.desc())),
            },
        };
        match found {
            Ok(number) => Some((number, text)),
            Err(problem) => {
                self.wrong(
                    EXEMPT_GROUP,
                    &text,
                    problem,
                    "give the name or the number of the group that tlsramp runs in",
                );
                None
            }
        }
    }

    fn port(&mut self, name: &str) -> Option<u16> {
        let value = self.text(name)?;
        self.parse_port(name, &value)
    }

    fn parse_port(&mut self, name: &str, value: &str) -> Option<u16> {
        let port = value.parse::<u16>().ok().filter(|port| *port > 0);
        if port.is_none() {
            self.wrong(name, value, "expected a port, a number from 1 to 65535", "correct it");
        }
        port
    }
}

fn mistake(name: &str, problem: &str, remedy: &str) -> Mistake {
    Mistake {
        name: name.into(),
        file: None,
        value: None,
        problem: problem.into(),
        remedy: remedy.into(),
        passing: false,
        in_use: false,
    }
}

/// As iptables and its kin take for names; the kernel's own bound is longer.
const LONGEST_NAME: usize = 31;

#[cfg(test)]
pub(super) mod tests {
    use super::{Asked, Inbound, Intercept, Outbound, Sidecar, WhenDown};
    use crate::netfilter::command;

    /// Both directions.
    pub(in crate::netfilter) fn sidecar() -> Sidecar {
        let outbound = Outbound {
            port: 27217,
            member_ports: vec![27017],
            member_addresses: Vec::new(),
            exempt: 5,
            exempt_group: "5".into(),
        };
        let inbound = Inbound {
            server_port: 27017,
            port: 27117,
            intercept: Intercept::Tproxy(WhenDown::Refuse),
            server_addresses: Vec::new(),
            acknowledged: false,
        };
        Sidecar { table: "tlsramp".into(), inbound: Some(inbound), outbound: Some(outbound), canary_to: 27217 }
    }

    fn asked(line: &str) -> Result<Asked, Vec<String>> {
        let words = ["netfilter"].into_iter().chain(line.split_whitespace());
        let asked = Asked::of(&command().try_get_matches_from(words).expect("clap takes any value"));
        asked.map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect())
    }

    fn printed(line: &str) -> Sidecar {
        match asked(line) {
            Ok(Asked::Print(sidecar)) => sidecar,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn defaults_follow_from_the_values_given() {
        assert_eq!(printed("--serverPort 27017 --port 27117 --outboundTransparent 27217 --exemptGroup 5"), sidecar());
        let sidecar = printed("--serverPort 27017 --port 27117 --whenDown bypass --serverAddress 10.0.0.1");
        assert_eq!((sidecar.outbound, sidecar.canary_to), (None, 27117));
        let inbound = sidecar.inbound.unwrap();
        assert_eq!(inbound.intercept, Intercept::Tproxy(WhenDown::Bypass));
        assert_eq!(inbound.server_addresses, ["10.0.0.1".parse::<std::net::IpAddr>().unwrap()]);
        let sidecar = printed("--serverPort 27017 --port 27117 --redirect --acknowledgeFirewall");
        let inbound = sidecar.inbound.unwrap();
        assert_eq!((inbound.intercept, inbound.acknowledged), (Intercept::Redirect, true));
        let many = "--memberPort 27018 --memberPort 27017 --memberPort 27018 --memberAddress 10.0.0.0/8 --memberAddress 10.1.0.1";
        let sidecar = printed(&format!("--outboundTransparent 27217 --exemptGroup root {many}"));
        let outbound = sidecar.outbound.unwrap();
        assert_eq!((outbound.member_ports, outbound.member_addresses.len()), (vec![27017, 27018], 1));
        assert_eq!((outbound.exempt, outbound.exempt_group.as_str()), (0, "root"));
    }

    #[test]
    fn the_command_that_applied_also_shows_and_removes() {
        let line = "--serverPort 27017 --port 27117 --table two";
        assert!(matches!(asked(&format!("{line} --apply")), Ok(Asked::Apply(_))));
        assert!(matches!(asked(&format!("{line} --keep")), Ok(Asked::Keep(_))));
        assert_eq!(asked(&format!("{line} --show")), Ok(Asked::Show("two".into())));
        assert_eq!(asked(&format!("{line} --remove")), Ok(Asked::Remove("two".into())));
        assert_eq!(asked("--remove"), Ok(Asked::Remove("tlsramp".into())));
    }

    #[test]
    fn every_mistake_at_once() {
        let cases: &[(&str, &[&str])] = &[
            ("", &["--port, --outboundTransparent: there is nothing to intercept"]),
            ("--serverPort 27017", &["--port, --outboundTransparent: there is nothing to intercept"]),
            ("--port 27117", &["--serverPort: --port needs it"]),
            ("--serverPort 27017 --port 27017", &["--port '27017': expected another port than --serverPort"]),
            (
                "--serverPort 0 --port 70000 --table 7 --apply --remove",
                &["--apply, --remove: they exclude", "--table '7'", "--serverPort '0'", "--port '70000'"],
            ),
            (
                "--serverPort 0 --port 70000 --table 7 --apply --keep",
                &["--apply, --keep: they exclude", "--table '7'", "--serverPort '0'", "--port '70000'"],
            ),
            (
                "--serverPort 27017 --port 27117 --whenDown never --serverAddress db1 --serverAddress ::1 --acknowledgeFirewall",
                &[
                    "--acknowledgeFirewall: it is for --redirect alone",
                    "--whenDown 'never': expected refuse or bypass",
                    "--serverAddress 'db1': expected an IP address",
                    "--serverAddress '::1': expected an address that other hosts reach",
                ],
            ),
            (
                "--serverPort 27017 --port 27117 --redirect --whenDown bypass --serverAddress 10.0.0.1",
                &["--whenDown 'bypass': it is for TPROXY", "--serverAddress '10.0.0.1': it is for TPROXY"],
            ),
            (
                "--serverPort 27017 --outboundTransparent 27217 --exemptGroup 5 --whenDown bypass",
                &["--whenDown 'bypass': without --port"],
            ),
            (
                "--outboundTransparent 27217",
                &["--exemptGroup: --outboundTransparent needs it", "--memberPort: --outboundTransparent needs it"],
            ),
            (
                "--serverPort 27017 --outboundTransparent 27017 --exemptGroup no-such-group",
                &[
                    "--exemptGroup 'no-such-group': there is no such group",
                    "--outboundTransparent '27017': expected another",
                ],
            ),
            (
                "--serverPort 27017 --port 27117 --memberPort x --memberAddress ::1 --exemptGroup 4294967295",
                &[
                    "--memberPort 'x': expected a port",
                    "--memberAddress '::1': expected an address of another host",
                    "--exemptGroup '4294967295': expected a group",
                    "--memberPort 'x': without --outboundTransparent",
                    "--memberAddress '::1': without --outboundTransparent",
                    "--exemptGroup '4294967295': without --outboundTransparent",
                ],
            ),
            (
                "--serverPort 27017 --port 27117 --outboundTransparent 27117 --exemptGroup 5",
                &["--outboundTransparent '27117': expected another port than --port"],
            ),
        ];
        for (line, expected) in cases {
            let mistakes = asked(line).expect_err(line);
            assert_eq!(mistakes.len(), expected.len(), "{line}: {mistakes:#?}");
            for (mistake, expected) in mistakes.iter().zip(*expected) {
                assert!(mistake.starts_with(expected), "{line}: {mistake}");
                assert_eq!(mistake.lines().count(), 2, "{mistake}");
            }
        }
    }
}
