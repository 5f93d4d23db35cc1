//! Mistakes of people who use tlsramp for the first time, each with its exact output, and the question that `ctl mode` asks.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

use std::process::Stdio;

use crate::ctl::{admin, ctl, ended, start};
use crate::support::plain::Plain;
use crate::support::service::*;
use crate::support::{Proxy, ReservedPort, Scratch, cert, process, run_to_end};

/// Runs a command line on a terminal of 80 columns, types an answer, and returns exit code and output.
fn typed(line: &str, answer: &str) -> (i32, String) {
    let mut command = process::tethered("python3");
    command.args([
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/py/terminal.py"),
        answer,
        env!("CARGO_BIN_EXE_tlsramp"),
    ]);
    command.args(line.split(' ')).env("TERM", "dumb");
    let output = process::output(command, SOON).unwrap();
    let (code, stdout, _) = ended(&output);
    (code, stdout.replace('\r', ""))
}

/// A proxy in `preferSSL` with an open plaintext client.
fn with_plaintext_client() -> (Upstream, Proxy, Plain) {
    let (upstream, proxy) = start(&[]);
    assert_eq!(ctl(&admin(&proxy), "mode preferSSL").0, 0);
    let mut client = Plain::connect(proxy.port());
    client.hello("reports");
    (upstream, proxy, client)
}

/// Runs `tlsramp rollout` for one node.
fn rollout(to: &str, node: &str) -> (i32, String, String) {
    let folder = Scratch::new("rollout");
    let log = folder.path().join("log").display().to_string();
    ended(&run_to_end(["rollout", "--to", to, "--node", node, "--log", &log]))
}

fn mode(proxy: &Proxy) -> String {
    ctl(&admin(proxy), "mode").1.trim().to_owned()
}

#[test]
fn a_step_with_blockers_is_asked_about_on_a_terminal() {
    let (_upstream, proxy, _client) = with_plaintext_client();
    let line = format!("ctl --admin {} mode requireSSL", admin(&proxy));
    for answer in ["n\n", "\n", "what\n", "\u{4}"] {
        let (code, said) = typed(&line, answer);
        assert_eq!(code, 3, "{answer:?}: {said}");
        assert!(said.starts_with("requireSSL would refuse or cut off the following:\n"), "{said}");
        assert!(said.contains("reports") && said.contains("Change the mode anyway? [y/N] "), "{said}");
        assert!(said.ends_with("Nothing was changed.\n"), "{said}");
        assert_eq!(mode(&proxy), "preferSSL");
    }
    let (code, said) = typed(&line, "\u{3}");
    assert!(code == 130 && said.ends_with("[y/N] "), "{code} {said}");
    assert_eq!(mode(&proxy), "preferSSL");
    let (code, said) = typed(&line, "y\n");
    assert!(code == 0 && said.contains("The mode is requireSSL from now on"), "{said}");
    assert!(said.contains("warning: ") && said.contains("reports"), "{said}");
    assert_eq!(mode(&proxy), "requireSSL");
}

#[test]
fn without_a_terminal_a_step_with_blockers_is_refused() {
    let (_upstream, proxy, _client) = with_plaintext_client();
    let admin = admin(&proxy);
    for line in
        ["mode requireSSL", "mode requireSSL --guard", "mode requireSSL --json", "mode requireTLS --guard --force"]
    {
        let (code, stdout, stderr) = ctl(&admin, line);
        assert_eq!(code, 3, "{line}: {stderr}");
        assert!(stderr.contains("Nothing was changed. --yes makes the change anyway.\n"), "{stderr}");
        assert_eq!(stdout.is_empty(), !line.contains("--json"), "{line}: {stdout}");
        assert_eq!(mode(&proxy), "preferSSL");
    }
    // On a terminal too, what programs read is not asked about.
    let (code, said) = typed(&format!("ctl --admin {admin} mode requireSSL --json"), "y\n");
    assert!(code == 3 && !said.contains("[y/N]"), "{said}");
    for yes in ["--yes", "--no-guard", "--force", "--yes --json"] {
        let (code, stdout, stderr) = ctl(&admin, &format!("mode requireSSL {yes}"));
        assert!(code == 0 && stdout.contains("requireSSL"), "{yes}: {stdout}{stderr}");
        assert_eq!(ctl(&admin, "mode preferSSL --force").0, 0);
    }
    // A step without blockers, and one that the ladder does not have, are answered as before.
    assert_eq!(ctl(&admin, "mode preferSSL").0, 0);
    assert_eq!(ctl(&admin, "mode disabled").0, 1);
}

#[test]
fn without_a_command_it_is_the_status() {
    let (_upstream, proxy, _client) = with_plaintext_client();
    let address = admin(&proxy);
    let status = ctl(&address, "status").1;
    let lines: Vec<_> = status.lines().map(|line| line.split("  ").next().unwrap()).collect();
    assert_eq!(lines[..5], ["Mode", "Policy", "Restart", "Next step", "Clients"], "{status}");
    assert!(status.contains("requireSSL, blocked by 1 client: `ctl ready`\n"), "{status}");
    for words in [vec!["ctl", "--admin", &address], vec!["status", "--admin", &address]] {
        let (code, stdout, stderr) = ended(&run_to_end(&words));
        assert_eq!((code, stdout.lines().nth(1), &*stderr), (0, status.lines().nth(1), ""), "{words:?}");
    }
    let (code, screen) = typed(&format!("status --admin {address}"), "");
    assert!(code == 0 && screen.lines().count() <= 24, "{screen}");
    assert!(screen.lines().all(|line| line.chars().count() <= 80), "{screen}");
    assert_eq!(ctl(&address, "mode allowSSL --force").0, 0);
    let status = ctl(&address, "status").1;
    assert!(status.starts_with("Mode") && status.contains("set by http 127.0.0.1"), "{status}");
}

#[test]
fn the_data_port_is_not_the_admin_port() {
    let (_upstream, proxy) = start(&[]);
    let port = proxy.port();
    for mode in ["allowSSL", "preferSSL", "requireSSL"] {
        assert_eq!(ctl(&admin(&proxy), &format!("mode {mode} --yes")).0, 0);
        let (code, stdout, stderr) = ctl(&format!("127.0.0.1:{port}"), "status");
        assert_eq!((code, &*stdout), (4, ""), "{mode}: {stderr}");
        let first = format!("tlsramp ctl: 127.0.0.1:{port} does not answer as an admin port of tlsramp: ");
        assert!(stderr.starts_with(&first), "{mode}: {stderr}");
        let plus = format!("The admin port is usually the data port plus 1000, here 127.0.0.1:{}", port + 1000);
        assert!(port > 64_535 || stderr.contains(&plus), "{mode}: {stderr}");
        let (code, _, stderr) = rollout("requireSSL", &format!("127.0.0.1:{port}"));
        assert!(code != 0 && stderr.contains("does not answer as an admin port"), "{stderr}");
    }
}

#[test]
fn nothing_listens_there() {
    let reserved = ReservedPort::new();
    let nobody = reserved.address().to_string();
    let expected = format!(
        "nothing listens on {nobody}: is tlsramp running there? Its log names its admin port (listening, route=admin); \
         give that address (ctl: --admin, rollout: --node)"
    );
    let (code, _, stderr) = ctl(&nobody, "ready");
    assert_eq!((code, stderr), (4, format!("tlsramp ctl: {expected}\n")));
    let (code, _, stderr) = rollout("allowSSL", &nobody);
    assert!(code != 0 && stderr.contains(&expected), "{stderr}");
}

#[test]
fn load_says_what_is_missing() {
    let (upstream, proxy) = start(&[]);
    assert_eq!([ctl(&admin(&proxy), "mode preferSSL").0, ctl(&admin(&proxy), "mode requireSSL").0], [0, 0]);
    let (ca, target) = (cert("ca.pem"), format!("127.0.0.1:{}", proxy.port()));
    let load = |line: &str| {
        let words = format!("load --duration 300ms --warmUp 0s --connections 1 {line}");
        ended(&run_to_end(words.split(' ')))
    };
    let (code, stdout, _) = load(&format!("echo --target {target} --tls --tlsCAFile {ca}"));
    assert_eq!(code, 1);
    assert!(stdout.contains("the server requires a client certificate: give --tlsCertificateKeyFile\n"), "{stdout}");
    let (code, stdout, _) = load(&format!("--target {target}"));
    assert_eq!(code, 1);
    assert!(stdout.contains("The server is configured to only allow SSL connections"), "{stdout}");
    assert!(
        stdout.contains("hint        a server that requires TLS closes plaintext connections: try --tls "),
        "{stdout}"
    );
    let uri = format!("mongodb://{target}/?tls=true&tlsCAFile={}&tlsCertificateKeyFile={}", ca, cert("client.pem"));
    let (code, stdout, stderr) = load(&format!("echo --request 1k --response 1kB --target {uri}"));
    assert!(code == 0 && stdout.contains("echo of 1024 B / 1000 B"), "{stdout}{stderr}");
    for size in ["1x", "k", "-1", "5000M", "1.5k"] {
        let (code, _, stderr) = load(&format!("echo --target {target} --request={size}"));
        assert!(code == 2 && stderr.contains("4k (4 KiB)"), "{size}: {stderr}");
    }
    drop(upstream);
}

#[test]
fn the_echo_server_says_which_workloads_it_serves() {
    let mut server = process::tethered(env!("CARGO_BIN_EXE_tlsramp"));
    server.args(["load", "--serve", "127.0.0.1:0"]).stdout(Stdio::piped());
    let mut server = process::spawn(server).unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(server.stdout.take().unwrap()), &mut line).unwrap();
    let address = line.trim().rsplit(' ').next().unwrap();
    let output =
        run_to_end(["load", "--duration", "300ms", "--warmUp", "0s", "--connections", "1", "--target", address]);
    let (code, stdout, _) = ended(&output);
    assert_eq!(code, 1);
    assert!(
        stdout.contains("this is the echo server of `tlsramp load --serve`, not a mongod: use the workload"),
        "{stdout}"
    );
    server.kill().unwrap();
    server.wait().unwrap();
}

#[test]
fn uris_that_cannot_be_used_are_refused_without_their_password() {
    for (line, part) in [
        ("load --target mongodb://ops:hunter2@db1:27017/", "--target: the URI cannot be used: it has a user name"),
        ("ctl --admin mongodb+srv://cluster.example.net mode", "--admin: the URI cannot be used: mongodb+srv"),
        ("rollout --to allowSSL --node mongodb://a:1,b:1", "--node: the URI cannot be used: it names 2 hosts"),
    ] {
        let (code, stdout, stderr) = ended(&run_to_end(line.split(' ')));
        assert_eq!((code, &*stdout), (2, ""), "{line}: {stderr}");
        assert!(stderr.contains(part) && !stderr.contains("hunter2"), "{line}: {stderr}");
    }
    let (_upstream, proxy) = start(&[]);
    assert_eq!(ctl(&format!("mongodb://{}/?directConnection=true", admin(&proxy)), "mode").1, "allowSSL\n");
}
