//! A transparent inbound route in network namespaces, with TPROXY rules of the test's own: other hosts connect to the
//! server's address, and the proxy serves them; no client bypasses the firewall through the proxy's own port; and no
//! capability remains once it listens.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

use std::{
    collections::BTreeSet,
    fs,
    io::ErrorKind,
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::{AsFd as _, OwnedFd},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Child, Command, Output, Stdio},
    thread,
};

use bson::rawdoc;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::Value;
use socket2::SockRef;

use crate::support::{
    Mark, Proxy, ProxyBuilder, cert, certs, process,
    raw::Wire,
    require, require_command, require_root, run_to_end,
    service::{SOON, Upstream, echoes, in_front_of, record_of, refused_reload, tls_over, yaml},
    wait,
};

/// Creates the hosts, or skips the test.
macro_rules! hosts {
    () => {{
        require_root!();
        for command in ["ip", "nft", "nsenter", "setpriv", "sleep", "unshare"] {
            require_command!(command);
        }
        require!(Hosts::new())
    }};
}

#[test]
fn connections_to_the_server_are_served_and_their_records_say_where_they_were_going() {
    for (binds, served) in [
        (&["0.0.0.0:27017", "[::]:27017"][..], &["10.97.0.1:27017", "10.97.0.9:27017", "[fd97::1]:27017"][..]),
        (&["10.97.0.1:27017", "[fd97::1]:27017"], &["10.97.0.1:27017", "[fd97::1]:27017"]),
        (&["[fd97::1]:27017"], &["[fd97::1]:27017"]),
    ] {
        let hosts = hosts!();
        hosts.rules(served, "");
        let servers: Vec<Upstream> = binds.iter().map(|bind| hosts.server(bind)).collect();
        let upstream = if binds[0].starts_with("0.") { "127.0.0.1:27017" } else { binds[0] };
        let (server, ca) = (cert("server.pem"), cert("ca.pem"));
        let tls = ["--sslMode", "allowSSL", "--sslPEMKeyFile", &server, "--sslCAFile", &ca];
        let tls = [&tls[..], &["--sslAllowConnectionsWithoutCertificates", "--workers", "3"]].concat();
        let mut proxy = hosts.proxy(&[], Stdio::null(), upstream, &tls);
        proxy.wait_ready();
        for to in served {
            // The kernel distributes connections over the workers' listeners: one that is not transparent would receive
            // none.
            for _ in 0..8 {
                let mark = proxy.mark();
                let mut client = hosts.connect(to).unwrap_or_else(|error| panic!("{to}: {error}"));
                echoes(&mut client, b"plain words");
                let record = ended(&proxy, mark, client);
                assert_eq!(
                    [&record["destination"], &record["route"], &record["opening"], &record["upstream"]],
                    [*to, "inbound", "plaintext", upstream],
                    "{record}"
                );
            }
            let mark = proxy.mark();
            let mut client = tls_over(hosts.connect(to).unwrap(), certs::shared(), None);
            echoes(&mut client, b"words by TLS");
            let shown = hosts.ctl(&["connections", "--json"]);
            let rows: Value =
                serde_json::from_slice(&shown.stdout).unwrap_or_else(|error| panic!("{error}: {shown:?}"));
            assert!(rows.to_string().contains(&format!("\"destination\":\"{to}\"")), "{rows}");
            let record = ended(&proxy, mark, client.sock);
            assert_eq!([&record["destination"], &record["opening"]], [*to, "tls"], "{record}");
        }
        let reached: Vec<SocketAddr> = servers.iter().flat_map(Upstream::peers).collect();
        assert_eq!(reached.len(), served.len() * 9, "by the proxy alone: {reached:?}");

        // Without the proxy, the second rule refuses connections; the server is never reached.
        proxy.kill();
        for to in served {
            assert_eq!(hosts.connect(to).unwrap_err().kind(), ErrorKind::ConnectionRefused, "{to}");
        }
        let now: usize = servers.iter().map(Upstream::accepted).sum();
        assert_eq!(now, reached.len());
    }
}

#[test]
fn another_host_does_not_get_around_the_rules_by_the_listeners_own_address() {
    let hosts = hosts!();
    let redirect = "table inet older { chain prerouting { type nat hook prerouting priority -100; \
                    tcp dport 27016 redirect to :27117; }; }";
    hosts.rules(&["10.97.0.1:27017", "[fd97::1]:27017"], redirect);
    let server = hosts.server("0.0.0.0:27017");
    let (key, ca) = (cert("server.pem"), cert("ca.pem"));
    let tls = ["--sslMode", "allowSSL", "--sslPEMKeyFile", &key, "--sslCAFile", &ca, "--sniffTimeout", "10s"];
    let mut proxy = hosts.proxy(&[], Stdio::null(), "127.0.0.1:27017", &tls);
    proxy.wait_ready();
    for own in ["10.97.0.1:27117", "10.97.0.9:27117", "[fd97::1]:27117"] {
        let mark = proxy.mark();
        let mut client = Wire(hosts.connect(own).unwrap());
        let answer: bson::Document = client.command("admin", &rawdoc! { "ping": 1 }).try_into().unwrap();
        assert_eq!((answer.get_i32("code").unwrap(), answer.get_str("codeName").unwrap()), (13, "Unauthorized"));
        let text = answer.get_str("errmsg").unwrap();
        assert!(text.contains("not intercepted") && text.contains(own), "{text}");
        let record = ended(&proxy, mark, client.0);
        assert_eq!(record["outcome"], "not_intercepted", "{record}");
        assert!(record["reason"].as_str().unwrap().contains(own) && record["upstream"].is_null(), "{record}");

        // With TLS: an alert instead of a handshake.
        let mut client = tls_over(hosts.connect(own).unwrap(), certs::shared(), None);
        let error = std::io::Write::write_all(&mut client, b"?")
            .and_then(|()| std::io::Read::read(&mut client, &mut [0]).map(drop));
        let error = error.expect_err("it is refused").to_string();
        assert!(error.contains("AccessDenied"), "{error}");
    }
    // A silent client does not hold its slot.
    let mark = proxy.mark();
    let silent = hosts.connect("10.97.0.1:27117").unwrap();
    let peer = silent.local_addr().unwrap();
    assert_eq!(record_of(&proxy, mark, peer)["outcome"], "sniff_timeout");
    assert_eq!(server.accepted(), 0, "nobody has reached the server");

    // Connections from this host, as of a health check or a mongod that dials itself; and connections that an older
    // redirect leads here.
    for own in ["127.0.0.1:27117", "10.97.0.1:27117", "[::1]:27117"] {
        let mut client = hosts.within(|| TcpStream::connect(own)).unwrap();
        client.set_read_timeout(Some(SOON)).unwrap();
        echoes(&mut client, b"from this host");
    }
    let mark = proxy.mark();
    let mut client = hosts.connect("10.97.0.1:27016").unwrap();
    echoes(&mut client, b"by a redirect");
    assert_eq!(ended(&proxy, mark, client)["destination"], "10.97.0.1:27016");
}

/// On a host where any address can be bound, as keepalived and haproxy configure it, foreign addresses do not count as
/// own.
#[test]
fn addresses_that_can_be_bound_are_not_taken_for_own_ones() {
    let hosts = hosts!();
    for family in ["ipv4", "ipv6"] {
        let set = format!("echo 1 > /proc/sys/net/{family}/ip_nonlocal_bind");
        process::succeed(hosts.command(&["sh", "-c", &set]), SOON).unwrap();
    }
    let _server = hosts.server("0.0.0.0:27017");
    let mut around = hosts.connect("10.97.0.1:27017").unwrap();
    echoes(&mut around, b"around the proxy");
    hosts.rules(&["10.97.0.1:27017", "[fd97::1]:27017"], "");
    let mut proxy = hosts.proxy(&[], Stdio::null(), "127.0.0.1:27017", &[]);
    proxy.wait_ready();
    for own in ["10.97.0.1:27117", "[fd97::1]:27117"] {
        let mark = proxy.mark();
        let mut client = Wire(hosts.connect(own).unwrap());
        let answer: bson::Document = client.command("admin", &rawdoc! { "ping": 1 }).try_into().unwrap();
        assert_eq!(answer.get_i32("code").unwrap(), 13, "{answer}");
        assert_eq!(ended(&proxy, mark, client.0)["outcome"], "not_intercepted", "{own}");
    }
    let mut client = hosts.within(|| TcpStream::connect("10.97.0.1:27117")).unwrap();
    client.set_read_timeout(Some(SOON)).unwrap();
    echoes(&mut client, b"from this host");
    let peer = around.local_addr().unwrap().to_string();
    wait("the connection around the proxy is listed", || {
        let shown = hosts.ctl(&["status", "--json"]);
        serde_json::from_slice::<Value>(&shown.stdout).is_ok_and(|status| status["bypass"].to_string().contains(&peer))
    });
}

#[test]
fn no_capability_is_left_once_it_listens() {
    let hosts = hosts!();
    hosts.rules(&["10.97.0.1:27017", "[fd97::1]:27017"], "");
    let _server = hosts.server("0.0.0.0:27017");
    let program = Program::for_everybody();
    let serves = |mut proxy: Proxy, what: &str, bounding: u64| {
        proxy.wait_ready();
        let left = capabilities(proxy.pid());
        let expected = BTreeSet::from([[0, 0, 0, bounding, 0]]);
        assert_eq!(left, expected, "{what}: inheritable, permitted, effective, bounding, ambient of its threads");
        let mark = proxy.mark();
        let mut client = hosts.connect("10.97.0.1:27017").unwrap_or_else(|error| panic!("{what}: {error}"));
        echoes(&mut client, b"served");
        assert_eq!(ended(&proxy, mark, client)["destination"], "10.97.0.1:27017", "{what}");
    };
    serves(hosts.proxy(&[], Stdio::null(), "127.0.0.1:27017", &[]), "root", 0);

    // The process may not clear the bounding set then, and no_new_privs makes it ineffective.
    let alone = [&NOBODY[..], &["--bounding-set", "-all,+net_raw", "--ambient-caps", "-all,+net_raw"]].concat();
    let alone = [&alone[..], &["--inh-caps", "-all,+net_raw"], &program.by(PLAINLY)].concat();
    serves(hosts.proxy(&alone, Stdio::null(), "127.0.0.1:27017", &[]), "CAP_NET_RAW alone", 1 << 13);

    let none = [&NOBODY[..], &["--bounding-set", "-all", "--ambient-caps", "-all", "--inh-caps", "-all"]].concat();
    let without = [&none[..], &program.by(PLAINLY)].concat();
    let mut proxy = hosts.proxy(&without, Stdio::null(), "127.0.0.1:27017", &[]);
    assert_eq!(proxy.wait_exit(SOON).expect("it does not start").code(), Some(2));
    let _ = proxy.log().wait(Mark::START, SOON, |_| false);
    names_both_ways(&proxy.log().lines(Mark::START).join("\n"), "0.0.0.0:27117");
    // `check` says the same.
    let check = [&none[..], &[&program.path, "check"]].concat();
    let args = ["--port", "27117", "--bind_ip", "0.0.0.0", "--upstream", "127.0.0.1:27017", "--inboundTransparent"];
    let output =
        process::output(hosts.command(&[&check[..], &args, &["--upstreamTLS", "never"]].concat()), SOON).unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    names_both_ways(&String::from_utf8_lossy(&output.stderr), "0.0.0.0:27117");

    // Sockets of a service manager: a transparent one needs no capability, another one does.
    let handing_on = program.by(HANDING_ON);
    for (transparent, wrapper, serving) in [(true, &none, true), (false, &none, false), (false, &Vec::new(), true)] {
        let listener = hosts.within(|| TcpListener::bind("0.0.0.0:27117")).unwrap();
        SockRef::from(&listener).set_ip_transparent_v4(transparent).unwrap();
        let wrapper = [&wrapper[..], &handing_on].concat();
        let stdin = Stdio::from(OwnedFd::from(listener));
        let mut proxy = hosts.proxy_on("0.0.0.0", &wrapper, stdin, "127.0.0.1:27017", &["--workers", "2"]);
        if serving {
            serves(proxy, &format!("inherited, transparent: {transparent}"), 0);
            continue;
        }
        assert_eq!(proxy.wait_exit(SOON).expect("it does not start").code(), Some(2));
        let _ = proxy.log().wait(Mark::START, SOON, |_| false);
        names_both_ways(&proxy.log().lines(Mark::START).join("\n"), "0.0.0.0:27117");
    }
}

/// The unit gives CAP_NET_RAW whatever the configuration is.
#[test]
fn what_a_plain_listener_does_not_need_is_dropped_too() {
    require_root!();
    require_command!("setpriv");
    let (upstream, program) = (Upstream::start(), Program::for_everybody());
    for (raw, others) in [("+net_raw", 0), ("+net_raw,+net_bind_service", 1 << 10)] {
        let sets = format!("-all,{raw}");
        let given = [&NOBODY[..], &["--bounding-set", &sets, "--inh-caps", &sets, "--ambient-caps", &sets]].concat();
        let wrapper: Vec<_> = [&given[..], &program.by(PLAINLY)].concat().into_iter().map(str::to_owned).collect();
        let mut proxy = ProxyBuilder::new(in_front_of(&upstream)).wrapped(&wrapper).launch();
        proxy.wait_ready();
        let left = capabilities(proxy.pid());
        assert_eq!(left, BTreeSet::from([[others, others, others, 1 << 13 | others, others]]), "{raw}");
    }
}

/// Root can read every file while it has capabilities, but a rotation has none.
#[test]
fn files_that_could_not_be_read_again_are_refused_at_the_start() {
    require_root!();
    let upstream = Upstream::start();
    let folder = tempfile::tempdir().unwrap();
    let named = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (key, config) = (named("theirs.pem"), named("theirs.yaml"));
    fs::copy(cert("server.pem"), &key).unwrap();
    fs::write(&config, "net: {port: 0}\n").unwrap();
    let ca = cert("ca.pem");
    let tls = ["--sslMode", "allowSSL", "--sslCAFile", &ca, "--sslAllowConnectionsWithoutCertificates"];
    let tls = [&tls[..], &["--sslPEMKeyFile", &key, "--inboundTransparent", "--config", &config]].concat();
    let hop = in_front_of(&upstream);
    let give = |file: &str, user: u32| {
        std::os::unix::fs::chown(file, Some(user), Some(user)).unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    };
    for theirs in [&key, &config] {
        give(&key, 0);
        give(&config, 0);
        give(theirs, 1234);
        for command in ["run", "check"] {
            let args = [command].into_iter().chain(hop.iter().map(String::as_str)).chain(tls.iter().copied());
            let output = run_to_end(args);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(2), "{command} {theirs}: {output:?}");
            assert!(said.contains(theirs.as_str()) && said.contains("Permission denied"), "{command}: {said}");
            assert!(
                said.contains("with --inboundTransparent all capabilities, including root's, are dropped"),
                "{command}: {said}"
            );
        }
    }
    give(&config, 0);
    let args = ["check"].into_iter().chain(hop.iter().map(String::as_str)).chain(tls.iter().copied());
    let output = run_to_end(args);
    assert!(output.status.success(), "{output:?}");
}

/// Changes from a redirect to TPROXY and back. Open connections stay, whichever rules they came by.
#[test]
fn rules_change_their_form_under_open_connections() {
    let hosts = hosts!();
    let _server = hosts.server("0.0.0.0:27017");
    let mut proxy = hosts.proxy(&[], Stdio::null(), "127.0.0.1:27017", &["--workers", "2"]);
    proxy.wait_ready();
    // A chain of type nat remains: without any, the kernel no longer translates addresses of open connections.
    let output = "chain output { type nat hook output priority -100; ip daddr 127.116.105.237 tcp dport 1 redirect to :27117; };";
    let redirect = "chain prerouting { type nat hook prerouting priority -100; \
                    iifname != \"lo\" tcp dport 27017 redirect to :27117; };";
    let tproxy = "chain prerouting { type filter hook prerouting priority -150; ct status dnat accept; \
                  iifname != \"lo\" ip daddr 10.97.0.1 tcp dport 27017 tproxy ip to :27117 accept; };";
    let mut open = Vec::<TcpStream>::new();
    for form in [redirect, tproxy, redirect, tproxy] {
        let table = "table inet sidecar";
        hosts.set(&format!("add {table}\ndelete {table}\n{table} {{ {output} {form} }}")).unwrap();
        let mut client = hosts.connect("10.97.0.1:27017").unwrap_or_else(|error| panic!("{form}: {error}"));
        echoes(&mut client, b"new");
        open.push(client);
        for client in &mut open {
            echoes(client, b"still there?");
        }
    }
    let mark = proxy.mark();
    for client in open {
        let record = ended(&proxy, mark, client);
        assert_eq!([&record["destination"], &record["outcome"]], ["10.97.0.1:27017", "completed"], "{record}");
    }
}

/// The rules are expected, so their absence is reported even if they were never seen.
#[test]
fn rules_that_are_not_there_are_noticed() {
    let hosts = hosts!();
    let _server = hosts.server("0.0.0.0:27017");
    let mut proxy = hosts.proxy(&[], Stdio::null(), "127.0.0.1:27017", &[]);
    proxy.wait_ready();
    let is = |text: &'static str| move |line: &Value| line["message"].as_str().is_some_and(|said| said.contains(text));
    proxy.wait_log(is("no interception rules are in force, so nothing arrives at inboundTransparent"), SOON);
    let canary = tlsramp::testing::canary(27117);
    let output = format!(
        "table inet canary {{ chain output {{ type nat hook output priority -100; \
         ip daddr {} tcp dport {} redirect to :27117; }}; }}",
        canary.ip(),
        canary.port()
    );
    hosts.rules(&["10.97.0.1:27017"], &output);
    proxy.wait_log(is("the interception rules are in force"), SOON);
    hosts.rules(&["10.97.0.1:27017"], "delete table inet canary");
    proxy.wait_log(is("the interception rules are missing"), SOON);
}

/// The sockets are created while there are capabilities; a reload has none.
#[test]
fn a_reload_neither_makes_a_route_transparent_nor_the_reverse() {
    let upstream = Upstream::start();
    let text = |transparent: &str| format!("net: {{port: 0}}\n{}{transparent}", yaml(&upstream));
    let proxy = Proxy::start_with_config(&text(""), [] as [&str; 0]);
    let reason = refused_reload(&proxy, &text("  inboundTransparent: true\n"));
    assert!(
        reason.contains("proxy.inboundTransparent 'true'") && reason.contains("a reload cannot change it"),
        "{reason}"
    );
    let mut client = TcpStream::connect(proxy.address("inbound")).unwrap();
    echoes(&mut client, b"as before");

    require_root!();
    let proxy = Proxy::start_with_config(&text("  inboundTransparent: true\n"), [] as [&str; 0]);
    let reason = refused_reload(&proxy, &text(""));
    assert!(reason.contains("proxy.inboundTransparent") && reason.contains("a reload cannot change it"), "{reason}");
    let mut client = TcpStream::connect(proxy.address("inbound")).unwrap();
    echoes(&mut client, b"as before");
}

#[test]
fn a_listener_on_loopback_that_other_hosts_cannot_be_led_to_is_warned_about() {
    require_root!();
    let upstream = Upstream::start();
    let check = |bind: &str| {
        let args = [&["check".to_owned()], &in_front_of(&upstream)[..]].concat();
        let output = run_to_end(args.iter().map(String::as_str).chain(["--bind_ip", bind, "--inboundTransparent"]));
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let (narrow, wide) = (check("127.0.0.1"), check("0.0.0.0"));
    assert!(narrow.contains("inbound: 127.0.0.1:0 (transparent) -> "), "{narrow}");
    assert!(narrow.contains("warning: --inboundTransparent: the inbound route listens on loopback addresses only"));
    assert!(!wide.contains("loopback addresses only"), "{wide}");
}

/// Two hosts with a cable between them. They are removed with their holders, processes that do nothing.
struct Hosts {
    sidecar: Child,
    others: Child,
}

impl Hosts {
    /// # Errors
    /// A command or a privilege that this machine lacks.
    fn new() -> Result<Hosts, String> {
        let hosts = Hosts { sidecar: holder()?, others: holder()? };
        for child in [&hosts.sidecar, &hosts.others] {
            let comm = format!("/proc/{}/comm", child.id());
            wait("a namespace", || fs::read_to_string(&comm).is_ok_and(|name| name.trim() == "sleep"));
        }
        let others = hosts.others.id().to_string();
        let link = ["ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", &others];
        process::succeed(hosts.command(&link), SOON)?;
        let addresses: [(&Child, &[&str]); 2] = [
            (&hosts.sidecar, &["10.97.0.1/24", "10.97.0.9/24", "fd97::1/64"]),
            (&hosts.others, &["10.97.0.2/24", "fd97::2/64"]),
        ];
        for (host, addresses) in addresses {
            for address in addresses {
                let nodad: &[&str] = if address.contains(':') { &["nodad"] } else { &[] };
                let add = [&["ip", "address", "add", address, "dev", "eth0"], nodad].concat();
                process::succeed(inside(host, &add), SOON)?;
            }
            for link in ["lo", "eth0"] {
                process::succeed(inside(host, &["ip", "link", "set", link, "up"]), SOON)?;
            }
        }
        hosts.set(
            "table inet probe { chain c { type filter hook prerouting priority -150; tcp dport 1 tproxy ip to :2; }; }",
        )?;
        hosts.set("delete table inet probe")?;
        Ok(hosts)
    }

    /// Applies rules that lead connections of other hosts to these addresses of the server to port 27117, and
    /// additional rules.
    fn rules(&self, to: &[&str], more: &str) {
        let rules = |address: &&str| {
            let address: SocketAddr = address.parse().unwrap();
            let family = if address.is_ipv4() { "ip" } else { "ip6" };
            let port = address.port();
            let packets = format!("iifname != \"lo\" {family} daddr {} tcp dport {port}", address.ip());
            format!(
                "{packets} tproxy {family} to :27117 accept\n\
                 {packets} tcp flags & (fin | syn | rst | ack) == syn reject with tcp reset\n"
            )
        };
        let rules: String = to.iter().map(rules).collect();
        let text = format!(
            "add table inet sidecar\ndelete table inet sidecar\ntable inet sidecar {{ chain prerouting {{\n\
             type filter hook prerouting priority -150; policy accept;\nct status dnat accept\n{rules}}}; }}\n{more}\n"
        );
        self.set(&text).unwrap();
    }

    fn set(&self, text: &str) -> Result<(), String> {
        let output =
            process::output_with_input(self.command(&["nft", "-f", "-"]), format!("{text}\n").into_bytes(), SOON)?;
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    }

    /// A server on the sidecar's host.
    fn server(&self, bind: &str) -> Upstream {
        let address: SocketAddr = bind.parse().unwrap();
        let listener = self.within(|| {
            let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
            socket.set_reuse_address(true)?;
            if address.is_ipv6() {
                socket.set_only_v6(true)?;
            }
            socket.bind(&address.into())?;
            socket.listen(64)?;
            Ok::<TcpListener, std::io::Error>(socket.into())
        });
        Upstream::on(listener.unwrap(), None)
    }

    /// A proxy on the sidecar's host, on all addresses and port 27117.
    fn proxy(&self, wrapper: &[&str], stdin: Stdio, upstream: &str, args: &[&str]) -> Proxy {
        self.proxy_on("0.0.0.0,::", wrapper, stdin, upstream, args)
    }

    fn proxy_on(&self, bind: &str, wrapper: &[&str], stdin: Stdio, upstream: &str, args: &[&str]) -> Proxy {
        let own = ["--port", "27117", "--bind_ip", bind, "--inboundTransparent"];
        let hop = ["--upstream", upstream, "--upstreamTLS", "never"];
        ProxyBuilder::new([&own[..], &hop, args].concat()).through(self.command(wrapper)).stdin(stdin).launch()
    }

    /// Runs `tlsramp ctl` on the sidecar's host.
    fn ctl(&self, args: &[&str]) -> Output {
        let words = [&[env!("CARGO_BIN_EXE_tlsramp"), "ctl", "--admin", "127.0.0.1:28117"], args].concat();
        process::output(self.command(&words), SOON).unwrap()
    }

    fn command(&self, words: &[&str]) -> Command {
        inside(&self.sidecar, words)
    }

    /// A connection from the other host.
    fn connect(&self, to: &str) -> std::io::Result<TcpStream> {
        let to: SocketAddr = to.parse().unwrap();
        let client = on(&self.others, || TcpStream::connect_timeout(&to, SOON))?;
        client.set_read_timeout(Some(SOON))?;
        Ok(client)
    }

    /// Runs a closure on the sidecar's host. Sockets belong to the host where they were created.
    fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        on(&self.sidecar, work)
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for holder in [&mut self.sidecar, &mut self.others] {
            let _ = holder.kill();
            let _ = holder.wait();
        }
    }
}

/// A copy of the program that an unprivileged user can execute, wherever the build is.
struct Program {
    path: String,
    /// Kept because it contains the copy.
    _folder: tempfile::TempDir,
}

impl Program {
    fn for_everybody() -> Program {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let path = folder.path().join("tlsramp");
        fs::copy(env!("CARGO_BIN_EXE_tlsramp"), &path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Program { path: path.to_string_lossy().into_owned(), _folder: folder }
    }

    /// Words that run it through a shell script instead of directly.
    fn by<'a>(&'a self, script: &'a str) -> [&'a str; 4] {
        ["sh", "-c", script, &self.path]
    }
}

fn holder() -> Result<Child, String> {
    let mut command = process::tethered("unshare");
    command.args(["--net", "--", "sleep", "100000"]);
    process::spawn(command).map_err(|error| error.to_string())
}

/// A command in a holder's namespace.
fn inside(holder: &Child, words: &[&str]) -> Command {
    let mut command = process::tethered("nsenter");
    command.arg(format!("--net=/proc/{}/ns/net", holder.id())).arg("--").args(words);
    command
}

/// Runs a closure on a thread in a holder's namespace.
fn on<T: Send>(holder: &Child, work: impl FnOnce() -> T + Send) -> T {
    let namespace = fs::File::open(Path::new("/proc").join(holder.id().to_string()).join("ns/net")).unwrap();
    thread::scope(|scope| {
        let there = scope.spawn(|| {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            work()
        });
        there.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Closes a client's connection and returns its record.
fn ended(proxy: &Proxy, mark: Mark, client: TcpStream) -> Value {
    let peer = client.local_addr().unwrap();
    drop(client);
    record_of(proxy, mark, peer)
}

fn names_both_ways(said: &str, address: &str) {
    let both = ["--inboundTransparent", address, "AmbientCapabilities=CAP_NET_RAW", "setcap", "Transparent=yes"];
    for word in both {
        assert!(said.contains(word), "{word}: {said}");
    }
}

/// The capability sets of all threads of a process, in the order of proc_pid_status(5).
fn capabilities(pid: u32) -> BTreeSet<[u64; 5]> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap().map(|task| task.unwrap().path().join("status"));
    let sets = |status: String| {
        ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"].map(|name| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            u64::from_str_radix(line.trim(), 16).unwrap()
        })
    };
    tasks.filter_map(|status| fs::read_to_string(status).ok()).map(sets).collect()
}

const PLAINLY: &str = "shift; exec \"$0\" \"$@\"";
/// Turns the standard input into the first descriptor of sd_listen_fds(3).
const HANDING_ON: &str = "exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID=$$ LISTEN_FDNAMES=inbound; \
                          shift; exec \"$0\" \"$@\"";
const NOBODY: [&str; 6] = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
