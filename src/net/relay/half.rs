//! One direction of a relay, from a source to a sink.
//!
//! It owns no buffer while it waits: reads use a buffer of the worker, and only bytes that the sink did not accept at
//! once are kept. Written bytes are flushed when a read would block, because a TLS writer may hold back a record that
//! the peer is waiting for. During a bulk transfer between two sockets, the kernel moves the bytes through a pipe.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use super::bulk::bulk_bytes;
use super::ends::{Direction, End, RelayStream, RelayTap};
use super::half_state::{HalfState, HalfStep, Unwritten};
use super::pipe::Pipe;
use super::write::{offer, poll_put};
use crate::limits::{BUSY_AFTER, RELAY_BUFFER, RELAY_BUSY, RELAY_TURN, SPLICE_BYTES};

#[derive(Debug)]
pub(super) struct HalfRelay {
    direction: Direction,
    state: HalfState,
    /// Whether nothing has been written yet.
    first: bool,
    /// Whether the sink may hold back written bytes.
    unflushed: bool,
    /// Whether the last read of the source found no bytes.
    drained: bool,
    /// Number of reads in a row that filled at least half of the buffer. Half is enough, since the rest of a record may
    /// not have arrived yet.
    full: u8,
    /// Whether bytes were read or written since the last call of `take_progressed`.
    progressed: bool,
    unwritten: Option<Box<Unwritten>>,
    source: Option<End>,
    sink: Option<io::Error>,
}

impl HalfRelay {
    pub(super) fn new(direction: Direction) -> HalfRelay {
        HalfRelay {
            direction,
            state: HalfState::Moving,
            first: true,
            unflushed: false,
            drained: false,
            full: 0,
            progressed: false,
            unwritten: None,
            source: None,
            sink: None,
        }
    }

    /// Returns whether bytes were read or written since the last call.
    pub(super) fn take_progressed(&mut self) -> bool {
        std::mem::take(&mut self.progressed)
    }

    /// Whether a bulk transfer is in progress.
    fn is_busy(&self) -> bool {
        self.full >= BUSY_AFTER
    }

    /// Whether bytes, or the end of the source, still have to be passed to the sink.
    pub(super) fn is_stuck(&self) -> bool {
        self.state == HalfState::Ending || self.keeps()
    }

    /// Whether bytes wait for the sink.
    fn keeps(&self) -> bool {
        self.unwritten.as_ref().is_some_and(|unwritten| match &**unwritten {
            Unwritten::Bytes(..) => true,
            Unwritten::Pipe(pipe) => pipe.holds() > 0,
        })
    }

    /// Whether all bytes read are written and flushed, and the source has no more.
    pub(super) fn is_clear(&self) -> bool {
        self.state == HalfState::Moving && self.drained && !self.is_stuck() && !self.unflushed
    }

    /// Whether the source failed. A failed source sends and accepts no more bytes.
    pub(super) fn source_failed(&self) -> bool {
        matches!(self.source, Some(End::Failed(_)))
    }

    /// Whether writing to the sink has failed.
    pub(super) fn has_lost_sink(&self) -> bool {
        self.sink.is_some()
    }

    /// Records the error of the source's stream, if there is one, and returns whether there is. If the source had ended
    /// before, only bytes that the opposite direction still sends to it are lost.
    pub(super) fn lose(&mut self, error: Option<io::Error>, opposite: &mut HalfRelay) -> bool {
        let Some(error) = error else { return false };
        if matches!(self.source, Some(End::Closed | End::Truncated)) {
            opposite.sink.get_or_insert(error);
        } else {
            self.source = Some(End::Failed(error));
        }
        true
    }

    /// Returns how the source ended, and the sink's error if it failed.
    pub(super) fn ends(&mut self, timed_out: bool) -> (End, Option<io::Error>) {
        let unended = if timed_out && self.state != HalfState::Over { End::Idle } else { End::Open };
        (self.source.take().unwrap_or(unended), self.sink.take())
    }

    /// The error of a write that found the sink's connection lost. The kernel reports such an error only once; later
    /// reads return an end of stream, which must not be taken for a regular one.
    fn sink_lost(&self) -> Option<io::ErrorKind> {
        let lost = |kind: &io::ErrorKind| matches!(kind, io::ErrorKind::ConnectionReset | io::ErrorKind::TimedOut);
        self.sink.as_ref().map(io::Error::kind).filter(lost)
    }

    /// Advances this direction. `opposite` is the other direction of the same relay.
    pub(super) fn poll<R, W, T>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut R,
        sink: &mut W,
        opposite: &HalfRelay,
        tap: &mut T,
    ) -> Poll<()>
    where
        R: RelayStream,
        W: RelayStream,
        T: RelayTap,
    {
        if self.state == HalfState::Moving {
            let moved = ready!(self.poll_move(cx, source, sink, tap));
            if let (Some(End::Closed | End::Truncated), Some(kind)) = (&self.source, opposite.sink_lost()) {
                self.source = Some(End::Failed(kind.into()));
            }
            match moved {
                Ok(()) if matches!(self.source, Some(End::Failed(_))) => self.state = HalfState::Over,
                // Both directions have ended. The following close signals that to a socket, so no extra call is needed
                // for a half close.
                Ok(()) if opposite.state == HalfState::Over && sink.bare().is_some() => self.state = HalfState::Over,
                Ok(()) => self.state = HalfState::Ending,
                Err(error) => self.sink_failed(error),
            }
        }
        if self.state == HalfState::Ending {
            match ready!(Pin::new(sink).poll_shutdown(cx)) {
                Ok(()) => self.state = HalfState::Over,
                // The peer has already closed both directions, so there is nothing to signal.
                Err(error) if error.kind() == io::ErrorKind::NotConnected => self.state = HalfState::Over,
                Err(error) => self.sink_failed(error),
            }
        }
        Poll::Ready(())
    }

    fn sink_failed(&mut self, error: io::Error) {
        self.sink = Some(error);
        self.state = HalfState::Over;
    }

    /// Moves bytes until the source has ended. An error is an error of the sink.
    fn poll_move<R, W, T>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut R,
        sink: &mut W,
        tap: &mut T,
    ) -> Poll<io::Result<()>>
    where
        R: RelayStream,
        W: RelayStream,
        T: RelayTap,
    {
        self.drained = false;
        let mut turn = 0;
        while turn < RELAY_TURN {
            ready!(self.poll_kept(cx, sink))?;
            let step = if self.splices(source, sink, tap) {
                self.poll_splice(cx, source, tap)
            } else {
                BUFFER.with_borrow_mut(|buffer| self.poll_step(cx, source, sink, buffer, tap))
            };
            match step {
                Poll::Ready(Ok(HalfStep::Moved(count))) => turn += count.max(RELAY_BUFFER),
                Poll::Ready(Ok(HalfStep::RelayEnds)) => {
                    self.release();
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.drained = true;
                    if self.unflushed {
                        ready!(Pin::new(sink).poll_flush(cx))?;
                        self.unflushed = false;
                    }
                    return Poll::Pending;
                }
            }
        }
        // Lets the other tasks of this worker run first, then continues at once.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Moves the bytes of one read.
    fn poll_step<R, W, T>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut R,
        sink: &mut W,
        buffer: &mut [u8],
        tap: &mut T,
    ) -> Poll<io::Result<HalfStep>>
    where
        R: AsyncRead + Unpin,
        W: RelayStream,
        T: RelayTap,
    {
        let room = if self.is_busy() { bulk_bytes() } else { RELAY_BUFFER };
        let mut read = ReadBuf::new(&mut buffer[..room]);
        let end = match ready!(Pin::new(source).poll_read(cx, &mut read)) {
            Ok(()) if read.filled().is_empty() => Some(End::Closed),
            Ok(()) => None,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Some(End::Truncated),
            Err(error) => Some(End::Failed(error)),
        };
        if end.is_some() {
            self.source = end;
            return Poll::Ready(Ok(HalfStep::RelayEnds));
        }
        let bytes = read.filled();
        tap.see(self.direction, bytes);
        self.progressed = true;
        self.full = if bytes.len() >= room / 2 { self.full.saturating_add(1) } else { 0 };
        self.unflushed = true;
        let mut taken = if std::mem::take(&mut self.first) { offer(sink, bytes)? } else { 0 };
        match poll_put(cx, sink, bytes, &mut taken) {
            Poll::Ready(put) => put?,
            Poll::Pending => {
                self.full = 0;
                self.release();
                self.unwritten = Some(Box::new(Unwritten::Bytes(bytes[taken..].to_vec(), 0)));
            }
        }
        Poll::Ready(Ok(HalfStep::Moved(bytes.len())))
    }

    /// Whether the next bytes go through a pipe: a bulk transfer between two TCP sockets is in progress, the tap need not
    /// see them, and a pipe is available. For short transfers, a read and a write cost less.
    fn splices<R: RelayStream, W: RelayStream, T: RelayTap>(&mut self, source: &R, sink: &W, tap: &T) -> bool {
        let fit = self.is_busy()
            && tap.unseen(self.direction) >= RELAY_BUFFER
            && source.bare().is_some()
            && sink.bare().is_some();
        if fit && self.unwritten.is_none() {
            self.unwritten = Pipe::take().map(|pipe| Box::new(Unwritten::Pipe(pipe)));
        }
        fit && self.unwritten.is_some()
    }

    /// Fills the pipe. The sink is written to by the next step, which drains the pipe.
    fn poll_splice<R: RelayStream, T: RelayTap>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut R,
        tap: &mut T,
    ) -> Poll<io::Result<HalfStep>> {
        let (Some(Unwritten::Pipe(pipe)), Some(socket)) = (self.unwritten.as_deref_mut(), source.bare()) else {
            return Poll::Ready(Ok(HalfStep::Moved(0)));
        };
        let most = tap.unseen(self.direction).min(SPLICE_BYTES);
        match pipe.poll_fill(cx, socket, most) {
            Poll::Ready(Ok(0)) => {
                self.source = Some(End::Closed);
                Poll::Ready(Ok(HalfStep::RelayEnds))
            }
            Poll::Ready(Ok(count)) => {
                tap.pass(self.direction, count);
                self.progressed = true;
                if count < RELAY_BUFFER.min(most) {
                    self.full = 0;
                }
                Poll::Ready(Ok(HalfStep::Moved(count)))
            }
            Poll::Ready(Err(error))
                if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) =>
            {
                if let Some(unwritten) = self.unwritten.take()
                    && let Unwritten::Pipe(pipe) = *unwritten
                {
                    pipe.give_up();
                }
                Poll::Ready(Ok(HalfStep::Moved(0)))
            }
            Poll::Ready(Err(error)) => {
                self.source = Some(End::Failed(error));
                Poll::Ready(Ok(HalfStep::RelayEnds))
            }
            Poll::Pending => {
                self.full = 0;
                self.release();
                Poll::Pending
            }
        }
    }

    /// Writes the bytes in transit to the sink, then frees their buffer. A pipe is kept in `unwritten` during a bulk
    /// transfer.
    fn poll_kept<W: RelayStream>(&mut self, cx: &mut Context<'_>, sink: &mut W) -> Poll<io::Result<()>> {
        match self.unwritten.as_deref_mut() {
            None => return Poll::Ready(Ok(())),
            Some(Unwritten::Bytes(bytes, taken)) => {
                let before = *taken;
                let put = poll_put(cx, sink, bytes, taken);
                self.progressed |= *taken > before;
                ready!(put)?;
                self.unwritten = None;
            }
            Some(Unwritten::Pipe(pipe)) => {
                let Some(socket) = sink.bare() else { return Poll::Ready(Err(io::ErrorKind::Unsupported.into())) };
                while pipe.holds() > 0 {
                    ready!(pipe.poll_drain(cx, socket))?;
                    self.progressed = true;
                }
            }
        }
        if !self.is_busy() {
            self.release();
        }
        Poll::Ready(Ok(()))
    }

    /// Returns an empty pipe to the worker's pool.
    fn release(&mut self) {
        if !self.keeps()
            && let Some(unwritten) = self.unwritten.take()
            && let Unwritten::Pipe(pipe) = *unwritten
        {
            pipe.give_back();
        }
    }
}

thread_local! {
    /// The worker's read buffer, in use only within one poll.
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; RELAY_BUSY].into_boxed_slice());
}
