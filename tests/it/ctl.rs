//! `tlsramp ctl` against a real admin port: its output for people and for programs, and its exit codes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

use std::net::TcpStream;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::plain::Plain;
use crate::support::service::*;
use crate::support::{Proxy, ReservedPort, Scratch, cert, process, run_to_end, wait};

/// A proxy in `allowSSL` that can serve TLS to all clients and verify servers.
pub(crate) fn start(more: &[&str]) -> (Upstream, Proxy) {
    let upstream = Upstream::start();
    let (server, ca) = (cert("server.pem"), cert("ca.pem"));
    let fixed = ["--sslMode", "allowSSL", "--tlsCertificateKeyFile", &server, "--tlsCAFile", &ca];
    let args = in_front_of(&upstream).into_iter().chain(fixed.iter().chain(more).map(|arg| (*arg).to_owned()));
    let proxy = Proxy::start(args);
    (upstream, proxy)
}

/// Runs `tlsramp ctl --admin ADDRESS LINE`: exit code, standard output, standard error.
pub(crate) fn ctl(admin: &str, line: &str) -> (i32, String, String) {
    ended(&run_to_end(["ctl", "--admin", admin].into_iter().chain(line.split(' '))))
}

pub(crate) fn ended(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

pub(crate) fn admin(proxy: &Proxy) -> String {
    proxy.address("admin").to_string()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text:?}"))
}

#[test]
fn walks_the_ladder_by_hand() {
    let (_upstream, proxy) = start(&[]);
    let admin = admin(&proxy);
    let ctl = |line| ctl(&admin, line);
    assert_eq!(ctl("mode"), (0, "allowSSL\n".into(), String::new()));

    let (code, stdout, stderr) = ctl("mode requireSSL");
    assert_eq!((code, &*stdout), (1, ""));
    let refusal = "tlsramp ctl: Illegal state transition for sslMode, attempt to change from allowSSL to requireSSL\n\
        The mode changes one step up at a time: ";
    assert!(stderr.starts_with(refusal), "{stderr}");

    let changed = "The mode is preferTLS from now on, generation 2; it was allowTLS.\n";
    assert_eq!(ctl("mode preferTLS"), (0, changed.into(), String::new()));
    assert_eq!(ctl("mode preferSSL").1, "The mode is preferSSL already, generation 2.\n");
    assert_eq!(ctl("mode requireSSL --guard").0, 0, "nobody is there to be hurt");
    assert_eq!(ctl("mode allowSSL --force").0, 0, "back in one command");
    assert_eq!(ctl("mode").1, "allowSSL\n");
    let (code, status, _) = ctl("status");
    assert_eq!(code, 0);
    assert!(status.starts_with("Mode         allowSSL (tlsMode allowTLS) for "), "{status}");
    assert!(status.contains(", set by http 127.0.0.1\n") && status.contains("tlsCertificateKeyFile "), "{status}");
    assert!(!status.contains('\u{1b}'), "no colour where there is no terminal");
    for verb in ["rotate", "reload"] {
        let (code, stdout, stderr) = ctl(verb);
        assert_eq!((code, &*stderr), (0, ""), "{verb}");
        assert!(stdout.contains("again, generation "), "{stdout}");
    }
    assert_eq!(ctl("mode preferSSL --persist").0, 1, "there is no state file");
}

#[test]
fn finds_who_is_in_the_way_and_accepts_them() {
    let (_upstream, proxy) = start(&[]);
    let admin = admin(&proxy);
    let ctl = |line: &str| ctl(&admin, line);
    // The upstream echoes the request, which is not a valid answer, but the client's metadata are recorded all the
    // same.
    let mut client = Plain::connect(proxy.port());
    client.hello("nightly \u{1b}[31mjob");
    let (code, stdout, stderr) = ctl("ready --to requireSSL");
    assert_eq!((code, &*stderr), (1, ""), "{stdout}");
    assert!(stdout.starts_with("Not ready for requireSSL (the mode is allowSSL): 1 blocker.\n"), "{stdout}");
    assert!(stdout.contains("nightly \\u{1b}[31mjob") && !stdout.contains('\u{1b}'), "{stdout}");
    let command = stdout.lines().last().unwrap().trim().strip_prefix("tlsramp ").unwrap();
    assert_eq!(command, format!("ctl --admin {admin} accept 1"), "the first client has the first number");
    assert_eq!(ctl("ready").1, ctl("ready --to preferSSL").1, "without --to, it is about the next step");

    let (code, clients, _) = ctl("clients --plaintext");
    assert!(
        code == 0 && clients.starts_with("1 client seen without TLS: 1 with connections open now; 1 "),
        "{clients}"
    );
    ctl("mode preferSSL");
    let (code, stdout, stderr) = ctl("mode requireSSL --guard");
    assert_eq!((code, &*stdout), (3, ""));
    assert!(stderr.contains("tlsramp ctl: the guard refuses requireSSL\n") && stderr.contains("1 reason:"), "{stderr}");
    assert_eq!(ctl("mode").1, "preferSSL\n");

    // The printed command can be typed as it is.
    let typed = run_to_end(command.split(' '));
    assert_eq!(typed.status.code(), Some(0), "{typed:?}");
    let key = json(&ctl("clients --json").1)["clients"][0]["key"].as_str().unwrap().to_owned();
    assert!(key.starts_with("127.0.0.1/nightly%20"), "{key}");
    let said = String::from_utf8(typed.stdout).unwrap();
    assert!(said.starts_with(&format!("{key} is accepted: ")), "a number's answer names the client: {said}");
    assert_eq!(ctl("ready --to requireSSL").0, 0);
    for remove in ["accept 1 --remove".to_owned(), format!("accept {key} --remove")] {
        assert_eq!(ctl(&remove).0, 0);
        assert_eq!(ctl("ready --to requireSSL").0, 1);
    }
    assert!(ctl("mode requireSSL --force").0 == 0 && ctl("ready").1.contains("there is no next step"));
    assert_eq!((ctl("ready").0, json(&ctl("ready --json").1)["to"].is_null()), (0, true));
}

#[test]
fn accepts_only_clients_that_there_are() {
    let (_upstream, proxy) = start(&[]);
    let admin = admin(&proxy);
    let ctl = |line: &str| ctl(&admin, line);
    for (line, code, part) in [
        ("accept 10.1.2.3/-/-", 1, "no client with the key 10.1.2.3/-/- has been seen; `tlsramp ctl clients --wide`"),
        ("accept 10.1.2.3/-/- --remove", 1, "no client with the key"),
        ("accept 7", 1, "no client has the number 7"),
        ("whois 7", 1, "no client has the number 7"),
        ("accept nobody", 2, "IP/APPLICATION/DRIVER"),
    ] {
        let (ended, stdout, stderr) = ctl(line);
        assert!(ended == code && stdout.is_empty() && stderr.contains(part), "{line}: {ended} {stdout}{stderr}");
        if code == 1 {
            assert_eq!(json(&ctl(&format!("{line} --json")).1)["code"], "UnknownClient", "{line}");
        }
    }
    let (code, stdout, _) = ctl("accept 10.1.2.3/-/- --unseen");
    assert!(code == 0 && stdout.contains("warning: no client with that key has been seen yet"), "{stdout}");
    assert_eq!(ctl("accept 10.1.2.3/-/- --remove").0, 0, "what is accepted can be taken back");
    // By HTTP, unseen clients are taken unless the request says otherwise.
    let http = crate::support::admin::of(&proxy);
    let accept = |unseen: bool| json!({ "key": "10.1.2.4/-/-", "unseen": unseen });
    assert_eq!(http.request("POST", "/accept", Some(&accept(false))).json(404)["code"], "UnknownClient");
    assert_eq!(http.post("/accept", &accept(true))["known"], false);
    // A client that is connected and has sent no message yet is no unknown one.
    let _silent = plain_through(&proxy);
    assert_eq!(ctl("accept 127.0.0.1/-/-").0, 0);
}

/// Runs `tlsramp ctl` on a terminal of 80 columns; the lines without their colours.
fn on_a_terminal(admin: &str, line: &str) -> Vec<String> {
    let ctl = format!("stty cols 80; '{}' ctl --admin {admin} {line}", env!("CARGO_BIN_EXE_tlsramp"));
    let mut command = process::tethered("script");
    command.args(["-qec", &ctl, "/dev/null"]).env("TERM", "xterm").stdin(Stdio::null());
    let output = process::output(command, SOON).unwrap();
    let text = String::from_utf8(output.stdout).unwrap().replace("\u{1b}[1;33m", "").replace("\u{1b}[0m", "");
    text.lines().map(|line| line.trim_end_matches('\r').to_owned()).collect()
}

#[test]
fn fits_a_terminal_without_breaking_a_cell() {
    let (_upstream, proxy) = start(&[]);
    let admin = admin(&proxy);
    let name = "invoices.InvoiceExportService-production-eu-central-1";
    let mut client = Plain::connect(proxy.port());
    client.hello(name);
    for line in ["clients", "ready --to requireSSL", "connections", "connections --each", "history", "whois 1"] {
        let lines = on_a_terminal(&admin, line);
        assert!(lines.iter().all(|line| line.chars().count() <= 80) && lines.len() > 3, "{line}: {lines:#?}");
        let left_out = lines.iter().any(|line| line.starts_with("Columns that do not fit here: "));
        assert_eq!(lines.iter().any(|line| line.contains(name)), line != "history", "{line}: {lines:#?}");
        assert_eq!(left_out, line != "history", "{line}: {lines:#?}");
    }
    let wide = on_a_terminal(&admin, "clients --wide").join("\n");
    assert!(wide.contains(&format!("127.0.0.1/{name}/")) && !wide.contains("do not fit"), "{wide}");
}

#[test]
fn leads_back_to_the_client() {
    let (upstream, proxy) = start(&[]);
    let admin = admin(&proxy);
    let client = plain_through(&proxy);
    let peer = client.local_addr().unwrap();
    let seen = upstream.peers()[0];
    let (code, stdout, _) = ctl(&admin, &format!("whois {seen}"));
    let sentence = format!("{seen} is the address at which {} sees the client {peer}.\n", upstream.address);
    assert!(code == 0 && stdout.starts_with(&sentence), "{stdout}");
    let (code, stdout, _) = ctl(&admin, &format!("whois {peer} --json"));
    let rows = json(&stdout)["connections"].as_array().unwrap().clone();
    assert_eq!((code, rows.len(), &rows[0]["upstreamLocal"]), (0, 1, &seen.to_string().into()), "{stdout}");

    let (code, stdout, stderr) = ctl(&admin, "whois 192.0.2.1:1");
    assert!(code == 1 && stdout.is_empty() && stderr.contains("upstream_local"), "{stdout}{stderr}");
    let (code, stdout, _) = ctl(&admin, "whois 192.0.2.1:1 --json");
    assert_eq!((code, json(&stdout)["connections"].as_array().unwrap().len()), (1, 0));
    let (code, stdout, _) = ctl(&admin, "connections");
    assert!(code == 0 && stdout.starts_with("1 connection open, all conforming to the mode"), "{stdout}");
    assert!(!stdout.contains(&peer.to_string()) && stdout.contains("--each lists every connection."), "{stdout}");
    let (_, stdout, _) = ctl(&admin, "connections --each");
    assert!(stdout.contains(&peer.to_string()) && stdout.contains(&seen.to_string()), "{stdout}");
    for target in ["127.0.0.1", "[::ffff:127.0.0.1]"] {
        let (code, stdout, _) = ctl(&admin, &format!("whois {target}"));
        assert!(code == 0 && stdout.contains(" has 1 open connection.\n"), "{stdout}");
        assert!(stdout.contains(&peer.to_string()) && stdout.contains(&seen.to_string()), "{stdout}");
    }
    let mut named = Plain::connect(proxy.port());
    named.hello("reports");
    let (_, clients, _) = ctl(&admin, "clients --json");
    let rows = json(&clients)["clients"].as_array().unwrap().clone();
    let number = &rows.iter().find(|row| row["application"] == "reports").unwrap()["number"];
    let (code, stdout, _) = ctl(&admin, &format!("whois {number}"));
    assert!(code == 0 && stdout.starts_with("127.0.0.1/reports/") && stdout.contains(" has 1 open"), "{stdout}");
    drop(named);

    assert_eq!(ctl(&admin, "mode requireSSL --force").0, 0);
    let open = |count: &str| ctl(&admin, "connections --non-conforming").1.starts_with(count);
    wait("the other client has left", || open("1 connection open"));
    let (_, stdout, _) = ctl(&admin, "connections --non-conforming");
    assert!(stdout.starts_with("1 connection open, 1 of them non-conforming: "), "{stdout}");
    // The upstream is not a member of a set, so its client could see an error, and its connection is not recycled.
    let (code, stdout, _) = ctl(&admin, "recycle --wait 0");
    assert!(code == 1 && stdout.contains("1 left open (--force recycles them too)"), "{stdout}");
    drop(client);
    proxy.wait_record(crate::support::Mark::START, |record| record["peer"] == peer.to_string(), SOON);
    let (code, stdout, _) = ctl(&admin, "recycle");
    assert_eq!((code, stdout.starts_with("Nothing to recycle")), (0, true), "{stdout}");
}

/// A client whose bytes were sent to the upstream and back.
fn plain_through(proxy: &Proxy) -> TcpStream {
    use std::io::{Read as _, Write as _};
    let mut client = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
    client.set_read_timeout(Some(SOON)).unwrap();
    client.write_all(b"hello, this is no message").unwrap();
    client.read_exact(&mut [0; 25]).unwrap();
    client
}

#[test]
fn programs_get_one_object() {
    let (_upstream, proxy) = start(&[]);
    let admin = admin(&proxy);
    for (line, code, key) in [
        ("status", 0, "sslMode"),
        ("mode", 0, "sslMode"),
        ("clients", 0, "clients"),
        ("connections", 0, "connections"),
        ("ready --to preferSSL", 0, "ready"),
        ("recycle", 0, "moved"),
        ("mode preferSSL", 0, "was"),
        ("mode disabled", 1, "code"),
    ] {
        let (ended, stdout, stderr) = ctl(&admin, &format!("--json {line}"));
        assert_eq!((ended, stderr.is_empty()), (code, code == 0), "{line}: {stderr}");
        assert!(json(&stdout).get(key).is_some(), "{line}: {stdout}");
    }
    let refused = json(&ctl(&admin, "mode disabled --json").1);
    assert_eq!(refused["code"], "IllegalTransition");
}

#[test]
fn says_that_nobody_is_there_or_somebody_else() {
    let reserved = ReservedPort::new();
    let nobody = reserved.address().to_string();
    let (code, stdout, stderr) = ctl(&nobody, "status");
    assert_eq!((code, &*stdout), (4, ""));
    assert!(stderr.starts_with(&format!("tlsramp ctl: nothing listens on {nobody}: is tlsramp running")), "{stderr}");
    let (code, stdout, _) = ctl(&nobody, "mode --json");
    assert_eq!((code, &json(&stdout)["code"]), (4, &"NobodyListens".into()));

    // The port for clients leads to an echo server.
    let (_upstream, proxy) = start(&[]);
    let (code, _, stderr) = ctl(&format!("127.0.0.1:{}", proxy.port()), "status");
    assert!(code == 4 && stderr.contains("does not answer as an admin port of tlsramp"), "{stderr}");
    for wrong in ["status --tls", "status --tlsCAFile /none", "states", "mode on"] {
        assert_eq!(ctl(&nobody, wrong).0, 2, "{wrong}");
    }
}

#[test]
fn the_address_may_come_by_the_environment() {
    let (_upstream, proxy) = start(&[]);
    let mut command = process::tethered(env!("CARGO_BIN_EXE_tlsramp"));
    command.args(["ctl", "mode"]).env("TLSRAMP_ADMIN", admin(&proxy));
    let output = process::output(command, SOON).unwrap();
    assert_eq!(ended(&output), (0, "allowSSL\n".into(), String::new()));
}

/// The variable counts where a client key is given, unless a file has its password; other commands are not concerned.
#[test]
fn the_password_of_the_client_key_may_come_by_the_environment() {
    let (_upstream, proxy) = start(&["--adminBind", "127.0.0.1:0", "--adminAllow", "*"]);
    let folder = Scratch::new("ctl");
    let file = folder.join("password").display().to_string();
    std::fs::write(&file, "another\n").unwrap();
    let (ca, key, admin) = (cert("ca.pem"), cert("encrypted.pem"), admin(&proxy));
    let files = ["--tls", "--tlsCAFile", &ca, "--tlsCertificateKeyFile", &key];
    let by_file = [&files[..], &["--tlsCertificateKeyFilePasswordFile", &file]].concat();
    for (options, expected) in
        [(&[][..], Ok("allowSSL\n")), (&files, Ok("allowSSL\n")), (&by_file, Err("check the password"))]
    {
        let mut command = process::tethered(env!("CARGO_BIN_EXE_tlsramp"));
        command.args(["ctl", "--admin", &admin, "mode"]).args(options);
        command.env("TLSRAMP_CLIENT_KEY_PASSWORD", certs_gen::PASSWORD);
        let (code, stdout, stderr) = ended(&process::output(command, SOON).unwrap());
        match expected {
            Ok(text) => assert_eq!((code, &*stdout), (0, text), "{options:?}: {stderr}"),
            Err(part) => assert!(code == 2 && stderr.contains(part), "{options:?}: {code} {stderr}"),
        }
    }
}

#[test]
fn a_reader_that_has_left_is_no_error() {
    let (_upstream, proxy) = start(&[]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = process::tethered(env!("CARGO_BIN_EXE_tlsramp"));
    command.args(["ctl", "--admin", &admin(&proxy), "status"]).stdout(writer).stderr(std::process::Stdio::piped());
    let mut child = process::spawn(command).unwrap();
    let status = process::wait(&mut child, Duration::from_secs(20)).unwrap().expect("it ends");
    let mut said = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
    assert_eq!((status.code(), &*said), (Some(0), ""));
}

#[test]
fn changes_go_by_the_unix_socket_where_the_port_is_read_only() {
    let folder = Scratch::new("ctl");
    let unix = format!("unix:{}", folder.join("admin.sock").display());
    let (_upstream, proxy) = start(&["--adminReadOnly", "--adminBind", "127.0.0.1:0", "--adminBind", &unix]);
    let (code, _, stderr) = ctl(&admin(&proxy), "mode preferSSL");
    assert!(code == 1 && stderr.contains("unix socket"), "{stderr}");
    assert_eq!(ctl(&unix, "mode preferSSL").0, 0);
    assert_eq!(ctl(&admin(&proxy), "mode").1, "preferSSL\n");
    assert_eq!(ctl(&format!("{unix}.none.sock"), "mode").0, 4);
}

#[test]
fn a_remote_admin_port_is_reached_by_tls() {
    let (_upstream, proxy) = start(&["--adminBind", "0.0.0.0:0", "--adminAllow", "CN=client,O=tlsramp clients"]);
    let port = proxy.address("admin").port();
    let tls = |host: &str, ca: &str, certificate: &str| {
        let (ca, certificate) = (cert(ca), cert(certificate));
        ctl(&format!("{host}:{port}"), &format!("--tls --tlsCAFile {ca} --tlsCertificateKeyFile {certificate} mode"))
    };
    for host in ["127.0.0.1", "localhost"] {
        assert_eq!(tls(host, "ca.pem", "client.pem"), (0, "allowSSL\n".into(), String::new()), "{host}");
    }
    for (ca, certificate, code, part) in [
        ("ca.pem", "member.pem", 1, "--adminAllow"),
        ("ca.pem", "other-ca-client.pem", 4, "--tlsCertificateKeyFile must be a client certificate"),
        ("other-ca.pem", "client.pem", 4, "--tlsCAFile must contain the CA"),
        ("ca.pem", "encrypted.pem", 2, "--tlsCertificateKeyFilePassword"),
    ] {
        let (ended, stdout, stderr) = tls("127.0.0.1", ca, certificate);
        assert_eq!((ended, &*stdout), (code, ""), "{certificate}: {stderr}");
        assert!(stderr.contains(part), "{stderr}");
    }
    let (code, _, stderr) = ctl(&format!("127.0.0.1:{port}"), "mode");
    assert!(code == 1 && stderr.contains("connect with --tls"), "{stderr}");
    let (_upstream, local) = start(&[]);
    let (ca, certificate) = (cert("ca.pem"), cert("client.pem"));
    let line = format!("mode --tls --tlsCAFile {ca} --tlsCertificateKeyFile {certificate}");
    assert_eq!(ctl(&admin(&local), &line).1, "allowSSL\n", "a local one takes TLS as well");
}
