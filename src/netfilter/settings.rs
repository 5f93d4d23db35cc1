//! Validates the command line. All mistakes are reported together, each with a remedy.

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

/// The command to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NetfilterCommand {
    Print(Sidecar),
    Apply(Sidecar),
    Keep(Sidecar),
    /// Holds the table's name.
    Show(String),
    Remove(String),
}

/// The rules of a sidecar, for at least one direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sidecar {
    pub(super) table: String,
    pub(super) inbound: Option<InboundRules>,
    pub(super) outbound: Option<OutboundRules>,
    /// The port to which canary connections are redirected: the outbound port if there is one, otherwise the inbound
    /// port.
    pub(super) canary_to: u16,
}

/// Connections from other hosts, to the mongod's port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InboundRules {
    pub(super) server_port: u16,
    /// tlsramp's port, which is never the server's port.
    pub(super) port: u16,
    pub(super) intercept: Intercept,
    /// The server's addresses from the command line. If empty, they are read from the kernel.
    pub(super) server_addresses: Vec<IpAddr>,
    /// For `Redirect`: whether the operator has acknowledged the host's rules that name the port.
    pub(super) acknowledged: bool,
}

/// How connections from other hosts are intercepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Intercept {
    /// By TPROXY, which does not rewrite packets.
    Tproxy(WhenDown),
    /// By REDIRECT, which rewrites the destination port.
    Redirect,
}

/// How new connections are handled while tlsramp does not listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WhenDown {
    Refuse,
    /// New connections reach the server directly.
    Bypass,
}

/// Connections from the local mongod to other members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OutboundRules {
    pub(super) port: u16,
    /// Sorted, without duplicates, not empty.
    pub(super) member_ports: Vec<u16>,
    /// Networks that do not overlap. Empty means every other host.
    pub(super) member_addresses: Vec<IpNet>,
    pub(super) exempt: u32,
    /// The exempt group as given on the command line.
    pub(super) exempt_group: String,
}

impl NetfilterCommand {
    /// # Errors
    /// Every mistake of the command line.
    pub(super) fn of(given: &ArgMatches) -> Result<NetfilterCommand, Vec<Mistake>> {
        let mut mistakes = Vec::new();
        let verbs: Vec<_> = [APPLY, SHOW, REMOVE, KEEP].into_iter().filter(|verb| given.get_flag(verb)).collect();
        if verbs.len() > 1 {
            let names = verbs.iter().map(|verb| format!("--{verb}")).collect::<Vec<_>>().join(", ");
            mistakes.push(Mistake::new(&names, "they exclude each other", "give one of them"));
        }
        let mut given = ArgumentReader { given, mistakes };
        let table = given.table();
        // The options of `--apply` are allowed with `--show` and `--remove`, so that a command line can be repeated
        // with another verb.
        let by_table = verbs == [SHOW] || verbs == [REMOVE];
        let sidecar = if by_table { None } else { given.sidecar(&table) };
        if !given.mistakes.is_empty() {
            return Err(given.mistakes);
        }
        Ok(match (sidecar, verbs.first()) {
            (None, Some(&SHOW)) => NetfilterCommand::Show(table),
            (None, _) => NetfilterCommand::Remove(table),
            (Some(sidecar), Some(&APPLY)) => NetfilterCommand::Apply(sidecar),
            (Some(sidecar), Some(&KEEP)) => NetfilterCommand::Keep(sidecar),
            (Some(sidecar), _) => NetfilterCommand::Print(sidecar),
        })
    }
}

struct ArgumentReader<'a> {
    given: &'a ArgMatches,
    mistakes: Vec<Mistake>,
}

impl ArgumentReader<'_> {
    fn text(&self, name: &str) -> Option<String> {
        self.given.get_one::<String>(name).cloned()
    }

    fn wrong(&mut self, name: &str, value: &str, problem: impl Into<String>, remedy: &str) {
        self.mistakes.push(Mistake::of(&format!("--{name}"), value, problem, remedy));
    }

    fn lacks(&mut self, name: &str, problem: &str, remedy: &str) {
        self.mistakes.push(Mistake::new(format!("--{name}"), problem, remedy));
    }

    fn table(&mut self) -> String {
        let name = self.text(TABLE).unwrap_or_default();
        let letters = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
        if !letters || !name.starts_with(|first: char| first.is_ascii_alphabetic()) || name.len() > LONGEST_NAME {
            let problem =
                format!("expected a name of at most {LONGEST_NAME} letters, digits, _ and -, starting with a letter");
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
            let remedy = "give --serverPort and --port, or --outboundTransparent and --exemptGroup, or all four";
            self.lacks(&format!("{PORT}, --{OUTBOUND}"), "there is nothing to intercept", remedy);
        }
        if let (Some(inbound), Some(outbound)) = (&inbound, &outbound)
            && inbound.port == outbound.port
        {
            let problem = "expected a port other than --port: on that port, tlsramp treats connections as those of the \
                local mongod";
            self.wrong(OUTBOUND, &outbound.port.to_string(), problem, "give tlsramp a port for each direction");
        }
        let canary_to =
            outbound.as_ref().map(|outbound| outbound.port).or(inbound.as_ref().map(|inbound| inbound.port))?;
        let whole = self.mistakes.len() == before;
        whole.then(|| Sidecar { table: table.to_owned(), inbound, outbound, canary_to })
    }

    fn inbound(&mut self, server_port: Option<u16>) -> Option<InboundRules> {
        let port = self.port(PORT);
        if self.text(PORT).is_some() && self.text(SERVER_PORT).is_none() {
            self.lacks(SERVER_PORT, "--port requires it: it is the port to intercept", "give the mongod's port");
        }
        let (intercept, server_addresses) = (self.intercept(), self.server_addresses());
        if port.is_none() {
            for name in [WHEN_DOWN, SERVER_ADDRESS] {
                if let Some(value) = self.text(name) {
                    let problem = "it applies to inbound rules only, and there are none without --port";
                    self.wrong(name, &value, problem, "give --port, or omit it");
                }
            }
        }
        let acknowledged = self.given.get_flag(ACKNOWLEDGE);
        let inbound = InboundRules {
            server_port: server_port?,
            port: port?,
            intercept: intercept?,
            server_addresses,
            acknowledged,
        };
        if inbound.port == inbound.server_port {
            let remedy = "give the port that tlsramp listens on; the mongod keeps its own";
            self.wrong(PORT, &inbound.port.to_string(), "expected a port other than --serverPort", remedy);
            return None;
        }
        Some(inbound)
    }

    fn intercept(&mut self) -> Option<Intercept> {
        let redirect = self.given.get_flag(REDIRECT);
        if self.given.get_flag(ACKNOWLEDGE) && !redirect {
            let problem = "it applies to --redirect only: with TPROXY, the host's rules see the same port as before";
            self.lacks(ACKNOWLEDGE, problem, "omit it");
        }
        let when_down = self.text(WHEN_DOWN);
        if redirect {
            for name in [WHEN_DOWN, SERVER_ADDRESS] {
                if let Some(value) = self.text(name) {
                    let problem = "it applies to TPROXY only: --redirect intercepts every address of the host, whether \
                        tlsramp listens or not";
                    self.wrong(name, &value, problem, "omit it, or omit --redirect");
                }
            }
            return Some(Intercept::Redirect);
        }
        match when_down.as_deref() {
            None | Some("refuse") => Some(Intercept::Tproxy(WhenDown::Refuse)),
            Some("bypass") => Some(Intercept::Tproxy(WhenDown::Bypass)),
            Some(other) => {
                let remedy = "give refuse (the default) or bypass (clients reach the mongod without tlsramp)";
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
                    let remedy = "omit it: connections within the host are never intercepted";
                    self.wrong(SERVER_ADDRESS, &value, "expected an address that other hosts can reach", remedy);
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

    fn outbound(&mut self, server_port: Option<u16>) -> Option<OutboundRules> {
        let port = self.port(OUTBOUND);
        let (ports, addresses) = (self.member_ports(server_port), self.member_addresses());
        let exempt = self.exempt();
        if self.text(OUTBOUND).is_none() {
            for name in [MEMBER_PORT, MEMBER_ADDRESS, EXEMPT_GROUP] {
                if let Some(value) = self.text(name) {
                    let problem = "it applies to outbound redirects only, and there are none without \
                        --outboundTransparent";
                    self.wrong(name, &value, problem, "give --outboundTransparent, or omit it");
                }
            }
            return None;
        }
        if self.text(EXEMPT_GROUP).is_none() {
            let problem = "--outboundTransparent requires it: otherwise tlsramp's own connections would be redirected \
                to tlsramp";
            self.lacks(EXEMPT_GROUP, problem, "give the primary group of tlsramp, in which no mongod runs");
        }
        let has_ports = self.text(MEMBER_PORT).is_some() || self.text(SERVER_PORT).is_some();
        if !has_ports {
            self.lacks(
                MEMBER_PORT,
                "--outboundTransparent requires it, or --serverPort",
                "give the other members' ports",
            );
        }
        let port = port?;
        if Some(port) == server_port {
            let problem = "expected a port other than --serverPort: the mongod listens there";
            self.wrong(OUTBOUND, &port.to_string(), problem, "give a port that nothing listens on yet");
        }
        let (exempt, exempt_group) = exempt?;
        Some(OutboundRules { port, member_ports: ports, member_addresses: addresses, exempt, exempt_group })
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

    /// Returns the values of a repeatable option.
    fn list(&mut self, name: &str) -> Vec<String> {
        let values: Vec<String> = self.given.get_many::<String>(name).into_iter().flatten().cloned().collect();
        if values.len() > NETFILTER_MEMBERS {
            let problem = format!("expected at most {NETFILTER_MEMBERS} of them");
            self.lacks(name, &problem, &format!("give networks in place of addresses, or omit --{name}"));
        }
        values
    }

    fn exempt(&mut self) -> Option<(u32, String)> {
        let text = self.text(EXEMPT_GROUP)?;
        let found = match text.parse::<u32>() {
            // The kernel uses the highest number for "no group".
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
                self.wrong(EXEMPT_GROUP, &text, problem, "give the name or number of tlsramp's primary group");
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

/// The length limit of iptables for names; the kernel's limit is higher.
const LONGEST_NAME: usize = 31;

#[cfg(test)]
pub(super) mod tests;
