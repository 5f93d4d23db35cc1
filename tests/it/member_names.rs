//! Member names through the admin port: who may set them, what is refused, and what a restart keeps.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

use serde_json::{Value, json};

use crate::support::admin::{self, Admin};
use crate::support::proxy::Signal;
use crate::support::service::*;
use crate::support::{Proxy, Scratch};

#[test]
fn a_set_is_replaced_by_itself_and_by_nothing_else() {
    let (_server, proxy) = start(&["--member", "localhost:27020=127.0.0.9"]);
    let admin = admin::of(&proxy);
    let sets = json!({ "rs0": ["localhost:27021", "127.0.0.7:27022"], "cfg": ["localhost:27020"] });
    let reply = admin.post("/members", &json!({ "sets": sets }));
    assert_eq!(
        names(&reply["members"]),
        [
            ("127.0.0.7:27022".to_owned(), json!(["rollout"])),
            ("localhost:27020".to_owned(), json!(["option", "rollout"])),
            ("localhost:27021".to_owned(), json!(["rollout"])),
        ]
    );
    let at = |name: &str| find(&reply["members"], name)["addresses"].clone();
    // Addresses given by the operator take precedence over name resolution; other names are resolved here.
    assert_eq!(at("localhost:27020"), json!(["127.0.0.9"]));
    assert!(at("localhost:27021").as_array().unwrap().contains(&"127.0.0.1".into()), "{reply}");
    let warned = reply["warnings"][0].as_str().unwrap();
    assert!(warned.contains("--stateFile") && warned.contains("restart drops"), "{reply}");
    let line = proxy.wait_log(|line| line["message"] == "member names set", SOON);
    assert!(line["by"].is_string() && line["sets"].as_str().unwrap().contains("cfg=localhost:27020"), "{line}");

    let reply = admin.post("/members", &json!({ "sets": { "rs0": ["localhost:27023"] } }));
    let known = |reply: &Value| names(&reply["members"]).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(known(&reply), ["localhost:27020", "localhost:27023"]);
    let nowhere = admin.post("/members", &json!({ "sets": { "rs0": ["nobody.invalid:27017"] } }));
    let warned = nowhere["warnings"].to_string();
    assert!(warned.contains("do not resolve on this host") && warned.contains("nobody.invalid:27017"), "{nowhere}");
    let reply = admin.post("/members", &json!({ "sets": { "rs0": [], "none": [] } }));
    assert_eq!(names(&reply["members"]), [("localhost:27020".to_owned(), json!(["option", "rollout"]))]);
    assert_eq!(names(&admin.get("/status")["members"]), names(&reply["members"]));
}

#[test]
fn names_survive_a_restart_by_the_state_file() {
    let folder = Scratch::new("names");
    let state = folder.join("state").display().to_string();
    let (_server, mut proxy) = start(&["--stateFile", &state]);
    let reply = admin::of(&proxy).post("/members", &json!({ "sets": { "rs0": ["localhost:27021"] } }));
    assert_eq!(reply["warnings"], Value::Null, "{reply}");
    // The names are stored when the request is answered, not only at a clean stop.
    proxy.kill();

    let (_server, mut proxy) = start(&["--stateFile", &state]);
    let admin = admin::of(&proxy);
    let restored = || names(&admin.get("/status")["members"]) == [("localhost:27021".to_owned(), json!(["rollout"]))];
    assert!(wait_until(SOON, restored), "{}", admin.get("/status")["members"]);
    assert_eq!(admin.post("/members", &json!({ "sets": { "rs0": [] } }))["members"], json!([]));
    proxy.signal(Signal::TERM);
    assert!(proxy.wait_exit(SOON).is_some());

    let (_server, proxy) = start(&["--stateFile", &state]);
    assert_eq!(admin::of(&proxy).get("/status")["members"], json!([]));
}

#[test]
fn a_wrong_name_refuses_all_of_a_request() {
    let (_server, proxy) = start(&[]);
    let admin = admin::of(&proxy);
    let many: Vec<_> = (0..51).map(|number| format!("h{number}:1")).collect();
    let rows = [
        (json!({ "sets": { "rs0": ["localhost:1", "db1", "x y:1"] } }), &["'db1' of set 'rs0'", "'x y:1'"][..]),
        (json!({ "sets": { "rs\u{1b}": ["db1:0"] } }), &["'db1:0' of set 'rs\\u{1b}'"]),
        (json!({ "sets": { "": [] } }), &["1 to 128 characters"]),
        (json!({ "sets": { "rs0": many } }), &["MongoDB allows at most 50"]),
        (json!({ "sets": { "rs0": "localhost:1" } }), &["expected a sequence"]),
        (json!({ "set": {} }), &["unknown field"]),
        (json!({}), &["sets"]),
    ];
    for (body, parts) in rows {
        let refused = admin.request("POST", "/members", Some(&body)).json(400);
        assert_eq!(refused["code"], "BadRequest", "{refused}");
        let text = refused["error"].as_str().unwrap();
        assert!(parts.iter().all(|part| text.contains(part)), "{parts:?}: {text}");
    }
    let large = json!({ "sets": { "rs0": ["x".repeat(64 * 1024)] } });
    assert_eq!(admin.request("POST", "/members", Some(&large)).json(413)["code"], "PayloadTooLarge");
    assert_eq!(admin.get("/status")["members"], json!([]), "nothing of it was taken");
}

#[test]
fn names_are_changed_by_who_may_change_the_mode() {
    let request = json!({ "sets": { "rs0": ["localhost:27021"] } });
    let (_server, proxy) = start(&["--adminReadOnly"]);
    let refused = admin::of(&proxy).request("POST", "/members", Some(&request)).json(403);
    assert_eq!(refused["code"], "ReadOnly", "{refused}");
    assert_eq!(admin::of(&proxy).request("GET", "/members", None).json(405)["code"], "MethodNotAllowed");

    let (_server, proxy) = start(&[]);
    let admin = admin::of(&proxy);
    admin.post("/lease", &json!({ "holder": "rollout 7", "ttlSecs": 600 }));
    let with = |more: Value| -> Value {
        let mut request = request.clone();
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        request
    };
    let refused = |admin: &Admin, body: &Value| admin.request("POST", "/members", Some(body)).json(409);
    assert_eq!(refused(&admin, &request)["code"], "Leased");
    assert_eq!(refused(&admin, &with(json!({ "holder": "another" })))["code"], "Leased");
    proxy.wait_log(|line| line["message"] == "member names refused", SOON);
    for more in [json!({ "holder": "rollout 7" }), json!({ "force": true })] {
        assert_eq!(names(&admin.post("/members", &with(more))["members"]).len(), 1);
    }
}

fn start(args: &[&str]) -> (Upstream, Proxy) {
    let upstream = Upstream::start();
    let line = in_front_of(&upstream).into_iter().chain(args.iter().map(|&arg| arg.to_owned()));
    let proxy = Proxy::start(line);
    (upstream, proxy)
}

/// Name and sources of each member.
fn names(members: &Value) -> Vec<(String, Value)> {
    let row = |member: &Value| (member["name"].as_str().unwrap().to_owned(), member["sources"].clone());
    members.as_array().unwrap().iter().map(row).collect()
}

fn find<'a>(members: &'a Value, name: &str) -> &'a Value {
    members.as_array().unwrap().iter().find(|member| member["name"] == name).unwrap()
}
