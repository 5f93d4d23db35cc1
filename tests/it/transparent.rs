//! Connections redirected by the kernel, in a network namespace with rules of the test's own: they reach their original
//! destination, by policy, at a server with the right name; and no connection loops.

use std::{
    env,
    io::Write as _,
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use bson::{doc, rawdoc};
use serde_json::Value;
use tlsramp::testing::msg_command;

use crate::{
    support::raw::Wire,
    support::service::{SOON, Upstream, echoes},
    support::set::Hello,
    support::{Mark, Proxy, ProxyBuilder, cert, certs, process, require_command, require_root, tls},
};

#[test]
fn redirected_connections() {
    require_root!();
    let commands = ["unshare", "ip", "nft", "setpriv"];
    for command in commands {
        require_command!(command);
    }
    if env::var_os(INSIDE).is_some() {
        network();
        go_where_they_were_going();
        are_verified_by_the_member_that_is_there();
        that_wait_for_their_dial_are_judged_again();
        that_were_not_are_refused();
        of_tlsramp_itself_end_the_circle();
        to_the_own_server_come_in_again_by_policy();
        rules_that_vanish_are_noticed();
        rules_that_vanish_under_require_ssl_are_red();
        return;
    }
    // In a separate namespace, which is removed with the process.
    let mut command = process::tethered("unshare");
    let test = thread::current().name().expect("a test's thread has its name").to_owned();
    command.args(["--net", "--"]).arg(env::current_exe().unwrap());
    command.args([&test, "--exact", "--nocapture"]).env(INSIDE, "1");
    let output = process::output(command, Duration::from_secs(900)).unwrap();
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(output.status.success() && said.contains("1 passed"), "in the namespace:\n{said}");
}

/// Two hosts, represented by their addresses, and rules that redirect all connections to the server's port except
/// exempt ones. Unlike the rules of `tlsramp netfilter`, they also redirect connections of a mongod to its own host.
pub(crate) fn network() {
    run("ip", &["link", "set", "lo", "up"]);
    for address in [OWN, FRONTED, MEMBER] {
        run("ip", &["address", "add", address, "dev", "lo"]);
    }
    run("ip", &["address", "add", MEMBER_6, "dev", "lo", "nodad"]);
    rules();
}

fn rules() {
    let canary = tlsramp::testing::canary(TRANSPARENT);
    let rules = format!(
        "table inet test {{ chain output {{ type nat hook output priority -100; \
         ip daddr {} tcp dport {} redirect to :{TRANSPARENT}; \
         meta skgid {GROUP} return; tcp dport {{ {PORT}, {MEMBER_PORT}, {TLS_PORT}, {STALLED_PORT} }} redirect to :{TRANSPARENT}; }}; }}\n",
        canary.ip(),
        canary.port()
    );
    let mut nft = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    nft.stdin.take().unwrap().write_all(rules.as_bytes()).unwrap();
    assert!(nft.wait().unwrap().success(), "{rules}");
}

fn go_where_they_were_going() {
    let proxy = sidecar(true, &[]);
    for address in [MEMBER, MEMBER_6] {
        let address = SocketAddr::new(address.parse().unwrap(), MEMBER_PORT);
        let server = Upstream::on(TcpListener::bind(address).unwrap(), None);
        let mark = proxy.log().mark();
        let mut local = TcpStream::connect(address).unwrap();
        echoes(&mut local, b"from the local server");
        drop(local);
        let record = record(&proxy, mark);
        assert_eq!(record["route"], "outbound transparent", "{record}");
        assert_eq!(record["upstream"], address.to_string().as_str(), "{record}");
        assert_eq!((&record["upstream_link"], &record["outcome"]), (&"plaintext".into(), &"completed".into()));
        // Through tlsramp, not bypassing it.
        assert_eq!(server.peers(), [record["upstream_local"].as_str().unwrap().parse().unwrap()]);
    }
}

fn are_verified_by_the_member_that_is_there() {
    let address = SocketAddr::new(MEMBER.parse().unwrap(), TLS_PORT);
    let listener = TcpListener::bind(address).unwrap();
    let config = tls::server(&cert("server.pem"), None);
    thread::spawn(move || {
        for mut socket in listener.incoming().map_while(Result::ok) {
            let mut session = rustls::ServerConnection::new(std::sync::Arc::clone(&config)).unwrap();
            let mut stream = rustls::Stream::new(&mut session, &mut socket);
            let mut bytes = [0; 4];
            // A client that does not trust the certificate closes the connection.
            let _ = std::io::Read::read_exact(&mut stream, &mut bytes).and_then(|()| stream.write_all(&bytes));
        }
    });
    let at = |name: &str, ip: &str| format!("{name}:{}={ip}", address.port());
    let rows: &[(&[String], bool)] = &[
        // Of several names at an address, the certificate may have any.
        (&[at("db2.example.net", MEMBER), at("localhost", MEMBER)], true),
        (&[at("db2.example.net", MEMBER)], false),
        // The name of another server, and of another port: the certificate must be for the IP address, and is not.
        (&[at("localhost", OWN)], false),
        (&[format!("localhost:1={MEMBER}")], false),
        (&[], false),
    ];
    for (members, works) in rows {
        let members: Vec<_> = members.iter().flat_map(|member| ["--member", member]).collect();
        let proxy = sidecar(true, &[&PREFER[..], &members].concat());
        let mut local = TcpStream::connect(address).unwrap();
        local.write_all(b"ping").unwrap();
        if *works {
            let mut back = [0; 4];
            std::io::Read::read_exact(&mut local, &mut back).unwrap();
            assert_eq!(&back, b"ping");
        }
        drop(local);
        let record = record(&proxy, Mark::START);
        // The test's own server may close with a reset.
        assert_eq!(record["outcome"] == "upstream_tls_failed", !works, "{members:?}: {record}");
    }
}

/// The policy changes while the dial to the original destination is pending: the connection is counted until it is
/// judged again, and then dialled again. The server receives no plaintext.
fn that_wait_for_their_dial_are_judged_again() {
    let address = SocketAddr::new(MEMBER.parse().unwrap(), STALLED_PORT);
    let listener = TcpListener::bind(address).unwrap();
    let config = tls::server(&cert("server.pem"), None);
    let (heard, openings) = mpsc::channel();
    thread::spawn(move || {
        for mut socket in listener.incoming().map_while(Result::ok) {
            let mut first = [0; 1];
            if !matches!(socket.peek(&mut first), Ok(1)) {
                continue;
            }
            heard.send(first[0]).unwrap();
            let mut session = rustls::ServerConnection::new(std::sync::Arc::clone(&config)).unwrap();
            let mut stream = rustls::Stream::new(&mut session, &mut socket);
            let mut bytes = [0; 4];
            let _ = std::io::Read::read_exact(&mut stream, &mut bytes).and_then(|()| stream.write_all(&bytes));
        }
    });
    let admin = SocketAddr::from(([127, 0, 0, 1], 28117));
    let member = format!("localhost:{STALLED_PORT}={MEMBER}");
    let more = ["--adminBind", &admin.to_string(), "--member", &member, "--connectTimeout", "30s"];
    let proxy = sidecar(true, &[&ALLOW[..], &more].concat());
    let admin = crate::support::admin::at(admin);
    let waiting = || admin.get("/status")["connections"]["nonConforming"].clone();

    // The packets of tlsramp's dial are dropped; the kernel sends them again a second later.
    let stall = format!(
        "add table inet stall; add chain inet stall output {{ type filter hook output priority 0; }}; \
         add rule inet stall output meta skgid {GROUP} tcp dport {STALLED_PORT} counter drop"
    );
    run("nft", &[&stall]);
    let mut local = TcpStream::connect(address).unwrap();
    local.set_read_timeout(Some(SOON)).unwrap();
    local.write_all(b"ping").unwrap();
    until(|| {
        let listed = Command::new("nft").args(["list", "table", "inet", "stall"]).output().unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        listed.contains("packets") && !listed.contains("packets 0 ")
    });
    admin.put("/mode", &serde_json::json!({ "mode": "preferSSL", "force": true }));
    assert_eq!(waiting(), 1);
    run("nft", &["delete", "table", "inet", "stall"]);
    let mut back = [0; 4];
    std::io::Read::read_exact(&mut local, &mut back).unwrap();
    assert_eq!(&back, b"ping");
    until(|| waiting() == 0);
    drop(local);
    let record = record(&proxy, Mark::START);
    assert_eq!((&record["upstream_link"], &record["mode"]), (&"tls".into(), &"preferSSL".into()), "{record}");
    // tlsramp also probes the server with TLS.
    let openings: Vec<_> = openings.try_iter().collect();
    assert!(!openings.is_empty() && openings.iter().all(|first| *first == 22), "TLS and nothing else: {openings:?}");
}

fn that_were_not_are_refused() {
    let proxy = sidecar(true, &[]);
    let mut client = Wire(TcpStream::connect(("127.0.0.1", TRANSPARENT)).unwrap());
    let answer = client.command("admin", &rawdoc! { "ping": 1 });
    let answer: bson::Document = answer.try_into().unwrap();
    assert_eq!((answer.get_i32("code").unwrap(), answer.get_str("codeName").unwrap()), (6, "HostUnreachable"));
    assert!(answer.get_str("errmsg").unwrap().contains("only connections redirected by the kernel"), "{answer}");
    assert_eq!(record(&proxy, Mark::START)["outcome"], "loop");
}

/// tlsramp runs outside the exempt group, so its own dials are redirected to it again.
fn of_tlsramp_itself_end_the_circle() {
    let proxy = sidecar(false, &[]);
    let mut local = TcpStream::connect((MEMBER, MEMBER_PORT)).unwrap();
    local.set_read_timeout(Some(SOON)).unwrap();
    let ping = doc! { "ping": 1 };
    local.write_all(&msg_command(1, "admin", &bson::RawDocumentBuf::try_from(&ping).unwrap())).unwrap();
    let answer = Wire(&local).answer().unwrap().document;
    assert!(answer.get_str("errmsg").unwrap().contains("one of tlsramp's own connections"), "{answer:?}");
    drop(local);
    for outcome in ["completed", "loop"] {
        proxy.log().wait(Mark::START, SOON, |line| line["outcome"] == outcome).unwrap();
    }
    assert_eq!(records(&proxy).len(), 2, "one circle, not more");
}

/// mongod connects to its own name: out through the redirect, and in again through the inbound route with the mode in
/// force.
fn to_the_own_server_come_in_again_by_policy() {
    let own = SocketAddr::new(OWN.parse().unwrap(), PORT);
    let server = Upstream::on(TcpListener::bind(own).unwrap(), None);
    let member = format!("localhost:{PORT}={OWN}");
    let proxy = sidecar(true, &[&REQUIRE[..], &["--member", &member]].concat());
    let mut local = TcpStream::connect(own).unwrap();
    echoes(&mut local, b"to itself");
    drop(local);
    let of = |route: &'static str| move |line: &Value| line["message"] == "connection" && line["route"] == route;
    let outgoing = proxy.log().wait(Mark::START, SOON, of("outbound transparent")).unwrap();
    let incoming = proxy.log().wait(Mark::START, SOON, of("inbound")).unwrap();
    assert_eq!((&outgoing["upstream_link"], &outgoing["upstream"]), (&"tls".into(), &own.to_string().into()));
    assert_eq!((&incoming["opening"], &incoming["outcome"]), (&"tls".into(), &"completed".into()), "{incoming}");
    assert_eq!(server.accepted(), 1);
}

fn rules_that_vanish_are_noticed() {
    let proxy = sidecar(true, &[]);
    let said =
        |text: &'static str| move |line: &Value| line["message"].as_str().is_some_and(|said| said.contains(text));
    proxy.log().wait(Mark::START, SOON, said("the interception rules are in force")).unwrap();
    run("nft", &["delete", "table", "inet", "test"]);
    let line = proxy.log().wait(Mark::START, SOON, said("the interception rules are missing")).unwrap();
    assert_eq!(line["level"], "WARN", "{line}");
    let mark = proxy.log().mark();
    rules();
    proxy.log().wait(mark, SOON, said("the interception rules are in force")).unwrap();
}

/// Without its rules, a sidecar is not ready, and its status first names the consequences in the mode in force. With
/// them, a set that advertises the server's own port does not make clients bypass tlsramp.
fn rules_that_vanish_under_require_ssl_are_red() {
    let probes = SocketAddr::from(([127, 0, 0, 1], 9216));
    let admin = SocketAddr::from(([127, 0, 0, 1], 28117));
    let own = format!("{FRONTED}:{PORT}");
    let server = Hello::on(TcpListener::bind(&own).unwrap());
    server.say(doc! { "setName": "rs", "me": &own, "hosts": [&own], "secondary": true });
    let more = ["--probeBind", &probes.to_string(), "--adminBind", &admin.to_string(), "--upstreamProbe", "on"];
    let proxy = sidecar_of(FRONTED, true, &[&REQUIRE[..], &more].concat());
    let (probes, admin) = (crate::support::admin::at(probes), crate::support::admin::at(admin));
    let readyz = || probes.raw("GET /readyz HTTP/1.1\r\nConnection: close\r\n\r\n");
    let rules_in_metrics = || {
        let page = probes.raw("GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n").body;
        page.lines().find_map(|line| line.strip_prefix("tlsramp_redirect_rules ")).map(str::to_owned)
    };
    until(|| admin.get("/status")["upstreams"][0]["me"].is_string() && admin.get("/status")["redirect"] == true);
    until(|| readyz().status == 200 && rules_in_metrics().as_deref() == Some("1"));
    let status = admin.get("/status");
    assert_eq!(status["critical"], serde_json::json!([]), "{status}");
    assert!(!status["warnings"].to_string().contains("rs.reconfig"), "{status}");

    run("nft", &["delete", "table", "inet", "test"]);
    until(|| readyz().status == 503);
    for part in ["the interception rules are missing", "clients without TLS are accepted", "tlsramp netfilter --apply"]
    {
        assert!(readyz().body.contains(part), "{part}: {}", readyz().body);
    }
    let status = admin.get("/status");
    assert_eq!((status["critical"].as_array().unwrap().len(), &status["critical"][0]), (1, &status["warnings"][0]));
    assert!(
        status["critical"][0].as_str().unwrap().contains("In requireSSL, clients without TLS are accepted"),
        "{status}"
    );
    assert!(!status["warnings"].to_string().contains("rs.reconfig"), "{status}");
    assert_eq!(rules_in_metrics().as_deref(), Some("0"));
    let line = proxy.log().wait(Mark::START, SOON, |line| {
        line["message"].as_str().is_some_and(|said| said.contains("the interception rules are missing"))
    });
    assert_eq!(line.unwrap()["level"], "ERROR");
    let page = process::output(
        {
            let mut ctl = process::tethered(env!("CARGO_BIN_EXE_tlsramp"));
            ctl.args(["ctl", "--admin", "127.0.0.1:28117", "status"]);
            ctl
        },
        SOON,
    );
    let page = String::from_utf8(page.unwrap().stdout).unwrap();
    assert!(page.starts_with("CRITICAL: the interception rules are missing"), "{page}");

    rules();
    until(|| readyz().status == 200);
    assert_eq!(rules_in_metrics().as_deref(), Some("1"));
}

#[track_caller]
fn until(mut is: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + Duration::from_secs(60);
    while !is() {
        assert!(std::time::Instant::now() < end, "it does not come to be");
        thread::sleep(Duration::from_millis(100));
    }
}

/// A tlsramp beside the server of `OWN`. With `exempt`, it is in the group whose connections are not redirected.
fn sidecar(exempt: bool, more: &[&str]) -> Proxy {
    sidecar_of(OWN, exempt, more)
}

/// A tlsramp beside a server at an address of this host.
fn sidecar_of(server: &str, exempt: bool, more: &[&str]) -> Proxy {
    let group = if exempt { GROUP } else { "0" };
    let wrapper = ["setpriv", "--regid", group, "--clear-groups", "--"].map(str::to_owned);
    let (own, transparent) = (format!("{server}:{PORT}"), TRANSPARENT.to_string());
    let inbound = ["--port", "27117", "--bind_ip", OWN, "--upstream", &own, "--upstreamTLS", "never"];
    let outbound = ["--outboundTransparent", &transparent, "--adminBind", "none"];
    let probe: &[&str] = if more.contains(&"--upstreamProbe") { &[] } else { &["--upstreamProbe", "off"] };
    let args = [&inbound[..], &outbound, probe, more].concat().into_iter();
    let args: Vec<_> = args.map(|arg| arg.replace("CERTS", &certs::shared().display().to_string())).collect();
    ProxyBuilder::new(&args).wrapped(&wrapper).start()
}

fn record(proxy: &Proxy, from: Mark) -> Value {
    proxy.log().wait(from, SOON, |line| line["message"] == "connection").unwrap()
}

fn records(proxy: &Proxy) -> Vec<Value> {
    proxy.log().objects(Mark::START).into_iter().filter(|line| line["message"] == "connection").collect()
}

fn run(program: &str, args: &[&str]) {
    let status = Command::new(program).args(args).status().unwrap();
    assert!(status.success(), "{program} {args:?}");
}

pub(crate) const INSIDE: &str = "TLSRAMP_TEST_INSIDE_NAMESPACE";
pub(crate) const OWN: &str = "10.77.0.1";
/// Another address of the host, with a server of its own.
const FRONTED: &str = "10.77.0.3";
pub(crate) const MEMBER: &str = "10.77.0.2";
const MEMBER_6: &str = "fd77::2";
pub(crate) const PORT: u16 = 27017;
/// Different from the own server's port: all addresses of a host count as its own, and this test's hosts are a single
/// one.
pub(crate) const MEMBER_PORT: u16 = 27020;
const TLS_PORT: u16 = 27021;
const STALLED_PORT: u16 = 27022;
pub(crate) const TRANSPARENT: u16 = 27018;
/// Any group without members.
pub(crate) const GROUP: &str = "4711";
const ALLOW: [&str; 6] =
    ["--sslMode", "allowSSL", "--sslPEMKeyFile", "CERTS/member.pem", "--sslCAFile", "CERTS/ca.pem"];
const PREFER: [&str; 6] =
    ["--sslMode", "preferSSL", "--sslPEMKeyFile", "CERTS/member.pem", "--sslCAFile", "CERTS/ca.pem"];
const REQUIRE: [&str; 6] =
    ["--sslMode", "requireSSL", "--sslPEMKeyFile", "CERTS/member.pem", "--sslCAFile", "CERTS/ca.pem"];
