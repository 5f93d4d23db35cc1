//! Puts sidecars in front of a set's members and removes them again, either by addresses or by interception rules.

use std::time::Duration;

use serde_json::Value;

use super::{Host, Set, host::Names, sidecar::Sidecar};
use crate::support::process;

impl Set {
    /// The command line of a sidecar of the explicit variant: its routes, and the files of its identity.
    pub(super) fn explicit_routes(&self, host: &Host) -> Vec<String> {
        let listen = ["--port", "27017", "--bind_ip", &host.address().to_string()].map(str::to_owned);
        let hop = ["--upstream", "127.0.0.1:27017", "--upstreamTLS", "never"].map(str::to_owned);
        let outbound = self.network.members().iter().flat_map(|member| {
            let to = if self.plan.by_name { member.wire_name() } else { member.address().to_string() };
            ["--outbound".to_owned(), format!("{}:27017={to}:27017,name={}", member.loopback(), member.name())]
        });
        let outbound: Vec<String> = outbound.collect();
        [&listen[..], &hop, &outbound, &self.tls_files(host), &self.remote_admin(host), &self.plan.sidecar].concat()
    }

    /// The options of an admin port that other hosts can reach, if the plan has one.
    fn remote_admin(&self, host: &Host) -> Vec<String> {
        let bind = format!("{}:28017", host.address());
        let args = ["--adminBind", &bind, "--adminAllow", "CN=ops,*"].map(str::to_owned);
        if self.plan.admin_by_tls { args.to_vec() } else { Vec::new() }
    }

    /// The files of a sidecar's identity.
    pub(crate) fn tls_files(&self, host: &Host) -> Vec<String> {
        let own = self.identities.file(&format!("h{}", host.number));
        ["--sslPEMKeyFile", &own, "--sslCAFile", &self.identities.ca()].map(str::to_owned).to_vec()
    }

    /// Starts sidecars beside running members, all with the group ID [`GROUP`], and applies the interception rules.
    pub(crate) fn adopt(&mut self) {
        for number in 0..self.members.len() {
            let host = self.members[number].host.clone();
            let listen = ["--port", "27117", "--bind_ip", "0.0.0.0", "--inboundTransparent"];
            let listen = [&listen[..], &["--outboundTransparent", "27018"]].concat();
            let hop = ["--upstream", "127.0.0.1:27017", "--upstreamTLS", "never"];
            let routes = [&listen[..], &hop].concat().into_iter().map(str::to_owned).collect();
            let args: Vec<String> =
                [routes, self.tls_files(&host), self.remote_admin(&host), self.plan.sidecar.clone()].concat();
            let sidecar = Sidecar::start(&host, Some(GROUP), &args);
            let group = GROUP.to_string();
            let rules = ["--serverPort", "27017", "--port", "27117", "--outboundTransparent", "27018"];
            let output = sidecar.tlsramp(&[&["netfilter"], &rules[..], &["--exemptGroup", &group, "--apply"]].concat());
            let said = [output.stdout, output.stderr].concat();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
            self.members[number].sidecar = Some(sidecar);
        }
    }

    /// Changes a running member to the explicit variant as the guide describes: stops the server, directs names to the
    /// routes, starts tlsramp on the host's address, and starts the server on loopback.
    pub(crate) fn move_to_explicit(&mut self, number: u8) {
        let host = self.member(number).host.clone();
        let routes = self.explicit_routes(&host);
        let hosts = self.network.members().to_vec();
        let mut sidecar = None;
        self.member_mut(number).server.restart_with(|args| {
            host.set_names(Names::Loopback, &hosts);
            sidecar = Some(Sidecar::start(&host, None, &routes));
            let bind = args.iter().position(|arg| arg == "--bind_ip").expect("a server has its addresses") + 1;
            args[bind] = "127.0.0.1".to_owned();
        });
        self.member_mut(number).sidecar = sidecar;
        self.wait_healthy();
    }

    /// Removes the interception rules, then stops the sidecars.
    pub(crate) fn dismiss(&mut self) {
        for member in &mut self.members {
            let mut sidecar = member.sidecar.take().expect("it has one");
            let output = sidecar.tlsramp(&["netfilter", "--remove"]);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            sidecar.terminate();
        }
    }

    /// Ends connections between members that are older than the interception rules, each by the command in its
    /// blocker's remedy.
    #[track_caller]
    pub(crate) fn end_bypass(&self) {
        self.end_bypass_of(&[" member "]);
    }

    /// As [`Set::end_bypass`], for all connections whose blocker contains one of these words: servers of other sets may
    /// count as clients.
    #[track_caller]
    pub(crate) fn end_bypass_of(&self, whose: &[&str]) {
        for member in &self.members {
            let output = member.sidecar.as_ref().expect("it has one").ctl(&["ready", "--to", "requireSSL"]);
            let ready: Value = serde_json::from_slice(&output.stdout).expect("an answer");
            for blocker in ready["blockers"].as_array().expect("with its blockers") {
                let [kind, text, remedy] = ["kind", "text", "remedy"].map(|key| blocker[key].as_str().unwrap_or(""));
                if kind == "bypass" && whose.iter().any(|word| text.contains(word)) {
                    let (_, rest) = remedy.split_once("as root, `ss ").expect("a remedy");
                    let mut command = member.host.command("ss");
                    command.args(rest.split('`').next().into_iter().flat_map(|filter| filter.split(' ')));
                    process::succeed(command, Duration::from_secs(60)).expect("connections can be ended");
                }
            }
        }
    }
}

/// The group of sidecars, whose connections are exempt from the interception rules.
const GROUP: u32 = 4242;
