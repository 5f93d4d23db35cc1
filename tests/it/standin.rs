//! The stand-in server with a real driver: demo and tests rely on its behaviour.

use std::time::Duration;

use tlsramp::testing::StandIn;

use crate::support::{parts, process, require};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pymongo_inserts_finds_and_counts() {
    let python = require!(parts::pymongo());
    let server = StandIn::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let port = server.local_addr().port();
    let server = server.spawn();
    let script = format!(
        r#"
import pymongo
client = pymongo.MongoClient("127.0.0.1", {port}, serverSelectionTimeoutMS=30000)
assert client.admin.command("ping")["ok"] == 1
assert client.server_info()["version"].startswith("6.")
items = client.shop.items
items.insert_one({{"_id": "a", "kind": "first"}})
items.insert_many({{"_id": n, "kind": "other"}} for n in range(2500))
assert items.find_one({{"_id": "a"}})["kind"] == "first"
assert sorted(item["_id"] for item in items.find({{"kind": "other"}})) == list(range(2500))
assert items.count_documents({{"kind": "other"}}) == 2500
try:
    client.admin.command("replSetGetStatus")
    raise SystemExit("an unknown command was answered")
except pymongo.errors.OperationFailure as error:
    assert error.code == 59, error
client.close()
"#
    );
    let mut command = process::tethered(python);
    command.args(["-c", &script]);
    let output = tokio::task::spawn_blocking(|| process::output(command, Duration::from_secs(180))).await.unwrap();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(server.documents(), 2501);
}
