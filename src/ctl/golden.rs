//! Golden files of the pages: few and many rows, long names, IPv6, wide characters, escape codes.

use super::target::{ConnectionTarget, has_end, is_from};
use super::{clients, connections, doctor, history, ready};
use crate::admin::replies::{
    Action, BlockerKind, BlockerReply, CheckVerdict, ClientRow, ConnectionRow, DoctorCheck, DoctorFinding, DoctorReply,
    Effect, HistoryEntry, HistoryReply, Ready,
};
use crate::admin_client::{Clients, Connections};
use crate::screen::{Page, golden};
use crate::telemetry::{ClientIdentity, Scope};

/// 2023-11-14T22:16:20Z.
const NOW: i64 = 1_700_000_180_000;

fn check(name: &str, rows: usize, page: &Page) {
    golden::check("src/ctl/golden", &format!("{name}-{rows}"), page);
}

const ROWS: [usize; 3] = [1, 12, 300];
const ADDRESSES: [&str; 6] =
    ["10.0.0.7", "192.168.100.200", "2001:db8::7", "2001:db8:85a3:1111:2222:8a2e:370:7334", "fe80::1", "10.0.0.8"];
const APPLICATIONS: [Option<&str>; 6] = [
    Some("reports"),
    Some("nightly-backup"),
    None,
    Some("com.example.billing.invoices.InvoiceExportService/production-eu-central-1"),
    Some("报表系统 (größer)"),
    Some("\u{1b}[2Jforged\nline `ls"),
];
const DRIVERS: [Option<(&str, &str)>; 5] = [
    Some(("PyMongo", "4.6.1")),
    Some(("mongo-java-driver|sync|spring-boot", "4.11.1")),
    Some(("nodejs|mongosh", "6.3.0|2.1.1")),
    None,
    Some(("mongo-go-driver", "v1.13.0")),
];
const MOMENTS: [&str; 3] = ["2023-11-14T22:13:20Z", "2023-11-13T20:16:20Z", "2023-11-14T22:16:01.5Z"];

/// Picks an element by a number, so that neighbours differ.
fn pick<T: Copy, const N: usize>(from: [T; N], number: usize) -> T {
    from[number % N]
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn key(row: &ClientRow) -> String {
    let (application, driver) = (row.application.clone(), row.driver.clone());
    let scope = if row.member { Scope::Member } else { Scope::Client };
    ClientIdentity { ip: row.ip.parse().unwrap(), application, driver, scope }.text()
}

fn client(number: usize) -> ClientRow {
    let driver = pick(DRIVERS, number);
    let plaintext = !number.is_multiple_of(4);
    let mut row = ClientRow {
        number: number as u64 * 3 + 1,
        ip: pick(ADDRESSES, number).into(),
        kind: if plaintext { "plaintext" } else { pick(["TLS1.3", "TLS1.2", "tls"], number) }.into(),
        application: pick(APPLICATIONS, number).map(Into::into),
        driver: driver.map(|(name, _)| name.into()),
        driver_version: driver.map(|(_, version)| version.into()),
        member: number % 7 == 6,
        more_names: (number == 11).then_some(4936),
        open: (number % 3) as u64,
        total: (number * number) as u64 + 1,
        refused: (number % 5 / 4) as u64,
        first_seen: MOMENTS[1].into(),
        last_seen: pick(MOMENTS, number).into(),
        accepted: plaintext && number % 5 == 2,
        blocks: plaintext && number % 5 != 2,
        ..ClientRow::default()
    };
    row.key = key(&row);
    row
}

#[test]
fn clients_by_whether_they_are_in_the_way() {
    for rows in ROWS {
        // Starts at 1, because client 0 uses TLS.
        let clients: Vec<_> = (1..=rows).map(client).collect();
        let reply = Clients { clients, ssl_mode: "preferSSL".into() };
        check("clients", rows, &clients::page(&reply, false, NOW));
    }
    let one = |mode: &str| Clients { clients: vec![client(1)], ssl_mode: mode.into() };
    check("clients-required", 1, &clients::page(&one("requireSSL"), false, NOW));
    let none = Clients { clients: Vec::new(), ssl_mode: "preferSSL".into() };
    check("clients", 0, &clients::page(&none, true, NOW));
}

fn connection(number: usize) -> ConnectionRow {
    let client = client(number);
    let ip = if client.ip.contains(':') { format!("[{}]", client.ip) } else { client.ip.clone() };
    let tls = client.kind.starts_with("TLS");
    ConnectionRow {
        id: number as u64 + 40,
        peer: format!("{ip}:{}", 40_000 + number),
        destination: (number % 9 == 8).then(|| "10.0.0.1:27017".into()),
        route: if number % 10 == 9 { "outbound transparent" } else { "inbound" }.into(),
        opening: if tls { "tls".into() } else { client.kind.clone() },
        tls_version: tls.then(|| client.kind.clone()),
        client_subject: tls.then(|| "CN=reports,OU=Data Platform,O=Example".into()),
        application: client.application,
        driver: client.driver,
        driver_version: client.driver_version,
        member: client.member,
        upstream: text("127.0.0.1:27018"),
        upstream_local: (number % 8 != 7).then(|| format!("127.0.0.1:{}", 50_000 + number)),
        upstream_link: "plaintext".into(),
        bytes_in: 100 << (number % 20),
        bytes_out: 2048 << (number % 30),
        age_secs: 61 + (number * number * 37) as u64,
        non_conforming: (!tls && number % 2 == 1).then(|| "plaintext".into()),
        recycling: !tls && number % 6 == 1,
        ..ConnectionRow::default()
    }
}

#[test]
fn connections_by_application_and_each() {
    for rows in ROWS {
        let connections: Vec<_> = (1..=rows).map(connection).collect();
        let reply = Connections { connections, left_out: if rows == 300 { 17 } else { 0 } };
        check("connections", rows, &connections::page(&reply, false, false));
        check("connections-each", rows, &connections::page(&reply, false, true));
    }
    check("connections", 0, &connections::page(&Connections::default(), true, false));
}

#[test]
fn whois_by_end_and_by_address() {
    let all: Vec<_> = (1..=300).map(connection).collect();
    for (name, end) in [("whois-client", &all[2].peer), ("whois-server-side", all[2].upstream_local.as_ref().unwrap())]
    {
        let end = end.parse().unwrap();
        let found: Vec<_> = all.iter().filter(|row| has_end(row, end)).collect();
        check(name, found.len(), &connections::whois(&found, ConnectionTarget::End(end), &end.to_string()));
    }
    let ip = "2001:db8:85a3:1111:2222:8a2e:370:7334".parse().unwrap();
    let found: Vec<_> = all.iter().filter(|row| is_from(row, ip)).take(12).collect();
    check("whois-address", found.len(), &connections::whois(&found, ConnectionTarget::Ip(ip), &ip.to_string()));
}

fn blocker(number: usize) -> BlockerReply {
    let ClientRow { ip, application, driver, driver_version, member, more_names, open, last_seen, key, .. } =
        client(number);
    let remedies = [
        "move the client to TLS and recycle its old connections; or, if it may be refused, accept it by its key",
        "move the client to TLS and recycle its old connections; it sends no name, so tlsramp cannot see that it has \
         moved: accept it by its key afterwards, or wait until --guardWindow has passed",
        "step that member up to preferSSL, then recycle its old connections",
    ];
    let remedy = if member { remedies[2] } else { remedies[usize::from(application.is_none())] };
    BlockerReply {
        kind: if open > 0 { BlockerKind::PlaintextOpen } else { BlockerKind::PlaintextSeen },
        text: format!("{ip} is connected without TLS"),
        remedy: remedy.into(),
        number: (number % 6 != 5).then_some(number as u64 * 3 + 1),
        key: (!member).then(|| key.clone()),
        client: Some(key),
        application,
        driver: driver.map(|name| format!("{name} {}", driver_version.unwrap_or_default())),
        address: Some(ip),
        member,
        more_names,
        open: Some(open),
        last_seen: Some(last_seen),
        ..BlockerReply::default()
    }
}

fn server(name: &str, fatal: bool) -> BlockerReply {
    BlockerReply {
        kind: BlockerKind::Upstream,
        fatal,
        text: format!(
            "in requireSSL, connections to {name} (outbound transparent) use TLS, which fails: its certificate is for \
             db7.example.net"
        ),
        remedy: "enable TLS on that server, with a certificate for the name that is dialled".into(),
        address: text(name),
        ..BlockerReply::default()
    }
}

#[test]
fn ready_by_remedy() {
    let reply = |blockers: Vec<BlockerReply>| Ready {
        mode: "preferSSL".into(),
        to: "requireSSL".into(),
        ready: blockers.is_empty(),
        blockers,
    };
    for rows in ROWS {
        let mut blockers: Vec<_> = (1..=rows).map(blocker).collect();
        if rows > 1 {
            let bypass = BlockerReply {
                kind: BlockerKind::Bypass,
                text: "bypass: 2 connections from client 10.0.0.9 bypass tlsramp: they were made before it was in their path, or by a path around it"
                    .into(),
                remedy:
                    "they end when that peer reconnects; as root, `ss -K sport = :27017 and dst 10.0.0.9` ends them now"
                        .into(),
                ..BlockerReply::default()
            };
            let more = BlockerReply {
                kind: BlockerKind::More,
                text: "and 7 more".into(),
                remedy: "`tlsramp ctl clients` lists all".into(),
                ..BlockerReply::default()
            };
            blockers.splice(0..0, [server("db7.example.net:27017", true), server("10.0.0.8:27017", false), bypass]);
            blockers.push(more);
        }
        check("ready", rows, &ready::page(&reply(blockers), 0, "tlsramp ctl --admin db1.example.net:28017 --tls", NOW));
    }
    check("ready", 0, &ready::page(&reply(Vec::new()), 2, "tlsramp ctl", NOW));
}

#[test]
fn history_newest_last() {
    let entry = |number: usize| {
        HistoryEntry {
        at: pick(MOMENTS, number).into(),
        action: pick([Action::Mode, Action::Mode, Action::Accept, Action::Other], number),
        what: pick(
            ["allowSSL -> preferSSL, persisted", "to requireSSL", "2001:db8:85a3::370:7334/a\u{1b}[2J%20b/PyMongo", ""],
            number,
        )
        .into(),
        effect: pick([Effect::Done, Effect::Refused, Effect::Kept, Effect::Other], number),
        reason: (number % 4 == 1).then(|| {
            "the guard refuses requireSSL: application nightly-backup (PyMongo 4.6) at 10.0.0.7 is connected without TLS".into()
        }),
        door: pick(["http", "mongodb", "signal"], number).into(),
        by: pick(["127.0.0.1", "10.0.0.9 (CN=ops,OU=Platform,O=Example)", "SIGHUP"], number).into(),
        times: if number % 8 == 1 { 3 } else { 1 },
        since: (number % 8 == 1).then(|| MOMENTS[1].into()),
        ..HistoryEntry::default()
    }
    };
    for rows in ROWS {
        check("history", rows, &history::page(&HistoryReply { history: (0..rows).map(entry).collect() }));
    }
}

#[test]
fn doctor_failed_first() {
    use DoctorCheck::{
        Bypass, Certificates, Clock, Descriptors, Interception, LocalhostException, Members, Modes, Names, Other,
        PeerCertificate, Upstream,
    };
    let ids = [Names, Upstream, PeerCertificate, Clock, Members, Modes, Bypass, Certificates, Descriptors, Other];
    let verdicts = [CheckVerdict::Failed, CheckVerdict::Warning, CheckVerdict::NotChecked, CheckVerdict::Ok];
    let finding = |number: usize, verdict| DoctorFinding {
        id: pick(ids, number),
        subject: format!("{}:27017", pick(ADDRESSES, number)),
        verdict,
        text: "it answers now, but preferSSL and requireSSL connect to it by TLS, which fails: \u{1b}[2J".into(),
        remedy: (verdict != CheckVerdict::Ok).then(|| "change the mode of that tlsramp to allowSSL first".into()),
    };
    for rows in ROWS {
        let checks = (0..rows).map(|number| finding(number, pick(verdicts, number))).collect();
        let reply = DoctorReply { mode: "allowSSL".into(), checked: String::new(), checks };
        assert!(doctor::has_failed(&reply));
        check("doctor", rows, &doctor::page(&reply));
    }
    let fine = [Certificates, Descriptors, Interception, LocalhostException];
    let checks = fine.map(|id| DoctorFinding { id, ..finding(0, CheckVerdict::Ok) }).to_vec();
    let reply = DoctorReply { mode: "requireSSL".into(), checked: String::new(), checks };
    assert!(!doctor::has_failed(&reply));
    check("doctor-fine", 4, &doctor::page(&reply));
}
