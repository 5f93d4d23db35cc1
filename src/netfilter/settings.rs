//! What was given, judged as a whole: every mistake at once, each with what to do.

use clap::ArgMatches;
use nix::unistd::Group;

use super::command::{
    APPLY, CARRY_OVER, EXEMPT_GROUP, MEMBER_ADDRESS, MEMBER_PORT, OUTBOUND, PORT, REMOVE, SERVER_PORT, TABLE,
};
use super::network::{Network, without_overlap};
use crate::config::Mistake;
use crate::limits::NETFILTER_MEMBERS;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    Print(Sidecar),
    Apply(Sidecar),
    CarryOver(Sidecar),
    /// The table of this name.
    Remove(String),
}

/// The redirects of a sidecar: at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sidecar {
    pub(super) table: String,
    pub(super) inbound: Option<Inbound>,
    pub(super) outbound: Option<Outbound>,
    /// Where the canary is led: what is redirected to, outbound before inbound.
    pub(super) canary_to: u16,
}

/// Connections from outside, to the mongod's port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Inbound {
    pub(super) server_port: u16,
    /// Never the server's.
    pub(super) port: u16,
}

/// Connections of the local mongod, to other members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outbound {
    pub(super) port: u16,
    /// In order, each once; at least one.
    pub(super) member_ports: Vec<u16>,
    /// Without overlap. None: every other host.
    pub(super) member_addresses: Vec<Network>,
    pub(super) exempt: u32,
    /// The group as it was given.
    pub(super) exempt_group: String,
}

impl Asked {
    /// # Errors
    /// Every mistake.
    pub(super) fn of(given: &ArgMatches) -> Result<Asked, Vec<Mistake>> {
        let mut mistakes = Vec::new();
        let verbs: Vec<_> = [APPLY, REMOVE, CARRY_OVER].into_iter().filter(|verb| given.get_flag(verb)).collect();
        if verbs.len() > 1 {
            let names = verbs.iter().map(|verb| format!("--{verb}")).collect::<Vec<_>>().join(", ");
            mistakes.push(mistake(&names, "they exclude each other", "give one of them"));
        }
        let mut given = Given { given, mistakes };
        let table = given.table();
        // So that a command line that applied is one that removes.
        let remove = verbs == [REMOVE];
        let sidecar = if remove { None } else { given.sidecar(&table) };
        match (given.mistakes.is_empty(), sidecar) {
            (true, None) => Ok(Asked::Remove(table)),
            (true, Some(sidecar)) => Ok(match verbs.first() {
                Some(&APPLY) => Asked::Apply(sidecar),
                Some(_) => Asked::CarryOver(sidecar),
                None => Asked::Print(sidecar),
            }),
            (false, _) => Err(given.mistakes),
        }
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
            self.lacks(&format!("{PORT}, --{OUTBOUND}"), "there is nothing to redirect", remedy);
        }
        if let (Some(inbound), Some(outbound)) = (&inbound, &outbound)
            && inbound.port == outbound.port
        {
            let problem = "expected another port than --port: tlsramp takes what comes to it for the mongod's own";
            self.wrong(OUTBOUND, &outbound.port.to_string(), problem, "give tlsramp a port for each direction");
        }
        let canary_to = outbound.as_ref().map(|outbound| outbound.port).or(inbound.map(|inbound| inbound.port))?;
        let whole = self.mistakes.len() == before;
        whole.then(|| Sidecar { table: table.to_owned(), inbound, outbound, canary_to })
    }

    fn inbound(&mut self, server_port: Option<u16>) -> Option<Inbound> {
        let port = self.port(PORT);
        if self.text(PORT).is_some() && self.text(SERVER_PORT).is_none() {
            self.lacks(SERVER_PORT, "--port needs it: it is the port that is redirected", "give the mongod's port");
        }
        let inbound = Inbound { server_port: server_port?, port: port? };
        if inbound.port == inbound.server_port {
            let remedy = "give the port that tlsramp listens on; the mongod keeps its own";
            self.wrong(PORT, &inbound.port.to_string(), "expected another port than --serverPort", remedy);
            return None;
        }
        Some(inbound)
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

    fn member_addresses(&mut self) -> Vec<Network> {
        let mut networks = Vec::new();
        for value in self.list(MEMBER_ADDRESS) {
            match Network::parse(&value) {
                Ok(network) => networks.push(network),
                Err((problem, remedy)) => self.wrong(MEMBER_ADDRESS, &value, problem, &remedy),
            }
        }
        without_overlap(networks)
    }

    /// The values of a repeatable option.
    fn list(&mut self, name: &str) -> Vec<String> {
        let values: Vec<String> = self.given.get_many::<String>(name).into_iter().flatten().cloned().collect();
        if values.len() > NETFILTER_MEMBERS {
            let problem = format!("expected at most {NETFILTER_MEMBERS} of them");
            self.lacks(name, &problem, "give networks in place of addresses, or leave --memberAddress out");
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
mod tests {
    use super::{Asked, Sidecar};
    use crate::netfilter::command;

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
    fn what_is_not_given_follows_from_what_is() {
        let sidecar = printed("--serverPort 27017 --port 27117 --outboundTransparent 27217 --exemptGroup 1234");
        assert_eq!((sidecar.table.as_str(), sidecar.canary_to), ("tlsramp", 27217));
        assert_eq!(sidecar.outbound.unwrap().member_ports, [27017]);
        let sidecar = printed("--serverPort 27017 --port 27117");
        assert_eq!((sidecar.outbound, sidecar.canary_to), (None, 27117));
        let many = "--memberPort 27018 --memberPort 27017 --memberPort 27018 --memberAddress 10.0.0.0/8 --memberAddress 10.1.0.1";
        let sidecar = printed(&format!("--outboundTransparent 27217 --exemptGroup root {many}"));
        let outbound = sidecar.outbound.unwrap();
        assert_eq!((outbound.member_ports, outbound.member_addresses.len()), (vec![27017, 27018], 1));
        assert_eq!((outbound.exempt, outbound.exempt_group.as_str()), (0, "root"));
    }

    #[test]
    fn the_command_that_applied_also_removes() {
        let line = "--serverPort 27017 --port 27117 --table two";
        assert!(matches!(asked(&format!("{line} --apply")), Ok(Asked::Apply(_))));
        assert!(matches!(asked(&format!("{line} --carry-over")), Ok(Asked::CarryOver(_))));
        assert_eq!(asked(&format!("{line} --remove")), Ok(Asked::Remove("two".into())));
        assert_eq!(asked("--remove"), Ok(Asked::Remove("tlsramp".into())));
    }

    #[test]
    fn every_mistake_at_once() {
        let cases: &[(&str, &[&str])] = &[
            ("", &["--port, --outboundTransparent: there is nothing to redirect"]),
            ("--serverPort 27017", &["--port, --outboundTransparent: there is nothing to redirect"]),
            ("--port 27117", &["--serverPort: --port needs it"]),
            ("--serverPort 27017 --port 27017", &["--port '27017': expected another port than --serverPort"]),
            (
                "--serverPort 0 --port 70000 --table 7 --apply --remove",
                &["--apply, --remove: they exclude", "--table '7'", "--serverPort '0'", "--port '70000'"],
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
