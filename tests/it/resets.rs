//! A reset by either peer ends the relay at once and is passed on to the other peer, whatever the connection's state
//! is.

use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use socket2::SockRef;

use crate::support::service::{SOON, tls_over, wait_until};
use crate::support::{Mark, Proxy, cert, certs};

/// The state of the connection when the reset arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    /// Bytes of the client wait for an upstream that does not read.
    StuckUp,
    /// Bytes of the upstream wait for a client that does not read.
    StuckDown,
    StuckBoth,
    /// The client has closed its sending direction; the upstream has sent no answer yet.
    ClientEnded,
    /// The upstream has closed its sending direction.
    UpstreamEnded,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Peer {
    Client,
    Upstream,
}

trait Stream: Read + Write {
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

/// The time limit allows for a busy machine; if the relay did not check the sockets for errors, it would take one or
/// two minutes.
#[test]
fn a_reset_is_passed_on_in_every_state_of_a_relay() {
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = proxy(upstream.local_addr().unwrap());
    let before = {
        drop(connect(&proxy, &upstream, true));
        proxy.log().wait(Mark::START, SOON, |line| line["message"] == "connection").unwrap();
        sockets(&proxy)
    };
    let states =
        [State::Idle, State::StuckUp, State::StuckDown, State::StuckBoth, State::ClientEnded, State::UpstreamEnded];
    let mut wrong = Vec::new();
    for tls in [false, true] {
        // TLS clients of this kind cannot make half-closed connections.
        for state in states.into_iter().filter(|state| !tls || *state != State::ClientEnded) {
            for lost in [Peer::Client, Peer::Upstream] {
                if let Err(why) = passes_on(&proxy, &upstream, tls, state, lost) {
                    wrong.push(format!("tls {tls}, {state:?}, {lost:?} lost: {why}"));
                }
            }
        }
    }
    if !wait_until(SOON, || sockets(&proxy) <= before) {
        wrong.push(format!("{} sockets, {before} before", sockets(&proxy)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn passes_on(proxy: &Proxy, upstream: &TcpListener, tls: bool, state: State, lost: Peer) -> Result<(), String> {
    let (peer, mut client, mut server) = connect(proxy, upstream, tls);
    match state {
        State::Idle => {}
        State::StuckUp => fill(&mut *client),
        State::StuckDown => fill(&mut server),
        State::StuckBoth => {
            fill(&mut *client);
            fill(&mut server);
        }
        State::ClientEnded => {
            client.socket().shutdown(Shutdown::Write).unwrap();
            assert_eq!(server.read(&mut [0]).unwrap(), 0);
        }
        State::UpstreamEnded => {
            server.shutdown(Shutdown::Write).unwrap();
            assert_eq!(client.read(&mut [0]).unwrap(), 0);
        }
    }
    let left = match lost {
        Peer::Client => {
            reset(client.socket());
            drop(client);
            server
        }
        Peer::Upstream => {
            reset(&server);
            drop(server);
            client.socket().try_clone().unwrap()
        }
    };
    let record = proxy.log().wait(Mark::START, SOON, |line| line["peer"] == peer.to_string().as_str());
    let record = record.map_err(|why| format!("the relay goes on: {why}"))?;
    let end = ended(left);
    // A peer that had closed its direction has sent everything.
    let had_ended =
        matches!((state, lost), (State::ClientEnded, Peer::Client) | (State::UpstreamEnded, Peer::Upstream));
    let outcome = match lost {
        _ if had_ended => "completed",
        Peer::Client => "client_reset",
        Peer::Upstream => "upstream_reset",
    };
    if record["outcome"] != outcome {
        return Err(format!("expected {outcome}: {record}"));
    }
    if !had_ended && end != Some(ErrorKind::ConnectionReset) {
        return Err(format!("the other peer saw {end:?} and no reset"));
    }
    Ok(())
}

/// Number of open sockets of the proxy. Its pipes are kept for the next connection.
fn sockets(proxy: &Proxy) -> usize {
    let descriptors = fs::read_dir(format!("/proc/{}/fd", proxy.pid())).unwrap();
    let targets = descriptors.filter_map(|descriptor| fs::read_link(descriptor.ok()?.path()).ok());
    targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
}

/// How the stream ends for a peer that reads all remaining bytes: `None` for an end without an error.
fn ended(mut left: TcpStream) -> Option<ErrorKind> {
    left.set_read_timeout(Some(SOON)).unwrap();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match left.read(&mut buffer) {
            Ok(0) => return None,
            Ok(_) => {}
            Err(error) => return Some(error.kind()),
        }
    }
}

/// Makes the following close send a reset.
fn reset(socket: &TcpStream) {
    SockRef::from(socket).set_linger(Some(Duration::ZERO)).unwrap();
}

/// Writes until no bytes were accepted for a while: every buffer on the path is full.
fn fill(stream: &mut dyn Stream) {
    stream.socket().set_nonblocking(true).unwrap();
    let mut refused = 0;
    while refused < 10 {
        match stream.write(&[b'x'; 16 * 1024]) {
            Ok(count) if count > 0 => refused = 0,
            Ok(_) => refused += 1,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
                refused += 1;
                thread::sleep(Duration::from_millis(20));
            }
        }
    }
    stream.socket().set_nonblocking(false).unwrap();
}

fn proxy(upstream: SocketAddr) -> Proxy {
    let (certificate, ca, upstream) = (cert("server.pem"), cert("ca.pem"), upstream.to_string());
    let front = ["--port", "0", "--upstream", &upstream, "--upstreamTLS", "never", "--upstreamProbe", "off"];
    let tls = ["--sslMode", "allowSSL", "--sslPEMKeyFile", &certificate, "--sslCAFile", &ca];
    Proxy::start([&front[..], &tls].concat())
}

/// Makes a connection and sends bytes over it in both directions.
fn connect(proxy: &Proxy, upstream: &TcpListener, tls: bool) -> (SocketAddr, Box<dyn Stream>, TcpStream) {
    let socket = TcpStream::connect(proxy.address("inbound")).unwrap();
    let peer = socket.local_addr().unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    let mut client: Box<dyn Stream> = match tls {
        false => Box::new(socket),
        true => Box::new(tls_over(socket, certs::shared(), Some("client.pem"))),
    };
    client.write_all(b"there").unwrap();
    client.flush().unwrap();
    let (mut server, _) = upstream.accept().unwrap();
    server.set_read_timeout(Some(SOON)).unwrap();
    let mut bytes = [0; 5];
    server.read_exact(&mut bytes).unwrap();
    server.write_all(b"back.").unwrap();
    client.read_exact(&mut bytes).unwrap();
    (peer, client, server)
}
