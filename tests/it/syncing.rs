//! A member between two states of its set, for example in an initial sync: stopping it or recycling its connections
//! causes a warning.

use std::time::Duration;

use bson::{Document, doc};
use serde_json::{Value, json};

use crate::support::{
    Mongod, Proxy,
    admin::{self, Admin},
    cert, mongod, parts,
    plain::Plain,
    proxy::Signal,
    require,
    until::wait_until,
    wait,
};

/// A member whose set does not exist yet is in STARTUP, and its `hello` says as little as in STARTUP2.
#[test]
fn a_recycle_beside_a_member_in_between_warns_and_moves() {
    require!(parts::mongod());
    let mongod = Mongod::start(&member());
    let proxy = proxy(&mongod);
    let admin = admin::of(&proxy);
    wait_state(&admin, "OTHER");
    assert_eq!(admin.post("/recycle", &json!({})).get("warnings"), None, "nothing to move, nothing to warn of");

    let mut client = Plain::connect(proxy.port());
    client.hello("initial sync");
    admin.put("/mode", &json!({ "mode": "preferSSL" }));
    wait_state(&admin, "OTHER");
    let reply = admin.post("/recycle", &json!({ "waitSecs": 30 }));
    assert_eq!((&reply["moved"], &reply["atRisk"]), (&json!(1), &json!(0)), "{reply}");
    let warnings = reply["warnings"].as_array().expect("warnings");
    assert!(warnings.len() == 1 && says(&warnings[0], &mongod), "{reply}");
    assert!(client.is_ended());
}

#[test]
fn a_stop_beside_a_recovering_member_warns_and_goes_on() {
    require!(parts::mongod());
    let (first, second) = (Mongod::start(&member()), Mongod::start(&member()));
    let (mut primary, mut secondary) = (Plain::connect(first.port()), Plain::connect(second.port()));
    let members =
        [doc! { "_id": 0, "host": first.address() }, doc! { "_id": 1, "host": second.address(), "priority": 0 }];
    succeed(&mut primary, &doc! { "replSetInitiate": { "_id": "rs", "members": members } });
    assert!(wait_until(Duration::from_secs(180), || is(&mut secondary, "secondary")), "the set has no secondary");

    let mut calm = proxy(&second);
    wait_state(&admin::of(&calm), "SECONDARY");
    assert_eq!(calm.terminate().code(), Some(0));
    assert!(warning(&calm).is_none(), "a secondary may lose a connection");

    succeed(&mut secondary, &doc! { "replSetMaintenance": 1 });
    let mut proxy = proxy(&second);
    wait_state(&admin::of(&proxy), "OTHER");
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.wait_exit(Duration::from_secs(60)).expect("it stops all the same").code(), Some(0));
    let line = warning(&proxy).expect("a warning");
    assert!(line["level"] == "WARN" && says(&line["message"], &second), "{line}");
}

fn says(text: &Value, mongod: &Mongod) -> bool {
    let text = text.as_str().unwrap_or_default();
    let who = format!("localhost:{} (inbound) is neither PRIMARY, SECONDARY nor ARBITER", mongod.port());
    text.contains(&who) && text.contains("an initial sync that loses its connection starts again from the beginning")
}

fn warning(proxy: &Proxy) -> Option<Value> {
    let _ = proxy.log().wait(crate::support::Mark::START, Duration::from_secs(15), |_| false);
    let lines = proxy.log().objects(crate::support::Mark::START);
    lines.into_iter().find(|line| line["message"].as_str().is_some_and(|said| said.contains("is neither PRIMARY")))
}

fn succeed(client: &mut Plain, command: &Document) {
    let reply = client.command("admin", command);
    assert_eq!(reply.get_f64("ok").unwrap(), 1.0, "{command}: {reply}");
}

fn is(client: &mut Plain, state: &str) -> bool {
    client.command("admin", &doc! { "hello": 1 }).get_bool(state).unwrap_or(false)
}

fn wait_state(admin: &Admin, state: &str) {
    wait(state, || admin.get("/status")["upstreams"][0]["state"] == state);
}

/// A member of a set, with optional TLS.
fn member() -> mongod::Options {
    let tls = mongod::Tls { mode: "allowTLS", certificate_key_file: cert("server.pem"), ca_file: Some(cert("ca.pem")) };
    mongod::Options { tls: Some(tls), replica_set: Some("rs".into()), ..mongod::Options::default() }
}

fn proxy(mongod: &Mongod) -> Proxy {
    let upstream = format!("localhost:{}", mongod.port());
    let flags = ["--port", "0", "--upstream", &upstream, "--sslMode", "allowSSL", "--upstreamProbe", "on"];
    let files = [("--sslPEMKeyFile", "server.pem"), ("--sslCAFile", "ca.pem"), ("--sslClusterFile", "member.pem")];
    let files = files.map(|(flag, file)| [flag.to_owned(), cert(file)]);
    Proxy::start(flags.into_iter().map(str::to_owned).chain(files.into_iter().flatten()))
}
