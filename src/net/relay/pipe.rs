//! Pipes through which the kernel moves bytes between two sockets (splice(2)): no copy to a buffer of ours and back.
//! A few for each worker, lent to whoever has much to move; who finds none copies.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::limits::{PIPES, SPLICE_BYTES};

/// A pipe, and how much is in it.
#[derive(Debug)]
pub(super) struct Pipe {
    reading: OwnedFd,
    writing: OwnedFd,
    holds: usize,
}

impl Pipe {
    /// An empty one, if this worker has one left.
    pub(super) fn take() -> Option<Pipe> {
        if let Some(pipe) = FREE.with_borrow_mut(Vec::pop) {
            return Some(pipe);
        }
        if MADE.get() >= PIPES {
            return None;
        }
        // Out of descriptors: then by a copy, as ever.
        let (reading, writing) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
        // Where the system grants less (pipe-user-pages-soft), it holds less at a time.
        let _ = fcntl_setpipe_size(&writing, SPLICE_BYTES);
        MADE.set(MADE.get() + 1);
        Some(Pipe { reading, writing, holds: 0 })
    }

    /// Where the system cannot splice these: no more pipes on this worker.
    pub(super) fn give_up(self) {
        FREE.with_borrow_mut(Vec::clear);
        drop(self);
        MADE.set(PIPES);
    }

    /// Gives it back, empty.
    pub(super) fn give_back(self) {
        if self.holds == 0 {
            FREE.with_borrow_mut(|free| free.push(self));
        }
    }

    /// How many bytes are in it.
    pub(super) fn holds(&self) -> usize {
        self.holds
    }

    /// Moves at most so many bytes from a socket into it, when there are any; none are an end of stream. It must be
    /// empty: a full one could not be told from a socket that has nothing.
    pub(super) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        socket: &TcpStream,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        let fill = || splice(socket, None, &self.writing, None, most, FLAGS);
        let count = ready!(poll_io(cx, socket, Interest::READABLE, fill))?;
        self.holds += count;
        Poll::Ready(Ok(count))
    }

    /// Moves bytes from it to a socket.
    pub(super) fn poll_drain(&mut self, cx: &mut Context<'_>, socket: &TcpStream) -> Poll<io::Result<()>> {
        let drain = || splice(&self.reading, None, socket, None, self.holds, FLAGS);
        match ready!(poll_io(cx, socket, Interest::WRITABLE, drain))? {
            0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            count => {
                self.holds -= count;
                Poll::Ready(Ok(()))
            }
        }
    }
}

/// Does something with a socket as soon as that is ready for it.
fn poll_io(
    cx: &mut Context<'_>,
    socket: &TcpStream,
    interest: Interest,
    act: impl Fn() -> rustix::io::Result<usize>,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(if interest.is_readable() { socket.poll_read_ready(cx) } else { socket.poll_write_ready(cx) })?;
        match socket.try_io(interest, || Ok(act()?)) {
            // The readiness was false news, and has been cleared.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return Poll::Ready(done),
        }
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // A worker that ends takes its counters with it.
        let _ = MADE.try_with(|made| made.set(made.get().saturating_sub(1)));
    }
}

const FLAGS: SpliceFlags = SpliceFlags::MOVE.union(SpliceFlags::NONBLOCK);

thread_local! {
    static FREE: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
    static MADE: Cell<usize> = const { Cell::new(0) };
}
