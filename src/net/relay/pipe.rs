//! Pipes through which the kernel moves bytes between two sockets (splice(2)), without copying them to user space and
//! back. Each worker has a small pool, from which bulk transfers take a pipe. If the pool is empty, the relay copies.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::limits::{PIPES, SPLICE_BYTES};

/// A pipe, and the number of bytes in it.
#[derive(Debug)]
pub(super) struct Pipe {
    reading: OwnedFd,
    writing: OwnedFd,
    holds: usize,
}

impl Pipe {
    /// Takes an empty pipe, if this worker has one left.
    pub(super) fn take() -> Option<Pipe> {
        if let Some(pipe) = FREE.with_borrow_mut(Vec::pop) {
            return Some(pipe);
        }
        if MADE.get() >= PIPES {
            return None;
        }
        // Without descriptors, the relay copies.
        let (reading, writing) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
        // If the system grants a smaller size (pipe-user-pages-soft), the pipe holds less at a time.
        let _ = fcntl_setpipe_size(&writing, SPLICE_BYTES);
        MADE.set(MADE.get() + 1);
        Some(Pipe { reading, writing, holds: 0 })
    }

    /// Drops the pipe and disables pipes on this worker, because the system cannot splice these sockets.
    pub(super) fn give_up(self) {
        FREE.with_borrow_mut(Vec::clear);
        drop(self);
        MADE.set(PIPES);
    }

    /// Returns the pipe to the pool if it is empty; drops it otherwise.
    pub(super) fn give_back(self) {
        if self.holds == 0 {
            FREE.with_borrow_mut(|free| free.push(self));
        }
    }

    /// Returns the number of bytes in the pipe.
    pub(super) fn holds(&self) -> usize {
        self.holds
    }

    /// Moves at most `most` bytes from a socket into the pipe once the socket is readable; zero means end of stream.
    /// The pipe must be empty: the error of a full pipe is the same as that of a socket without bytes.
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

    /// Moves bytes from the pipe to a socket.
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

/// Calls `act` as soon as the socket is ready.
fn poll_io(
    cx: &mut Context<'_>,
    socket: &TcpStream,
    interest: Interest,
    act: impl Fn() -> rustix::io::Result<usize>,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(if interest.is_readable() { socket.poll_read_ready(cx) } else { socket.poll_write_ready(cx) })?;
        match socket.try_io(interest, || Ok(act()?)) {
            // The readiness was stale and has been cleared.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return Poll::Ready(done),
        }
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // The counter is gone if the worker's thread is ending.
        let _ = MADE.try_with(|made| made.set(made.get().saturating_sub(1)));
    }
}

const FLAGS: SpliceFlags = SpliceFlags::MOVE.union(SpliceFlags::NONBLOCK);

thread_local! {
    static FREE: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
    static MADE: Cell<usize> = const { Cell::new(0) };
}
