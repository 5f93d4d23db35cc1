//! The loopback connection to the fronted mongod, and mongod's localhost exception: the reason for the warning at
//! start, and `--upstreamBind` as the remedy.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

use serde_json::{Value, json};

use crate::support::hosts::{self, Host, host::Names, network::Network, outside, server::Server, sidecar::Sidecar};
use crate::support::{Mark, parts, require};

#[test]
fn a_hop_with_a_source_of_its_own_lets_no_stranger_create_the_first_user() {
    require!(hosts::ready());
    let network = require!(Network::new(1));
    let host = network.members()[0].clone();
    network.app().set_names(Names::Real, network.members());
    let _server = Server::start(&host, "127.0.0.1", &["--auth".to_owned()]);

    let own = host.address().to_string();
    let mut sidecar = Sidecar::start(&host, None, &routes(&host, &["--upstreamBind", &own]));
    assert!(!warned(&sidecar), "{}", sidecar.log().tail());
    let refused = create_user(&network, &host).expect_err("a stranger creates no user");
    assert!(refused.contains("requires authentication") || refused.contains("Unauthorized"), "{refused}");

    sidecar.restart_with(|args| args.retain(|arg| *arg != "--upstreamBind" && *arg != own));
    assert!(warned(&sidecar), "{}", sidecar.log().tail());
    create_user(&network, &host).expect("what the warning says is so");
}

fn routes(host: &Host, more: &[&str]) -> Vec<String> {
    let bind = format!("--bind_ip={}", host.address());
    let routes = ["--port", "27017", &bind, "--upstream", "127.0.0.1:27017", "--upstreamTLS", "never"];
    [&routes[..], more].concat().into_iter().map(str::to_owned).collect()
}

fn create_user(network: &Network, host: &Host) -> Result<Value, String> {
    let python = parts::pymongo().expect("required first");
    let command = json!({ "createUser": "first", "pwd": "first", "roles": ["root"] });
    outside::ask(python, network.app(), host, "tls=false", &command)
}

fn warned(sidecar: &Sidecar) -> bool {
    let lines = sidecar.log().objects(Mark::START);
    lines.iter().any(|line| line["level"] == "WARN" && line.to_string().contains("enableLocalhostAuthBypass"))
}
