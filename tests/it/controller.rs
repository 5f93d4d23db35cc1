//! The controller as seen from outside: what it refuses and why, what survives a restart, leases, and its log lines.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

use std::{
    fs,
    net::TcpListener,
    path::Path,
    sync::{Arc, Condvar, Mutex, mpsc},
    thread,
    time::Duration,
};

use bson::doc;
use serde_json::{Value, json};

use crate::support::{
    Mongod, Proxy, Scratch,
    admin::{self, Admin},
    cert, mongod, parts,
    plain::Plain,
    proxy::Signal,
    require, run_to_end,
    service::{SOON, Upstream},
    tls, wait,
};

/// With the policy, `preferSSL` would use TLS to a server that does not speak it: a change of mode must not cause an
/// outage.
#[test]
fn a_step_that_would_cut_off_the_server_is_refused_and_force_takes_it() {
    require!(parts::mongod());
    let mongod = Mongod::start(&mongod::Options::default());
    let upstream = mongod.address();
    let proxy = proxy(&["--upstream", &upstream, "--sslMode", "allowSSL", "--upstreamProbe", "on"]);
    let admin = admin::of(&proxy);
    wait("the server is up", || admin.get("/status")["upstreams"][0]["up"] == true);

    let ready = admin.get("/ready?to=preferSSL");
    assert_eq!((&ready["ready"], &ready["blockers"][0]["kind"]), (&json!(false), &json!("upstream")), "{ready}");
    let refused = admin.request("PUT", "/mode", Some(&json!({ "mode": "preferSSL" }))).json(409);
    let text = refused["error"].as_str().unwrap();
    assert_eq!(refused["code"], "Unreachable");
    assert!(text.contains(&upstream) && text.contains("does it speak TLS") | text.contains("closed"), "{text}");
    assert!(refused["blockers"][0]["remedy"].as_str().unwrap().contains("upstreamTLS"), "{refused}");
    assert_eq!(admin.get("/status")["sslMode"], "allowSSL");
    // The other kind of link is probed at most once a minute: the server has seen one attempt, however often it was
    // requested.
    let ended = |line: &&Value| line["msg"] == "Error receiving request from client. Ending connection from remote";
    let attempts = || mongod.log().objects(crate::support::Mark::START).iter().filter(ended).count();
    wait("the server has seen an attempt", || attempts() > 0);
    assert_eq!(attempts(), 1);

    let forced = admin.put("/mode", &json!({ "mode": "preferSSL", "force": true }));
    assert_eq!((&forced["was"], &forced["generation"]), (&json!("allowSSL"), &json!(2)));
    assert!(forced["warnings"][0].as_str().unwrap().contains(&upstream), "{forced}");
    wait("the server is down", || admin.get("/status")["upstreams"][0]["up"] == false);
    let status = admin.get("/status");
    assert!(status["warnings"].to_string().contains("is down"), "{status}");
    let back = admin.put("/mode", &json!({ "mode": "allowSSL", "force": true }));
    assert_eq!((&back["was"], &back["mode"]), (&json!("preferSSL"), &json!("allowSSL")));
}

/// The drivers of a set that advertises the server's own port bypass the proxy.
#[test]
fn a_set_that_leads_around_the_proxy_is_warned_of() {
    require!(parts::mongod());
    let mongod = Mongod::start(&mongod::Options { replica_set: Some("rs".into()), ..mongod::Options::default() });
    let upstream = mongod.address();
    let proxy =
        proxy(&["--upstream", &upstream, "--upstreamTLS", "never", "--sslMode", "allowSSL", "--upstreamProbe", "on"]);
    let admin = admin::of(&proxy);
    let config = doc! { "_id": "rs", "members": [{ "_id": 0, "host": &upstream }] };
    let reply = Plain::connect(proxy.port()).command("admin", &doc! { "replSetInitiate": config });
    assert_eq!(reply.get_f64("ok").unwrap(), 1.0, "{reply}");
    wait("there is a primary", || admin.get("/status")["upstreams"][0]["state"] == "PRIMARY");
    let status = admin.get("/status");
    let seen = &status["upstreams"][0];
    assert_eq!((&seen["setName"], &seen["me"], &seen["hosts"]), (&json!("rs"), &json!(upstream), &json!([upstream])));
    let warning = status["warnings"][0].as_str().unwrap();
    assert!(warning.contains(&upstream) && warning.contains(&format!("port {}", proxy.port())), "{warning}");
}

#[test]
fn the_ladder_by_http_is_idempotent_and_says_no_otherwise() {
    let service = Upstream::start();
    let proxy = proxy(&["--upstream", &service.address.to_string(), "--upstreamTLS", "never", "--sslMode", "disabled"]);
    let admin = admin::of(&proxy);
    let put = |body: Value| admin.request("PUT", "/mode", Some(&body));
    for (body, status, code) in [
        (json!({ "mode": "preferSSL" }), 409, "IllegalTransition"),
        (json!({ "mode": "prefer" }), 400, "BadRequest"),
        (json!({ "mode": "allowSSL", "forse": true }), 400, "BadRequest"),
        (json!({ "mode": 5 }), 400, "BadRequest"),
        (json!({}), 400, "BadRequest"),
        (json!({ "mode": "allowSSL", "persist": true }), 409, "NoStateFile"),
    ] {
        let answer = put(body.clone()).json(status);
        assert_eq!(answer["code"], code, "{body}: {answer}");
    }
    assert_eq!(
        put(json!({ "mode": "allowTLS" })).json(200),
        json!({ "was": "disabled", "mode": "allowTLS", "generation": 2, "persisted": false })
    );
    assert_eq!(put(json!({ "mode": "allowSSL" })).json(200)["generation"], 2, "again is no change");
    assert_eq!(put(json!({ "mode": "disabled" })).json(409)["code"], "IllegalTransition");
    assert_eq!(put(json!({ "mode": "disabled", "force": true })).json(200)["generation"], 3);
    proxy.wait_log(|line| line["message"] == "mode changed by force", Duration::from_secs(30));
    let lines = proxy.log().objects(crate::support::Mark::START);
    let changes: Vec<_> =
        lines.iter().filter(|line| line["message"].as_str().unwrap().starts_with("mode change")).collect();
    let said: Vec<_> = changes.iter().map(|line| line["message"].as_str().unwrap()).collect();
    let (refused, changed) = ("mode change refused", "mode changed");
    assert_eq!(said, [refused, refused, changed, refused, "mode changed by force"]);
    assert!(
        changes.iter().all(|line| line["door"] == "http" && line["by"].as_str().unwrap().starts_with("127.0.0.1:"))
    );
}

/// A step whose answer was lost is requested again. This must not fail because of clients that the mode in force
/// refuses.
#[test]
fn what_is_in_force_may_be_asked_for_again_under_guard() {
    let service = Upstream::start();
    let proxy =
        proxy(&["--upstream", &service.address.to_string(), "--upstreamTLS", "never", "--sslMode", "requireSSL"]);
    let admin = admin::of(&proxy);
    let refused = Plain::connect(proxy.port()).hello("turned away");
    assert_eq!(refused.get_i32("code").unwrap(), 141);
    wait("the client is seen", || admin.get("/ready?to=requireSSL")["ready"] == false);
    let again = admin.put("/mode", &json!({ "mode": "requireSSL", "guard": true }));
    assert_eq!((&again["was"], &again["generation"]), (&json!("requireSSL"), &json!(1)));
}

/// If a file adds a CA and a mode that needs it, the reload is judged with that CA: a right one and a wrong one.
#[test]
fn a_reload_is_judged_by_what_it_brings() {
    require!(parts::mongod());
    let tls = mongod::Tls { mode: "allowTLS", certificate_key_file: cert("server.pem"), ca_file: Some(cert("ca.pem")) };
    let mongod = Mongod::start(&mongod::Options { tls: Some(tls), ..mongod::Options::default() });
    let text = |mode: &str, ca: &str| {
        let (port, key, cluster) = (mongod.port(), cert("server.pem"), cert("member.pem"));
        format!(
            "port = 0\nupstream = localhost:{port}\nsslMode = {mode}\nsslPEMKeyFile = {key}\nsslClusterFile = {cluster}\n{ca}"
        )
    };
    let ca = |name: &str| format!("sslCAFile = {}\n", cert(name));
    let proxy = Proxy::start_with_config(&text("allowSSL", ""), ["--upstreamProbe", "on"]);
    let admin = admin::of(&proxy);
    wait("the server is up", || admin.get("/status")["upstreams"][0]["up"] == true);
    fs::write(proxy.config_file(), text("preferSSL", &ca("other-ca.pem"))).unwrap();
    let refused = admin.request("POST", "/reload", Some(&json!({}))).json(409);
    assert_eq!(refused["code"], "Unreachable", "{refused}");
    assert_eq!(admin.get("/status")["sslMode"], "allowSSL");
    fs::write(proxy.config_file(), text("preferSSL", &ca("ca.pem"))).unwrap();
    let taken = admin.post("/reload", &json!({}));
    assert_eq!((&taken["was"], &taken["mode"]), (&json!("allowSSL"), &json!("preferSSL")), "{taken}");
    wait("the link is TLS", || admin.get("/status")["upstreams"][0]["link"] == "tls");
    assert_eq!(admin.get("/status")["upstreams"][0]["up"], true);
}

/// A change is persisted only on request, and then until the configuration names another mode.
#[test]
fn after_a_restart_the_mode_is_the_files_or_the_persisted_one() {
    let service = Upstream::start();
    let folder = Scratch::new("controller");
    let (file, state) = (folder.join("tlsramp.conf"), folder.join("state"));
    let write = |mode: &str| {
        let (upstream, key, ca) = (service.address, cert("server.pem"), cert("ca.pem"));
        let text = format!(
            "port = 0\nupstream = {upstream}\nupstreamTLS = never\nsslMode = {mode}\nsslPEMKeyFile = {key}\nsslCAFile = {ca}\nstateFile = {}\n",
            state.display()
        );
        fs::write(&file, text).unwrap();
    };
    let start = || Proxy::start(["--config", &file.display().to_string()]);
    write("allowSSL");
    let mut proxy = start();
    let mut admin = admin::of(&proxy);
    admin.put("/mode", &json!({ "mode": "preferSSL" }));
    let status = admin.get("/status");
    assert_eq!(status["drift"], "a restart would go back to allowSSL");
    assert_eq!(status["warnings"][0], status["drift"]);
    write("preferSSL");
    assert_eq!(admin.get("/status")["drift"], Value::Null, "the file has it now, read or not");
    write("allowSSL");
    proxy.terminate();

    proxy = start();
    admin = admin::of(&proxy);
    assert_eq!(admin.get("/status")["sslMode"], "allowSSL", "it is the file's");
    admin.put("/mode", &json!({ "mode": "preferSSL" }));
    let changed = admin.put("/mode", &json!({ "mode": "requireSSL", "persist": true }));
    assert_eq!(changed["persisted"], true);
    let status = admin.get("/status");
    assert_eq!((&status["drift"], &status["persistedMode"]), (&Value::Null, &json!("requireSSL")));
    proxy.kill();

    proxy = start();
    admin = admin::of(&proxy);
    assert_eq!(admin.get("/status")["sslMode"], "requireSSL", "it was persisted, and the file is as it was");
    proxy.terminate();
    write("preferSSL");
    proxy = start();
    admin = admin::of(&proxy);
    let status = admin.get("/status");
    assert_eq!(
        (&status["sslMode"], &status["persistedMode"]),
        (&json!("preferSSL"), &Value::Null),
        "the file has changed"
    );
    proxy.terminate();

    assert_eq!(mode_of(&state), 0o600);
    fs::write(&state, "{ \"mode\":").unwrap();
    let output = run_to_end(["run", "--config", &file.display().to_string()]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("--stateFile") && said.contains("state file"), "{said}");
}

#[test]
fn a_lease_keeps_others_out_until_it_ends() {
    let service = Upstream::start();
    let text = format!(
        "port = 0\nupstream = {}\nupstreamTLS = never\nsslMode = allowSSL\nsslPEMKeyFile = {}\nsslCAFile = {}\n",
        service.address,
        cert("server.pem"),
        cert("ca.pem")
    );
    let proxy = Proxy::start_with_config::<&str>(&text, []);
    let admin = admin::of(&proxy);
    let lease = admin.post("/lease", &json!({ "holder": "a", "ttlSecs": 600 }));
    assert_eq!(lease["lease"]["holder"], "a");
    let prefer = json!({ "mode": "preferSSL" });
    let refused = admin.request("PUT", "/mode", Some(&prefer)).json(409);
    assert_eq!(refused["code"], "Leased");
    assert!(refused["error"].as_str().unwrap().contains("a holds the lease"), "{refused}");
    assert_eq!(
        admin.request("POST", "/lease", Some(&json!({ "holder": "b", "ttlSecs": 5 }))).json(409)["code"],
        "Leased"
    );
    fs::write(proxy.config_file(), text.replace("allowSSL", "preferSSL")).unwrap();
    let mark = proxy.mark();
    proxy.signal(Signal::HUP);
    let line = proxy.wait_log_since(
        mark,
        |line| line["message"].as_str().is_some_and(|said| said.contains("reload")),
        Duration::from_secs(30),
    );
    assert!(line["error"].as_str().unwrap().contains("holds the lease"), "{line}");
    assert_eq!(admin.put("/mode", &json!({ "mode": "preferSSL", "holder": "a" }))["generation"], 2);
    assert_eq!(admin.put("/mode", &json!({ "mode": "allowSSL", "force": true }))["generation"], 3);
    assert_eq!(admin.post("/lease", &json!({ "holder": "a", "ttlSecs": 0 }))["lease"], Value::Null);
    assert_eq!(admin.put("/mode", &prefer)["generation"], 4);
    admin.post("/lease", &json!({ "holder": "b", "ttlSecs": 1 }));
    wait("the lease has ended", || admin.get("/status")["lease"].is_null());
}

/// Either all certificates are replaced, or the old ones stay in use.
#[test]
fn certificates_are_rotated_or_stay() {
    let service = Upstream::start();
    let folder = Scratch::new("rotate");
    let key = folder.join("server.pem");
    fs::copy(cert("server.pem"), &key).unwrap();
    let key_file = key.display().to_string();
    let upstream = service.address.to_string();
    let flags =
        ["--port", "0", "--upstream", &upstream, "--upstreamTLS", "never", "--sslMode", "allowSSL", "--watch", "off"];
    let ca = cert("ca.pem");
    let proxy = Proxy::start(flags.into_iter().chain(["--sslPEMKeyFile", &key_file, "--sslCAFile", &ca]));
    let admin = admin::of(&proxy);
    let serial = |admin: &Admin| admin.get("/status")["certificates"][0]["serial"].clone();
    let first = serial(&admin);
    fs::write(&key, "no PEM at all").unwrap();
    let refused = admin.request("POST", "/rotate", Some(&json!({}))).json(409);
    assert_eq!(refused["code"], "Configuration");
    assert!(refused["error"].as_str().unwrap().contains("server.pem"), "{refused}");
    assert_eq!(serial(&admin), first);
    fs::copy(cert("member.pem"), &key).unwrap();
    let rotated = admin.post("/rotate", &json!({}));
    assert_eq!(rotated["generation"], 2);
    assert_ne!(serial(&admin), first);
    assert_eq!(rotated["certificates"][0]["serial"], serial(&admin));
    assert!(rotated["certificates"][0]["daysLeft"].as_i64().unwrap() > 30);
}

fn proxy(flags: &[&str]) -> Proxy {
    let files = [cert("server.pem"), cert("ca.pem")];
    let base = ["--port", "0", "--sslPEMKeyFile", &files[0], "--sslCAFile", &files[1]];
    Proxy::start(base.iter().chain(flags))
}

fn mode_of(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// While a change waits for a server's answer, another holder takes the lease: the change is refused although it was
/// allowed when it was requested.
#[test]
fn a_lease_that_is_taken_while_a_change_is_under_way_keeps_that_change_out() {
    let server = SlowTls::start();
    let (certificate, ca) = (cert("server.pem"), cert("ca.pem"));
    let folder = Scratch::new("state");
    let state = folder.join("state.json").to_string_lossy().into_owned();
    let front = ["--port", "0", "--upstream", &server.address, "--upstreamProbe", "off", "--sslMode", "allowSSL"];
    let files = ["--sslPEMKeyFile", &certificate, "--sslCAFile", &ca, "--stateFile", &state];
    let proxy = Proxy::start([&front[..], &files].concat());
    let admin = admin::of(&proxy);
    let prefer = json!({ "mode": "preferSSL", "persist": true });
    let change = thread::spawn(move || admin.request("PUT", "/mode", Some(&prefer)).json(409));
    server.wait_asked();
    let lease = thread::spawn(move || admin.post("/lease", &json!({ "holder": "a", "ttlSecs": 600 })));
    wait("the lease is taken", || admin.get("/status")["lease"]["holder"] == "a");
    server.answer();
    assert_eq!(change.join().unwrap()["code"], "Leased");
    assert_eq!(lease.join().unwrap()["lease"]["holder"], "a");
    let status = admin.get("/status");
    assert_eq!((&status["sslMode"], &status["persistedMode"]), (&json!("allowSSL"), &Value::Null));
    assert_eq!(admin.put("/mode", &json!({ "mode": "preferSSL", "holder": "a" }))["mode"], "preferSSL");
}

/// As above for a configuration that changes the mode, by each way of reloading: no part of it takes effect.
#[test]
fn a_lease_that_is_taken_while_a_reload_is_under_way_keeps_that_reload_out() {
    for door in ["signal", "http", "watch"] {
        let server = SlowTls::start();
        let text = |mode: &str, level: &str| {
            let (certificate, ca, upstream) = (cert("server.pem"), cert("ca.pem"), &server.address);
            format!(
                "port = 0\nupstream = {upstream}\nupstreamProbe = off\nsslMode = {mode}\nsslPEMKeyFile = {certificate}\nsslCAFile \
                 = {ca}\n{level}"
            )
        };
        let watch = if door == "watch" { "all" } else { "off" };
        let proxy = Proxy::start_with_config(&text("allowSSL", ""), ["--watch", watch]);
        let admin = admin::of(&proxy);
        fs::write(proxy.config_file(), text("preferSSL", "adminReadOnly = true\n")).unwrap();
        let asked = match door {
            "http" => {
                let asked = move || admin.request("POST", "/reload", Some(&json!({}))).json(409)["code"] == "Leased";
                Some(thread::spawn(asked))
            }
            "signal" => {
                proxy.signal(Signal::HUP);
                None
            }
            _ => None,
        };
        server.wait_asked();
        let lease = thread::spawn(move || admin.post("/lease", &json!({ "holder": "a", "ttlSecs": 600 })));
        wait("the lease is taken", || admin.get("/status")["lease"]["holder"] == "a");
        server.answer();
        assert!(asked.is_none_or(|asked| asked.join().unwrap()));
        let line = proxy.wait_log(|line| line["message"] == "reload refused: the configuration in force stays", SOON);
        assert!(line["error"].as_str().unwrap().contains("holds the lease") && line["door"] == door, "{line}");
        assert_eq!(lease.join().unwrap()["lease"]["holder"], "a");
        let status = admin.get("/status");
        assert_eq!(
            (&status["sslMode"], &status["refusedReload"]["door"]),
            (&json!("allowSSL"), &json!(door)),
            "{status}"
        );
        // The rest of the configuration has not taken effect either: changes are still accepted.
        assert_eq!(admin.put("/mode", &json!({ "mode": "preferSSL", "holder": "a" }))["mode"], "preferSSL");
    }
}

/// A server whose TLS handshakes wait until they are released.
struct SlowTls {
    address: String,
    asked: mpsc::Receiver<()>,
    go: Arc<(Mutex<bool>, Condvar)>,
}

impl SlowTls {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // By name, because the certificates are for that name.
        let address = format!("localhost:{}", listener.local_addr().unwrap().port());
        let (ask, asked) = mpsc::channel();
        let go = Arc::new((Mutex::new(false), Condvar::new()));
        let may = Arc::clone(&go);
        thread::spawn(move || {
            let config = tls::server(&cert("server.pem"), None);
            for mut socket in listener.incoming().map_while(Result::ok) {
                let _ = ask.send(());
                drop(may.1.wait_while(may.0.lock().unwrap(), |go| !*go).unwrap());
                let mut session = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
                // A client may disconnect during the handshake.
                while session.is_handshaking() && session.complete_io(&mut socket).is_ok() {}
            }
        });
        Self { address, asked, go }
    }

    fn wait_asked(&self) {
        self.asked.recv_timeout(Duration::from_secs(15)).expect("the server is asked");
    }

    fn answer(&self) {
        *self.go.0.lock().unwrap() = true;
        self.go.1.notify_all();
    }
}
