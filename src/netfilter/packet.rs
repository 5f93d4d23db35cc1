//! The first packet of a connection, as far as it is known beforehand: what a rule's match stands for in it.

use serde_json::Value;

use super::values::{Answer, Known};

/// The first packet of a connection over TCP, where filter rules see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packet {
    /// The port that it is for by now.
    pub(super) port: u16,
    /// The port that it was for in the beginning.
    pub(super) original: u16,
    pub(super) path: Path,
}

/// Which way it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Path {
    /// In, by any interface but the loopback.
    In,
    /// Out, redirected to 127.0.0.1 or ::1 by the output chain. Until it has left that hook, the kernel still shows the
    /// interface by which it would have left the host.
    OutRedirected,
    /// The canary, out: from loopback to loopback all the way.
    OutCanary,
    /// Either of the two, coming in again by the loopback interface.
    InByLoopback,
}

/// What an expression stands for in a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    Known(Known),
    /// It is not there: a rule that asks for it never matches TCP.
    Absent,
    Unknown,
}

impl Packet {
    /// Whether its destination was changed on its way.
    pub(super) fn redirected(self) -> bool {
        self.port != self.original || self.path != Path::In
    }

    /// What an expression of nft's stands for.
    pub(super) fn meaning(self, expression: &Value) -> Meaning {
        if let Some(payload) = expression.get("payload") {
            return self.of_payload(payload);
        }
        let known = match (expression["meta"]["key"].as_str(), expression["ct"]["key"].as_str()) {
            (Some("l4proto"), _) => Some(Known::Word("tcp")),
            (Some("iif" | "iifname"), _) => self.interface_in(),
            (Some("oif" | "oifname"), _) => self.interface_out(),
            (_, Some("state")) => Some(Known::Word("new")),
            (_, Some("proto-dst")) if expression["ct"]["dir"] == "original" => Some(Known::Number(self.original)),
            // Where the answers come from.
            (_, Some("proto-src")) if expression["ct"]["dir"] == "reply" => Some(Known::Number(self.port)),
            _ if expression["fib"]["result"] == "type" && is_daddr(&expression["fib"]["flags"]) => {
                Some(Known::Word("local"))
            }
            _ => None,
        };
        known.map_or(Meaning::Unknown, Meaning::Known)
    }

    fn interface_in(self) -> Option<Known> {
        match self.path {
            Path::In => Some(Known::Not("lo")),
            Path::InByLoopback => Some(Known::Word("lo")),
            Path::OutRedirected | Path::OutCanary => None,
        }
    }

    fn interface_out(self) -> Option<Known> {
        match self.path {
            Path::OutRedirected => Some(Known::Not("lo")),
            Path::OutCanary => Some(Known::Word("lo")),
            Path::In | Path::InByLoopback => None,
        }
    }

    fn of_payload(self, payload: &Value) -> Meaning {
        let field = payload["field"].as_str().unwrap_or_default();
        match payload["protocol"].as_str() {
            Some("tcp" | "th") if field == "dport" => Meaning::Known(Known::Number(self.port)),
            Some("ip") if field == "protocol" => Meaning::Known(Known::Word("tcp")),
            Some("ip6") if field == "nexthdr" => Meaning::Known(Known::Word("tcp")),
            Some("udp" | "udplite" | "sctp" | "dccp" | "icmp" | "icmpv6" | "igmp" | "esp" | "ah" | "comp" | "gre") => {
                Meaning::Absent
            }
            None if is_port_by_place(payload) => Meaning::Known(Known::Number(self.port)),
            Some(_) | None => Meaning::Unknown,
        }
    }

    /// Whether an address of the packet is among `right`: known of redirected ones alone, whose destination is 127.0.0.1
    /// or ::1. Their source is whatever address the connection was made from: the canary's is 127.0.0.1, others' is not.
    pub(super) fn address(self, expression: &Value, right: &Value) -> Answer {
        let field = match (expression["payload"]["protocol"].as_str(), expression["payload"]["field"].as_str()) {
            (Some("ip" | "ip6"), Some(field @ ("saddr" | "daddr"))) => field,
            _ => return Answer::Open,
        };
        let Some(address) = right.as_str().or_else(|| right["prefix"]["addr"].as_str()) else { return Answer::Open };
        let loopback = address.starts_with("127.") || address.split('/').next() == Some("::1");
        match (self.path, field) {
            (Path::In, _) => Answer::Open,
            (_, "daddr") if address.starts_with('@') || address.ends_with("/0") => Answer::Open,
            (_, "daddr") => Answer::of(loopback),
            (Path::OutRedirected, _) if loopback => Answer::No,
            (_, _) => Answer::Open,
        }
    }
}

/// Whether an expression has the destination port of TCP in it, at any depth.
pub(super) fn names_port(expression: &Value) -> bool {
    match expression {
        Value::Object(fields) => {
            let payload = &expression["payload"];
            let named = matches!(payload["protocol"].as_str(), Some("tcp" | "th")) && payload["field"] == "dport";
            named || is_port_by_place(payload) || fields.values().any(names_port)
        }
        Value::Array(values) => values.iter().any(names_port),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// `@th,16,16`: the port by where it stands in the header.
fn is_port_by_place(payload: &Value) -> bool {
    payload["base"] == "th" && payload["offset"] == 16 && payload["len"] == 16
}

fn is_daddr(flags: &Value) -> bool {
    let flags = flags.as_array().map_or(std::slice::from_ref(flags), Vec::as_slice);
    matches!(flags, [flag] if flag == "daddr")
}
