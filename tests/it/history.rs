//! `ctl history`: who changed what, when, in which way and with what effect. It survives a restart, and no line can be
//! forged.

use serde_json::{Value, json};

use crate::support::service::SOON;
use crate::support::{Proxy, Scratch, admin, cert, process};

#[test]
fn changes_are_kept_with_who_asked_and_what_came_of_it() {
    let folder = Scratch::new("history");
    let state = folder.join("state").to_string_lossy().into_owned();
    let mut proxy = start(&state);
    let missing = proxy.wait_log(|line| said(line, "the state file does not exist"), SOON);
    assert_eq!((&missing["level"], &missing["mode"]), (&json!("WARN"), &json!("allowSSL")), "{missing}");
    let admin = admin::of(&proxy);
    let refused = |method: &str, path: &str, body: Value| admin.request(method, path, Some(&body)).json(409);

    admin.post("/lease", &json!({ "holder": "rollout-7", "ttlSecs": 60 }));
    // A renewal of the lease is not a change.
    admin.post("/lease", &json!({ "holder": "rollout-7", "ttlSecs": 60 }));
    for _ in 0..3 {
        refused("PUT", "/mode", json!({ "mode": "preferSSL" }));
    }
    admin.put("/mode", &json!({ "mode": "preferSSL", "holder": "rollout-7", "persist": true }));
    admin.post("/lease", &json!({ "holder": "rollout-7", "ttlSecs": 0 }));
    refused("PUT", "/mode", json!({ "mode": "disabled" }));
    admin.put("/mode", &json!({ "mode": "disabled", "force": true }));
    admin.put("/mode", &json!({ "mode": "disabled" }));
    admin.post("/rotate", &json!({}));
    admin.post("/accept", &json!({ "key": "10.0.0.7/nightly/PyMongo" }));
    admin.request("POST", "/accept", Some(&json!({ "key": "no\u{1b}[31m key\nforged" }))).json(400);
    admin.post("/members", &json!({ "sets": { "rs0": ["db1.example.net:27017"] } }));
    admin.post("/reload", &json!({}));
    admin.put("/mode", &json!({ "mode": "allowSSL" }));

    let expected = [
        ("start", "done", "mode allowSSL (configuration)"),
        ("lease", "done", "acquired by rollout-7"),
        ("mode", "refused", "to preferSSL"),
        ("mode", "done", "allowSSL -> preferSSL, persisted"),
        ("lease", "done", "of rollout-7 released by rollout-7"),
        ("mode", "refused", "to disabled"),
        ("mode", "done", "preferSSL -> disabled, forced"),
        ("mode", "kept", "disabled"),
        ("rotate", "done", "CN=localhost"),
        ("accept", "done", "10.0.0.7/nightly/PyMongo"),
        ("accept", "refused", "no\u{1b}[31m key\nforged"),
        ("members", "done", "rs0=db1.example.net:27017"),
        ("reload", "done", "mode remains disabled"),
        ("mode", "done", "disabled -> allowSSL"),
    ];
    let history = admin.get("/history");
    let rows = history["history"].as_array().unwrap();
    assert_eq!(rows.len(), expected.len(), "{history:#}");
    for (row, (action, effect, what)) in rows.iter().zip(expected) {
        assert_eq!((&row["action"], &row["effect"]), (&json!(action), &json!(effect)), "{row}");
        assert!(row["what"].as_str().unwrap().contains(what), "{what}: {row}");
        if action != "start" {
            assert_eq!((&row["door"], &row["by"]), (&json!("http"), &json!("127.0.0.1")), "{row}");
        }
    }
    assert_eq!((&rows[2]["times"], rows[2]["since"].is_string()), (&json!(3), true), "{}", rows[2]);
    assert!(rows[2]["reason"].as_str().unwrap().contains("rollout-7 holds the lease"), "{}", rows[2]);
    assert_eq!(rows[3]["generation"], 2, "{}", rows[3]);

    // After a restart the whole history is there, and the start itself.
    assert_eq!(proxy.terminate().code(), Some(0));
    let proxy = start(&state);
    assert!(!proxy.log().objects(crate::support::Mark::START).iter().any(|line| said(line, "is not there")));
    let later = admin::of(&proxy).get("/history");
    let later = later["history"].as_array().unwrap();
    assert_eq!(&later[..rows.len()], &rows[..]);
    let last = later.last().unwrap();
    assert_eq!((later.len(), &last["action"]), (rows.len() + 1, &json!("start")));
    assert!(last["what"].as_str().unwrap().contains("mode preferSSL (state file)"), "{last}");

    let page = ctl(&proxy, &["history"]);
    assert!(page.starts_with("15 changes, 3 of them refused, newest last.\n"), "{page}");
    assert!(!page.contains('\u{1b}') && !page.lines().any(|line| line.starts_with("forged")), "{page}");
    assert!(page.lines().last().unwrap().ends_with("mode preferSSL (state file)"), "{page}");
    let json: Value = serde_json::from_str(&ctl(&proxy, &["history", "--json"])).unwrap();
    assert_eq!(json["history"].as_array().unwrap().len(), 15);
}

fn start(state: &str) -> Proxy {
    let (server, ca) = (cert("server.pem"), cert("ca.pem"));
    let route = ["--port", "0", "--upstream", "127.0.0.1:9", "--upstreamTLS", "never", "--stateFile", state];
    Proxy::start(route.into_iter().chain(["--sslMode", "allowSSL", "--sslPEMKeyFile", &server, "--sslCAFile", &ca]))
}

fn ctl(proxy: &Proxy, args: &[&str]) -> String {
    let mut command = process::tethered(env!("CARGO_BIN_EXE_tlsramp"));
    command.args(["ctl", "--admin", &proxy.address("admin").to_string()]).args(args);
    String::from_utf8(process::output(command, SOON).unwrap().stdout).unwrap()
}

fn said(line: &Value, text: &str) -> bool {
    line["message"].as_str().is_some_and(|message| message.contains(text))
}
