//! Shells and drivers at the admin port: they connect, run their commands, are idle during heartbeats, and disconnect.
//! Neither their log nor ours contains a complaint.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

use std::{path::Path, process::Output, time::Duration};

use mongodb::{Client, bson::doc, options::ClientOptions};

use crate::support::{Mark, Mongod, Proxy, cert, mongod, parts, process, require, require_command};

/// The upgrade tutorial's command, as it can be pasted.
const TUTORIAL: &str = r#"db.getSiblingDB('admin').runCommand( { setParameter: 1, sslMode: "preferSSL" } )"#;

#[test]
fn mongosh_gives_the_tutorials_command() {
    let mongosh = require!(parts::mongosh());
    require!(parts::mongod());
    let visited = Visited::start();
    let output = shell(mongosh, &visited, &["--quiet", "--eval", TUTORIAL], "");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "{ was: 'allowSSL', ok: 1 }", "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    let changed = visited.proxy.wait_log(|line| line["message"] == "mode changed", LIMIT);
    assert_eq!((&changed["door"], &changed["mode"]), (&"mongodb".into(), &"preferSSL".into()));
    visited.nobody_complains();
}

#[test]
fn mongosh_is_at_home() {
    let mongosh = require!(parts::mongosh());
    require!(parts::mongod());
    let visited = Visited::start();
    let input = format!("{TUTORIAL}\nshow dbs\nshow collections\ndb.serverStatus().process\ndb.hello().ok\nexit\n");
    let output = shell(mongosh, &visited, &[], &input);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    for wanted in ["was: 'allowSSL'", "This is the admin port of tlsramp", "tlsramp\n", "Using MongoDB:"] {
        assert!(said.contains(wanted), "{wanted:?} is not in {said}");
    }
    assert!(!said.contains("Error") && output.stderr.is_empty(), "{output:?}");
    visited.nobody_complains();
}

#[test]
fn pymongo_stays_connected() {
    let python = require!(parts::pymongo());
    require!(parts::mongod());
    let visited = Visited::start();
    let script = r#"
import sys, time, pymongo
from pymongo import monitoring
class Beats(monitoring.ServerHeartbeatListener):
    good = bad = 0
    def started(self, event): pass
    def succeeded(self, event): Beats.good += 1
    def failed(self, event): Beats.bad += 1
client = pymongo.MongoClient(sys.argv[1], heartbeatFrequencyMS=500, event_listeners=[Beats()], minPoolSize=3)
print(client.admin.command("setParameter", 1, tlsMode="preferTLS"))
while Beats.good < 4: time.sleep(0.05)
print(client.admin.command("getParameter", 1, tlsMode=1), Beats.bad, client.server_info()["tlsramp"] != "")
client.close()
"#;
    let mut command = process::tethered(python);
    command.args(["-c", script, &format!("mongodb://{}/", visited.proxy.address("admin"))]);
    let output = process::output(command, LIMIT).unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let expected = "{'was': 'allowTLS', 'ok': 1.0}\n{'tlsMode': 'preferTLS', 'ok': 1.0} 0 True\n";
    assert_eq!((&*said, output.stderr.as_slice()), (expected, &b""[..]));
    visited.nobody_complains();
}

#[test]
fn the_node_driver_stays_connected() {
    let mongosh = require!(parts::mongosh());
    require_command!("node");
    require!(parts::mongod());
    let visited = Visited::start();
    let script = r#"
const { MongoClient } = require("mongodb");
(async () => {
  const client = new MongoClient(process.argv[1], { heartbeatFrequencyMS: 500, minPoolSize: 2 });
  let good = 0, bad = 0;
  client.on("serverHeartbeatSucceeded", () => good++);
  client.on("serverHeartbeatFailed", () => bad++);
  await client.connect();
  const admin = client.db("admin");
  console.log(JSON.stringify(await admin.command({ setParameter: 1, sslMode: "preferSSL" })));
  while (good < 4) await new Promise((done) => setTimeout(done, 50));
  console.log(JSON.stringify(await admin.command({ getParameter: 1, sslMode: 1 })), bad);
  await client.close();
})();
"#;
    let mut command = process::tethered("node");
    command.args(["-e", script, &format!("mongodb://{}/", visited.proxy.address("admin"))]);
    command.env("NODE_PATH", mongosh.ancestors().nth(2).unwrap());
    let output = process::output(command, LIMIT).unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let expected = "{\"was\":\"allowSSL\",\"ok\":1}\n{\"sslMode\":\"preferSSL\",\"ok\":1} 0\n";
    assert_eq!((&*said, &*String::from_utf8_lossy(&output.stderr)), (expected, ""));
    visited.nobody_complains();
}

#[test]
fn the_rust_driver_stays_connected() {
    require!(parts::mongod());
    let visited = Visited::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let address = format!("mongodb://{}/?directConnection=true", visited.proxy.address("admin"));
        let mut options = ClientOptions::parse(address).await.unwrap();
        options.heartbeat_freq = Some(Duration::from_millis(500));
        let client = Client::with_options(options).unwrap();
        let admin = client.database("admin");
        let reply = admin.run_command(doc! { "setParameter": 1, "sslMode": "preferSSL" }).await.unwrap();
        assert_eq!(reply, doc! { "was": "allowSSL", "ok": 1.0 });
        // The client must stay connected during this time, which includes two heartbeats.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let reply = admin.run_command(doc! { "getParameter": 1, "sslMode": 1 }).await.unwrap();
        assert_eq!(reply, doc! { "sslMode": "preferSSL", "ok": 1.0 });
        client.shutdown().await;
    });
    visited.nobody_complains();
}

/// A proxy to which shells and drivers connect. Its real upstream ensures that it has nothing of its own to complain
/// about.
struct Visited {
    proxy: Proxy,
    from: Mark,
    _upstream: Mongod,
}

impl Visited {
    fn start() -> Self {
        let upstream = Mongod::start(&mongod::Options::default());
        let (address, server, ca) = (upstream.address(), cert("server.pem"), cert("ca.pem"));
        let route = ["--port", "0", "--upstream", &address, "--upstreamTLS", "never", "--logLevel", "debug"];
        let tls = ["--sslMode", "allowSSL", "--sslPEMKeyFile", &server, "--sslCAFile", &ca];
        let proxy = Proxy::start(route.iter().chain(&tls));
        let from = proxy.mark();
        Self { proxy, from, _upstream: upstream }
    }

    /// Stops the proxy, which shows that no client is still connected.
    #[track_caller]
    fn nobody_complains(mut self) {
        assert_eq!(self.proxy.terminate().code(), Some(0));
        let _ = self.proxy.log().wait(self.from, LIMIT, |_| false);
        for line in self.proxy.log().objects(self.from) {
            let said = line["message"].as_str().unwrap_or_default();
            let complains = line["level"] == "WARN" || line["level"] == "ERROR" || said.contains("admin connection");
            assert!(!complains, "{line}");
        }
    }
}

fn shell(mongosh: &Path, visited: &Visited, args: &[&str], input: &str) -> Output {
    let mut command = process::tethered(mongosh);
    command.args(["--host", "127.0.0.1", "--port", &visited.proxy.address("admin").port().to_string()]).args(args);
    // Its settings and history are not written to the user's home folder.
    let home = crate::support::Scratch::new("mongosh");
    command.env("HOME", home.path());
    process::output_with_input(command, input.as_bytes().to_vec(), LIMIT).unwrap()
}

/// mongosh takes a second on an idle machine.
const LIMIT: Duration = Duration::from_secs(240);
