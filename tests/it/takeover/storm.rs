//! A storm of new connections, as of clients after a failover.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::support::service::{SOON, ping};

/// Connections at a rate: each sends a ping and reads the answer. Notes how long the connect took, and every failure.
pub(super) struct Storm {
    stop: Arc<AtomicBool>,
    connects: Arc<Mutex<Vec<Duration>>>,
    threads: Vec<thread::JoinHandle<Vec<String>>>,
}

impl Storm {
    pub(super) fn start(address: SocketAddr, rate: u32) -> Storm {
        let (stop, connects) = (Arc::new(AtomicBool::new(false)), Arc::<Mutex<Vec<Duration>>>::default());
        let number = 100;
        let one = || {
            let (stop, connects) = (Arc::clone(&stop), Arc::clone(&connects));
            let pause = Duration::from_secs(1) * number / rate;
            thread::spawn(move || {
                let (mut failed, mut next) = (Vec::new(), Instant::now());
                while !stop.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    match TcpStream::connect(address) {
                        Err(error) => failed.push(format!("connect: {error}")),
                        Ok(mut client) => {
                            connects.lock().unwrap().push(began.elapsed());
                            client.set_read_timeout(Some(SOON)).unwrap();
                            let written = client.write_all(&ping());
                            // A stopping process serves who speaks within a second.
                            let in_time = began.elapsed() < Duration::from_millis(800);
                            let answered = written.and_then(|()| client.read_exact(&mut [0; 16]));
                            if let Err(error) = answered
                                && in_time
                            {
                                failed.push(format!("after {:?}: {error}", began.elapsed()));
                            }
                        }
                    }
                    // Without catching up: a slow machine makes fewer connections.
                    next = (next + pause).max(Instant::now() - pause);
                    thread::sleep(next.saturating_duration_since(Instant::now()));
                }
                failed
            })
        };
        let threads = (0..number).map(|_| one()).collect();
        Storm { stop, connects, threads }
    }

    /// The times since the last call.
    pub(super) fn taken(&self) -> Vec<Duration> {
        std::mem::take(&mut self.connects.lock().unwrap())
    }

    /// Ends the storm, and returns the failures.
    pub(super) fn stop(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    }
}

/// Number and percentiles of some times.
pub(super) fn shown(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    format!("{} (p50 {:?}, p99 {:?}, most {:?})", times.len(), at(50), at(99), at(100))
}
