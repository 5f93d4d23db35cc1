//! Turns of handshakes. A step of a handshake takes a hundred times as long as relaying a message, because it includes
//! a key exchange and a signature. If a worker performed all possible steps at once, its established connections would
//! wait for all of them during a storm of new clients. So the handshakes of a worker take turns, in the order in which
//! their bytes arrived, and after [`HANDSHAKE_TURN`] the worker first serves everything else that is ready.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::yield_now;

use crate::limits::{HANDSHAKE_STORM, HANDSHAKE_TURN};

/// Permission for one step of a handshake on this worker.
#[derive(Debug)]
pub(crate) struct Turn {
    began: Instant,
    /// Gives the turn to the next handshake when it is dropped. `None` only if the semaphore were closed.
    _permit: Option<OwnedSemaphorePermit>,
}

impl Turn {
    /// Waits for the turn.
    pub(crate) async fn take() -> Turn {
        let waiting = Waiting::begin();
        let permit = TURN.with(Arc::clone).acquire_owned().await.ok();
        drop(waiting);
        Turn { began: Instant::now(), _permit: permit }
    }

    /// Ends the turn. If the steps since the last pause have taken [`HANDSHAKE_TURN`], pauses before it gives up the
    /// turn: after a task has yielded, tokio polls the sockets and runs the other ready tasks before it resumes that
    /// task.
    pub(crate) async fn end(self) {
        let spent = SPENT.get() + self.began.elapsed();
        if spent < HANDSHAKE_TURN {
            SPENT.set(spent);
        } else {
            SPENT.set(Duration::ZERO);
            if WAITING.get() >= HANDSHAKE_STORM {
                // Another worker, or the server, may wait for this core.
                std::thread::yield_now();
                yield_now().await;
            }
            yield_now().await;
        }
    }
}

/// A handshake that waits for its turn.
struct Waiting;

impl Waiting {
    fn begin() -> Waiting {
        WAITING.set(WAITING.get() + 1);
        Waiting
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITING.set(WAITING.get() - 1);
    }
}

thread_local! {
    static TURN: Arc<Semaphore> = Arc::new(Semaphore::new(1));
    /// Handshakes that wait for their turn.
    static WAITING: Cell<usize> = const { Cell::new(0) };
    /// Time of the steps since the last pause.
    static SPENT: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io::Write;
    use std::rc::Rc;

    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::task::LocalSet;

    use super::Turn;
    use crate::limits::HANDSHAKE_TURN;

    /// Ten steps are possible at once. A request arrives during the first one, and waits for no other.
    #[tokio::test]
    async fn a_request_that_arrives_during_a_step_comes_before_the_next_step() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut established = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let peer = listener.accept().await.unwrap().0.into_std().unwrap();
        let (local, steps) = (LocalSet::new(), Rc::new(Cell::new(0)));
        let done = Rc::clone(&steps);
        let request = local.spawn_local(async move {
            established.read_u8().await.unwrap();
            done.get()
        });
        for number in 0..10 {
            let (done, mut peer) = (Rc::clone(&steps), peer.try_clone().unwrap());
            local.spawn_local(async move {
                let turn = Turn::take().await;
                if number == 0 {
                    peer.write_all(b"x").unwrap();
                }
                std::thread::sleep(HANDSHAKE_TURN);
                done.set(done.get() + 1);
                turn.end().await;
            });
        }
        assert_eq!(local.run_until(request).await.unwrap(), 1);
        local.await;
        assert_eq!(steps.get(), 10, "every handshake has its turn");
    }

    /// A handshake that ends while it waits, as at a time limit, is not counted any more.
    #[tokio::test]
    async fn who_stops_waiting_is_not_counted() {
        let turn = Turn::take().await;
        let mut waiting = Box::pin(Turn::take());
        tokio::select! {
            biased;
            _ = &mut waiting => panic!("the turn was taken twice"),
            () = std::future::ready(()) => {}
        }
        assert_eq!(super::WAITING.get(), 1);
        drop(waiting);
        assert_eq!(super::WAITING.get(), 0);
        turn.end().await;
    }
}
