use super::{InboundRules, Intercept, NetfilterCommand, OutboundRules, Sidecar, WhenDown};
use crate::netfilter::command;

/// Returns a sidecar with rules for both directions.
pub(in crate::netfilter) fn sidecar() -> Sidecar {
    let outbound = OutboundRules {
        port: 27217,
        member_ports: vec![27017],
        member_addresses: Vec::new(),
        exempt: 5,
        exempt_group: "5".into(),
    };
    let inbound = InboundRules {
        server_port: 27017,
        port: 27117,
        intercept: Intercept::Tproxy(WhenDown::Refuse),
        server_addresses: Vec::new(),
        acknowledged: false,
    };
    Sidecar { table: "tlsramp".into(), inbound: Some(inbound), outbound: Some(outbound), canary_to: 27217 }
}

fn asked(line: &str) -> Result<NetfilterCommand, Vec<String>> {
    let words = ["netfilter"].into_iter().chain(line.split_whitespace());
    let asked = NetfilterCommand::of(&command().try_get_matches_from(words).expect("clap takes any value"));
    asked.map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect())
}

fn printed(line: &str) -> Sidecar {
    match asked(line) {
        Ok(NetfilterCommand::Print(sidecar)) => sidecar,
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
    let many =
        "--memberPort 27018 --memberPort 27017 --memberPort 27018 --memberAddress 10.0.0.0/8 --memberAddress 10.1.0.1";
    let sidecar = printed(&format!("--outboundTransparent 27217 --exemptGroup root {many}"));
    let outbound = sidecar.outbound.unwrap();
    assert_eq!((outbound.member_ports, outbound.member_addresses.len()), (vec![27017, 27018], 1));
    assert_eq!((outbound.exempt, outbound.exempt_group.as_str()), (0, "root"));
}

#[test]
fn the_command_that_applied_also_shows_and_removes() {
    let line = "--serverPort 27017 --port 27117 --table two";
    assert!(matches!(asked(&format!("{line} --apply")), Ok(NetfilterCommand::Apply(_))));
    assert!(matches!(asked(&format!("{line} --keep")), Ok(NetfilterCommand::Keep(_))));
    assert_eq!(asked(&format!("{line} --show")), Ok(NetfilterCommand::Show("two".into())));
    assert_eq!(asked(&format!("{line} --remove")), Ok(NetfilterCommand::Remove("two".into())));
    assert_eq!(asked("--remove"), Ok(NetfilterCommand::Remove("tlsramp".into())));
}

#[test]
fn every_mistake_at_once() {
    let cases: &[(&str, &[&str])] = &[
        ("", &["--port, --outboundTransparent: there is nothing to intercept"]),
        ("--serverPort 27017", &["--port, --outboundTransparent: there is nothing to intercept"]),
        ("--port 27117", &["--serverPort: --port requires it"]),
        ("--serverPort 27017 --port 27017", &["--port '27017': expected a port other than --serverPort"]),
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
                "--acknowledgeFirewall: it applies to --redirect only",
                "--whenDown 'never': expected refuse or bypass",
                "--serverAddress 'db1': expected an IP address",
                "--serverAddress '::1': expected an address that other hosts can reach",
            ],
        ),
        (
            "--serverPort 27017 --port 27117 --redirect --whenDown bypass --serverAddress 10.0.0.1",
            &[
                "--whenDown 'bypass': it applies to TPROXY only",
                "--serverAddress '10.0.0.1': it applies to TPROXY only",
            ],
        ),
        (
            "--serverPort 27017 --outboundTransparent 27217 --exemptGroup 5 --whenDown bypass",
            &["--whenDown 'bypass': it applies to inbound rules only"],
        ),
        (
            "--outboundTransparent 27217",
            &["--exemptGroup: --outboundTransparent requires it", "--memberPort: --outboundTransparent requires it"],
        ),
        (
            "--serverPort 27017 --outboundTransparent 27017 --exemptGroup no-such-group",
            &[
                "--exemptGroup 'no-such-group': there is no such group",
                "--outboundTransparent '27017': expected a port other than",
            ],
        ),
        (
            "--serverPort 27017 --port 27117 --memberPort x --memberAddress ::1 --exemptGroup 4294967295",
            &[
                "--memberPort 'x': expected a port",
                "--memberAddress '::1': expected an address of another host",
                "--exemptGroup '4294967295': expected a group",
                "--memberPort 'x': it applies to outbound redirects only",
                "--memberAddress '::1': it applies to outbound redirects only",
                "--exemptGroup '4294967295': it applies to outbound redirects only",
            ],
        ),
        (
            "--serverPort 27017 --port 27117 --outboundTransparent 27117 --exemptGroup 5",
            &["--outboundTransparent '27117': expected a port other than --port"],
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
