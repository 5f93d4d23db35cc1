//! One connection from connect to end, synchronized with the others of its round.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    path::Path,
    sync::{Arc, Barrier},
    thread,
    time::{Duration, Instant},
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    version::{TLS12, TLS13},
};

use super::{
    plan::{Action, Event, Kind, Part, Phase, Round},
    server::Server,
    stream::{Ending, Ends, Stream, header, reset, small_buffers},
};
use crate::support::{
    service::{SOON, ended},
    until::busy,
};

/// State shared by the connections of a round.
pub(super) struct Stage<'a> {
    pub(super) proxy: SocketAddr,
    pub(super) server: &'a Server,
    pub(super) round: &'a Round,
    /// The folder with the certificates.
    pub(super) folder: &'a Path,
    /// Waited at four times: all connections are established; the server stalls; all are in their phase; the operator
    /// has acted and the server continues.
    pub(super) barrier: Barrier,
}

/// The result of a connection.
pub(super) struct Seen {
    pub(super) peer: SocketAddr,
    /// The outcomes that its record may have; empty if any is possible.
    pub(super) outcomes: &'static [&'static str],
    /// The bytes in and out that its record must have.
    pub(super) bytes: Option<(u64, u64)>,
}

/// How far a connection has got.
enum Place {
    Nowhere,
    Silent(TcpStream),
    /// The second half of the ClientHello is still to be sent.
    HalfHello(Box<ClientConnection>, TcpStream, Vec<u8>),
    Handshake(Box<dyn Stream>),
    /// Its header was sent.
    Spoken(Box<dyn Stream>),
    Established(Ends),
    /// It was refused.
    Over(String),
}

/// Whether a connection that is not established when the operator acts may be established afterwards.
fn is_admitted(round: &Round, part: &Part) -> bool {
    let stopped = round.action == Action::Drain && matches!(part.phase, Phase::Silent | Phase::HalfHello);
    round.to.admits(part.kind) && !part.doomed && !stopped
}

/// Whether an established connection is recycled.
fn is_cut(round: &Round, part: &Part) -> bool {
    round.action == Action::Recycle && !round.would_make(part)
}

/// Whether this connection must never reach the server.
pub(super) fn is_barred(round: &Round, part: &Part) -> bool {
    !part.phase.is_established() && !is_admitted(round, part)
}

pub(super) fn live(part: &Part, stage: &Stage) -> Result<Seen, String> {
    // Even if this fails, the others are waiting at every barrier.
    let mut peer = None;
    let mut place = Ok(Place::Nowhere);
    if part.phase.is_established() {
        place = establish(part, stage, &mut peer);
    }
    stage.barrier.wait();
    stage.barrier.wait();
    if part.phase <= Phase::Dial {
        place = open(part, stage, &mut peer);
    }
    stage.barrier.wait();
    if part.phase == Phase::Racing {
        thread::sleep(Duration::from_millis(part.delay_ms));
        place = open(part, stage, &mut peer);
    }
    stage.barrier.wait();
    let place = place?;
    let peer = peer.ok_or("it was never connected")?;
    let seen = |outcomes| Seen { peer, outcomes, bytes: None };
    match (place, part.event) {
        (Place::Established(mut ends), _) if is_cut(stage.round, part) => {
            let Ends { client, server } = &mut ends;
            client.drain(server, SOON).map_err(|why| format!("the client's end: {why}"))?;
            server.drain(client, SOON).map_err(|why| format!("the server's end: {why}"))?;
            Ok(seen(&["recycled", "recycled_by_force"]))
        }
        (Place::Established(ends), event) => finish(ends, event, part, peer),
        (Place::Silent(socket) | Place::HalfHello(_, socket, _), Event::ClientResets) => {
            reset(&socket);
            Ok(seen(&[]))
        }
        (Place::Handshake(stream) | Place::Spoken(stream), Event::ClientResets) => {
            reset(stream.socket());
            Ok(seen(&[]))
        }
        (Place::Silent(mut socket) | Place::HalfHello(_, mut socket, _), Event::ClientEnds) => {
            let _ = socket.shutdown(Shutdown::Write);
            if ended(&mut socket) { Ok(seen(&[])) } else { Err("it ended in its opening and is held open".to_owned()) }
        }
        (Place::Handshake(stream), Event::ClientEnds) => {
            let _ = stream.socket().shutdown(Shutdown::Write);
            wait_end(stream).map(|()| seen(&[]))
        }
        (place, event) => {
            let spoken = speak(place, part, stage);
            if is_admitted(stage.round, part) {
                finish(arrive(spoken?, part, stage, stage.round.to.links_by_tls())?, event, part, peer)
            } else {
                // An error is accepted too: the connection was refused while it was sending.
                spoken.map_or(Ok(()), wait_end)?;
                Ok(seen(&[]))
            }
        }
    }
}

/// Advances the connection as far as its phase requires, before or while the operator acts.
fn open(part: &Part, stage: &Stage, peer: &mut Option<SocketAddr>) -> Result<Place, String> {
    let socket = connect(stage.proxy)?;
    *peer = socket.local_addr().ok();
    match part.phase {
        Phase::Silent => Ok(Place::Silent(socket)),
        Phase::HalfHello => {
            let mut session = session(part, stage);
            let (hello, rest) = hello_of(&mut session);
            (&socket).write_all(&hello).map_err(|error| format!("half a hello is not taken: {error}"))?;
            Ok(Place::HalfHello(session, socket, rest))
        }
        Phase::Handshake => {
            let mut session = session(part, stage);
            let (hello, rest) = hello_of(&mut session);
            (&socket).write_all(&[hello, rest].concat()).map_err(|error| format!("a hello is not taken: {error}"))?;
            while !session.wants_write() {
                let read =
                    session.read_tls(&mut &socket).map_err(|error| format!("no flight of the server: {error}"))?;
                session.process_new_packets().map_err(|error| error.to_string())?;
                if read == 0 {
                    return Err("the proxy ends the handshake".to_owned());
                }
            }
            Ok(Place::Handshake(Box::new(StreamOwned::new(*session, socket))))
        }
        Phase::Dial
        | Phase::Racing
        | Phase::Idle
        | Phase::StuckUp
        | Phase::StuckDown
        | Phase::StuckBoth
        | Phase::ClientEnded
        | Phase::ServerEnded => {
            let spoken = speak(Place::Silent(socket), part, stage);
            // A racing connection may already have been refused.
            if part.phase == Phase::Racing && is_barred(stage.round, part) {
                return Ok(spoken.map_or_else(Place::Over, Place::Spoken));
            }
            spoken.map(Place::Spoken)
        }
    }
}

/// Establishes the connection and brings it into its phase.
fn establish(part: &Part, stage: &Stage, peer: &mut Option<SocketAddr>) -> Result<Place, String> {
    let socket = connect(stage.proxy)?;
    *peer = socket.local_addr().ok();
    let spoken = speak(Place::Silent(socket), part, stage)?;
    let mut ends = arrive(spoken, part, stage, stage.round.from.links_by_tls())?;
    match part.phase {
        Phase::StuckUp => ends.client.fill(),
        Phase::StuckDown => ends.server.fill(),
        Phase::StuckBoth => {
            ends.client.fill();
            ends.server.fill();
        }
        Phase::ClientEnded => ends.client.end()?,
        Phase::ServerEnded => ends.server.end()?,
        Phase::Silent | Phase::HalfHello | Phase::Handshake | Phase::Dial | Phase::Racing | Phase::Idle => {}
    }
    Ok(Place::Established(ends))
}

/// Sends everything up to and including the header.
fn speak(place: Place, part: &Part, stage: &Stage) -> Result<Box<dyn Stream>, String> {
    let mut stream: Box<dyn Stream> = match place {
        Place::Silent(socket) if part.kind == Kind::Plaintext => Box::new(socket),
        Place::Silent(socket) => Box::new(StreamOwned::new(*session(part, stage), socket)),
        Place::HalfHello(session, socket, rest) => {
            (&socket).write_all(&rest).map_err(|error| format!("the rest of the hello: {error}"))?;
            Box::new(StreamOwned::new(*session, socket))
        }
        Place::Handshake(stream) => stream,
        Place::Spoken(stream) => return Ok(stream),
        Place::Over(why) => return Err(why),
        Place::Nowhere | Place::Established(_) => return Err("nothing to say".to_owned()),
    };
    let sent = stream.write_all(&header(part)).and_then(|()| stream.flush());
    sent.map_err(|error| format!("its first bytes are not taken: {error}"))?;
    Ok(stream)
}

/// Waits until the connection has reached the server, with the kind of link that its mode requires. Returns both ends.
fn arrive(client: Box<dyn Stream>, part: &Part, stage: &Stage, by_tls: bool) -> Result<Ends, String> {
    let arrived = stage.server.take(part.number)?;
    if arrived.by_tls != by_tls {
        return Err(format!("its link is {}", if arrived.by_tls { "by TLS" } else { "plain" }));
    }
    if arrived.header != header(part) {
        return Err(format!("its first bytes come as {:?}", arrived.header));
    }
    let mut ends = Ends::new(client, arrived.stream, part.number);
    if part.messages {
        ends.ask(part.number, true)?;
    } else {
        ends.settle(5000)?;
    }
    Ok(ends)
}

/// Performs the event and checks its effects at both ends.
fn finish(mut ends: Ends, event: Event, part: &Part, peer: SocketAddr) -> Result<Seen, String> {
    match event {
        Event::ClientEnds if !ends.client.has_ended => ends.client.end()?,
        Event::ServerEnds if !ends.server.has_ended => ends.server.end()?,
        Event::ClientResets | Event::ServerResets => return lose(ends, event, peer),
        Event::GoOn | Event::ClientEnds | Event::ServerEnds => {}
    }
    if part.messages && event == Event::GoOn {
        ends.ask(part.number, false)?;
    } else {
        ends.settle(if part.messages { 0 } else { 5000 })?;
    }
    // The end that is still open closes, and the other one observes it.
    let Ends { client, server } = &mut ends;
    if !client.has_ended {
        client.end()?;
    }
    let seen = server.drain(client, SOON).map_err(|why| format!("the client has ended, but at the server: {why}"))?;
    if seen != Ending::Orderly {
        return Err(format!("the client has ended, and the server sees {seen:?}"));
    }
    if !server.has_ended {
        server.end()?;
    }
    let seen = client.drain(server, SOON).map_err(|why| format!("the server has ended, but at the client: {why}"))?;
    if seen != Ending::Orderly {
        return Err(format!("the server has ended, and the client sees {seen:?}"));
    }
    if (client.sent, server.sent) != (server.got, client.got) {
        return Err(format!("{} of {} bytes up, {} of {} down", server.got, client.sent, client.got, server.sent));
    }
    Ok(Seen { peer, outcomes: &["completed"], bytes: Some((client.sent, server.sent)) })
}

/// Resets one end: the other must observe a reset within a second.
fn lose(ends: Ends, event: Event, peer: SocketAddr) -> Result<Seen, String> {
    let Ends { client, server } = ends;
    let (lost, mut left, outcomes): (_, _, &'static [&'static str]) = if event == Event::ClientResets {
        (client, server, &["client_reset"])
    } else {
        (server, client, &["upstream_reset"])
    };
    let had_ended = lost.has_ended;
    let salt = lost.reset();
    let began = Instant::now();
    let seen = left.drain_of(salt, SOON).map_err(|why| format!("{event:?}: {why}"))?;
    let took = began.elapsed();
    if had_ended {
        return Ok(Seen { peer, outcomes: &["completed"], bytes: None });
    }
    if seen != Ending::Reset {
        return Err(format!("{event:?}, and the other end sees {seen:?}"));
    }
    if took > Duration::from_secs(1) && !busy() {
        return Err(format!("{event:?} was passed on after {took:?}"));
    }
    Ok(Seen { peer, outcomes, bytes: None })
}

/// Waits until the proxy has closed the connection.
fn wait_end(mut stream: Box<dyn Stream>) -> Result<(), String> {
    let deadline = Instant::now() + SOON;
    let mut bytes = [0; 4096];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return Ok(()),
            Ok(_) if Instant::now() < deadline => {}
            Err(error) if !matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                return Ok(());
            }
            Ok(_) | Err(_) => return Err("it should have been turned away, and is held open".to_owned()),
        }
    }
}

fn connect(proxy: SocketAddr) -> Result<TcpStream, String> {
    let socket = small_buffers();
    socket.connect(&proxy.into()).map_err(|error| format!("the proxy takes no connection: {error}"))?;
    let socket = TcpStream::from(socket);
    socket.set_nodelay(true).map_err(|error| error.to_string())?;
    socket.set_read_timeout(Some(SOON)).map_err(|error| error.to_string())?;
    Ok(socket)
}

fn session(part: &Part, stage: &Stage) -> Box<ClientConnection> {
    let file = if part.doomed { "doomed.pem" } else { "client.pem" };
    let version = if part.kind == Kind::Tls12 { &TLS12 } else { &TLS13 };
    let name = ServerName::try_from("localhost").unwrap();
    Box::new(ClientConnection::new(client(stage.folder, file, version), name).unwrap())
}

/// A client configuration with files of a folder: it trusts `ca.pem`, presents this certificate, and stores its
/// sessions.
pub(super) fn client(folder: &Path, file: &str, version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join("ca.pem")).unwrap()).unwrap();
    let chain = vec![CertificateDer::from_pem_file(folder.join(file)).unwrap()];
    let key = PrivateKeyDer::from_pem_file(folder.join(file)).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_protocol_versions(&[version]).unwrap().with_root_certificates(roots);
    Arc::new(builder.with_client_auth_cert(chain, key).unwrap())
}

/// The ClientHello of a session, in two halves.
fn hello_of(session: &mut ClientConnection) -> (Vec<u8>, Vec<u8>) {
    let mut hello = Vec::new();
    session.write_tls(&mut hello).unwrap();
    let rest = hello.split_off(hello.len() / 2);
    (hello, rest)
}
