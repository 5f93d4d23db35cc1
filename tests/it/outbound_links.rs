//! Links to other servers: a step that would cut one off is refused with a remedy, and a failing link is reported.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

use std::{
    env, fs,
    io::Write as _,
    net::{SocketAddr, TcpStream},
    process::Command,
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    support::admin::{self, Admin},
    support::service::{SOON, Upstream, echoes, wait_until},
    support::{Proxy, ProxyBuilder, Scratch, cert, certs, process, require_command, require_root},
    transparent::{GROUP, INSIDE, MEMBER, MEMBER_PORT, OWN, PORT, TRANSPARENT, network},
};

/// A server that answers that it only accepts TLS cannot be reached by plaintext, although it answers.
#[test]
fn a_peer_that_takes_tls_only_is_down_until_links_are_tls() {
    let server = Upstream::start();
    let (key, ca) = (cert("member.pem"), cert("ca.pem"));
    let tls = ["--sslPEMKeyFile", &key, "--sslCAFile", &ca];
    let upstream = server.address.to_string();
    let to_server = ["--port", "0", "--upstream", &upstream, "--upstreamTLS", "never"];
    let peer = Proxy::start([&to_server[..], &["--sslMode", "requireSSL"], &tls].concat());
    let outbound = format!("127.0.0.1:0=127.0.0.1:{},name=localhost", peer.port());
    let links = ["--outbound", &outbound, "--upstreamProbe", "on", "--sslMode", "allowSSL"];
    let proxy = Proxy::start([&to_server[..], &links, &tls].concat());
    let admin = admin::of(&proxy);
    let is_up = |up: bool| {
        let status = admin.get("/status");
        let found = status["upstreams"].as_array().unwrap().iter().find(|server| server["route"] != "inbound").unwrap();
        found["checked"] != "" && found["up"] == up
    };
    assert!(wait_until(SOON, || is_up(false)), "{}", admin.get("/status"));
    let status = admin.get("/status");
    assert!(status["warnings"].to_string().contains("the server accepts only TLS"), "{status}");
    assert_eq!((&status["links"][0]["up"], &status["links"][0]["link"]), (&false.into(), &"plaintext".into()));
    assert!(status["links"][0]["reason"].as_str().unwrap().contains("only allow SSL"), "{status}");
    // TLS links solve this.
    admin.put("/mode", &json!({ "mode": "preferSSL" }));
    assert!(wait_until(SOON, || is_up(true)), "{}", admin.get("/status"));
    assert_eq!(admin.get("/status")["links"][0]["up"], true);
}

/// If the kernel redirects connections, the names of servers that no `hello` lists are unknown.
#[test]
fn redirected_destinations() {
    require_root!();
    for command in ["unshare", "ip", "nft", "setpriv", "mount"] {
        require_command!(command);
    }
    if env::var_os(INSIDE).is_some() {
        network();
        let hosts = Scratch::new("hosts");
        fs::write(hosts.join("hosts"), format!("127.0.0.1 localhost\n{MEMBER} {NAME}\n")).unwrap();
        let hosts = hosts.join("hosts").display().to_string();
        assert!(Command::new("mount").args(["--bind", &hosts, "/etc/hosts"]).status().unwrap().success());
        without_a_name_refuse_the_step_until_they_have_one();
        with_tls_disabled_are_to_be_stepped_up_first();
        that_are_gone_are_no_matter_of_the_step();
        that_get_tls_of_the_clients_own_are_left_alone();
        return;
    }
    // In separate namespaces, which are removed with the process.
    let mut command = process::tethered("unshare");
    let test = thread::current().name().expect("a test's thread has its name").to_owned();
    command.args(["--net", "--mount", "--"]).arg(env::current_exe().unwrap());
    command.args([&test, "--exact", "--nocapture"]).env(INSIDE, "1");
    let output = process::output(command, Duration::from_secs(900)).unwrap();
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(output.status.success() && said.contains("1 passed"), "in the namespaces:\n{said}");
}

fn without_a_name_refuse_the_step_until_they_have_one() {
    let server = Upstream::start();
    let _peer = peer(&server, "allowSSL");
    let folder = Scratch::new("links");
    let state = folder.join("state").display().to_string();
    let proxy = sidecar("allowSSL", &["--stateFile", &state]);
    assert_eq!(ready("preferSSL")["ready"], true, "nothing was dialled yet");
    let mut local = connect();
    echoes(&mut local, b"plaintext");
    let link = link();
    assert_eq!((&link["up"], &link["open"], &link["link"]), (&true.into(), &1.into(), &"plaintext".into()), "{link}");
    assert_eq!((&link["names"], &link["route"]), (&json!([MEMBER]), &"outbound transparent".into()));

    let refused = step("preferSSL").json(409);
    let mend = format!("--member {NAME}:{MEMBER_PORT}={MEMBER}");
    let why = format!("its certificate is for {NAME}, but no name of {MEMBER} is known");
    let blocker = &refused["blockers"][0];
    assert_eq!((&refused["code"], &blocker["fatal"]), (&"Unreachable".into(), &true.into()), "{refused}");
    assert!(blocker["text"].as_str().unwrap().contains(&why), "{refused}");
    assert!(blocker["remedy"].as_str().unwrap().contains(&mend), "{refused}");
    assert_eq!(self::link()["suggestion"], mend.as_str());
    // A destination counts if it was dialled recently, whether connected or not.
    drop(local);
    assert!(wait_until(SOON, || self::link()["open"] == 0));
    let refused = step("preferSSL").json(409);
    let blocker = &refused["blockers"][0];
    assert_eq!((&refused["code"], &blocker["open"]), (&"Unreachable".into(), &0.into()), "{refused}");
    assert!(blocker["remedy"].as_str().unwrap().contains("--guardWindow"), "{refused}");

    by_force_it_is_seen_to_fail(&proxy, &why, &mend);

    let mark = proxy.log().mark();
    let sets = json!({ "sets": { "rs1": [format!("{NAME}:{MEMBER_PORT}")] } });
    let named = admin().post("/members", &sets);
    assert_eq!(named["members"][0]["addresses"], json!([MEMBER]), "{named}");
    assert_eq!(step("preferSSL").json(200)["warnings"], Value::Null);
    echoes(&mut connect(), b"by TLS");
    let link = self::link();
    assert_eq!((&link["up"], &link["link"], &link["names"]), (&true.into(), &"tls".into(), &json!([NAME])), "{link}");
    assert_eq!((&link["reason"], &link["suggestion"]), (&Value::Null, &Value::Null), "{link}");
    assert!(!admin().get("/status")["warnings"].to_string().contains(MEMBER));
    let record = proxy.log().wait(mark, SOON, |line| line["message"] == "connection").unwrap();
    assert_eq!((&record["outcome"], &record["upstream_link"]), (&"completed".into(), &"tls".into()), "{record}");

    drop(proxy);
    let _proxy = sidecar("preferSSL", &["--stateFile", &state]);
    let known = || admin().get("/status")["members"][0]["addresses"] == json!([MEMBER]);
    assert!(wait_until(SOON, known), "a restart keeps the name");
    echoes(&mut connect(), b"after a restart");
}

/// A link that a forced step cuts off causes a warning, is counted, and blocks the next step.
fn by_force_it_is_seen_to_fail(proxy: &Proxy, why: &str, mend: &str) {
    let mark = proxy.log().mark();
    admin().put("/mode", &json!({ "mode": "preferSSL", "force": true }));
    let mut local = connect();
    local.write_all(b"cut off").unwrap();
    let record = proxy.log().wait(mark, SOON, |line| line["message"] == "connection").unwrap();
    assert_eq!(record["outcome"], "upstream_tls_failed", "{record}");
    let link = link();
    assert_eq!((&link["up"], &link["reason"]), (&false.into(), &why.into()), "{link}");
    assert_eq!(link["suggestion"], mend);
    assert!(link["lastOk"].is_string() && link["lastFailed"].is_string(), "{link}");
    let warnings = admin().get("/status")["warnings"].to_string();
    assert!(warnings.contains(why) && warnings.contains(mend), "{warnings}");
    let blockers = ready("requireSSL")["blockers"].to_string();
    assert!(blockers.contains(why) && blockers.contains(mend), "{blockers}");
    let metrics = admin().request("GET", "/metrics", None).body;
    let series =
        format!(r#"tlsramp_outbound_link_up{{route="outbound transparent",destination="{MEMBER}:{MEMBER_PORT}"}} 0"#);
    assert!(metrics.contains(&series), "{metrics}");
    admin().put("/mode", &json!({ "mode": "allowSSL", "force": true }));
}

fn with_tls_disabled_are_to_be_stepped_up_first() {
    let server = Upstream::start();
    let peer = peer(&server, "disabled");
    let _proxy = sidecar("allowSSL", &["--member", &format!("{NAME}:{MEMBER_PORT}={MEMBER}")]);
    let mut local = connect();
    echoes(&mut local, b"plaintext");
    let refused = step("preferSSL").json(409);
    let blocker = &refused["blockers"][0];
    assert_eq!((&refused["code"], &blocker["fatal"]), (&"Unreachable".into(), &true.into()), "{refused}");
    assert!(blocker["text"].as_str().unwrap().contains("access_denied (49)"), "{refused}");
    assert!(
        blocker["remedy"].as_str().unwrap().contains("change the mode of that tlsramp to allowSSL first"),
        "{refused}"
    );
    drop(peer);
}

/// A change does not cut off a server that no link reaches; it is reported as down.
fn that_are_gone_are_no_matter_of_the_step() {
    let server = Upstream::start();
    let peer = peer(&server, "allowSSL");
    let _proxy = sidecar("allowSSL", &[]);
    echoes(&mut connect(), b"plaintext");
    drop(peer);
    assert!(wait_until(SOON, || link()["open"] == 0));
    let guarded = admin().request("PUT", "/mode", Some(&json!({ "mode": "preferSSL", "guard": true }))).json(409);
    assert_eq!((&guarded["code"], &guarded["blockers"][0]["fatal"]), (&"Guarded".into(), &false.into()), "{guarded}");
    let reply = step("preferSSL").json(200);
    assert!(reply["warnings"][0].as_str().unwrap().contains(&format!("{MEMBER}:{MEMBER_PORT}")), "{reply}");
}

fn that_get_tls_of_the_clients_own_are_left_alone() {
    let server = Upstream::start();
    let _peer = peer(&server, "allowSSL");
    let _proxy = sidecar("allowSSL", &[]);
    let mut local = connect();
    local.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 and more").unwrap();
    let untouched = || admin().get("/status")["links"][0]["link"] == "untouched";
    assert!(wait_until(SOON, untouched), "{}", admin().get("/status")["links"]);
    assert_eq!(ready("preferSSL")["ready"], true, "{}", ready("preferSSL"));
}

/// The tlsramp of a member, whose certificate is for [`NAME`].
fn peer(server: &Upstream, mode: &str) -> Proxy {
    let upstream = server.address.to_string();
    let inbound = ["--port", &MEMBER_PORT.to_string(), "--bind_ip", MEMBER, "--upstream", &upstream].map(str::to_owned);
    let rest = ["--upstreamTLS", "never", "--adminBind", "none", "--upstreamProbe", "off", "--sslMode", mode];
    start(&[&inbound[..], &rest.map(str::to_owned)].concat(), "wrong-name.pem")
}

/// The tlsramp beside the server that dials.
fn sidecar(mode: &str, more: &[&str]) -> Proxy {
    let own = format!("{OWN}:{PORT}");
    let (transparent, admin) = (TRANSPARENT.to_string(), ADMIN.to_string());
    let inbound = ["--port", "27117", "--bind_ip", OWN, "--upstream", &own, "--upstreamTLS", "never"];
    let rest = ["--outboundTransparent", &transparent, "--adminBind", &admin, "--upstreamProbe", "off"];
    let args = [&inbound[..], &rest, &["--sslMode", mode], more].concat();
    start(&args.into_iter().map(str::to_owned).collect::<Vec<_>>(), "member.pem")
}

/// Starts it in the group whose connections are not redirected.
fn start(args: &[String], certificate: &str) -> Proxy {
    let wrapper = ["setpriv", "--regid", GROUP, "--clear-groups", "--"].map(str::to_owned);
    let certs = certs::shared().display();
    let tls = ["--sslPEMKeyFile", &format!("{certs}/{certificate}"), "--sslCAFile", &format!("{certs}/ca.pem")];
    ProxyBuilder::new([args, &tls.map(str::to_owned)].concat()).wrapped(&wrapper).start()
}

fn admin() -> Admin {
    admin::at(ADMIN.parse().unwrap())
}

fn step(mode: &str) -> admin::Answer {
    admin().request("PUT", "/mode", Some(&json!({ "mode": mode })))
}

fn ready(mode: &str) -> Value {
    admin().get(&format!("/ready?to={mode}"))
}

/// The link to the peer.
#[track_caller]
fn link() -> Value {
    let links = admin().get("/status")["links"].clone();
    let destination = format!("{MEMBER}:{MEMBER_PORT}");
    let found = links.as_array().unwrap().iter().find(|link| link["destination"] == destination.as_str());
    found.unwrap_or_else(|| panic!("no link to {destination}: {links}")).clone()
}

/// A connection from the local server to the peer, which the kernel redirects.
fn connect() -> TcpStream {
    let stream = TcpStream::connect(SocketAddr::new(MEMBER.parse().unwrap(), MEMBER_PORT)).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream
}

/// The only name of `wrong-name.pem`.
const NAME: &str = "wrong-name.invalid";
const ADMIN: &str = "127.0.0.1:27900";
