//! Bytes both ways between two streams, exactly, until both have ended.
//!
//! A direction owns no buffer while it waits: reads go into a buffer of the worker's, and only what the other
//! side did not take at once is kept. Whatever was written is flushed when a read would block, because a TLS
//! writer may hold a record back that the peer is waiting for.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use crate::limits::{HALF_CLOSED_IDLE, RELAY_BUFFER, RELAY_TURN, STALLED};

/// Bytes moved so far; readable while the relay runs.
#[derive(Debug, Default)]
pub struct Counters {
    /// From the client to the upstream.
    pub inbound: AtomicU64,
    /// From the upstream to the client.
    pub outbound: AtomicU64,
}

/// Looks at what a relay moves, and may stop it.
pub trait Tap {
    /// The client has sent this.
    fn up(&mut self, bytes: &[u8]);

    /// The upstream has sent this.
    fn down(&mut self, bytes: &[u8]);

    /// Asked whenever nothing can be moved. `clear`: all that was read has been written and flushed, and neither stream
    /// has more to read. A stop when it is not clear cuts what is under way.
    fn poll_stop(&mut self, cx: &mut Context<'_>, clear: bool) -> Poll<Stop>;
}

/// Why a tap has stopped a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// A good moment has come.
    Boundary,
    /// No good moment has come in time.
    Overdue,
}

/// How a relay came to its end.
#[derive(Debug)]
pub enum Relayed {
    /// Both streams have ended, or one has failed.
    Ended(Ended),
    /// The tap has stopped it; both streams are as they were.
    Stopped(Stop),
}

/// How the streams of a relay have ended.
#[derive(Debug)]
pub struct Ended {
    /// How the client's stream ended.
    pub client: End,
    /// How the upstream's stream ended.
    pub upstream: End,
}

/// How one stream ended.
#[derive(Debug)]
pub enum End {
    /// With an end of stream.
    Closed,
    /// With an end of the connection that TLS was not told of: no `close_notify`, as mongod never sends one.
    Truncated,
    /// It did not: the other's end was the relay's.
    Open,
    /// It did not end in time: a minute of silence after the other had, or 150 s with bytes waiting.
    Idle,
    /// It failed.
    Failed(io::Error),
}

impl End {
    /// A stream that had ended by itself does not fail any more, whatever became of what was still sent to it.
    fn or_failure(self, failure: Option<io::Error>) -> End {
        match (self, failure) {
            (End::Open | End::Idle, Some(error)) => End::Failed(error),
            (end, _) => end,
        }
    }
}

/// Relays until both directions have ended. A half that has ended is passed on as such; the other may go on, and
/// may be silent for at most 60 s. A stream that takes none of what waits for it for 150 s is given up, as TCP gives
/// up a peer that does not acknowledge: a Unix socket would be waited for without end. A stream that fails ends the
/// relay at once: it can neither send nor take. The tap sees every byte, and may stop the relay between two.
pub async fn relay<C, U, T>(client: &mut C, upstream: &mut U, counters: &Counters, tap: &mut T) -> Relayed
where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
    T: Tap,
{
    let mut up = Direction::new(&counters.inbound);
    let mut down = Direction::new(&counters.outbound);
    let mut patience = Patience::default();
    let over = poll_fn(|cx| {
        let before = (up.progress, down.progress);
        let up_over = up.poll(cx, client, upstream, down.sink_lost(), &mut |bytes| tap.up(bytes)).is_ready();
        let down_over = down.poll(cx, upstream, client, up.sink_lost(), &mut |bytes| tap.down(bytes)).is_ready();
        if (up_over && down_over) || up.source_failed() || down.source_failed() {
            return Poll::Ready(Over::Ended);
        }
        if let Poll::Ready(stop) = tap.poll_stop(cx, up.is_clear() && down.is_clear()) {
            return Poll::Ready(Over::Stopped(stop));
        }
        let limit = if up_over || down_over {
            HALF_CLOSED_IDLE
        } else if up.is_stuck() || down.is_stuck() {
            STALLED
        } else {
            patience.running = None;
            return Poll::Pending;
        };
        patience.poll(cx, limit, before != (up.progress, down.progress)).map(|()| Over::TimedOut)
    })
    .await;
    let timed_out = match over {
        Over::Stopped(stop) => return Relayed::Stopped(stop),
        Over::Ended => false,
        Over::TimedOut => true,
    };
    let (client_end, upstream_failure) = up.ends(timed_out);
    let (upstream_end, client_failure) = down.ends(timed_out);
    Relayed::Ended(Ended {
        client: client_end.or_failure(client_failure),
        upstream: upstream_end.or_failure(upstream_failure),
    })
}

enum Over {
    Ended,
    TimedOut,
    Stopped(Stop),
}

/// The timer of a relay that cannot wait for ever. Made when it is first needed, which is seldom.
#[derive(Default)]
struct Patience {
    timer: Option<Pin<Box<Sleep>>>,
    /// The limit that is running, if one is.
    running: Option<Duration>,
}

impl Patience {
    fn poll(&mut self, cx: &mut Context<'_>, limit: Duration, progress: bool) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(limit)));
        if progress || self.running != Some(limit) {
            self.running = Some(limit);
            timer.as_mut().reset(Instant::now() + limit);
        }
        timer.as_mut().poll(cx)
    }
}

/// One direction, from a source to a sink.
struct Direction<'a> {
    state: State,
    /// Read, and not yet taken by the sink.
    rest: Vec<u8>,
    rest_start: usize,
    /// Whether the sink may hold bytes back.
    unflushed: bool,
    /// Whether the source has had nothing more when it was last asked.
    drained: bool,
    bytes: &'a AtomicU64,
    /// Grows with every read and write.
    progress: u64,
    source: Option<End>,
    sink: Option<io::Error>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Moving,
    Ending,
    Over,
}

impl<'a> Direction<'a> {
    fn new(bytes: &'a AtomicU64) -> Direction<'a> {
        Direction {
            state: State::Moving,
            rest: Vec::new(),
            rest_start: 0,
            unflushed: false,
            drained: false,
            bytes,
            progress: 0,
            source: None,
            sink: None,
        }
    }

    /// Whether bytes wait for the sink.
    fn is_stuck(&self) -> bool {
        !self.rest.is_empty()
    }

    /// Whether nothing is on its way.
    fn is_clear(&self) -> bool {
        self.state == State::Moving && self.drained && self.rest.is_empty() && !self.unflushed
    }

    /// A source that failed can send nothing more, and takes nothing either.
    fn source_failed(&self) -> bool {
        matches!(self.source, Some(End::Failed(_)))
    }

    /// How the source ended, and how the sink failed if it did.
    fn ends(self, timed_out: bool) -> (End, Option<io::Error>) {
        let unended = if timed_out && self.state != State::Over { End::Idle } else { End::Open };
        (self.source.unwrap_or(unended), self.sink)
    }

    /// How the sink's connection was lost, if a write was what found out. The kernel says it once, to whoever asks
    /// first, and shows readers an end of stream afterwards, which must not be taken for one.
    fn sink_lost(&self) -> Option<io::ErrorKind> {
        let lost = |kind: &io::ErrorKind| matches!(kind, io::ErrorKind::ConnectionReset | io::ErrorKind::TimedOut);
        self.sink.as_ref().map(io::Error::kind).filter(lost)
    }

    fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut R,
        sink: &mut W,
        lost: Option<io::ErrorKind>,
        see: &mut impl FnMut(&[u8]),
    ) -> Poll<()>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        if self.state == State::Moving {
            let moved = ready!(self.poll_move(cx, source, sink, see));
            if let (Some(End::Closed | End::Truncated), Some(kind)) = (&self.source, lost) {
                self.source = Some(End::Failed(kind.into()));
            }
            match moved {
                Ok(()) if matches!(self.source, Some(End::Failed(_))) => self.state = State::Over,
                Ok(()) => self.state = State::Ending,
                Err(error) => self.sink_failed(error),
            }
        }
        if self.state == State::Ending {
            match ready!(Pin::new(sink).poll_shutdown(cx)) {
                Ok(()) => self.state = State::Over,
                // The peer has closed both ways already: there is nobody to be told.
                Err(error) if error.kind() == io::ErrorKind::NotConnected => self.state = State::Over,
                Err(error) => self.sink_failed(error),
            }
        }
        Poll::Ready(())
    }

    fn sink_failed(&mut self, error: io::Error) {
        self.sink = Some(error);
        self.state = State::Over;
    }

    /// Moves until the source has ended; an error is the sink's.
    fn poll_move<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut R,
        sink: &mut W,
        see: &mut impl FnMut(&[u8]),
    ) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        self.drained = false;
        for _ in 0..RELAY_TURN {
            ready!(self.poll_rest(cx, sink))?;
            let step = BUFFER.with_borrow_mut(|buffer| self.poll_step(cx, source, sink, buffer, see));
            match step {
                Poll::Ready(Ok(Step::Moved)) => {}
                Poll::Ready(Ok(Step::Ended)) => return Poll::Ready(Ok(())),
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
        // The others of this worker first; then on at once.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_step<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut R,
        sink: &mut W,
        buffer: &mut [u8],
        see: &mut impl FnMut(&[u8]),
    ) -> Poll<io::Result<Step>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let mut read = ReadBuf::new(buffer);
        let end = match ready!(Pin::new(source).poll_read(cx, &mut read)) {
            Ok(()) if read.filled().is_empty() => Some(End::Closed),
            Ok(()) => None,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Some(End::Truncated),
            Err(error) => Some(End::Failed(error)),
        };
        if end.is_some() {
            self.source = end;
            return Poll::Ready(Ok(Step::Ended));
        }
        let bytes = read.filled();
        see(bytes);
        self.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.progress += 1;
        self.unflushed = true;
        let mut taken = 0;
        while taken < bytes.len() {
            match Pin::new(&mut *sink).poll_write(cx, &bytes[taken..]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => taken += count,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.rest = bytes[taken..].to_vec();
                    break;
                }
            }
        }
        Poll::Ready(Ok(Step::Moved))
    }

    /// Writes what the sink did not take before, and gives the memory back.
    fn poll_rest<W: AsyncWrite + Unpin>(&mut self, cx: &mut Context<'_>, sink: &mut W) -> Poll<io::Result<()>> {
        while self.rest_start < self.rest.len() {
            match ready!(Pin::new(&mut *sink).poll_write(cx, &self.rest[self.rest_start..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => {
                    self.rest_start += count;
                    self.progress += 1;
                }
            }
        }
        self.rest = Vec::new();
        self.rest_start = 0;
        Poll::Ready(Ok(()))
    }
}

enum Step {
    Moved,
    Ended,
}

thread_local! {
    /// Where a worker reads into; in use only within one poll.
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; RELAY_BUFFER].into_boxed_slice());
}

#[cfg(test)]
mod tests;
