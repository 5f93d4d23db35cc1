//! The server behind the proxy: it accepts both kinds of links, and can stall at two points of a dial.

use std::{
    collections::HashMap,
    io::Read as _,
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
    time::Duration,
};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::stream::{HEADER_BYTES, Stream, number_of, small_buffers};
use crate::support::service::{SOON, wait_until};

/// A connection that has reached the server and whose first bytes were read.
pub(super) struct Arrived {
    pub(super) stream: Box<dyn Stream>,
    pub(super) by_tls: bool,
    pub(super) header: [u8; HEADER_BYTES],
}

/// A server on a port of its own. Clones refer to the same server.
#[derive(Clone)]
pub(super) struct Server(Arc<Shared>);

struct Shared {
    listener: TcpListener,
    config: Arc<ServerConfig>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// No connection is accepted from the listener's queue.
    accepts_none: bool,
    /// The connection that was accepted last is not served yet.
    holds_one: bool,
    /// TLS connections are accepted but not answered.
    answers_no_tls: bool,
    /// Number of TLS connections that wait for an answer.
    unanswered: usize,
    arrived: HashMap<u32, Arrived>,
    /// Number of connections with each part's number.
    count: HashMap<u32, usize>,
    /// Connections that fill the listener's queue.
    fillers: Vec<TcpStream>,
}

impl Server {
    pub(super) fn start(config: Arc<ServerConfig>) -> Self {
        let listener = small_buffers();
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        listener.listen(128).unwrap();
        let listener = TcpListener::from(listener);
        let shared = Shared { listener, config, state: Mutex::new(State::default()), changed: Condvar::new() };
        let server = Self(Arc::new(shared));
        let accepting = server.clone();
        thread::spawn(move || {
            while let Ok((socket, _)) = accepting.0.listener.accept() {
                accepting.state().holds_one = true;
                accepting.0.changed.notify_all();
                accepting.wait_while(|state| state.accepts_none).holds_one = false;
                let server = accepting.clone();
                thread::spawn(move || server.take_in(socket));
            }
        });
        server
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.0.listener.local_addr().unwrap()
    }

    /// From now on, no dial completes: the listener's queue is full, or TLS is not answered.
    pub(super) fn stall(&self, in_tls: bool) {
        let mut state = self.state();
        if in_tls {
            state.answers_no_tls = true;
            return;
        }
        state.accepts_none = true;
        drop(state);
        // The kernel allows the queue's length to be changed at any time.
        rustix::net::listen(&self.0.listener, 0).unwrap();
        // One connection goes to the accepting thread; until it is accepted, the queue only appears to be full.
        self.state().fillers.push(TcpStream::connect(self.address()).unwrap());
        drop(self.wait_while(|state| !state.holds_one));
        while let Ok(filler) = TcpStream::connect_timeout(&self.address(), Duration::from_millis(200)) {
            self.state().fillers.push(filler);
        }
    }

    /// Lets all dials continue.
    pub(super) fn go_on(&self) {
        rustix::net::listen(&self.0.listener, 128).unwrap();
        let mut state = self.state();
        (state.accepts_none, state.answers_no_tls) = (false, false);
        state.fillers.clear();
        self.0.changed.notify_all();
    }

    /// Waits until this number of dials is pending.
    pub(super) fn wait_dials(&self, count: usize) -> Result<(), String> {
        let dials = || {
            let unanswered = self.state().unanswered;
            unanswered + unanswered_syns(self.address().port())
        };
        if wait_until(SOON, || dials() >= count) { Ok(()) } else { Err(format!("{} dials of {count}", dials())) }
    }

    /// Returns the connection with this number once it has arrived.
    pub(super) fn take(&self, number: u32) -> Result<Arrived, String> {
        let until = |state: &mut State| !state.arrived.contains_key(&number);
        let (mut state, _) = self.0.changed.wait_timeout_while(self.state(), SOON, until).unwrap();
        state.arrived.remove(&number).ok_or_else(|| "it does not come to the server".to_owned())
    }

    /// Forgets connections for which no test waits.
    pub(super) fn forget(&self) {
        self.state().arrived.clear();
    }

    /// Number of connections that have arrived with this number.
    pub(super) fn times(&self, number: u32) -> usize {
        self.state().count.get(&number).copied().unwrap_or_default()
    }

    /// Reads the first bytes of a connection. A connection that ends before is ignored.
    fn take_in(&self, socket: TcpStream) {
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        let mut first = [0];
        let by_tls = match socket.peek(&mut first) {
            Ok(1) => first[0] == 0x16,
            Ok(_) | Err(_) => return,
        };
        if by_tls {
            self.state().unanswered += 1;
            let mut state = self.wait_while(|state| state.answers_no_tls);
            state.unanswered -= 1;
        }
        let mut stream: Box<dyn Stream> = if by_tls {
            Box::new(StreamOwned::new(ServerConnection::new(Arc::clone(&self.0.config)).unwrap(), socket))
        } else {
            Box::new(socket)
        };
        let mut header = [0; HEADER_BYTES];
        if stream.read_exact(&mut header).is_err() {
            return;
        }
        let number = number_of(&header);
        let mut state = self.state();
        *state.count.entry(number).or_default() += 1;
        state.arrived.insert(number, Arrived { stream, by_tls, header });
        self.0.changed.notify_all();
    }

    fn wait_while(&self, condition: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        self.0.changed.wait_while(self.state(), |state| condition(state)).unwrap()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }
}

/// Number of connections of this host to a port that are not answered yet.
fn unanswered_syns(port: u16) -> usize {
    const SYN_SENT: &str = "02";
    let port = format!(":{port:04X}");
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let rows = table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row.len() > 3 && row[2].ends_with(&port) && row[3] == SYN_SENT).count()
}
