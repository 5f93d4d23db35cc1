//! Loops: a dial of an inbound route that arrives at one of tlsramp's own listeners, for whatever reason, ends after
//! one turn. The configuration check sees names and addresses, but not the effect of firewall rules on them.

use crate::support::service::SOON;
use crate::support::{Mark, ProxyBuilder, require_command, require_root};

/// Without loop detection, the probe alone would open connections until every slot is taken.
#[test]
fn an_upstream_that_the_firewall_leads_back_to_the_inbound_listener_is_a_loop_after_one_turn() {
    require_root!();
    for command in ["unshare", "ip", "nft", "sh"] {
        require_command!(command);
    }
    let rules = "add table ip test; add chain ip test output { type nat hook output priority -100; }; \
                 add rule ip test output ip daddr 192.0.2.77 tcp dport 27030 redirect to :27117";
    let network = format!(
        "ip link set lo up && ip route add 192.0.2.77/32 dev lo && ip address add 10.0.0.1 dev lo && nft '{rules}' && exec \"$@\""
    );
    let wrapper = ["unshare", "--net", "--", "sh", "-c", &network, "sh"].map(str::to_owned);
    let args = ["--port", "27117", "--bind_ip", "0.0.0.0", "--upstream", "192.0.2.77:27030", "--upstreamTLS", "never"];
    let args = [&args[..], &["--upstreamProbe", "on", "--sslMode", "disabled"]].concat();
    let proxy = ProxyBuilder::new(args).wrapped(&wrapper).start();
    let is_connection = |line: &serde_json::Value| line["message"] == "connection";
    let record = proxy.log().wait(Mark::START, SOON, is_connection).unwrap();
    assert_eq!((&record["outcome"], &record["route"]), (&"loop".into(), &"inbound".into()), "{record}");
    let reason = record["reason"].as_str().unwrap();
    assert!(reason.contains("would loop"), "{reason}");
    // The loop is also reported in the log.
    let is_down = |line: &serde_json::Value| line["message"] == "upstream is down";
    let down = proxy.log().wait(Mark::START, SOON, is_down).unwrap();
    assert!(down["reason"].as_str().unwrap().contains("would loop"), "{down}");
    let connections = proxy.log().objects(Mark::START).into_iter().filter(is_connection).count();
    assert_eq!(connections, 1, "one probe, and one turn");
}
