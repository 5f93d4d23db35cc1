//! The TLS stream on its unbuffered record layer, against an ordinary rustls peer.

use std::future::poll_fn;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use certs_gen::Set;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, Connection, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::files::random_name;
use crate::limits::{TLS_HELD, TLS_READ, TLS_RECORD, TLS_WRITTEN};
use crate::tls::stream::session::UnbufferedSession;
use crate::tls::stream::tls_stream::TlsStream;
use crate::tls::{DisabledProtocols, Material, TlsFiles, accept, connect};

/// The stream, as a server or as a client, in TLS 1.2 or 1.3.
///
/// The first byte chooses the version (bit 0), the side (bit 1) and the kind of peer (bit 2). With an ordinary peer,
/// the rest of the input is a script of [`ScriptStep`]s, two bytes each, which send, deliver, damage and read.
/// Otherwise the rest of the input is all that the peer sends, in place of a handshake.
///
/// Whatever happens to the records, what is read is a prefix of what was sent. If no record is damaged and the stream
/// has not ended, all that was sent arrives. What the stream keeps is bounded.
pub fn tls_stream(data: &[u8]) {
    let Some((choice, rest)) = data.split_first() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return };
    let configs = &configs()[usize::from(choice & 1)];
    runtime.block_on(async {
        match (choice & 2 == 0, choice & 4 == 0) {
            (true, true) => serve(configs, rest).await,
            (false, true) => dial(configs, rest).await,
            (side, false) => raw(configs, side, rest).await,
        }
    });
}

struct VersionConfigs {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    name: ServerName<'static>,
}

/// The configurations for TLS 1.2 and for TLS 1.3, with certificates that are made once per process.
fn configs() -> &'static [VersionConfigs; 2] {
    static CONFIGS: OnceLock<[VersionConfigs; 2]> = OnceLock::new();
    CONFIGS.get_or_init(|| {
        let folder = std::env::temp_dir().join(format!("tlsramp-fuzz-{}", random_name()));
        let file = |name: &str| Some(folder.join(name));
        let written = Set::full().and_then(|set| set.write(&folder));
        assert!(written.is_ok(), "{written:?}");
        let made = [false, true].map(|tls1_2| {
            let files = TlsFiles {
                certificate_key: file("server.pem"),
                cluster: file("client.pem"),
                ca: file("ca.pem"),
                disabled: DisabledProtocols { tls1_2, tls1_3: !tls1_2 },
                ..TlsFiles::default()
            };
            let name = ServerName::try_from("localhost").ok()?;
            let (material, _) = Material::load(&files).ok()?;
            let client = material.client_config(std::slice::from_ref(&name))?;
            Some(VersionConfigs { server: material.server_config()?, client, name })
        });
        let _ = std::fs::remove_dir_all(&folder);
        made.map(|configs| configs.unwrap_or_else(|| panic!("no configuration")))
    })
}

/// Two connected sockets. They are Unix sockets in the type of TCP sockets, so that no port is used up.
fn sockets() -> (TcpStream, TcpStream) {
    let pair = UnixStream::pair().and_then(|(one, other)| {
        let socket = |end: UnixStream| {
            end.set_nonblocking(true)?;
            TcpStream::from_std(OwnedFd::from(end).into())
        };
        Ok((socket(one)?, socket(other)?))
    });
    pair.unwrap_or_else(|error| panic!("{error}"))
}

/// The peer's end, read and written without the runtime.
fn into_std(socket: TcpStream) -> std::net::TcpStream {
    socket.into_std().unwrap_or_else(|error| panic!("{error}"))
}

async fn serve(configs: &VersionConfigs, script: &[u8]) {
    let (near, far) = sockets();
    let theirs = TlsConnector::from(Arc::clone(&configs.client)).connect(configs.name.clone(), near);
    let ours = accept(far, Arc::clone(&configs.server), LIMIT);
    let (theirs, ours) = tokio::join!(theirs, ours);
    let (Ok(theirs), Ok(ours)) = (theirs, ours) else { panic!("the handshake fails") };
    let (socket, session) = theirs.into_inner();
    ScriptedConnection::new(*ours.stream, into_std(socket), session.into()).run(script).await;
}

async fn dial(configs: &VersionConfigs, script: &[u8]) {
    let (near, far) = sockets();
    let ours = connect(near, Arc::clone(&configs.client), configs.name.clone(), LIMIT);
    let theirs = TlsAcceptor::from(Arc::clone(&configs.server)).accept(far);
    let (ours, theirs) = tokio::join!(ours, theirs);
    let (Ok(ours), Ok(theirs)) = (ours, theirs) else { panic!("the handshake fails") };
    let (socket, session) = theirs.into_inner();
    ScriptedConnection::new(*ours, into_std(socket), session.into()).run(script).await;
}

/// A peer that sends these bytes and reads nothing: no handshake can succeed.
async fn raw(configs: &VersionConfigs, as_server: bool, bytes: &[u8]) {
    let (near, far) = sockets();
    let mut near = into_std(near);
    let _ = near.write(bytes);
    let _ = near.shutdown(std::net::Shutdown::Write);
    if as_server {
        assert!(accept(far, Arc::clone(&configs.server), LIMIT).await.is_err());
    } else {
        assert!(connect(far, Arc::clone(&configs.client), configs.name.clone(), LIMIT).await.is_err());
    }
    drop(near);
}

/// One step of a script, two bytes: the low three bits of the first choose the kind, the other 13 bits are a number.
#[derive(Clone, Copy)]
enum ScriptStep {
    /// The peer encrypts so many bytes.
    PeerSends(usize),
    /// Deliver this many bytes of the peer's encrypted data to the socket.
    Deliver(usize),
    /// Flip one bit of the undelivered data.
    Damage(usize),
    /// Read from the stream into a buffer of this size.
    Read(usize),
    /// The stream writes so many bytes.
    Write(usize),
    /// The peer reads what has come, and checks it.
    PeerReads,
    /// The peer changes its keys, or closes its sending side.
    PeerControls(usize),
    /// The stream flushes, or closes its sending side.
    Control(usize),
}

impl ScriptStep {
    fn of([kind, number]: [u8; 2]) -> ScriptStep {
        let number = usize::from(number) | usize::from(kind >> 3) << 8;
        match kind & 7 {
            0 => ScriptStep::PeerSends(number * 9),
            1 => ScriptStep::Deliver(number * 5),
            2 => ScriptStep::Damage(number),
            3 => ScriptStep::Read(number * 9),
            4 => ScriptStep::Write(number * 17),
            5 => ScriptStep::PeerReads,
            6 => ScriptStep::PeerControls(number),
            _ => ScriptStep::Control(number),
        }
    }
}

/// A connection after its handshake.
struct ScriptedConnection<S> {
    ours: TlsStream<S>,
    socket: std::net::TcpStream,
    peer: Connection,
    /// Data that the peer has encrypted and that is not delivered yet.
    wire: Vec<u8>,
    /// Bytes that the peer has sent, and bytes that the stream has read.
    sent: usize,
    read: usize,
    /// Bytes that the stream has written, and bytes that the peer has read.
    written: usize,
    got: usize,
    /// How often the peer has changed its keys.
    key_updates: usize,
    /// Whether the peer has closed its sending side.
    peer_closed: bool,
    /// Whether records were damaged.
    damaged: bool,
    /// Whether our stream has failed or ended.
    over: bool,
}

impl<S: UnbufferedSession + Unpin> ScriptedConnection<S> {
    fn new(ours: TlsStream<S>, socket: std::net::TcpStream, peer: Connection) -> ScriptedConnection<S> {
        ScriptedConnection {
            ours,
            socket,
            peer,
            wire: Vec::new(),
            sent: 0,
            read: 0,
            written: 0,
            got: 0,
            key_updates: 0,
            peer_closed: false,
            damaged: false,
            over: false,
        }
    }

    async fn run(mut self, script: &[u8]) {
        for step in script.as_chunks().0.iter().take(STEPS_MOST) {
            self.step(ScriptStep::of(*step)).await;
            let (incoming, plain, outgoing) = self.ours.kept();
            assert!(incoming <= TLS_HELD && plain <= TLS_HELD + TLS_READ && outgoing <= 2 * TLS_RECORD + TLS_WRITTEN);
        }
        if self.damaged || self.over {
            return;
        }
        // No record was damaged, so all data that was sent must arrive.
        let mut idle = 0;
        while self.read < self.sent {
            let before = (self.read, self.wire.len());
            self.encrypted();
            self.deliver(usize::MAX);
            self.peer_reads();
            self.read(1 << 16).await;
            idle = if (self.read, self.wire.len()) == before { idle + 1 } else { 0 };
            assert!(idle < 100 && !self.over, "{} of {} bytes arrive", self.read, self.sent);
        }
    }

    async fn step(&mut self, step: ScriptStep) {
        match step {
            ScriptStep::PeerSends(_) if self.peer_closed => {}
            ScriptStep::PeerSends(count) => {
                let bytes: Vec<_> = (self.sent..self.sent + count).map(pattern).collect();
                self.sent += self.peer.writer().write(&bytes).unwrap_or(0);
                self.encrypted();
            }
            ScriptStep::Deliver(count) => self.deliver(count),
            ScriptStep::Damage(at) if !self.wire.is_empty() => {
                let at = at % (self.wire.len() * 8);
                self.wire[at / 8] ^= 1 << (at % 8);
                self.damaged = true;
            }
            ScriptStep::Damage(_) => {}
            ScriptStep::Read(room) => self.read(room.max(1)).await,
            ScriptStep::Write(count) => self.write(count).await,
            ScriptStep::PeerReads => self.peer_reads(),
            ScriptStep::PeerControls(0) => {
                self.peer.send_close_notify();
                self.peer_closed = true;
                self.encrypted();
            }
            // rustls ends a connection whose peer changes its keys too often.
            ScriptStep::PeerControls(_) if self.key_updates < KEY_UPDATES_MOST => {
                self.key_updates += 1;
                let _ = self.peer.refresh_traffic_keys();
                self.encrypted();
            }
            ScriptStep::PeerControls(_) => {}
            ScriptStep::Control(0) => {
                self.over = true;
                let _ = once(|cx| Pin::new(&mut self.ours).poll_shutdown(cx)).await;
            }
            ScriptStep::Control(_) => {
                let _ = once(|cx| Pin::new(&mut self.ours).poll_flush(cx)).await;
            }
        }
    }

    /// Takes records from the peer.
    fn encrypted(&mut self) {
        while self.peer.wants_write() && self.peer.write_tls(&mut self.wire).is_ok() {}
    }

    fn deliver(&mut self, count: usize) {
        let count = count.min(self.wire.len());
        let delivered = self.socket.write(&self.wire[..count]).unwrap_or(0);
        self.wire.drain(..delivered);
    }

    async fn read(&mut self, room: usize) {
        let mut room = vec![0; room];
        let mut buffer = ReadBuf::new(&mut room);
        let result = once(|cx| Pin::new(&mut self.ours).poll_read(cx, &mut buffer)).await;
        let filled = buffer.filled();
        assert!(filled.iter().enumerate().all(|(at, byte)| *byte == pattern(self.read + at)), "other bytes were read");
        self.read += filled.len();
        assert!(self.read <= self.sent);
        match result {
            Poll::Ready(Ok(())) => self.over |= filled.is_empty(),
            Poll::Ready(Err(error)) => {
                assert!(self.damaged || self.over || error.kind() == ErrorKind::UnexpectedEof, "{error}");
                self.over = true;
            }
            Poll::Pending => {}
        }
    }

    async fn write(&mut self, count: usize) {
        let bytes: Vec<_> = (self.written..self.written + count).map(pattern).collect();
        match once(|cx| Pin::new(&mut self.ours).poll_write(cx, &bytes)).await {
            Poll::Ready(Ok(count)) => self.written += count,
            Poll::Ready(Err(error)) => assert!(self.damaged || self.over, "{error}"),
            Poll::Pending => {}
        }
    }

    fn peer_reads(&mut self) {
        let mut bytes = vec![0; 1 << 16];
        while let Ok(count @ 1..) = self.socket.read(&mut bytes) {
            let mut rest = &bytes[..count];
            while !rest.is_empty() {
                // A peer accepts no more records until its received plaintext is read, and none after a close_notify.
                if !matches!(self.peer.read_tls(&mut rest), Ok(1..)) {
                    return;
                }
                if let Err(error) = self.peer.process_new_packets() {
                    assert!(self.damaged, "the peer cannot read our records: {error}");
                    return;
                }
                self.peer_checks();
            }
        }
    }

    fn peer_checks(&mut self) {
        let mut plain = [0; 4096];
        while let Ok(count @ 1..) = self.peer.reader().read(&mut plain) {
            let right = plain[..count].iter().enumerate().all(|(at, byte)| *byte == pattern(self.got + at));
            self.got += count;
            assert!(right && self.got <= self.written, "the peer has read other bytes");
        }
    }
}

/// Polls once, after the runtime has looked at the sockets.
async fn once<T>(mut poll: impl FnMut(&mut std::task::Context<'_>) -> Poll<T>) -> Poll<T> {
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
    poll_fn(|cx| Poll::Ready(poll(cx))).await
}

fn pattern(at: usize) -> u8 {
    (at * 7 + at / 251).to_le_bytes()[0]
}

const LIMIT: Duration = Duration::from_secs(10);
const STEPS_MOST: usize = 200;
const KEY_UPDATES_MOST: usize = 16;
