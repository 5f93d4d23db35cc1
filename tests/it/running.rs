//! Running: stops, reloads, and the one line that each connection leaves in the log.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

use std::{
    fs,
    io::{ErrorKind, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, channel},
    },
    thread,
    time::{Duration, Instant},
};

use certs_gen::{Authority, Request};
use clap::Command;
use rustls::{
    ClientConnection, StreamOwned,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use serde_json::{Value, json};
use tlsramp::{
    app::App,
    config,
    control::{Force, Refused},
    policy::{Mode, Spelling},
};

use crate::support::{Mark, Proxy, Scratch, cert, certs, process, proxy::Signal, tls};

// ---- stops

#[test]
fn a_stop_with_nothing_open_is_clean_and_at_once() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut proxy = Proxy::start(["--port", "0", "--upstream", "127.0.0.1:9", "--upstreamTLS", "never"]);
        proxy.signal(signal);
        let status = proxy.wait_exit(SOON).expect("nothing is waited for");
        assert_eq!(status.code(), Some(0));
        proxy.wait_log(|line| line["message"] == "stopped", SOON);
    }
}

#[test]
fn a_stop_takes_no_new_connections_and_lets_open_ones_end_by_themselves() {
    let upstream = Upstream::start();
    let mut proxy = Proxy::start(in_front_of(&upstream));
    let mut open = connect(&proxy);
    echoes(&mut open, b"before");
    proxy.signal(Signal::TERM);
    proxy.wait_log(|line| line["message"].as_str().is_some_and(|said| said.starts_with("stopping")), SOON);
    refuses(proxy.address("inbound"));
    echoes(&mut open, b"while stopping");
    assert_eq!(proxy.wait_exit(Duration::ZERO), None, "a connection is open");
    drop(open);
    let status = proxy.wait_exit(SOON).expect("the last connection is over");
    assert_eq!(status.code(), Some(0));
    // One that came between the signal and the end of listening has said nothing, and is ended.
    assert_eq!(outcomes(&proxy).into_iter().filter(|outcome| outcome != "drained").collect::<Vec<_>>(), ["completed"]);
}

#[test]
fn a_connection_that_stays_is_forced_at_the_end_of_the_drain_time() {
    let upstream = Upstream::start();
    let mut proxy = Proxy::start([&in_front_of(&upstream)[..], &["--drainTimeout".into(), "1s".into()]].concat());
    let mut open = connect(&proxy);
    echoes(&mut open, b"before");
    proxy.signal(Signal::TERM);
    let status = proxy.wait_exit(SOON).expect("a stop is over after its time");
    assert_eq!(status.code(), Some(1));
    assert!(ended(&mut open), "a forced connection is cut");
    assert_eq!(outcomes(&proxy), ["forced"]);
}

#[test]
fn a_second_signal_forces_a_stop_at_once() {
    let upstream = Upstream::start();
    for (first, second) in [
        (Signal::TERM, Signal::TERM),
        (Signal::TERM, Signal::INT),
        (Signal::INT, Signal::INT),
        (Signal::INT, Signal::TERM),
    ] {
        let never = ["--drainTimeout".into(), "0".into()];
        let mut proxy = Proxy::start([&in_front_of(&upstream)[..], &never].concat());
        let mut open = connect(&proxy);
        echoes(&mut open, b"before");
        proxy.signal(first);
        proxy.wait_log(|line| line["message"].as_str().is_some_and(|said| said.starts_with("stopping")), SOON);
        echoes(&mut open, b"while stopping");
        proxy.signal(second);
        let status = proxy.wait_exit(SOON).expect("a second signal does not wait");
        assert_eq!(status.code(), Some(1), "{first:?}, {second:?}");
        assert!(ended(&mut open), "a forced connection is cut");
        assert_eq!(outcomes(&proxy), ["forced"], "{first:?}, {second:?}");
    }
}

#[test]
fn a_stop_without_a_drain_time_forces_nothing_by_itself() {
    let upstream = Upstream::start();
    let mut proxy = Proxy::start([&in_front_of(&upstream)[..], &["--drainTimeout".into(), "0".into()]].concat());
    let mut open = connect(&proxy);
    echoes(&mut open, b"before");
    proxy.signal(Signal::TERM);
    refuses(proxy.address("inbound"));
    for _ in 0..1000 {
        echoes(&mut open, b"while stopping");
    }
    drop(open);
    let status = proxy.wait_exit(SOON).expect("the last connection is over");
    assert_eq!(status.code(), Some(0));
    // One that came between the signal and the end of listening has said nothing, and is ended.
    assert_eq!(outcomes(&proxy).into_iter().filter(|outcome| outcome != "drained").collect::<Vec<_>>(), ["completed"]);
}

#[test]
fn a_client_that_has_said_nothing_is_ended_at_once_by_a_stop() {
    let upstream = Upstream::start();
    let mut proxy = Proxy::start([&in_front_of(&upstream)[..], &["--workers".into(), "1".into()]].concat());
    let mut silent = connect(&proxy);
    // Accepted for certain once another, which came later to the only worker, has been served.
    let mut other = connect(&proxy);
    echoes(&mut other, b"served");
    drop(other);
    proxy.wait_record(Mark::START, |record| record["outcome"] == "completed", SOON);
    proxy.signal(Signal::TERM);
    let status = proxy.wait_exit(SOON).expect("a silent client is not waited for");
    assert_eq!(status.code(), Some(0), "nothing had to be forced");
    assert!(ended(&mut silent));
    assert_eq!(outcomes(&proxy), ["completed", "drained"]);
    assert_eq!(upstream.accepted(), 1, "the silent client has no upstream");
}

// ---- reloads

#[test]
fn a_changed_wait_takes_effect_for_the_next_connection() {
    let upstream = Upstream::start();
    let text = |wait| format!("{}  sniffTimeout: {wait}\n", yaml(&upstream));
    let proxy = Proxy::start_with_config(&text("24h"), ["--port", "0"]);
    let mut before = connect(&proxy);
    before.write_all(HALF_AN_OPENING).unwrap();
    reload(&proxy, &text("100ms"));
    let mut after = connect(&proxy);
    after.write_all(HALF_AN_OPENING).unwrap();
    assert!(ended(&mut after));
    proxy.wait_record(Mark::START, |record| record["outcome"] == "sniff_timeout", SOON);
    // The one before has the wait that it was accepted with.
    before.write_all(b" is not TLS").unwrap();
    echoes_back(&mut before, &[HALF_AN_OPENING, b" is not TLS"].concat());
}

#[test]
fn a_changed_style_of_refusals_takes_effect_for_the_next_connection() {
    let upstream = Upstream::start();
    let (server, ca) = (cert("server.pem"), cert("ca.pem"));
    let tls = format!("net: {{tls: {{mode: requireTLS, certificateKeyFile: {server}, CAFile: {ca}}}}}\n");
    let text = |style| format!("{tls}{}  refusal: {style}\n", yaml(&upstream));
    let proxy = Proxy::start_with_config(&text("reply"), ["--port", "0"]);
    let answer = |proxy: &Proxy| {
        let mut client = connect(proxy);
        client.write_all(&ping()).unwrap();
        read_to_end(&mut client)
    };
    let said = answer(&proxy);
    assert!(String::from_utf8_lossy(&said).contains("only allow SSL connections"), "{said:?}");
    reload(&proxy, &text("close"));
    assert_eq!(answer(&proxy), b"");
}

#[test]
fn a_changed_log_level_takes_effect() {
    let upstream = Upstream::start();
    let text = |level| format!("{}  logLevel: {level}\n", yaml(&upstream));
    let mut proxy = Proxy::start_with_config(&text("debug"), ["--port", "0", "--workers", "1"]);
    drop(connect(&proxy));
    proxy.wait_record(Mark::START, |record| record["outcome"] == "probe" && record["level"] == "DEBUG", SOON);

    reload(&proxy, &text("info"));
    drop(connect(&proxy));
    served(&proxy);

    // At `warn` a reload says nothing of itself, but its warnings: that the second comes shows that the first is over.
    rewrite(&proxy, &text("warn"));
    let mut from = Mark::START;
    for _ in 0..2 {
        from = proxy.mark();
        proxy.signal(Signal::HUP);
        proxy.wait_log_since(from, |line| line["level"] == "WARN", SOON);
    }
    exchange(&proxy);
    assert_eq!(proxy.terminate().code(), Some(0));
    let _ = outcomes(&proxy);
    assert!(proxy.records().iter().filter(|record| record["outcome"] == "probe").count() == 1, "{:?}", proxy.records());
    assert!(proxy.log().objects(from).iter().all(|line| line["level"] == "WARN"), "{:?}", proxy.log().objects(from));
}

#[test]
fn changed_outbound_routes_lead_elsewhere_begin_and_end() {
    let (one, two, three) = (Upstream::saying(b"1"), Upstream::saying(b"2"), Upstream::saying(b"3"));
    let text = |routes: &[String]| format!("proxy:\n  logLevel: debug\n  outbound: {routes:?}\n");
    let route = |listen: &str, upstream: &Upstream| format!("{listen}:0={}", upstream.address);
    let proxy = Proxy::start_with_config(&text(&[route("127.0.0.1", &one)]), [""; 0]);
    let first = proxy.outbound(0);
    assert_eq!(answer_of(first), b"1");
    let mut open = TcpStream::connect(first).unwrap();
    echoes(&mut open, b"1");

    // The same listener, led elsewhere; and a second one.
    let from = reload(&proxy, &text(&[route("127.0.0.1", &two), route("127.0.0.2", &three)]));
    let second = proxy.wait_log_since(from, |line| is_listening_on(line, "127.0.0.2"), SOON);
    let second: SocketAddr = second["address"].as_str().unwrap().parse().unwrap();
    assert_eq!((answer_of(first), answer_of(second)), (b"2".to_vec(), b"3".to_vec()));

    // The first is gone, what it carries is not.
    reload(&proxy, &text(&[route("127.0.0.2", &three)]));
    refuses(first);
    assert_eq!(answer_of(second), b"3");
    echoes(&mut open, b"still open");
}

#[test]
fn outbound_routes_whose_ports_the_kernel_chooses_are_each_opened() {
    let (one, two) = (Upstream::saying(b"1"), Upstream::saying(b"2"));
    let routes = [&one, &two].map(|upstream| format!("--outbound=127.0.0.1:0={}", upstream.address));
    let proxy = Proxy::start(&routes);
    assert_eq!(proxy.listeners().len(), 2, "{:?}", proxy.listeners());
    let mut answers = proxy.listeners().iter().map(|(_, address)| answer_of(*address)).collect::<Vec<_>>();
    answers.sort();
    assert_eq!(answers, [b"1", b"2"]);
}

#[test]
fn changed_certificates_are_shown_to_the_next_client() {
    let upstream = Upstream::start();
    let folder = certs::folder();
    let [server, member, ca] = ["server.pem", "member.pem", "ca.pem"].map(|name| folder.join(name));
    let tls = format!("mode: allowTLS, certificateKeyFile: {}, CAFile: {}", server.display(), ca.display());
    let in_a_file = Proxy::start_with_config(&format!("net: {{tls: {{{tls}}}}}\n{}", yaml(&upstream)), ["--port", "0"]);
    let files = ["--sslPEMKeyFile", &server.to_string_lossy(), "--sslCAFile", &ca.to_string_lossy()].map(str::to_owned);
    let mode = ["--sslMode", "allowSSL"].map(str::to_owned);
    let by_flags = Proxy::start([&in_front_of(&upstream)[..], &files, &mode].concat());
    let shown = |proxy: &Proxy| {
        let mut client = tls_client(proxy.address("inbound"), folder.path(), Some("client.pem"));
        echoes(&mut client, b"by TLS");
        client.conn.peer_certificates().unwrap()[0].clone().into_owned()
    };
    let [before, after] = [&server, &member].map(|file| CertificateDer::from_pem_file(file).unwrap());
    assert_ne!(before, after);
    for proxy in [&in_a_file, &by_flags] {
        assert_eq!(shown(proxy), before);
    }
    fs::copy(&member, &server).unwrap();
    for proxy in [&in_a_file, &by_flags] {
        assert_eq!(shown(proxy), before, "files are read on a reload only");
        signal_reload(proxy);
        assert_eq!(shown(proxy), after);
    }
}

#[test]
fn a_changed_key_that_needs_a_restart_refuses_the_whole_reload() {
    let upstream = Upstream::start();
    let server = cert("server.pem");
    let text =
        |mode, rest| format!("net: {{tls: {{mode: {mode}, certificateKeyFile: {server}}}}}\n{}{rest}", yaml(&upstream));
    let proxy = Proxy::start_with_config(&text("disabled", "  workers: 1\n  sniffTimeout: 24h\n"), ["--port", "0"]);
    for (rest, named, value) in [
        ("  workers: 2\n  sniffTimeout: 1ms\n", "proxy.workers", "'2'"),
        ("  workers: 1\n  upstreamBind: 127.0.0.1\n", "proxy.upstreamBind", "'127.0.0.1'"),
        ("  sniffTimeout: 1ms\n", "proxy.workers", "not given any more"),
    ] {
        let error = refused_reload(&proxy, &text("allowTLS", rest));
        for fragment in [named, value, "a reload cannot change it", "restart tlsramp"] {
            assert!(error.contains(fragment), "{fragment:?} is not in: {error}");
        }
    }
    // Nothing of it holds: not the mode, not the wait, not the generation.
    let mut slow = connect(&proxy);
    slow.write_all(HALF_AN_OPENING).unwrap();
    let record = served(&proxy);
    assert_eq!((&record["mode"], &record["generation"]), (&json!("disabled"), &json!(1)), "{record}");
    slow.write_all(b" is not TLS").unwrap();
    echoes_back(&mut slow, &[HALF_AN_OPENING, b" is not TLS"].concat());
}

#[test]
fn a_broken_file_keeps_the_old_configuration() {
    let upstream = Upstream::start();
    let good = yaml(&upstream);
    let proxy = Proxy::start_with_config(&good, ["--port", "0"]);
    let missing = "net: {tls: {certificateKeyFile: /nonexistent/server.pem}}\n";
    for (text, named) in [
        ("proxy:\n  upstream: [\n".to_owned(), "not YAML"),
        (format!("{good}  sniffTimout: 1s\n"), "did you mean proxy.sniffTimeout?"),
        (format!("{good}  sniffTimeout: soon\n"), "proxy.sniffTimeout 'soon'"),
        (format!("{missing}{good}"), "/nonexistent/server.pem"),
        (format!("net: {{tls: {{mode: allowTLS}}}}\n{good}"), "need tlsCertificateKeyFile"),
        (String::new(), "proxy.upstream"),
    ] {
        let error = refused_reload(&proxy, &text);
        assert!(error.contains(named), "{named:?} is not in: {error}");
        served(&proxy);
    }
    fs::remove_file(proxy.config_file()).unwrap();
    let from = proxy.mark();
    proxy.signal(Signal::HUP);
    let refused = proxy.wait_log_since(from, is_refusal, SOON);
    assert!(refused["error"].as_str().unwrap().contains("No such file"), "{refused}");
    served(&proxy);
    assert!(proxy.records().iter().all(|record| record["generation"] == 1));

    reload(&proxy, &good);
    let record = served(&proxy);
    assert_eq!(record["generation"], 2, "{record}");
}

#[test]
fn a_mode_that_the_file_steps_up_holds_for_the_next_connection() {
    let ladder = ["disabled", "allowTLS", "preferTLS", "requireTLS"];
    let upstream = Upstream::start();
    let text = |mode: &str| mode_text(mode, &upstream);
    let proxy = Proxy::start_with_config(&text(ladder[0]), ["--port", "0"]);
    let mut open = connect(&proxy);
    echoes(&mut open, b"from the first mode on");
    for (generation, mode) in (1..).zip(ladder) {
        if generation > 1 {
            let from = reload(&proxy, &text(mode));
            let changed = proxy.wait_log_since(from, |line| line["message"] == "mode changed", SOON);
            assert_eq!(
                (&changed["mode"], &changed["generation"]),
                (&json!(older(mode)), &json!(generation)),
                "{changed}"
            );
        }
        let from = proxy.mark();
        let mut client = connect(&proxy);
        client.write_all(b"plaintext").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let expected: &[u8] = if mode == "requireTLS" { b"" } else { b"plaintext" };
        assert_eq!(read_to_end(&mut client), expected, "{mode}");
        let record = record_of(&proxy, from, client.local_addr().unwrap());
        assert_eq!((&record["mode"], &record["generation"]), (&json!(older(mode)), &json!(generation)), "{record}");
    }
    // What was admitted keeps its verdict.
    echoes(&mut open, b"to the last");
}

#[test]
fn a_mode_that_the_file_skips_or_takes_back_is_refused() {
    let upstream = Upstream::start();
    for (from, to) in [
        ("disabled", "preferTLS"),
        ("disabled", "requireTLS"),
        ("allowTLS", "requireTLS"),
        ("allowTLS", "disabled"),
        ("preferTLS", "allowTLS"),
        ("requireTLS", "preferTLS"),
        ("requireTLS", "disabled"),
    ] {
        let proxy = Proxy::start_with_config(&mode_text(from, &upstream), ["--port", "0"]);
        let error = refused_reload(&proxy, &mode_text(to, &upstream));
        assert_eq!(error, format!("Illegal state transition for tlsMode, attempt to change from {from} to {to}"));
        // The mode that holds, by a client that each mode judges.
        let before = proxy.mark();
        let mut client = connect(&proxy);
        client.write_all(b"plaintext").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        read_to_end(&mut client);
        let record = record_of(&proxy, before, client.local_addr().unwrap());
        assert_eq!((&record["mode"], &record["generation"]), (&json!(older(from)), &json!(1)), "{record}");
    }
}

#[test]
fn a_flag_holds_the_mode_whatever_the_file_says() {
    let upstream = Upstream::start();
    let proxy = Proxy::start_with_config(&mode_text("disabled", &upstream), ["--port", "0", "--tlsMode", "allowTLS"]);
    reload(&proxy, &mode_text("requireTLS", &upstream));
    let record = served(&proxy);
    assert_eq!((&record["mode"], &record["generation"]), (&json!("allowSSL"), &json!(2)), "{record}");
}

/// In this process, as nothing outside can set a mode without the file.
#[test]
fn a_mode_that_the_file_did_not_change_stays_as_it_was_set() {
    let folder = Scratch::new("mode");
    let file = folder.join("tlsramp.conf");
    let (server, ca) = (cert("server.pem"), cert("ca.pem"));
    let write = |mode: &str, rest: &str| {
        let text = format!("port = 0\nupstream = 127.0.0.1:9\nsslPEMKeyFile = {server}\nsslCAFile = {ca}\n");
        fs::write(&file, format!("{text}upstreamTLS = never\nsslMode = {mode}\n{rest}")).unwrap();
    };
    write("allowSSL", "");
    let matches = config::with_options(Command::new("run"))
        .try_get_matches_from(["run", "--config", file.to_str().unwrap(), "--workers", "1"])
        .unwrap();
    let app = App::start(config::load(&matches).unwrap(), 16).unwrap();
    app.desk.change_mode(Mode::Prefer, Spelling::Ssl, Force::No).unwrap();

    write("allowSSL", "sniffTimeout = 1s\n");
    let reloaded = app.desk.reload(&matches).unwrap();
    assert_eq!((reloaded.was, reloaded.mode, reloaded.generation), (Mode::Prefer, Mode::Prefer, 3));
    assert_eq!(app.desk.settings().timeouts.sniff, Duration::from_secs(1));

    // Now the file changes it, to what it is: no step at all.
    write("preferSSL", "");
    assert_eq!(app.desk.reload(&matches).unwrap().mode, Mode::Prefer);
    write("disabled", "");
    assert!(matches!(app.desk.reload(&matches), Err(Refused::Transition(_))));
    assert_eq!(app.desk.mode(), (Mode::Prefer, 4));
}

// ---- the line

#[test]
fn a_tls_client_leaves_one_line_with_all_that_is_known_of_it() {
    let far = Upstream::start();
    let (server, member, ca) = (cert("server.pem"), cert("member.pem"), cert("ca.pem"));
    let tls = ["--tlsCAFile", &ca, "--tlsMode", "requireTLS"];
    let server = ["--tlsCertificateKeyFile", &server, "--port", "0"];
    let behind = ["--upstream", &far.address.to_string(), "--upstreamTLS", "never"].map(str::to_owned);
    let behind = Proxy::start([&server.map(str::to_owned)[..], &tls.map(str::to_owned), &behind].concat());
    let upstream = format!("localhost:{}", behind.port());
    let proxy = Proxy::start([&server[..], &tls, &["--upstream", &upstream, "--tlsClusterFile", &member]].concat());

    let mut client = tls_client(proxy.address("inbound"), certs::shared(), Some("client.pem"));
    let peer = client.sock.local_addr().unwrap();
    echoes(&mut client, b"twelve bytes");
    client.conn.send_close_notify();
    client.flush().unwrap();
    assert_eq!(read_to_end(&mut client), b"");

    let record = proxy.wait_record(Mark::START, |_| true, SOON);
    let next = behind.wait_record(Mark::START, |_| true, SOON);
    let expected = json!({
        "level": "INFO",
        "message": "connection",
        "id": 1,
        "peer": peer.to_string(),
        "route": "inbound",
        "opening": "tls",
        "tls_version": "TLS1.3",
        "cipher": record["cipher"],
        "sni": "localhost",
        "client_subject": "O=tlsramp clients, CN=client",
        "mode": "requireSSL",
        "generation": 1,
        "upstream": upstream,
        "upstream_local": next["peer"],
        "upstream_link": "tls",
        "upstream_tls": "TLS1.3",
        "bytes_in": 12,
        "bytes_out": 12,
        "outcome": "completed",
    });
    assert_eq!(without_times(&record), expected);
    let agreed = client.conn.negotiated_cipher_suite().unwrap().suite();
    assert_eq!(record["cipher"], agreed.as_str().unwrap().replacen("TLS13_", "TLS_", 1));
    assert_eq!(proxy.records().len(), 1);

    // The member's own certificate, the name that the client asked for, and the same bytes, one hop on.
    assert_eq!(next["client_subject"], "O=tlsramp members, CN=localhost", "{next}");
    assert_eq!((&next["sni"], &next["bytes_in"], &next["bytes_out"]), (&json!("localhost"), &json!(12), &json!(12)));
}

#[test]
fn a_plaintext_client_leaves_one_line_with_all_that_is_known_of_it() {
    let upstream = Upstream::start();
    let proxy = Proxy::start(in_front_of(&upstream));
    let mut client = connect(&proxy);
    let peer = client.local_addr().unwrap();
    echoes(&mut client, b"twelve bytes");
    client.write_all(b"and eleven.").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut client), b"and eleven.");
    let record = proxy.wait_record(Mark::START, |_| true, SOON);
    let expected = json!({
        "level": "INFO",
        "message": "connection",
        "id": 1,
        "peer": peer.to_string(),
        "route": "inbound",
        "opening": "plaintext",
        "mode": "disabled",
        "generation": 1,
        "upstream": upstream.address.to_string(),
        "upstream_local": upstream.peers()[0].to_string(),
        "upstream_link": "plaintext",
        "bytes_in": 23,
        "bytes_out": 23,
        "outcome": "completed",
    });
    assert_eq!(without_times(&record), expected);
    assert_eq!(proxy.records().len(), 1);
}

#[test]
fn a_refused_client_leaves_a_line_with_the_reason() {
    let upstream = Upstream::start();
    let proxy = Proxy::start(in_front_of(&upstream));
    let mut client = connect(&proxy);
    client.write_all(&client_hello("db1.example.net")).unwrap();
    read_to_end(&mut client);
    let record = proxy.wait_record(Mark::START, |_| true, SOON);
    let expected = json!({
        "level": "INFO",
        "message": "connection",
        "id": 1,
        "peer": client.local_addr().unwrap().to_string(),
        "route": "inbound",
        "opening": "tls",
        "versions_offered": "TLS1.2, TLS1.3",
        "sni": "db1.example.net",
        "mode": "disabled",
        "generation": 1,
        "bytes_in": 0,
        "bytes_out": 0,
        "outcome": "refused_tls",
        "reason": record["reason"],
    });
    assert_eq!(without_times(&record), expected);
    assert!(record["reason"].as_str().is_some_and(|reason| reason.contains("disabled")), "{record}");
}

#[test]
fn a_probe_is_logged_at_debug_only() {
    let upstream = Upstream::start();
    for (level, seen) in [("info", false), ("debug", true)] {
        // One worker takes connections in their order.
        let more = ["--logLevel".to_owned(), level.to_owned(), "--workers".to_owned(), "1".to_owned()];
        let mut proxy = Proxy::start([&in_front_of(&upstream)[..], &more].concat());
        drop(connect(&proxy));
        let record = served(&proxy);
        assert_eq!(record["id"], 2, "the probe came first: {record}");
        assert_eq!(proxy.terminate().code(), Some(0));
        let probes = proxy.records().into_iter().filter(|record| record["outcome"] == "probe").collect::<Vec<_>>();
        assert_eq!(probes.len(), usize::from(seen), "{level}: {probes:?}");
        assert!(probes.iter().all(|probe| probe["level"] == "DEBUG" && probe["id"] == 1), "{probes:?}");
    }
}

#[test]
fn the_text_of_a_peers_certificate_cannot_forge_a_line() {
    let (folder, subject) = forged_subject();
    let upstream = Upstream::start();
    let file = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let args =
        ["--port", "0", "--upstream", &upstream.address.to_string(), "--upstreamTLS", "never"].map(str::to_owned);
    let tls = ["--sslMode".to_owned(), "allowSSL".to_owned(), "--sslPEMKeyFile".to_owned(), file("server.pem")];
    let args = [&args[..], &tls, &["--sslCAFile".to_owned(), file("ca.pem")]].concat();

    let mut text = TextLog::start(&args);
    forged_client(text.address, folder.path());
    let line = text.wait(|line| line.contains("client_subject"));
    assert!(line.contains("completed") && line.contains("evil"), "{line}");
    text.ends_without_forgery();

    // In JSON the subject is what it was, but for what is no text.
    let proxy = Proxy::start(&args);
    forged_client(proxy.address("inbound"), folder.path());
    let record = proxy.wait_record(Mark::START, |record| record["outcome"] == "completed", SOON);
    let shown = record["client_subject"].as_str().unwrap();
    assert!(shown.contains("evil") && !shown.contains(char::is_control), "{shown:?} of {subject:?}");
    assert_eq!(proxy.records().len(), 1);
}

#[test]
fn the_name_that_a_hello_asks_for_cannot_forge_a_line() {
    let upstream = Upstream::start();
    let hello = client_hello("name.that.will.be.another.one.example.net");
    let name = b"a\n2026-01-01T00:00:00Z INFO \x1b[2Jconnection";
    let at = hello.windows(8).position(|bytes| bytes == b"name.tha").unwrap();
    let mut forged = hello;
    let room = "name.that.will.be.another.one.example.net".len();
    forged[at..at + room].copy_from_slice(&name[..room]);

    let mut text = TextLog::start(&in_front_of(&upstream));
    let mut client = TcpStream::connect(text.address).unwrap();
    client.set_read_timeout(Some(SOON)).unwrap();
    client.write_all(&forged).unwrap();
    read_to_end(&mut client);
    text.wait(|line| line.contains("refused_tls"));
    text.ends_without_forgery();
}

// ---- what the tests need

/// A server that sends back what it gets, or says one thing; half-closes are passed back.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    peers: Arc<Mutex<Vec<SocketAddr>>>,
}

impl Upstream {
    /// One that sends back what it gets.
    pub(crate) fn start() -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), None)
    }

    /// One that answers the end of what it gets with `word`, so that it can be told from others.
    fn saying(word: &'static [u8]) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), Some(word))
    }

    fn on(listener: TcpListener, word: Option<&'static [u8]>) -> Self {
        let address = listener.local_addr().unwrap();
        let peers = Arc::<Mutex<Vec<SocketAddr>>>::default();
        let seen = Arc::clone(&peers);
        thread::spawn(move || {
            for (mut socket, peer) in std::iter::from_fn(|| listener.accept().ok()) {
                seen.lock().unwrap().push(peer);
                thread::spawn(move || {
                    let mut bytes = [0; 4096];
                    while let Ok(count @ 1..) = socket.read(&mut bytes) {
                        if socket.write_all(&bytes[..count]).is_err() {
                            break;
                        }
                    }
                    let _ = socket.write_all(word.unwrap_or_default());
                    let _ = socket.shutdown(Shutdown::Write);
                });
            }
        });
        Self { address, peers }
    }

    /// How many connections it has accepted.
    pub(crate) fn accepted(&self) -> usize {
        self.peers.lock().unwrap().len()
    }

    /// Who has connected, in order.
    fn peers(&self) -> Vec<SocketAddr> {
        self.peers.lock().unwrap().clone()
    }
}

/// The flags of an inbound route in front of it.
pub(crate) fn in_front_of(upstream: &Upstream) -> Vec<String> {
    let address = upstream.address.to_string();
    ["--port", "0", "--upstream", &address, "--upstreamTLS", "never"].map(str::to_owned).to_vec()
}

/// The same as the last section of a file; more of `proxy:` may follow.
pub(crate) fn yaml(upstream: &Upstream) -> String {
    format!("proxy:\n  upstream: {}\n  upstreamTLS: never\n", upstream.address)
}

fn mode_text(mode: &str, upstream: &Upstream) -> String {
    let (server, ca) = (cert("server.pem"), cert("ca.pem"));
    format!("net: {{tls: {{mode: {mode}, certificateKeyFile: {server}, CAFile: {ca}}}}}\n{}", yaml(upstream))
}

/// The older spelling, which the log has.
fn older(mode: &str) -> String {
    mode.replace("TLS", "SSL")
}

pub(crate) fn connect(proxy: &Proxy) -> TcpStream {
    let client = TcpStream::connect(proxy.address("inbound")).expect("the proxy listens");
    client.set_read_timeout(Some(SOON)).unwrap();
    client
}

/// That bytes go to the upstream and back.
#[track_caller]
pub(crate) fn echoes(stream: &mut (impl std::io::Read + std::io::Write), bytes: &[u8]) {
    stream.write_all(bytes).unwrap();
    stream.flush().unwrap();
    echoes_back(stream, bytes);
}

#[track_caller]
pub(crate) fn echoes_back(stream: &mut impl std::io::Read, bytes: &[u8]) {
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back).expect("the bytes come back");
    assert_eq!(back, bytes);
}

/// One connection from beginning to end; its address.
#[track_caller]
fn exchange(proxy: &Proxy) -> SocketAddr {
    let mut client = connect(proxy);
    echoes(&mut client, b"served");
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut client), b"");
    client.local_addr().unwrap()
}

/// One connection from beginning to end; its record.
#[track_caller]
fn served(proxy: &Proxy) -> Value {
    let from = proxy.mark();
    let record = record_of(proxy, from, exchange(proxy));
    assert_eq!(record["outcome"], "completed", "{record}");
    record
}

/// The record of a client: a line may come a little after its connection has ended.
#[track_caller]
fn record_of(proxy: &Proxy, from: Mark, client: SocketAddr) -> Value {
    proxy.wait_record(from, |record| record["peer"] == client.to_string().as_str(), SOON)
}

/// What a route's server says.
fn answer_of(address: SocketAddr) -> Vec<u8> {
    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(SOON)).unwrap();
    client.write_all(b"?").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    read_to_end(&mut client).split_off(1)
}

/// All that comes until the end, however that comes; a wait that takes too long is a failure.
#[track_caller]
fn read_to_end(stream: &mut impl std::io::Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Err(error) = stream.read_to_end(&mut bytes) {
        assert!(!matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "it does not end: {bytes:?}");
    }
    bytes
}

/// Whether the peer has ended it, one way or the other; waits for it.
fn ended(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0]) {
        Ok(count) => count == 0,
        Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    }
}

/// Waits until nobody listens there.
#[track_caller]
fn refuses(address: SocketAddr) {
    let refused = || TcpStream::connect(address).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused);
    assert!(wait_until(SOON, refused), "{address} still takes connections");
}

/// Asks until it is so. For what has no line in a log to wait for.
pub(crate) fn wait_until(limit: Duration, mut so: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        if so() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(2));
    }
}

fn outcomes(proxy: &Proxy) -> Vec<String> {
    // The whole log, to the end of the process.
    let _ = proxy.log().wait(Mark::START, SOON, |_| false);
    let mut outcomes: Vec<_> =
        proxy.records().iter().map(|record| record["outcome"].as_str().unwrap().to_owned()).collect();
    outcomes.sort();
    outcomes
}

fn rewrite(proxy: &Proxy, text: &str) {
    fs::write(proxy.config_file(), text).unwrap();
}

/// Rewrites the file and has it read; the place in the log where that began.
#[track_caller]
pub(crate) fn reload(proxy: &Proxy, text: &str) -> Mark {
    rewrite(proxy, text);
    signal_reload(proxy)
}

#[track_caller]
fn signal_reload(proxy: &Proxy) -> Mark {
    let from = proxy.mark();
    proxy.signal(Signal::HUP);
    let line = proxy.wait_log_since(from, |line| line["message"] == "reloaded" || is_refusal(line), SOON);
    assert_eq!(line["message"], "reloaded", "{line}");
    from
}

/// Rewrites the file and has it read; the reason why it is refused.
#[track_caller]
fn refused_reload(proxy: &Proxy, text: &str) -> String {
    rewrite(proxy, text);
    let from = proxy.mark();
    proxy.signal(Signal::HUP);
    let line = proxy.wait_log_since(from, |line| line["message"] == "reloaded" || is_refusal(line), SOON);
    assert!(is_refusal(&line), "{line}");
    assert_eq!(line["level"], "ERROR", "{line}");
    line["error"].as_str().unwrap().to_owned()
}

fn is_refusal(line: &Value) -> bool {
    line["message"] == "reload refused: everything stays as it was"
}

fn is_listening_on(line: &Value, ip: &str) -> bool {
    line["message"] == "listening" && line["address"].as_str().is_some_and(|address| address.starts_with(ip))
}

/// A record without what differs from run to run, which must be there.
#[track_caller]
fn without_times(record: &Value) -> Value {
    let mut record = record.clone();
    let fields = record.as_object_mut().unwrap();
    assert!(fields.remove("timestamp").is_some_and(|time| time.is_string()), "{fields:?}");
    assert!(fields.remove("duration_ms").is_some_and(|time| time.is_u64()), "{fields:?}");
    fields.retain(|_, value| !value.is_null());
    record
}

/// A TLS client that goes by the `ca.pem` of a folder, and shows a certificate of it.
pub(crate) fn tls_client(
    address: SocketAddr,
    folder: &Path,
    file: Option<&str>,
) -> StreamOwned<ClientConnection, TcpStream> {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    tls_over(socket, folder, file)
}

/// As [`tls_client`], over a connection that is there.
pub(crate) fn tls_over(
    socket: TcpStream,
    folder: &Path,
    file: Option<&str>,
) -> StreamOwned<ClientConnection, TcpStream> {
    let file = file.map(|file| folder.join(file).to_string_lossy().into_owned());
    let config = tls::client(folder.join("ca.pem"), file.as_deref());
    let name = ServerName::try_from("localhost").unwrap();
    StreamOwned::new(ClientConnection::new(config, name).unwrap(), socket)
}

/// A ClientHello that asks for a name.
fn client_hello(name: &str) -> Vec<u8> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut connection = ClientConnection::new(tls::client(cert("ca.pem"), None), name).unwrap();
    let mut hello = Vec::new();
    connection.write_tls(&mut hello).unwrap();
    hello
}

/// A ping as OP_MSG: one section of kind 0, `{ping: 1, $db: "admin"}`.
pub(crate) fn ping() -> Vec<u8> {
    let body = b"\x1e\0\0\0\x10ping\0\x01\0\0\0\x02$db\0\x06\0\0\0admin\0\0";
    let length = u32::try_from(16 + 5 + body.len()).unwrap();
    [&length.to_le_bytes()[..], &1_u32.to_le_bytes(), &[0; 4], &2013_u32.to_le_bytes(), &[0; 5], body].concat()
}

/// A folder with a client whose certificate has a subject made to look like a line of the log.
fn forged_subject() -> (Scratch, String) {
    let subject =
        "evil\n2026-01-01T00:00:00.000000Z  INFO connection id=666 \u{1b}[2Joutcome=\"forged\"\r\u{85}\u{2028}"
            .to_owned();
    let folder = Scratch::new("forged");
    let ca = Authority::new("CA").unwrap();
    let server = ca.issue(&Request::server("localhost")).unwrap();
    let client = ca.issue(&Request::client(&subject)).unwrap();
    for (name, text) in [("ca.pem", ca.pem()), ("server.pem", &server.pem()), ("client.pem", &client.pem())] {
        fs::write(folder.join(name), text).unwrap();
    }
    (folder, subject)
}

fn forged_client(address: SocketAddr, folder: &Path) {
    let mut client = tls_client(address, folder, Some("client.pem"));
    echoes(&mut client, b"by TLS");
    client.conn.send_close_notify();
    client.flush().unwrap();
    read_to_end(&mut client);
}

/// A proxy that logs for people, its lines as they come.
struct TextLog {
    child: std::process::Child,
    lines: Receiver<String>,
    seen: Vec<String>,
    address: SocketAddr,
}

impl TextLog {
    fn start(args: &[String]) -> Self {
        let mut command = process::tethered(env!("CARGO_BIN_EXE_tlsramp"));
        command.arg("run").args(args).args(["--logFormat", "text"]).stdout(std::process::Stdio::piped());
        let mut child = process::spawn(command).unwrap();
        let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            let mut line = Vec::new();
            while std::io::BufRead::read_until(&mut stdout, b'\n', &mut line).is_ok_and(|count| count > 0) {
                let _ = sender.send(String::from_utf8_lossy(&line).into_owned());
                line.clear();
            }
        });
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut log = Self { child, lines, seen: Vec::new(), address };
        let listening = log.wait(|line| line.contains("listening"));
        let address = listening.split_whitespace().find_map(|word| word.strip_prefix("address="));
        log.address = address.unwrap_or_else(|| panic!("no address in {listening}")).parse().unwrap();
        log
    }

    #[track_caller]
    fn wait(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        loop {
            let line = self.lines.recv_timeout(SOON).unwrap_or_else(|why| panic!("{why}: {:#?}", self.seen));
            self.seen.push(line.clone());
            if wanted(&line) {
                return line;
            }
        }
    }

    /// Stops it. Every line is its own, and there is one for the connection.
    fn ends_without_forgery(mut self) {
        rustix::process::kill_process(process::pid(&self.child), Signal::TERM).unwrap();
        assert!(process::wait(&mut self.child, SOON).unwrap().is_some_and(|status| status.success()));
        self.seen.extend(self.lines.iter());
        let own = |line: &&String| line.starts_with("20") && line.get(26..28) == Some("Z ");
        assert_eq!(self.seen.iter().filter(own).count(), self.seen.len(), "{:#?}", self.seen);
        assert!(
            self.seen.iter().all(|line| !line.trim_end_matches('\n').contains(char::is_control)),
            "{:#?}",
            self.seen
        );
        let records = self.seen.iter().filter(|line| line.contains(" connection id=1 "));
        assert_eq!(records.count(), 1, "{:#?}", self.seen);
    }
}

impl Drop for TextLog {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One byte that may become TLS or a message.
const HALF_AN_OPENING: &[u8] = b"\x16";

/// Generous: a machine may run many tests at once. Far below every wait that a test must not fall into.
pub(crate) const SOON: Duration = Duration::from_secs(15);
