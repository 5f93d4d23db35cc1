//! A node: a plaintext-only stand-in server, and a tlsramp of its own, through which the clients and the other nodes
//! reach the server and the server reaches the other nodes.
//!
//! Each tlsramp is configured with flags, which the same code parses as an operator's command line.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use clap::{ArgMatches, Command};

use super::files::{Files, host};
use crate::app::{App, StartError};
use crate::config::{self, Mistake};
use crate::control::{Caller, ChangeError};
use crate::standin::{StandIn, StandInHandle};

#[derive(Debug)]
pub(super) struct DemoNode {
    pub(super) name: &'static str,
    pub(super) app: App,
    /// The listener for clients and for the other nodes.
    pub(super) inbound: SocketAddr,
    /// The listeners for links from the node's own server to the other nodes.
    pub(super) outbound: Vec<OutboundListener>,
    pub(super) admin: SocketAddr,
    pub(super) server: StandInHandle,
}

/// The listener of an outbound route.
#[derive(Debug, Clone)]
pub(super) struct OutboundListener {
    pub(super) to: &'static str,
    pub(super) listen: SocketAddr,
    /// The name of the route.
    pub(super) route: String,
}

/// Why a node cannot be started.
#[derive(Debug, thiserror::Error)]
pub(super) enum NodeError {
    #[error("cannot start the server: {0}")]
    Server(#[from] io::Error),
    #[error("invalid arguments: {0}")]
    Arguments(#[from] clap::Error),
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Configuration(Vec<Mistake>),
    #[error("{0}")]
    Start(#[from] StartError),
    #[error("cannot add the links to the other nodes: {0}")]
    Links(#[from] ChangeError),
    #[error("the route {0} has no listener")]
    Missing(String),
}

pub(super) const NAMES: [&str; 3] = ["node a", "node b", "node c"];

/// Starts all three nodes in mode `disabled`, then adds the routes between them.
///
/// The kernel chooses all ports, so that no other process can take one in between: the inbound listeners are opened
/// first, and the outbound routes to them are added by a reload, as an operator would do it.
pub(super) async fn start_all(files: &Files) -> Result<Vec<DemoNode>, NodeError> {
    let mut nodes = Vec::new();
    for name in NAMES {
        nodes.push(DemoNode::start(name, files).await?);
    }
    let inbound: Vec<_> = nodes.iter().map(|node| (node.name, node.inbound)).collect();
    for node in &mut nodes {
        node.link(&inbound, files).await?;
    }
    Ok(nodes)
}

impl DemoNode {
    async fn start(name: &'static str, files: &Files) -> Result<DemoNode, NodeError> {
        let server = StandIn::bind((Ipv4Addr::LOCALHOST, 0).into()).await?.spawn();
        let arguments = arguments(flags(name, server.local_addr(), files))?;
        let loaded = config::load(&arguments).map_err(NodeError::Configuration)?;
        let app = App::start(loaded, &arguments, CONNECTIONS, None)?;
        let inbound = listener(&app, INBOUND)?;
        let admin = listener(&app, "admin")?;
        Ok(DemoNode { name, app, inbound, outbound: Vec::new(), admin, server })
    }

    /// Adds the routes to the other nodes.
    async fn link(&mut self, inbound: &[(&'static str, SocketAddr)], files: &Files) -> Result<(), NodeError> {
        let mut flags = flags(self.name, self.server.local_addr(), files);
        let others: Vec<_> = inbound.iter().filter(|(other, _)| *other != self.name).collect();
        for (other, address) in &others {
            flags.extend(["--outbound".into(), format!("127.0.0.1:0={address},name={}", host(other))]);
        }
        self.app.controller.reload_with(arguments(flags)?, &Caller::PROGRAM).await?;
        for (to, address) in others {
            let route = format!("outbound {address}");
            let listen = listener(&self.app, &route)?;
            self.outbound.push(OutboundListener { to, listen, route });
        }
        Ok(())
    }

    /// Stops the node. Connections that are still open are cut after a short wait.
    pub(super) async fn stop(self) {
        self.app.stop(STOP_LIMIT, std::future::pending()).await;
        self.server.stop().await;
    }
}

/// The command line of the node, without outbound routes.
fn flags(name: &str, server: SocketAddr, files: &Files) -> Vec<String> {
    let path = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
    [
        ("--port", "0".to_owned()),
        ("--upstream", server.to_string()),
        ("--upstreamTLS", "never".to_owned()),
        ("--sslMode", "disabled".to_owned()),
        ("--sslPEMKeyFile", path(files.member_pem(name))),
        ("--sslCAFile", path(files.ca())),
        ("--workers", "1".to_owned()),
        ("--adminBind", "127.0.0.1:0".to_owned()),
        // The table shows all connections, so there must be no others.
        ("--upstreamProbe", "off".to_owned()),
        ("--watch", "off".to_owned()),
    ]
    .into_iter()
    .flat_map(|(flag, value)| [flag.to_owned(), value])
    .collect()
}

fn arguments(flags: Vec<String>) -> Result<ArgMatches, clap::Error> {
    config::with_options(Command::new("run")).try_get_matches_from(std::iter::once("run".to_owned()).chain(flags))
}

fn listener(app: &App, route: &str) -> Result<SocketAddr, NodeError> {
    let found = app.addresses().into_iter().find(|(name, _)| **name == *route);
    found.map(|(_, address)| address).ok_or_else(|| NodeError::Missing(route.to_owned()))
}

/// The name of the inbound route.
pub(super) const INBOUND: &str = "inbound";
/// Connection limit of each node: many times the number that the demo opens.
const CONNECTIONS: u64 = 500;
/// Short, because clients and heartbeats are stopped before the nodes.
const STOP_LIMIT: Duration = Duration::from_secs(2);
