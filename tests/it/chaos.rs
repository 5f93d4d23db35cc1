//! The whole proxy at once: clients of both kinds stop in every phase of a connection, with resets and half-closes in
//! each, while the operator changes modes, certificates and leases, cuts off connections and stops the proxy.
//!
//! A seed determines a plan, see [`plan`]: `TLSRAMP_CHAOS_SEED=7 cargo test --test it chaos` runs plan 7. Properties
//! that hold for every plan:
//!
//! - bytes arrive as they were sent, and the record has their number;
//! - each connection accepted has one record, and gauges and sockets are back at zero after each round;
//! - once a mode is acknowledged, no connection that it refuses is relayed, and links are of the kind that it requires;
//! - no certificate, ticket or session is accepted after its expiry or revocation;
//! - a reset at one end is seen at the other within a second;
//! - over a plan, every kind of client meets every event in every phase, and every action of the operator meets every
//!   phase.

mod life;
mod plan;
mod server;
mod stream;

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    io::Read as _,
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Barrier, mpsc},
    thread,
    time::{Duration, Instant},
};

use certs_gen::{Authority, Request, Validity};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, StreamOwned,
    pki_types::ServerName,
    version::{TLS12, TLS13},
};
use serde_json::{Value, json};

use self::{
    life::{Seen, Stage, client, is_barred, live},
    plan::{Action, Mode, Part, Phase, Round},
    server::Server,
    stream::{HEADER_BYTES, Stream as _},
};
use crate::support::{
    Mark, Proxy, Scratch,
    admin::{self, Admin},
    proxy::Signal,
    service::{SOON, signal_reload, wait_until},
    tls,
};

#[test]
fn whatever_comes_together_what_must_hold_holds() {
    let seed = std::env::var("TLSRAMP_CHAOS_SEED").ok().map_or(1, |seed| seed.parse().expect("a seed is a number"));
    let mut chaos = Chaos::start();
    let (mut met, mut acted) = (BTreeSet::new(), BTreeSet::new());
    for (index, round) in plan::of(seed).into_iter().enumerate() {
        let began = Instant::now();
        let wrong = chaos.play(&round);
        let what = format!("round {index}: {:?}, {} to {}", round.action, round.from.name(), round.to.name());
        assert!(
            wrong.is_empty(),
            "{what}\n{}\nTLSRAMP_CHAOS_SEED={seed} repeats the plan; the log is that of the proxy below",
            wrong.join("\n")
        );
        eprintln!("{what}: {} connections, {:?}", round.parts.len(), began.elapsed());
        met.extend(round.parts.iter().map(|part| (part.kind, part.phase, part.event)));
        acted.extend(round.parts.iter().map(|part| (round.action, part.phase)));
    }
    let missed: Vec<_> = plan::whole_table().into_iter().filter(|row| !met.contains(row)).collect();
    assert!(missed.is_empty(), "never met: {missed:?}");
    for action in acted.iter().map(|(action, _)| *action).collect::<BTreeSet<_>>() {
        let missed: Vec<_> = Phase::ALL.into_iter().filter(|phase| !acted.contains(&(action, *phase))).collect();
        let expected: &[Phase] = if action == Action::Drain { &[Phase::Racing] } else { &[] };
        assert_eq!(missed, expected, "{action:?} never met these");
    }
}

/// A proxy between the connections of a plan and their server.
struct Chaos {
    proxy: Proxy,
    server: Server,
    ca: Authority,
    folder: Scratch,
    /// Number of connections that the proxy has accepted so far.
    accepted: u64,
    /// Number of open sockets of the proxy while it has no connections.
    sockets: usize,
    next_number: u32,
}

impl Chaos {
    fn start() -> Self {
        let folder = Scratch::new("chaos");
        let ca = Authority::new("chaos CA").unwrap();
        let names = ["localhost", "127.0.0.1"];
        fs::write(folder.join("ca.pem"), ca.pem()).unwrap();
        fs::write(folder.join("crl.pem"), ca.revoke(&[], Validity::Now).unwrap()).unwrap();
        for (file, request) in [
            ("server.pem", Request::server("localhost").names(names)),
            ("member.pem", Request::member("localhost").names(names)),
            ("client.pem", Request::client("client")),
        ] {
            certs_gen::write_private(&folder.join(file), &ca.issue(&request).unwrap().pem()).unwrap();
        }
        let server = Server::start(tls::server(&folder.join("server.pem").to_string_lossy(), None));
        let text = text(&server, folder.path(), Mode::Allow);
        let proxy = Proxy::start_with_config(&text, Vec::<String>::new());
        let mut chaos = Chaos { proxy, server, ca, folder, accepted: 0, sockets: 0, next_number: 100_000 };
        let config = client(chaos.folder.path(), "client.pem", &TLS13);
        chaos.passes(&config).expect("a first connection");
        // A socket that has just been closed may still be counted.
        wait_until(SOON, || chaos.open() == 0);
        thread::sleep(Duration::from_millis(100));
        chaos.sockets = chaos.count_sockets();
        chaos
    }

    /// Plays a round. Returns the violations.
    fn play(&mut self, round: &Round) -> Vec<String> {
        let mark = self.proxy.mark();
        self.set_mode(round);
        let identities = matches!(round.action, Action::Revoke | Action::Expire).then(|| self.doom(round.action));
        let (proxy, server, folder) =
            (self.proxy.address("inbound"), self.server.clone(), self.folder.path().to_owned());
        let barrier = Barrier::new(round.parts.len() + 1);
        let stage = Stage { proxy, server: &server, round, folder: &folder, barrier };
        let (done, results) = mpsc::channel();
        let mut wrong = Vec::new();
        thread::scope(|scope| {
            for part in &round.parts {
                let (stage, done) = (&stage, done.clone());
                scope.spawn(move || done.send((part, live(part, stage))).unwrap());
            }
            stage.barrier.wait();
            server.stall(round.server_stalls_in_tls);
            stage.barrier.wait();
            stage.barrier.wait();
            let dials = round.parts.iter().filter(|part| part.phase == Phase::Dial).count();
            wrong.extend(server.wait_dials(dials).err());
            // Even if this fails, the others are waiting at the barrier.
            let acted = catch_unwind(AssertUnwindSafe(|| self.act(round, identities.as_ref())));
            wrong.extend(acted.unwrap_or_else(|_| Err("the action fails".to_owned())).err());
            server.go_on();
            stage.barrier.wait();
        });
        drop(done);
        let mut lives = Vec::new();
        for (part, result) in results {
            match result {
                Ok(seen) => lives.push((part, seen)),
                Err(why) => wrong.push(format!("{part}: {why}")),
            }
        }
        self.accepted += round.parts.len() as u64;
        if let Some(identities) = identities {
            wrong.extend(self.refuses_all_of(&identities));
        }
        if wrong.is_empty() {
            wrong.extend(self.audit(round, &lives, mark));
        }
        wrong
    }

    /// Sets a mode that accepts both kinds of clients, whatever the last round has left; the configuration file names
    /// it too.
    fn set_mode(&self, round: &Round) {
        self.admin().put("/mode", &json!({ "mode": round.from.name(), "force": true }));
        if round.action == Action::Reload {
            fs::write(self.proxy.config_file(), text(&self.server, self.folder.path(), round.from)).unwrap();
            signal_reload(&self.proxy);
        }
    }

    fn act(&self, round: &Round, identities: Option<&Identities>) -> Result<(), String> {
        let admin = self.admin();
        let mode = json!({ "mode": round.to.name(), "force": true });
        let mut expected = Ok(());
        match round.action {
            Action::Nothing => {}
            Action::Mode => {
                admin.put("/mode", &mode);
                return self.counts_what_is_under_way(round);
            }
            Action::Rotate => {
                let request = Request::server("localhost").names(["localhost", "127.0.0.1"]);
                let pem = self.ca.issue(&request).unwrap().pem();
                certs_gen::write_private(&self.folder.join("server.pem"), &pem).unwrap();
                admin.post("/rotate", &json!({}));
            }
            Action::Reload => {
                fs::write(self.proxy.config_file(), text(&self.server, self.folder.path(), round.to)).unwrap();
                signal_reload(&self.proxy);
            }
            Action::Recycle => {
                admin.put("/mode", &mode);
                admin.post("/recycle", &json!({ "force": true, "graceSecs": 2, "waitSecs": 5 }));
            }
            Action::Lease => {
                let lease = |ttl: u32| json!({ "holder": "chaos", "ttlSecs": ttl });
                admin.post("/lease", &lease(60));
                let other = if round.from == Mode::Allow { Mode::Prefer } else { Mode::Require };
                let refused = admin.request("PUT", "/mode", Some(&json!({ "mode": other.name() })));
                if refused.status != 409 {
                    expected = Err(format!("under another's lease: {refused:?}"));
                }
                let mut held = mode;
                held["holder"] = json!("chaos");
                admin.put("/mode", &held);
                admin.post("/lease", &lease(0));
            }
            Action::Revoke => {
                let identities = identities.expect("a round that revokes has made them");
                let crl = self.ca.revoke(&[&identities.doomed], Validity::Now).unwrap();
                fs::write(self.folder.join("crl.pem"), crl).unwrap();
                admin.post("/rotate", &json!({}));
            }
            Action::Expire => {
                let end = identities.expect("a round that waits for an end has made them").end;
                thread::sleep(end.saturating_duration_since(Instant::now()));
            }
            Action::Drain => {
                self.proxy.signal(Signal::TERM);
                self.proxy.wait_log(
                    |line| line["message"].as_str().is_some_and(|text| text.starts_with("stopping: no new inbound")),
                    SOON,
                );
                return Ok(());
            }
        }
        let now = admin.get("/status")["sslMode"].clone();
        if now == round.to.name() { expected } else { Err(format!("the mode is {now}, not {}", round.to.name())) }
    }

    /// Checks that once a mode is acknowledged, connections that it would not make are counted, including those that
    /// are in a handshake or a dial.
    fn counts_what_is_under_way(&self, round: &Round) -> Result<(), String> {
        let unmade = |judged: &dyn Fn(&Part) -> bool| {
            round.parts.iter().filter(|part| judged(part) && !round.would_make(part)).count() as u64
        };
        let least = unmade(&|part| part.phase.is_established() || matches!(part.phase, Phase::Handshake | Phase::Dial));
        // A racing connection was judged by either mode. Half a ClientHello is judged if it is long enough to be
        // classified.
        let most = least + unmade(&|part| matches!(part.phase, Phase::HalfHello | Phase::Racing));
        let counted = self.admin().get("/status")["connections"]["nonConforming"].as_u64().unwrap();
        if (least..=most).contains(&counted) {
            Ok(())
        } else {
            Err(format!("{counted} connections counted as non-conforming, not {least} to {most}"))
        }
    }

    /// Issues the identity that will expire in this round, and uses it: a second connection resumes the session of the
    /// first.
    fn doom(&mut self, action: Action) -> Identities {
        let mut seconds = 6;
        loop {
            let validity = if action == Action::Expire { Validity::Seconds(seconds) } else { Validity::Now };
            let doomed = self.ca.issue(&Request::client("doomed").valid(validity)).unwrap();
            // An identity expires at the end of its last second.
            let end = Instant::now() + Duration::from_secs(u64::from(seconds) + 2);
            certs_gen::write_private(&self.folder.join("doomed.pem"), &doomed.pem()).unwrap();
            let configs = [&TLS12, &TLS13].map(|version| client(self.folder.path(), "doomed.pem", version));
            let kinds: Result<Vec<_>, _> =
                configs.iter().flat_map(|config| [config, config]).map(|config| self.passes(config)).collect();
            match kinds {
                Ok(kinds) => {
                    let expected = [HandshakeKind::Full, HandshakeKind::Resumed];
                    assert_eq!(kinds, [expected, expected].concat(), "sessions are resumed while they are good");
                    return Identities { doomed, end, configs: configs.into() };
                }
                // On a very busy machine, this takes longer than the certificate is valid.
                Err(_) if action == Action::Expire && seconds < 60 => seconds *= 2,
                Err(why) => panic!("{why}"),
            }
        }
    }

    fn refuses_all_of(&mut self, identities: &Identities) -> Vec<String> {
        let passed = identities.configs.iter().filter_map(|config| self.passes(config).ok());
        passed.map(|kind| format!("an identity that has ended is taken: {kind:?}")).collect()
    }

    /// Makes one connection and exchanges bytes in both directions.
    fn passes(&mut self, config: &std::sync::Arc<ClientConfig>) -> Result<HandshakeKind, String> {
        self.next_number += 1;
        self.accepted += 1;
        let number = self.next_number;
        let socket = std::net::TcpStream::connect(self.proxy.address("inbound")).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        let session = ClientConnection::new(config.clone(), ServerName::try_from("localhost").unwrap()).unwrap();
        let mut client = StreamOwned::new(session, socket);
        let mut header = [b'#'; HEADER_BYTES];
        header[4..8].copy_from_slice(&number.to_le_bytes());
        let failed = |error: std::io::Error| error.to_string();
        std::io::Write::write_all(&mut client, &header).map_err(failed)?;
        let (gone, took) = mpsc::channel();
        let server = self.server.clone();
        // If the connection is refused, only the client notices; if it arrives, both do.
        thread::spawn(move || {
            let arrived = server.take(number);
            let answered = arrived.map(|mut arrived| std::io::Write::write_all(&mut arrived.stream, b"!"));
            let _ = gone.send(answered.is_ok());
        });
        client.read_exact(&mut [0]).map_err(failed)?;
        let kind = client.conn.handshake_kind().ok_or("no handshake")?;
        client.end().map_err(failed)?;
        drop(took);
        Ok(kind)
    }

    /// Checks the properties that must hold once all connections of a round have ended.
    fn audit(&mut self, round: &Round, lives: &[(&Part, Seen)], mark: Mark) -> Vec<String> {
        let mut wrong = Vec::new();
        // Forgets connections whose clients have disconnected.
        self.server.forget();
        if round.action == Action::Drain {
            match self.proxy.wait_exit(SOON) {
                Some(status) if status.success() => {}
                status => wrong.push(format!("the proxy has ended with {status:?}")),
            }
        } else {
            if !wait_until(SOON, || self.open() == 0 && self.count_sockets() <= self.sockets) {
                wrong.push(format!("{} sockets of {}, {} open", self.count_sockets(), self.sockets, self.open()));
            }
            // The log line of a closed record may be written a little later.
            if !wait_until(SOON, || self.recorded() == self.accepted) {
                wrong.push(format!("{} records of {} connections", self.recorded(), self.accepted));
            }
        }
        self.server.forget();
        for part in &round.parts {
            let times = self.server.times(part.number);
            if times > usize::from(!is_barred(round, part)) {
                wrong.push(format!("{part} has come to the server {times} times"));
            }
        }
        // Log lines are written a little after the events. A missing line is reported below.
        let is_told = |peer: &SocketAddr| {
            self.proxy.records_since(mark).iter().any(|record| record["peer"] == peer.to_string().as_str())
        };
        wait_until(SOON, || lives.iter().all(|(_, seen)| seen.bytes.is_none() || is_told(&seen.peer)));
        let mut records: HashMap<String, Vec<Value>> = HashMap::new();
        for record in self.proxy.records_since(mark) {
            records.entry(record["peer"].as_str().unwrap().to_owned()).or_default().push(record);
        }
        for (part, Seen { peer, outcomes, bytes }) in lives {
            let found = records.get(&peer.to_string()).map_or(&[][..], Vec::as_slice);
            // Log lines that peers can cause are rate-limited, and a connection without a byte has none.
            if found.len() > 1 || (found.is_empty() && bytes.is_some()) {
                wrong.push(format!("{part} has {} records", found.len()));
            }
            for record in found {
                let outcome = record["outcome"].as_str().unwrap();
                let counted = (record["bytes_in"].as_u64().unwrap(), record["bytes_out"].as_u64().unwrap());
                if outcome == "internal" || (!outcomes.is_empty() && !outcomes.contains(&outcome)) {
                    wrong.push(format!("{part}: {outcome}, not {outcomes:?}: {record}"));
                }
                if bytes.is_some_and(|bytes| bytes != counted) {
                    wrong.push(format!("{part}: {bytes:?} bytes, recorded as {counted:?}"));
                }
            }
        }
        wrong
    }

    /// Number of open connections according to the proxy.
    fn open(&self) -> u64 {
        let status = self.admin().get("/status");
        status["connections"]["open"].as_u64().unwrap_or_else(|| panic!("no gauge: {}", status["connections"]))
    }

    /// Number of connections that were recorded as ended, with any outcome.
    fn recorded(&self) -> u64 {
        let host = self.proxy.address("admin");
        let page =
            self.admin().raw(&format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).body;
        let counts = page.lines().filter(|line| line.starts_with("tlsramp_connections_total{"));
        counts.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    }

    fn count_sockets(&self) -> usize {
        let descriptors = fs::read_dir(format!("/proc/{}/fd", self.proxy.pid())).unwrap();
        let targets = descriptors.filter_map(|descriptor| fs::read_link(descriptor.ok()?.path()).ok());
        targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
    }

    fn admin(&self) -> Admin {
        admin::of(&self.proxy)
    }
}

/// A client certificate that expires or is revoked in a round, and clients that hold tickets for it.
struct Identities {
    doomed: certs_gen::Issued,
    end: Instant,
    configs: Vec<std::sync::Arc<ClientConfig>>,
}

/// The configuration, with long time limits so that a busy machine causes no timeouts.
fn text(server: &Server, folder: &Path, mode: Mode) -> String {
    let path = |name: &str| folder.join(name).display().to_string();
    let (key, cluster, ca, crl) = (path("server.pem"), path("member.pem"), path("ca.pem"), path("crl.pem"));
    format!(
        "port = 0\nupstream = {}\nsslMode = {}\nsslPEMKeyFile = {key}\nsslClusterFile = {cluster}\nsslCAFile = {ca}\n\
         sslCRLFile = {crl}\nsniffTimeout = 60s\nhandshakeTimeout = 60s\nconnectTimeout = 60s\n",
        server.address(),
        mode.name()
    )
}
