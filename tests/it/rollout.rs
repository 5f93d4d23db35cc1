//! `tlsramp rollout` over real tlsramps: up and back, what it waits for, what stops it, and where it continues.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Stdio},
    thread,
    time::Duration,
};

use bson::doc;
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use crate::support::{
    Mark, Proxy, Scratch, admin, cert,
    log::Log,
    plain::Plain,
    process,
    set::{Hello, Member, beside_an_application, form, form_set},
};

/// A rollout over these members, with its log in a folder of its own.
struct Rollout {
    nodes: Vec<String>,
    folder: Scratch,
}

impl Rollout {
    fn of(members: &[Member]) -> Self {
        Self { nodes: members.iter().map(Member::node).collect(), folder: Scratch::new("rollout") }
    }

    /// The same rollout with more nodes, by their admin addresses.
    fn with(mut self, nodes: impl IntoIterator<Item = String>) -> Self {
        self.nodes.extend(nodes);
        self
    }

    fn command(&self, line: &str) -> std::process::Command {
        let mut command = process::tethered(env!("CARGO_BIN_EXE_tlsramp"));
        command.arg("rollout").args(line.split_whitespace());
        command.args(self.nodes.iter().flat_map(|node| ["--node", node]));
        command.current_dir(self.folder.path());
        command
    }

    /// Runs the rollout to its end. Returns exit code, standard output and standard error.
    #[track_caller]
    fn run(&self, line: &str) -> (i32, String, String) {
        let output = process::output(self.command(line), LIMIT).unwrap_or_else(|why| panic!("{why}"));
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    }

    /// Runs the rollout until it prints this text.
    #[track_caller]
    fn run_until(&self, line: &str, said: &str) -> Running {
        let mut command = self.command(line);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = process::spawn(command).unwrap();
        let log = Log::new(&self.folder.join("output"));
        log.follow(child.stdout.take().unwrap());
        log.follow(child.stderr.take().unwrap());
        let running = Running { child, log };
        running.says(said);
        running
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("tlsramp-rollout.log")).unwrap_or_default()
    }

    /// The changes in the log, in their order: node and mode.
    fn changes(&self, members: &[Member]) -> Vec<(usize, String)> {
        let log = self.log();
        let words = log.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let changes = words.filter(|words| words[1] == "changed");
        changes.map(|words| (place(members, words[2]), words[5].to_owned())).collect()
    }
}

/// A rollout in progress, killed on drop.
struct Running {
    child: Child,
    log: Log,
}

impl Running {
    #[track_caller]
    fn says(&self, said: &str) {
        assert!(
            crate::support::until::wait_until(LIMIT, || self.text().contains(said)),
            "{said:?}: {}",
            self.log.tail()
        );
    }

    fn text(&self) -> String {
        self.log.lines(Mark::START).join("\n")
    }

    #[track_caller]
    fn ends(&mut self) -> (i32, String) {
        let status = process::wait(&mut self.child, LIMIT).unwrap().unwrap_or_else(|| panic!("{}", self.log.tail()));
        let _ = self.log.wait(Mark::START, LIMIT, |_| false);
        (status.code().unwrap(), self.text())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn place(members: &[Member], node: &str) -> usize {
    members.iter().position(|member| member.node() == node).unwrap()
}

fn modes(members: &[Member]) -> Vec<String> {
    members.iter().map(Member::mode).collect()
}

fn leases(members: &[Member]) -> Vec<bool> {
    members.iter().map(|member| !admin::of(&member.proxy).get("/status")["lease"].is_null()).collect()
}

fn three() -> Vec<Member> {
    let members: Vec<_> = (0..3).map(|_| Member::start(&[])).collect();
    form(&members, &[]);
    members
}

/// A connection as a member's server makes it: its first `hello` is marked as internal.
fn internal(port: u16) -> Plain {
    let mut plain = Plain::connect(port);
    plain.command("admin", &doc! { "hello": 1, "internalClient": { "minWireVersion": 0, "maxWireVersion": 17 } });
    plain
}

#[test]
fn up_the_ladder_and_back_again() {
    let members = three();
    let rollout = Rollout::of(&members);
    let (code, stdout, stderr) = rollout.run("--to requireSSL --dry-run");
    assert_eq!((code, &*stderr), (0, ""), "{stdout}");
    assert!(stdout.contains(&format!("  1. {} (SECONDARY): disabled -> allowSSL\n", members[1].node())), "{stdout}");
    assert!(stdout.contains(&format!("  9. {} (PRIMARY): preferSSL -> requireSSL\n", members[0].node())), "{stdout}");
    assert_eq!((modes(&members), &*rollout.log()), (vec!["disabled".to_owned(); 3], ""), "nothing was changed");

    let (code, stdout, stderr) = rollout.run("--to requireSSL");
    assert_eq!(code, 3, "the files say disabled: {stdout}{stderr}");
    assert!(stderr.contains("change it to `sslMode = requireSSL` (YAML: net.tls.mode: requireTLS"), "{stderr}");
    assert_eq!(modes(&members), ["requireSSL"; 3]);
    let rungs = ["allowSSL", "preferSSL", "requireSSL"];
    let expected: Vec<_> = rungs.iter().flat_map(|mode| [1, 2, 0].map(|node| (node, (*mode).to_owned()))).collect();
    assert_eq!(rollout.changes(&members), expected, "{}", rollout.log());
    let verified = rollout.log().matches("verified at 127.0.0.1").count();
    assert_eq!(verified, 9, "{}", rollout.log());
    assert!(rollout.log().contains("plaintext is refused") && rollout.log().contains("persisted"), "{}", rollout.log());
    assert_eq!(leases(&members), [false; 3]);
    for member in &members {
        let status = admin::of(&member.proxy).get("/status");
        assert_eq!((&status["persistedMode"], &status["inventory"]["unmoved"]), (&json!("requireSSL"), &json!(0)));
    }

    members.iter().for_each(|member| member.configure("requireSSL"));
    let (code, stdout, stderr) = rollout.run("--to requireTLS");
    assert_eq!((code, &*stderr), (0, ""), "{stdout}");
    assert_eq!(rollout.changes(&members).len(), 9, "nothing was left to do");

    // The newest rollout ended in the mode in which it began, so a rollback to that does nothing, and the way down is
    // given as a mode.
    assert_eq!(rollout.run("--rollback").0, 0);
    let (code, stdout, stderr) = rollout.run("--rollback --to disabled");
    assert_eq!(code, 3, "the files say requireSSL: {stdout}{stderr}");
    assert_eq!(modes(&members), ["disabled"; 3]);
    let down: Vec<_> = rollout.changes(&members).split_off(9);
    let order =
        [(0, "preferSSL"), (1, "preferSSL"), (2, "preferSSL"), (0, "allowSSL"), (1, "allowSSL"), (2, "allowSSL")];
    let order = order.into_iter().chain([(1, "disabled"), (2, "disabled"), (0, "disabled")]);
    assert_eq!(down, order.map(|(node, mode)| (node, mode.to_owned())).collect::<Vec<_>>());
    assert_eq!(rollout.log().matches("TLS is refused by an alert").count(), 3, "{}", rollout.log());
}

#[test]
fn clients_without_tls_are_waited_for_and_named() {
    let members = three();
    let rollout = Rollout::of(&members);
    let mut reports = Plain::connect(members[2].proxy.port());
    reports.hello("reports");
    let (code, stdout, stderr) = rollout.run("--to requireSSL --wait 1s");
    assert_eq!(code, 1, "{stdout}{stderr}");
    let node = members[2].node();
    let waiting = "waiting for: application reports (wire 1) at 127.0.0.1 is connected without TLS";
    assert!(stdout.contains(waiting) && rollout.log().contains(waiting), "{stdout}");
    let accept = format!("tlsramp ctl --admin {node} accept 127.0.0.1/reports/wire");
    assert!(stderr.contains(&accept) && stderr.contains("nothing has failed"), "{stderr}");
    assert_eq!(modes(&members), ["preferSSL"; 3], "no node requires TLS while any knows of a client without");

    // Interrupted while it waits, a rollout releases its lease. Once the client is gone, the same command continues.
    let mut running = rollout.run_until("--to requireSSL --autoRollback", "waiting for: application reports");
    assert_eq!(leases(&members), [true; 3]);
    let second = rollout.run("--to requireSSL --log none");
    assert!(second.0 == 1 && second.2.contains("holds the lease for another"), "{second:?}");
    assert!(second.2.contains("rollout ") && second.2.contains(" pid "), "{second:?}");
    assert_eq!(leases(&members), [true; 3], "the first one's");
    kill_process(process::pid(&running.child), Signal::INT).unwrap();
    let (code, output) = running.ends();
    assert_eq!(code, 1, "{output}");
    assert!(output.contains("interrupted") && output.contains("it continues from the present modes"), "{output}");
    assert_eq!((modes(&members), leases(&members)), (vec!["preferSSL".to_owned(); 3], vec![false; 3]));

    drop(reports);
    let running = rollout.run("--to requireSSL");
    assert_eq!((running.0, modes(&members)), (3, vec!["requireSSL".to_owned(); 3]), "{running:?}");
    assert_eq!(rollout.changes(&members).len(), 9);
    // It continued the first rollout, so a rollback leads to the mode in which that one began.
    let log = rollout.log();
    assert_eq!(log.matches(", resumed").count(), 2, "{log}");
    let (code, stdout, stderr) = rollout.run("--rollback");
    assert_eq!((code, modes(&members)), (0, vec!["disabled".to_owned(); 3]), "{stdout}{stderr}");
}

#[test]
fn only_one_at_a_time_and_all_leases_or_none() {
    let members = three();
    let rollout = Rollout::of(&members);
    let other = json!({ "holder": "somebody else", "ttlSecs": 600 });
    admin::of(&members[1].proxy).post("/lease", &other);
    let (code, stdout, stderr) = rollout.run("--to allowSSL");
    assert_eq!((code, &*stdout), (1, ""), "{stderr}");
    let who = format!("{}: somebody else holds the lease for another ", members[1].node());
    assert!(stderr.contains(&who), "{stderr}");
    assert_eq!((leases(&members), modes(&members)), (vec![false, true, false], vec!["disabled".to_owned(); 3]));
    let (code, stdout, _) = rollout.run("--to allowSSL --dry-run");
    assert_eq!(code, 1);
    assert!(stdout.contains(&format!("would not start: {who}")), "{stdout}");
}

#[test]
fn peers_that_are_not_listed_stop_it() {
    let hidden = Hello::start();
    hidden.say(doc! { "setName": "rs", "secondary": true, "hidden": true });
    let outbound = ["--outbound".to_owned(), format!("127.0.0.1:0={}", hidden.address())];
    let members = vec![Member::start(&[]), Member::start(&outbound)];
    form(&members, &[]);
    let rollout = Rollout::of(&members);
    let link = internal(members[1].proxy.outbound(0).port());
    let stranger = format!("its server is connected to {}, which is not a listed node", hidden.address());
    for (line, text) in [("--to allowSSL", "stopped: "), ("--to allowSSL --dry-run", "would not start: ")] {
        let (code, stdout, stderr) = rollout.run(line);
        assert_eq!(code, 1, "{stdout}{stderr}");
        let text = format!("{text}{}: {stranger}", members[1].node());
        assert!(stderr.contains(&text) || stdout.contains(&text), "{stdout}{stderr}");
    }
    drop(link);
    // Members that the set lists are reported as missing even if no connection to them exists.
    form(&members, &["127.0.0.1:1".to_owned()]);
    let (code, _, stderr) = rollout.run("--to allowSSL");
    assert_eq!(code, 1, "{stderr}");
    assert!(
        stderr.contains("the set's member 127.0.0.1:1 is not a listed node: add its tlsramp with --node"),
        "{stderr}"
    );
    assert_eq!(modes(&members), ["disabled"; 2]);
}

#[test]
fn links_between_members_move_to_tls_before_it_is_required() {
    let first = Member::start(&[]);
    let outbound = ["--outbound".to_owned(), format!("127.0.0.1:0={}", first.me())];
    let members = vec![first, Member::start(&outbound)];
    form(&members, &[]);
    let rollout = Rollout::of(&members);
    let mut link = internal(members[1].proxy.outbound(0).port());
    let (code, stdout, stderr) = rollout.run("--to requireSSL");
    assert_eq!((code, modes(&members)), (3, vec!["requireSSL".to_owned(); 2]), "{stdout}{stderr}");
    assert!(link.is_ended(), "it was recycled");
    assert!(
        rollout.log().contains(&format!("{}: old connections: 1 recycled", members[1].node())),
        "{}",
        rollout.log()
    );
    drop(internal(members[1].proxy.outbound(0).port()));
}

#[test]
fn a_connection_that_does_not_move_is_described_and_a_grace_ends_the_wait() {
    let first = Member::start(&[]);
    let outbound = ["--outbound".to_owned(), format!("127.0.0.1:0={}", first.me())];
    let members = vec![first, Member::start(&outbound)];
    form(&members, &[]);
    let rollout = Rollout::of(&members);
    let mut link = internal(members[1].proxy.outbound(0).port());
    link.send_half();
    let (code, stdout, stderr) = rollout.run("--to preferSSL --wait 1s");
    assert_eq!(code, 1, "{stdout}{stderr}");
    for text in [
        &format!("{}: old connections that remain: 1", members[1].node()),
        &format!("{}: a member at 127.0.0.1:", members[1].node()),
        &format!(" on outbound {0} to {0} (plaintext link), open since 20", members[0].me()),
        "Z: being recycled, but it has reached no message boundary yet",
        "--grace SECONDS ends the wait",
    ] {
        assert!(stderr.contains(text), "{text}: {stderr}");
    }
    assert!(stdout.contains("that remain: 1: a member at 127.0.0.1:"), "the screen names it meanwhile: {stdout}");
    let (code, stdout, stderr) = rollout.run("--to preferSSL --grace 1");
    assert_eq!((code, modes(&members)), (3, vec!["preferSSL".to_owned(); 2]), "{stdout}{stderr}");
    assert!(stdout.contains("old connections: 0 recycled, 1 cut, 0 ended by client or server"), "{stdout}");
    assert!(link.is_ended());
}

#[test]
fn a_client_is_accepted_on_all_nodes_at_once() {
    let members = three();
    let rollout = Rollout::of(&members);
    let mut reports: Vec<_> = members.iter().map(|member| Plain::connect(member.proxy.port())).collect();
    reports.iter_mut().for_each(|reports| drop(reports.hello("reports")));
    let (code, stdout, stderr) = rollout.run("--to requireSSL --wait 0");
    assert_eq!(code, 1, "{stdout}{stderr}");
    assert!(stderr.contains("on all nodes at once: run this rollout again with --accept KEY"), "{stderr}");
    let (code, stdout, stderr) = rollout.run("--to requireSSL --wait 1s --accept 127.0.0.1/reports/wire");
    assert_eq!((code, modes(&members)), (3, vec!["requireSSL".to_owned(); 3]), "{stdout}{stderr}");
    let text = "accepted on every node, known to 3 of 3: 127.0.0.1/reports/wire";
    assert!(stdout.contains(text) && rollout.log().contains(text), "{stdout}");
}

#[test]
fn a_node_that_fails_stops_it_and_may_take_all_back() {
    let mut members = three();
    let rollout = Rollout::of(&members);
    // An outside check whose target is a server without TLS.
    let wrong = format!("--to requireSSL --public {}={}", members[0].node(), members[0].server.address());
    let (code, stdout, stderr) = rollout.run(&wrong);
    assert_eq!(code, 1, "{stdout}{stderr}");
    assert!(
        stderr.contains(&format!("failed: {}: ", members[0].node()))
            && stderr.contains("does this node's tlsramp listen there?"),
        "{stderr}"
    );
    assert_eq!(modes(&members), ["allowSSL"; 3], "the others stay");
    let (code, stdout, stderr) = rollout.run(&format!("{wrong} --autoRollback"));
    assert_eq!(code, 1, "{stdout}{stderr}");
    assert!(stderr.contains("failed, and every node was taken back: "), "{stderr}");
    assert_eq!(modes(&members), ["disabled"; 3], "where the first of the two began");
    let lines: Vec<_> = stdout.lines().rev().take(3).collect();
    for (member, line) in members.iter().rev().zip(lines) {
        assert!(
            line.starts_with(&member.node()) && line.contains("disabled"),
            "the last lines say where all are: {stdout}"
        );
    }

    // If one node dies, the others go back as far as its last mode permits.
    let mut reports = Plain::connect(members[1].proxy.port());
    reports.hello("reports");
    let mut running = rollout.run_until("--to requireSSL --autoRollback", "waiting for: application reports");
    members[2].proxy.kill();
    let (code, output) = running.ends();
    assert_eq!(code, 1, "{output}");
    let node = members[2].node();
    assert!(
        output.contains(&format!("failed: {node}: ")) && output.contains("its last known mode is preferSSL"),
        "{output}"
    );
    assert_eq!(modes(&members[..2]), ["allowSSL"; 2], "one rung below it and no further");
    let (code, _, stderr) = rollout.run("--to requireSSL");
    assert!(code == 1 && stderr.contains(&format!("{node}: nothing listens on {node}")), "{stderr}");
}

#[test]
fn a_server_that_is_ill_stops_it() {
    let members = three();
    let rollout = Rollout::of(&members);
    members[1].server.say(doc! { "setName": "rs", "me": members[1].me(), "hosts": [members[1].me()] });
    let knows = || admin::of(&members[1].proxy).get("/status")["upstreams"][0]["state"] == "OTHER";
    crate::support::wait("the probe knows", knows);
    let (code, stdout, _) = rollout.run("--to allowSSL --dry-run");
    assert_eq!(code, 1);
    let text = format!("would not start: {}: its server is neither PRIMARY, SECONDARY nor ARBITER", members[1].node());
    assert!(stdout.contains(&text), "{stdout}");
}

/// The names that a node was given by `POST /members`.
fn told(proxy: &Proxy) -> Vec<String> {
    let status = admin::of(proxy).get("/status");
    let is_told = |member: &&Value| member["sources"].as_array().unwrap().contains(&json!("rollout"));
    let members = status["members"].as_array().unwrap().iter().filter(is_told);
    members.map(|member| member["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_node_is_told_the_names_of_all_members_of_all_sets() {
    let start = |count: usize| (0..count).map(|_| Member::start(&[])).collect::<Vec<_>>();
    let (mut members, hidden, shard) = (start(2), start(1), start(2));
    form_set("config", &members, &hidden, &[]);
    form_set("shard", &shard, &[], &[]);
    members.extend(hidden);
    members.extend(shard);
    let folder = Scratch::new("beside");
    let beside = beside_an_application(&[members[0].me()], &folder);
    let rollout = Rollout::of(&members).with([beside.address("admin").to_string()]);
    let (code, stdout, stderr) = rollout.run("--to allowSSL --dry-run");
    assert_eq!(code, 0, "{stdout}{stderr}");
    let (shard_node, hidden_name) = (members[3].node(), members[2].me());
    let line = format!("{shard_node}: before the first step, gets the names of members that it does not know: ");
    assert!(stdout.lines().any(|text| text.starts_with(&line) && text.contains(&hidden_name)), "{stdout}");
    assert!(told(&members[0].proxy).is_empty(), "a dry run changes nothing");

    let (code, stdout, stderr) = rollout.run("--to allowSSL");
    assert_eq!(code, 3, "{stdout}{stderr}");
    let mut all: Vec<_> = members.iter().map(Member::me).collect();
    all.sort();
    for proxy in members.iter().map(|member| &member.proxy).chain([&beside]) {
        let mut names = told(proxy);
        names.sort();
        assert_eq!(names, all);
    }
    let log = rollout.log();
    let (named, changed) = (log.find("every node has the names of all members: config: "), log.find(" changed "));
    assert!(named.is_some() && named < changed, "before the first step: {log}");
    assert!(log.contains("; shard: "), "{log}");
}

#[test]
fn a_tlsramp_too_old_to_be_told_names_stops_it() {
    let members = vec![Member::start(&[]), Member::start(&[])];
    form(&members, &[]);
    let old = without_members_request(members[1].proxy.address("admin"));
    let rollout = Rollout::of(&members[..1]).with([old.clone()]);
    let (code, stdout, stderr) = rollout.run("--to allowSSL");
    assert_eq!(code, 1, "{stdout}{stderr}");
    let text = format!("stopped: {old}: this tlsramp is too old to accept the names");
    assert!(stderr.contains(&text) && stderr.contains("update it first"), "{stderr}");
    assert_eq!(modes(&members), ["disabled"; 2]);
}

/// A proxy for an admin port that does not know `POST /members`, like older versions of tlsramp.
fn without_members_request(admin: SocketAddr) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut bytes = [0; 4096];
                let count = client.read(&mut bytes).ok()?;
                let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
                if text.starts_with("POST /members ") {
                    let body = json!({ "error": "there is no /members here", "code": "NotFound" }).to_string();
                    let head = format!(
                        "HTTP/1.1 404 Not Found\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                        body.len()
                    );
                    return client.write_all(format!("{head}{body}").as_bytes()).ok();
                }
                // The `Host` header must be the one that the admin port expects.
                let text = text.replace(&address.to_string(), &admin.to_string());
                let mut server = TcpStream::connect(admin).ok()?;
                server.write_all(text.as_bytes()).ok()?;
                std::io::copy(&mut server, &mut client).ok().map(drop)
            });
        }
    });
    address.to_string()
}

#[test]
fn a_proxy_beside_an_application_steps_with_the_others() {
    let members = three();
    let folder = Scratch::new("beside");
    let beside = beside_an_application(&members.iter().map(Member::me).collect::<Vec<_>>(), &folder);
    let node = beside.address("admin").to_string();
    let mode = || admin::of(&beside).get("/status")["sslMode"].as_str().unwrap().to_owned();
    let rollout = Rollout { nodes: vec![node.clone()], folder: Scratch::new("rollout") };
    let rollout = rollout.with(members.iter().map(Member::node));
    let mut shop = Plain::connect(beside.outbound(2).port());
    shop.hello("shop");
    let (code, stdout, stderr) = rollout.run("--to requireSSL");
    assert_eq!(
        (code, modes(&members), mode()),
        (3, vec!["requireSSL".to_owned(); 3], "requireSSL".to_owned()),
        "{stdout}{stderr}"
    );
    assert!(shop.is_ended(), "its link was plaintext, and moved");
    let changed =
        rollout.log().lines().filter_map(|line| Some(line.split_once(" changed ")?.1.to_owned())).collect::<Vec<_>>();
    let order: Vec<_> = changed.iter().map(|line| line.split(' ').next().unwrap()).collect();
    let rung = [members[1].node(), members[2].node(), node.clone(), members[0].node()];
    assert_eq!(order, [&rung[..]; 3].concat(), "after the secondaries, before the primary");
    assert!(rollout.log().contains("no check from outside, since it has no inbound route"), "{}", rollout.log());
    assert!(stdout.contains(&format!("{node}  OUTBOUND    requireSSL")), "{stdout}");

    // Its TLS link conforms to the policy, so that the way back does not wait for it.
    let mut shop = Plain::connect(beside.outbound(2).port());
    shop.hello("shop");
    let (code, stdout, stderr) = rollout.run("--rollback --to disabled --wait 5s");
    assert_eq!(
        (code, modes(&members), mode()),
        (0, vec!["disabled".to_owned(); 3], "disabled".to_owned()),
        "{stdout}{stderr}"
    );
}

#[test]
fn a_step_after_which_a_node_does_not_reach_a_server_is_not_verified() {
    let elsewhere = Hello::start();
    elsewhere.say(doc! { "isWritablePrimary": true });
    let outbound = ["--outbound".to_owned(), format!("127.0.0.1:0={}", elsewhere.address())];
    let members = vec![Member::start(&[]), Member::start(&[]), Member::start(&outbound)];
    form(&members, &[]);
    let is_up = || admin::of(&members[2].proxy).get("/status")["upstreams"][1]["up"] == true;
    crate::support::wait("the server elsewhere was probed", is_up);
    // The server elsewhere begins to hang when the first node is checked from outside.
    let look = TcpListener::bind("127.0.0.1:0").unwrap();
    let public = format!("--to allowSSL --public {}={}", members[1].node(), look.local_addr().unwrap());
    let hanging = elsewhere.clone();
    thread::spawn(move || {
        for mut client in look.incoming().map_while(Result::ok) {
            hanging.hush();
            let _ = client.read(&mut [0; 4096]);
            let _ = client.write_all(&[22]);
        }
    });
    let rollout = Rollout::of(&members);
    let (code, stdout, stderr) = rollout.run(&public);
    assert_eq!(code, 1, "{stdout}{stderr}");
    let (node, server) = (members[2].node(), elsewhere.address());
    let text = format!("failed: {node}: it does not reach {server} (outbound {server}): no answer within");
    assert!(stderr.contains(&text), "{stderr}");
    assert_eq!(modes(&members), ["disabled", "allowSSL", "allowSSL"], "the step after it was not taken");
    assert_eq!(rollout.log().matches(": verified at").count(), 1, "{}", rollout.log());
}

#[test]
fn a_live_member_that_is_not_listed_stops_the_way_back_and_a_dead_one_does_not() {
    let third = Member::start(&[]);
    let outbound = ["--outbound".to_owned(), format!("127.0.0.1:0={}", third.me())];
    let mut members = vec![Member::start(&[]), Member::start(&outbound), third];
    form(&members, &[]);
    let all = Rollout::of(&members);
    assert_eq!(all.run("--to allowSSL").0, 3);
    let two = Rollout { nodes: all.nodes[..2].to_vec(), folder: all.folder };
    let (third, text) = (members[2].me(), "is not a listed node");
    for (line, prefix) in [("--rollback", "stopped: "), ("--rollback --dry-run", "would not start: ")] {
        let (code, stdout, stderr) = two.run(line);
        let said = format!("{prefix}{}: a live member at {third} ({third}) {text}", members[1].node());
        assert!(code == 1 && (stdout.contains(&said) || stderr.contains(&said)), "{stdout}{stderr}");
    }
    assert_eq!(modes(&members), ["allowSSL"; 3]);
    let (code, stdout, stderr) = two.run("--rollback --force");
    assert_eq!(
        (code, modes(&members)),
        (0, ["disabled", "disabled", "allowSSL"].map(String::from).to_vec()),
        "{stdout}{stderr}"
    );
    assert!(stdout.contains(": a live member at"), "{stdout}");

    // An emergency: a node's host is down, and it is left out.
    assert_eq!(two.run("--to allowSSL").0, 1, "up, it is missed");
    for member in &members[..2] {
        admin::of(&member.proxy).put("/mode", &json!({ "mode": "allowSSL" }));
    }
    members[2].proxy.kill();
    let is_down = || admin::of(&members[1].proxy).get("/status")["upstreams"][1]["up"] == false;
    crate::support::wait("the probe knows that it is gone", is_down);
    let (code, stdout, stderr) = two.run("--rollback --to disabled");
    assert_eq!((code, modes(&members[..2])), (0, vec!["disabled".to_owned(); 2]), "{stdout}{stderr}");
    assert!(stdout.contains(&format!("the set's member {third} is not a listed node")), "{stdout}");
}

#[test]
fn a_node_whose_mode_fell_behind_is_named_and_brought_up() {
    let members = three();
    let rollout = Rollout::of(&members);
    assert_eq!(rollout.run("--to preferSSL").0, 3);
    let lost = json!({ "mode": "disabled", "force": true });
    admin::of(&members[2].proxy).put("/mode", &lost);
    let text = "its mode has fallen behind: it is disabled, but its last mode in the log is preferSSL";
    let (_, stdout, _) = rollout.run("--to preferSSL --dry-run");
    assert!(stdout.contains(&format!("{}: {text}", members[2].node())), "{stdout}");
    let (code, stdout, stderr) = rollout.run("--to preferSSL");
    assert_eq!((code, modes(&members)), (3, vec!["preferSSL".to_owned(); 3]), "{stdout}{stderr}");
    assert!(stdout.contains(text), "{stdout}");
    // The end of the rollout reports a node that cannot be brought up.
    admin::of(&members[2].proxy).put("/mode", &lost);
    let (code, stdout, _) = rollout.run("--to allowSSL");
    assert_eq!(code, 1, "the others are above that");
    assert!(stdout.lines().any(|line| line.contains("disabled") && line.contains(text)), "{stdout}");
}

#[test]
fn nodes_by_unix_sockets_and_servers_by_other_names_are_known() {
    let folder = Scratch::new("sockets");
    let socket = |n: usize| format!("unix:{}", folder.join(format!("{n}.sock")).display());
    let admin = |n: usize| ["--adminBind".to_owned(), "127.0.0.1:0".to_owned(), "--adminBind".to_owned(), socket(n)];
    let first = Member::start(&admin(0));
    let outbound = ["--outbound".to_owned(), format!("127.0.0.1:0=localhost:{}", first.proxy.port())];
    let members = vec![first, Member::start(&[&admin(1)[..], &outbound].concat())];
    form(&members, &[]);
    let link = internal(members[1].proxy.outbound(0).port());
    let rollout = Rollout { nodes: vec![socket(0), socket(1)], folder: Scratch::new("rollout") };
    let (code, stdout, stderr) = rollout.run("--to allowSSL");
    assert_eq!((code, modes(&members)), (3, vec!["allowSSL".to_owned(); 2]), "{stdout}{stderr}");
    drop(link);
}

#[test]
fn printed_commands_run_as_they_are_printed() {
    let members = vec![Member::start(&[]), Member::start(&[])];
    form(&members, &[]);
    let mut reports = Plain::connect(members[0].proxy.port());
    reports.hello("rep 'orts");
    let nodes = members.iter().map(|member| format!("localhost:{}", member.proxy.address("admin").port())).collect();
    let rollout = Rollout { nodes, folder: Scratch::new("rollout") };
    let certificates = rollout.folder.join("a b");
    fs::create_dir(&certificates).unwrap();
    for file in ["ca.pem", "client.pem"] {
        fs::copy(cert(file), certificates.join(file)).unwrap();
    }
    let mut command = rollout.command("--to requireSSL --wait 0 --tls");
    command.arg("--tlsCAFile").arg(certificates.join("ca.pem"));
    command.arg("--tlsCertificateKeyFile").arg(certificates.join("client.pem"));
    let output = process::output(command, LIMIT).unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let printed = stderr.lines().find_map(|line| line.split_once("to accept it, run: ")).map(|(_, printed)| printed);
    let printed = printed.unwrap_or_else(|| panic!("no command is printed: {stderr}"));
    assert!(printed.contains(" --tls --tlsCAFile '") && printed.contains(" --tlsCertificateKeyFile '"), "{printed}");
    let mut shell = process::tethered("/bin/sh");
    let bin = Path::new(env!("CARGO_BIN_EXE_tlsramp")).parent().unwrap();
    shell.args(["-c", printed]).env("PATH", bin).current_dir("/");
    process::succeed(shell, LIMIT).unwrap();
    let clients = admin::of(&members[0].proxy).get("/clients?plaintext")["clients"].clone();
    let row = clients.as_array().unwrap().iter().find(|row| row["application"] == "rep 'orts").unwrap();
    assert_eq!(row["accepted"], true, "{row}");
}

#[test]
fn what_cannot_be_meant_is_usage() {
    let rollout = Rollout { nodes: vec!["127.0.0.1:1".to_owned()], folder: Scratch::new("rollout") };
    for (line, part) in [
        ("--to nonsense", "unknown mode 'nonsense'"),
        ("", "--to"),
        ("--to allowSSL --node 127.0.0.1:1", "is given twice"),
        ("--rollback", "has no rollout of all these nodes"),
        ("--to allowSSL --log /nowhere/log", "cannot write the log"),
        ("--to allowSSL --tls", "--tls requires --tlsCAFile"),
    ] {
        let (code, _, stderr) = rollout.run(line);
        assert!(code == 2 && stderr.contains(part), "{line}: {code} {stderr}");
    }
    let (code, _, stderr) = rollout.run("--to allowSSL");
    assert!(code == 1 && stderr.contains("nothing listens on 127.0.0.1:1"), "{stderr}");
}

/// Covers a rollout's own waits and a busy machine.
const LIMIT: Duration = Duration::from_secs(240);
