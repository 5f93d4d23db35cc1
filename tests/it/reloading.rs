//! Reloads: what takes effect, what is refused as a whole, and which mode is in force afterwards.

use std::fs;
use std::io::Write as _;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use clap::Command;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::json;
use tlsramp::testing::{App, Caller, Change, ChangeError, Mode, Spelling, load_config, with_options};

use crate::support::proxy::Signal;
use crate::support::service::*;
use crate::support::{Mark, Proxy, Scratch, admin, cert, certs, wait};

#[test]
fn a_changed_wait_takes_effect_for_the_next_connection() {
    let upstream = Upstream::start();
    let text = |wait| format!("{}  sniffTimeout: {wait}\n", yaml(&upstream));
    let proxy = Proxy::start_with_config(&text("24h"), ["--port", "0"]);
    let mut before = connect(&proxy);
    before.write_all(HALF_AN_OPENING).unwrap();
    // Accepted by the proxy, not only by the kernel.
    wait("it has a slot", || admin::of(&proxy).get("/status")["slots"][0]["used"] == 1);
    reload(&proxy, &text("100ms"));
    let mut after = connect(&proxy);
    after.write_all(HALF_AN_OPENING).unwrap();
    assert!(ended(&mut after));
    proxy.wait_record(Mark::START, |record| record["outcome"] == "sniff_timeout", SOON);
    // An earlier connection keeps the time limit with which it was accepted.
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

    // At level `warn`, a reload logs only its warnings: the second warning shows that the first reload is over.
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

    // The same listener with another upstream, and a second listener.
    let from = reload(&proxy, &text(&[route("127.0.0.1", &two), route("127.0.0.2", &three)]));
    let second = proxy.wait_log_since(from, |line| is_listening_on(line, "127.0.0.2"), SOON);
    let second: SocketAddr = second["address"].as_str().unwrap().parse().unwrap();
    assert_eq!((answer_of(first), answer_of(second)), (b"2".to_vec(), b"3".to_vec()));

    // The first listener is closed; its connections are not.
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
    let mut answers = [proxy.outbound(0), proxy.outbound(1)].map(answer_of);
    answers.sort();
    assert_eq!(answers, [b"1", b"2"]);
}

#[test]
fn changed_certificates_are_shown_to_the_next_client() {
    let upstream = Upstream::start();
    let folder = certs::folder();
    let [server, member, ca] = ["server.pem", "member.pem", "ca.pem"].map(|name| folder.join(name));
    let tls = format!("mode: allowTLS, certificateKeyFile: {}, CAFile: {}", server.display(), ca.display());
    // On a busy machine, the watch might apply the new files before the first check here.
    let unwatched = ["--watch", "off"];
    let text = format!("net: {{tls: {{{tls}}}}}\n{}", yaml(&upstream));
    let in_a_file = Proxy::start_with_config(&text, [&["--port", "0"][..], &unwatched].concat());
    let files = ["--sslPEMKeyFile", &server.to_string_lossy(), "--sslCAFile", &ca.to_string_lossy()].map(str::to_owned);
    let mode = ["--sslMode", "allowSSL", unwatched[0], unwatched[1]].map(str::to_owned);
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
        ("  sniffTimeout: 1ms\n", "proxy.workers", "the option was removed"),
    ] {
        let error = refused_reload(&proxy, &text("allowTLS", rest));
        for fragment in [named, value, "a reload cannot change it", "restart tlsramp"] {
            assert!(error.contains(fragment), "{fragment:?} is not in: {error}");
        }
    }
    // No part of it takes effect: not the mode, the time limit or the generation.
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
        ("proxy:\n  upstream: [\n".to_owned(), "invalid YAML"),
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
    // An accepted connection keeps its verdict.
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
        // The mode in force, determined by a client that each mode treats differently.
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

/// Runs in this process, because the mode cannot be set from outside without the file.
#[tokio::test]
async fn a_mode_that_the_file_did_not_change_stays_as_it_was_set() {
    let folder = Scratch::new("mode");
    let file = folder.join("tlsramp.conf");
    let (server, ca) = (cert("server.pem"), cert("ca.pem"));
    let write = |mode: &str, rest: &str| {
        let text = format!("port = 0\nupstream = 127.0.0.1:9\nsslPEMKeyFile = {server}\nsslCAFile = {ca}\n");
        fs::write(&file, format!("{text}upstreamTLS = never\nsslMode = {mode}\n{rest}")).unwrap();
    };
    write("allowSSL", "");
    let matches = with_options(Command::new("run"))
        .try_get_matches_from(["run", "--config", file.to_str().unwrap(), "--workers", "1"])
        .unwrap();
    let app = App::start(load_config(&matches).unwrap(), &matches, 16, None).unwrap();
    app.controller.change_mode(Change::to(Mode::Prefer, Spelling::Ssl), &Caller::PROGRAM).await.unwrap();

    write("allowSSL", "sniffTimeout = 1s\n");
    let reloaded = app.controller.reload(&Caller::PROGRAM).await.unwrap();
    assert_eq!((reloaded.was, reloaded.mode, reloaded.generation), (Mode::Prefer, Mode::Prefer, 3));
    assert_eq!(app.controller.view().settings().timeouts.sniff, Duration::from_secs(1));

    // Now the file names the mode in force: no step is necessary.
    write("preferSSL", "");
    assert_eq!(app.controller.reload(&Caller::PROGRAM).await.unwrap().mode, Mode::Prefer);
    write("disabled", "");
    assert!(matches!(app.controller.reload(&Caller::PROGRAM).await, Err(ChangeError::Transition(_))));
    assert_eq!(app.controller.view().mode(), (Mode::Prefer, 4));
}

/// A file that is half-written, or a line lost by accident, must not admit clients that were refused before.
#[test]
fn a_reload_does_not_verify_less() {
    let upstream = Upstream::start();
    let tls = |files: &str| {
        format!("net: {{tls: {{mode: requireTLS, certificateKeyFile: {}{files}}}}}\n", cert("server.pem"))
    };
    let [ca, other, crl] = ["ca.pem", "other-ca.pem", "crl.pem"].map(cert);
    let whole = format!(", CAFile: {ca}, clusterCAFile: {ca}, CRLFile: {crl}");
    let proxy = Proxy::start_with_config(&format!("{}{}", tls(&whole), yaml(&upstream)), ["--port", "0"]);
    for (files, lost) in [
        (format!(", CAFile: {ca}, clusterCAFile: {ca}"), "net.tls.CRLFile"),
        (format!(", CAFile: {ca}, CRLFile: {crl}"), "net.tls.clusterCAFile"),
        (String::new(), "net.tls.CAFile"),
    ] {
        let error = refused_reload(&proxy, &format!("{}{}", tls(&files), yaml(&upstream)));
        assert!(error.contains(lost) && error.contains("does not reduce verification"), "{error}");
    }
    // Another file is a change like any other.
    let another = format!(", CAFile: {ca}, clusterCAFile: {other}, CRLFile: {crl}");
    reload(&proxy, &format!("{}{}", tls(&another), yaml(&upstream)));
}

/// Something that is not a file must not be waited for, and a reload that waits must not delay a stop.
#[test]
fn a_configuration_that_is_a_fifo_is_refused_and_stops_nothing() {
    let upstream = Upstream::start();
    let mut proxy = Proxy::start_with_config(&yaml(&upstream), ["--port", "0"]);
    fs::remove_file(proxy.config_file()).unwrap();
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, proxy.config_file(), rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let from = proxy.mark();
    proxy.signal(Signal::HUP);
    let refused = proxy.wait_log_since(from, is_refusal, SOON);
    assert!(refused["error"].as_str().unwrap().contains("not a regular file"), "{refused}");
    served(&proxy);
    assert_eq!(proxy.terminate().code(), Some(0));
}

/// A client that was silent during a change is connected to the route's current upstream, and judged by the current
/// mode.
#[test]
fn a_silent_client_goes_where_its_route_leads_when_it_speaks() {
    let (one, two) = (Upstream::saying(b"1"), Upstream::saying(b"2"));
    let text = |upstream: &Upstream| format!("proxy:\n  outbound: [\"127.0.0.1:0={}\"]\n", upstream.address);
    let proxy = Proxy::start_with_config(&text(&one), [""; 0]);
    let mut silent = TcpStream::connect(proxy.outbound(0)).unwrap();
    assert_eq!(answer_of(proxy.outbound(0)), b"1");
    reload(&proxy, &text(&two));
    silent.set_read_timeout(Some(SOON)).unwrap();
    silent.write_all(b"?").unwrap();
    silent.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut silent), b"?2");
}
