//! Peers that are cut off silently: both legs end within the time limits of keepalive, and nothing leaks.
//!
//! The hosts are network namespaces with switches between them. A cable is unplugged at the switch: the proxy keeps its
//! link, its route and the peer's hardware address, so packets to the peer are lost silently.
//!
//! ```text
//!   hosts ──x── switch "lost" ──── proxy
//!     └──────── switch "near" ───────┘
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

use std::{
    env,
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use crate::{
    support::hosts::netns::{self, ip},
    support::service::{SOON, tls_over, wait_until},
    support::{Mark, Proxy, ProxyBuilder, cert, certs, process, require, require_command, require_root},
};

/// Takes two minutes because of keepalive: 60 s of silence, then six probes ten seconds apart; the same time for data
/// that is not acknowledged. All cases wait concurrently.
#[test]
fn a_peer_that_is_cut_off_ends_both_legs_and_nothing_leaks() {
    require_root!();
    require_command!("ip");
    match env::var(INSIDE) {
        Ok(name) => cut_off(&Network { name, ours: false }),
        Err(_) => {
            let network = require!(Network::new());
            // The clients and servers are this same test, run again on the hosts.
            let mut command = process::tethered("ip");
            command.args(["netns", "exec", &network.namespace("hosts")]).arg(env::current_exe().unwrap());
            let test = thread::current().name().expect("a test's thread has its name").to_owned();
            command.args([&test, "--exact", "--nocapture"]).env(INSIDE, &network.name);
            let output = process::output(command, BOUND + Duration::from_secs(600)).unwrap();
            let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
            assert!(output.status.success() && said.contains("1 passed"), "on the hosts:\n{said}");
        }
    }
}

fn cut_off(network: &Network) {
    let client_lost = Front::new(network, Side::Lost, Side::Near);
    let upstream_lost = Front::new(network, Side::Near, Side::Lost);
    let cases = [
        Case::new(&client_lost, Traffic::None, Kind::Plaintext),
        Case::new(&client_lost, Traffic::None, Kind::Tls),
        Case::new(&client_lost, Traffic::Once, Kind::Plaintext),
        Case::new(&client_lost, Traffic::Once, Kind::Tls),
        Case::new(&client_lost, Traffic::UntilFull, Kind::Plaintext),
        Case::new(&client_lost, Traffic::FullBefore, Kind::Plaintext),
        Case::new(&upstream_lost, Traffic::None, Kind::Plaintext),
        Case::new(&upstream_lost, Traffic::None, Kind::Tls),
        Case::new(&upstream_lost, Traffic::Once, Kind::Plaintext),
        Case::new(&upstream_lost, Traffic::Once, Kind::Tls),
        Case::new(&upstream_lost, Traffic::UntilFull, Kind::Plaintext),
        Case::new(&upstream_lost, Traffic::FullBefore, Kind::Plaintext),
    ];
    network.cut(Side::Lost);
    let deadline = Instant::now() + BOUND;
    let waiting = cases.map(Case::send);
    let mut wrong: Vec<String> = waiting.iter().filter_map(|case| case.check(deadline).err()).collect();
    for front in [&client_lost, &upstream_lost] {
        let open = || front.proxy.open_fds();
        if !wait_until(SOON, || open() <= front.descriptors) {
            wrong.push(format!("{front:?}: {} descriptors, {} before", open(), front.descriptors));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A proxy with its clients on one side and its upstream on the other.
#[derive(Debug)]
struct Front {
    proxy: Proxy,
    upstream: TcpListener,
    lost: Leg,
    /// Number of open descriptors without a connection.
    descriptors: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leg {
    Client,
    Upstream,
}

impl Front {
    fn new(network: &Network, clients: Side, servers: Side) -> Self {
        let upstream = TcpListener::bind((servers.host(), 0)).unwrap();
        let wrapper = ["ip", "netns", "exec", &network.namespace("proxy")].map(str::to_owned);
        let (server, ca) = (cert("server.pem"), cert("ca.pem"));
        let target = upstream.local_addr().unwrap().to_string();
        let listen = ["--port", "0", "--bind_ip", &clients.proxy(), "--upstream", &target, "--upstreamTLS", "never"];
        // These hosts have no loopback interface, and their servers count connections.
        let control = ["--adminBind", "none", "--upstreamProbe", "off"];
        let tls = ["--sslMode", "allowSSL", "--sslPEMKeyFile", &server, "--sslCAFile", &ca];
        let args = [&listen[..], &control, &tls].concat().into_iter().map(str::to_owned).collect::<Vec<_>>();
        let proxy = ProxyBuilder::new(&args).wrapped(&wrapper).start();
        let lost = if clients == Side::Lost { Leg::Client } else { Leg::Upstream };
        let mut front = Self { proxy, upstream, lost, descriptors: 0 };
        // A first connection opens everything that is opened on first use, before descriptors are counted.
        drop(front.connect(Kind::Tls));
        let record = front.proxy.log().wait(Mark::START, SOON, |line| line["message"] == "connection");
        record.unwrap_or_else(|why| panic!("the first connection does not end: {why}"));
        front.descriptors = front.proxy.open_fds();
        front
    }

    /// Makes a connection and sends bytes over it in both directions.
    fn connect(&self, kind: Kind) -> (SocketAddr, Box<dyn Stream>, Box<dyn Stream>) {
        let client = TcpStream::connect(self.proxy.address("inbound")).unwrap();
        let peer = client.local_addr().unwrap();
        let mut client: Box<dyn Stream> = match kind {
            Kind::Plaintext => Box::new(client),
            Kind::Tls => Box::new(tls_over(client, certs::shared(), Some("client.pem"))),
        };
        client.write_all(b"there").unwrap();
        client.flush().unwrap();
        let (mut server, _) = self.upstream.accept().unwrap();
        let mut bytes = [0; 5];
        server.read_exact(&mut bytes).unwrap();
        server.write_all(b"back.").unwrap();
        client.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"back.");
        (peer, client, Box::new(server))
    }
}

/// One connection, and the data in transit on it towards the peer that is lost.
struct Case<'a> {
    front: &'a Front,
    traffic: Traffic,
    kind: Kind,
    peer: SocketAddr,
    lost: Box<dyn Stream>,
    left: Box<dyn Stream>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Traffic {
    /// None: only keepalive can detect the loss.
    None,
    /// One message, sent after the cut.
    Once,
    /// As many bytes as the sockets accept, sent after the cut.
    UntilFull,
    /// As many bytes as the sockets accept, sent before the cut: the peer had stopped reading, and only window probes
    /// are sent.
    FullBefore,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plaintext,
    Tls,
}

impl<'a> Case<'a> {
    fn new(front: &'a Front, traffic: Traffic, kind: Kind) -> Self {
        let (peer, client, server) = front.connect(kind);
        let (lost, mut left) = match front.lost {
            Leg::Client => (client, server),
            Leg::Upstream => (server, client),
        };
        if traffic == Traffic::FullBefore {
            fill(&mut *left);
        }
        Self { front, traffic, kind, peer, lost, left }
    }

    /// Sends the data, and waits on another thread for the end of the remaining leg.
    fn send(mut self) -> Waiting<'a> {
        match self.traffic {
            Traffic::None | Traffic::FullBefore => {}
            Traffic::Once => {
                self.left.write_all(&[b'x'; 1000]).unwrap();
                self.left.flush().unwrap();
            }
            Traffic::UntilFull => fill(&mut *self.left),
        }
        let (sender, ended) = channel();
        let mut left = self.left;
        thread::spawn(move || {
            // No side sends anything any more. Any kind of end is accepted, and without one the receiver gets nothing.
            let _ = left.read(&mut [0]);
            let _ = sender.send(());
        });
        let name = format!("{:?} lost, traffic {:?}, {:?}", self.front.lost, self.traffic, self.kind);
        Waiting { front: self.front, name, peer: self.peer, ended, _lost: self.lost }
    }
}

struct Waiting<'a> {
    front: &'a Front,
    name: String,
    peer: SocketAddr,
    ended: Receiver<()>,
    /// Kept open, because its host is cut off but not down.
    _lost: Box<dyn Stream>,
}

impl Waiting<'_> {
    /// Checks that the remaining leg has ended by the deadline, and that the record contains the reason.
    fn check(&self, deadline: Instant) -> Result<(), String> {
        let left = deadline.saturating_duration_since(Instant::now());
        self.ended.recv_timeout(left).map_err(|_| format!("{}: the other leg goes on", self.name))?;
        let peer = self.peer.to_string();
        let log = self.front.proxy.log();
        let record =
            log.wait(Mark::START, SOON, |line| line["message"] == "connection" && line["peer"] == peer.as_str());
        let record = record.map_err(|why| format!("{}: no record: {why}", self.name))?;
        let expected = match self.front.lost {
            Leg::Client => "client_reset",
            Leg::Upstream => "upstream_reset",
        };
        let reason = record["reason"].as_str().unwrap_or_default();
        let right = record["outcome"] == expected && reason.contains("timed out");
        if right { Ok(()) } else { Err(format!("{}: {record}", self.name)) }
    }
}

/// One end of a connection.
trait Stream: Read + Write + Send {
    fn socket(&self) -> &TcpStream;
}

impl Stream for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl Stream for rustls::StreamOwned<rustls::ClientConnection, TcpStream> {
    fn socket(&self) -> &TcpStream {
        &self.sock
    }
}

/// Writes until no bytes were accepted for a while: every buffer on the path is full.
fn fill(stream: &mut dyn Stream) {
    stream.socket().set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let stuck = loop {
        match stream.write(&[b'x'; 64 * 1024]) {
            Ok(written) => assert!(written > 0),
            Err(error) => break error,
        }
    };
    assert_eq!(stuck.kind(), ErrorKind::WouldBlock, "{stuck}");
}

/// One of the two networks between hosts and proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Lost,
    Near,
}

impl Side {
    const fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Near => "near",
        }
    }

    fn host(self) -> String {
        format!("10.99.{}.1", self as u8)
    }

    fn proxy(self) -> String {
        format!("10.99.{}.2", self as u8)
    }
}

/// The namespaces, with names that contain this process's id. The process that created them removes them on drop.
struct Network {
    name: String,
    ours: bool,
}

impl Network {
    fn new() -> Result<Self, String> {
        netns::sweep();
        let network = Self { name: netns::fresh_name(), ours: true };
        for namespace in NAMESPACES {
            netns::add(&network.namespace(namespace))?;
        }
        for side in [Side::Lost, Side::Near] {
            network.connect(side)?;
        }
        Ok(network)
    }

    fn namespace(&self, which: &str) -> String {
        format!("{}-{which}", self.name)
    }

    /// One switch with two cables. Hardware addresses are preset, so that no address resolution takes place later.
    fn connect(&self, side: Side) -> Result<(), String> {
        let switch = self.namespace("switch");
        ip(&["-n", &switch, "link", "add", side.name(), "type", "bridge"])?;
        ip(&["-n", &switch, "link", "set", side.name(), "up"])?;
        let ends = [("hosts", side.host(), "02:00:00:00:00:01"), ("proxy", side.proxy(), "02:00:00:00:00:02")];
        for (which, address, hardware) in &ends {
            let (namespace, port) = (self.namespace(which), format!("{}-{which}", side.name()));
            let cable = ["type", "veth", "peer", "name", side.name(), "address", hardware, "netns", &namespace];
            ip(&[&["-n", &switch, "link", "add", &port][..], &cable].concat())?;
            ip(&["-n", &switch, "link", "set", &port, "master", side.name(), "up"])?;
            ip(&["-n", &namespace, "address", "add", &format!("{address}/24"), "dev", side.name()])?;
            ip(&["-n", &namespace, "link", "set", side.name(), "up"])?;
        }
        for ((which, _, _), (_, address, hardware)) in ends.iter().zip(ends.iter().rev()) {
            let known = ["neighbour", "replace", address, "lladdr", hardware, "dev", side.name(), "nud", "permanent"];
            ip(&[&["-n", &self.namespace(which)][..], &known].concat())?;
        }
        Ok(())
    }

    /// Unplugs the cable between hosts and switch, at the switch.
    fn cut(&self, side: Side) {
        let port = format!("{}-hosts", side.name());
        ip(&["-n", &self.namespace("switch"), "link", "set", &port, "nomaster"]).unwrap();
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if self.ours {
            for namespace in NAMESPACES {
                netns::delete(&self.namespace(namespace));
            }
        }
    }
}

const NAMESPACES: [&str; 3] = ["hosts", "switch", "proxy"];
/// Environment variable that is set for the part of the test that runs on the hosts: the network's name.
const INSIDE: &str = "TLSRAMP_TEST_NETWORK";
/// From the cut to the end of the last leg: keepalive's idle time and probes, plus tolerance for the kernel and a busy
/// machine.
const BOUND: Duration = Duration::from_secs(60 + 6 * 10 + 20);
