//! What the processes of a test have in common, and the messages of the takeover socket.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::admin::{self, Admin};
use crate::support::service::{SOON, Upstream};
use crate::support::{Proxy, ProxyBuilder, ReservedPort, Scratch, cert};

pub(super) fn say(channel: &mut UnixStream, message: &Value) {
    let text = message.to_string();
    channel.write_all(&u32::try_from(text.len()).unwrap().to_le_bytes()).unwrap();
    channel.write_all(text.as_bytes()).unwrap();
}

pub(super) fn hear(channel: &mut UnixStream) -> Value {
    let mut length = [0; 4];
    channel.read_exact(&mut length).expect("an answer");
    let mut text = vec![0; u32::from_le_bytes(length) as usize];
    channel.read_exact(&mut text).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// Addresses and files that the processes of a test have in common.
pub(super) struct Site {
    pub(super) upstream: Upstream,
    pub(super) peer: Upstream,
    pub(super) inbound: ReservedPort,
    pub(super) outbound: ReservedPort,
    pub(super) redirected: ReservedPort,
    pub(super) admin: ReservedPort,
    pub(super) probes: ReservedPort,
    pub(super) folder: Scratch,
}

impl Site {
    pub(super) fn new() -> Site {
        let port = ReservedPort::new;
        Site {
            upstream: Upstream::start(),
            peer: Upstream::start(),
            inbound: port(),
            outbound: port(),
            redirected: port(),
            admin: port(),
            probes: port(),
            folder: Scratch::new("takeover"),
        }
    }

    pub(super) fn takeover(&self) -> PathBuf {
        self.folder.join("takeover.sock")
    }

    pub(super) fn admin(&self) -> Admin {
        admin::at(self.admin.address())
    }

    pub(super) fn args(&self, more: &[&str]) -> Vec<String> {
        let file = |name: &str| self.folder.join(name).to_string_lossy().into_owned();
        let rows = [
            ("--port", self.inbound.port().to_string()),
            ("--upstream", self.upstream.address.to_string()),
            ("--upstreamTLS", "never".to_owned()),
            ("--outbound", format!("{}={}", self.outbound.address(), self.peer.address)),
            ("--outboundTransparent", self.redirected.port().to_string()),
            ("--adminBind", self.admin.address().to_string()),
            ("--adminBind", format!("unix:{}", file("admin.sock"))),
            ("--probeBind", self.probes.address().to_string()),
            ("--takeover", file("takeover.sock")),
            ("--stateFile", file("state")),
            ("--sslMode", "allowSSL".to_owned()),
            ("--sslPEMKeyFile", cert("server.pem")),
            ("--sslCAFile", cert("ca.pem")),
            ("--sslClusterFile", cert("member.pem")),
        ];
        let rows = rows.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]);
        rows.chain(more.iter().map(|&flag| flag.to_owned())).collect()
    }

    pub(super) fn launch(&self, more: &[&str]) -> Proxy {
        ProxyBuilder::new(self.args(more)).launch()
    }

    /// The answer to a GET by the admin port's Unix socket.
    pub(super) fn asked_by_unix(&self, path: &str) -> String {
        let mut socket = UnixStream::connect(self.folder.join("admin.sock")).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        write!(socket, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    }
}
