use super::page;
use crate::admin::replies::{
    BlockerKind, BlockerReply, BypassStatus, CertificateStatus, ConnectionCounts, ErrorReply, InventoryStatus,
    LeaseStatus, LinkStatus, MemberStatus, OtherLink, Ready, RouteStatus, SlotStatus, Status, UpstreamStatus,
};
use crate::admin_client::ClientError;
use crate::screen::{OutputStyle, golden};

const NOW: i64 = 1_700_000_180_000;
const THREE_MINUTES_AGO: &str = "2023-11-14T22:13:20Z";

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn server() -> UpstreamStatus {
    UpstreamStatus {
        route: "inbound".into(),
        upstream: "127.0.0.1:27018".into(),
        up: true,
        link: "plaintext".into(),
        checked: "2023-11-14T22:16:18Z".into(),
        set_name: some("rs0"),
        state: some("PRIMARY"),
        ..UpstreamStatus::default()
    }
}

/// All is well, half way to TLS.
fn healthy() -> Status {
    let certificate = |role: &str, subject: &str, days_left| CertificateStatus {
        role: role.into(),
        file: "/etc/tlsramp/server.pem".into(),
        subject: subject.into(),
        days_left,
        ..CertificateStatus::default()
    };
    let slots =
        |direction: &str, used| SlotStatus { direction: direction.into(), limit: 800, used, ..SlotStatus::default() };
    Status {
        version: "0.1.0".into(),
        pid: 123,
        uptime_secs: 7500,
        ssl_mode: "preferSSL".into(),
        tls_mode: "preferTLS".into(),
        generation: 5,
        mode_since: THREE_MINUTES_AGO.into(),
        mode_by: some("http uid 1000"),
        configured_mode: "preferSSL".into(),
        routes: vec![RouteStatus { name: "inbound".into(), listen: vec!["0.0.0.0:27017".into(), "[::]:27017".into()] }],
        upstreams: vec![server()],
        links: vec![LinkStatus { destination: "10.0.0.8:27017".into(), up: true, ..LinkStatus::default() }],
        redirect: Some(true),
        connections: ConnectionCounts { open: 12, plaintext: 0, tls: 9, outbound: 3, ..ConnectionCounts::default() },
        slots: vec![slots("inbound", 9), slots("outbound", 3)],
        certificates: vec![
            certificate("tlsCertificateKeyFile", "CN=db1.example.net", 364),
            certificate("tlsCAFile", "CN=tlsramp test CA", 3649),
        ],
        inventory: InventoryStatus { rows: 4, unmoved: 0, lost: 0 },
        ..Status::default()
    }
}

/// Much is wrong at once.
fn in_trouble() -> Status {
    let refused = OtherLink { link: "tls".into(), up: false, reason: some("no TLS there"), ..OtherLink::default() };
    let upstream = UpstreamStatus { checked: THREE_MINUTES_AGO.into(), other: Some(refused), ..server() };
    Status {
        version: "0.1.0".into(),
        pid: 123,
        uptime_secs: 7500,
        ssl_mode: "preferSSL".into(),
        tls_mode: "preferTLS".into(),
        generation: 5,
        mode_since: THREE_MINUTES_AGO.into(),
        drift: some("a restart would go back to allowSSL"),
        routes: vec![RouteStatus { name: "inbound".into(), listen: vec!["0.0.0.0:27017".into(), "[::]:27017".into()] }],
        upstreams: vec![upstream, UpstreamStatus { upstream: "db2:27017".into(), ..UpstreamStatus::default() }],
        links: vec![
            LinkStatus {
                route: "outbound transparent".into(),
                destination: "10.0.0.7:27017".into(),
                link: "tls".into(),
                reason: some("its certificate is for db7\n"),
                suggestion: some("--member db7:27017=10.0.0.7"),
                open: 2,
                last_failed: some(THREE_MINUTES_AGO),
                ..LinkStatus::default()
            },
            LinkStatus { destination: "10.0.0.8:27017".into(), up: true, ..LinkStatus::default() },
        ],
        members: vec![
            MemberStatus {
                name: "db1:27017".into(),
                addresses: vec!["10.0.0.1".into(), "2001:db8::1".into()],
                sources: vec!["option".into(), "hello".into()],
            },
            MemberStatus { name: "db2:27017".into(), ..MemberStatus::default() },
        ],
        bypass: vec![BypassStatus {
            direction: "inbound".into(),
            local: "10.0.0.1:27017".into(),
            remote: "10.0.0.2:40000".into(),
            member: true,
        }],
        connections: ConnectionCounts { open: 12, plaintext: 3, tls: 9, ..ConnectionCounts::default() },
        certificates: vec![CertificateStatus {
            role: "tlsCertificateKeyFile".into(),
            file: "/etc/a.pem".into(),
            subject: "CN=db1".into(),
            days_left: -1,
            ..CertificateStatus::default()
        }],
        lease: Some(LeaseStatus { holder: "ops\n".into(), seconds_left: 59 }),
        inventory: InventoryStatus { rows: 4, unmoved: 3, lost: 0 },
        critical: vec!["on fire\u{1b}".into()],
        warnings: vec!["on fire\u{1b}".into(), "the disk is full".into()],
        ..Status::default()
    }
}

fn blocked() -> Ready {
    let of = |kind| BlockerReply { kind, ..BlockerReply::default() };
    let blockers = [BlockerKind::PlaintextOpen, BlockerKind::Bypass, BlockerKind::PlaintextSeen, BlockerKind::Upstream];
    Ready {
        mode: "preferSSL".into(),
        to: "requireSSL".into(),
        ready: false,
        blockers: blockers.into_iter().map(of).collect(),
    }
}

#[test]
fn golden_screens_say_what_matters() {
    let ready = Ready { mode: "preferSSL".into(), to: "requireSSL".into(), ready: true, blockers: Vec::new() };
    let refused = ErrorReply { error: "too many requests\u{1b}".into(), ..ErrorReply::default() };
    let unknown = ClientError::Refused { status: 503, reply: Box::new(refused), json: String::new() };
    let last = Status {
        ssl_mode: "requireSSL".into(),
        tls_mode: "requireTLS".into(),
        mode_by: None,
        persisted_mode: some("requireSSL"),
        inventory: InventoryStatus { rows: 4, unmoved: 1, lost: 0 },
        upstreams: vec![UpstreamStatus { upstream: "db2:27017".into(), ..UpstreamStatus::default() }],
        links: Vec::new(),
        redirect: None,
        ..healthy()
    };
    for (name, status, next) in [
        ("status-healthy", healthy(), Some(Ok(ready))),
        ("status-trouble", in_trouble(), Some(Ok(blocked()))),
        ("status-unknown", healthy(), Some(Err(unknown))),
        ("status-last", last, None),
    ] {
        let short = page(&status, next.as_ref(), false, NOW);
        golden::check("src/ctl/golden", name, &short);
        golden::check("src/ctl/golden", &format!("{name}-wide"), &page(&status, next.as_ref(), true, NOW));
        let screen = short.render(OutputStyle { width: Some(80), ..OutputStyle::default() });
        assert!(screen.lines().count() <= 24, "{name}: {screen}");
    }
}
