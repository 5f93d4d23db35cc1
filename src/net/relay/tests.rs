//! Tests of the relay with streams in memory, under paused time.

use std::future::pending;
use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufWriter, DuplexStream, ReadBuf, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};

use super::{Direction, End, Relay, RelayEnds, RelayStream, RelayTap, Relayed, Stop};
use crate::limits::{HALF_CLOSED_IDLE, RELAY_BUFFER, STALLED};

/// Runs a relay that is never stopped.
async fn relay<C, U>(client: &mut C, upstream: &mut U) -> RelayEnds
where
    C: RelayStream,
    U: RelayStream,
{
    match Relay::new(client, upstream, &mut Tapped::default()).await {
        Relayed::Ended(ended) => ended,
        Relayed::Stopped(stop) => panic!("nobody asked: {stop:?}"),
    }
}

/// Stops the relay once a number of bytes was seen, both directions together, and no bytes are held back.
#[derive(Default)]
struct Tapped {
    stop_after: Option<usize>,
    up: Vec<u8>,
    down: Vec<u8>,
    /// The value that `RelayTap::unseen` returns, and the number of bytes that were passed unseen.
    unseen: usize,
    passed: usize,
}

impl<S: RelayStream> RelayStream for &mut S {
    fn bare(&self) -> Option<&TcpStream> {
        (**self).bare()
    }

    fn take_error(&self) -> Option<io::Error> {
        (**self).take_error()
    }

    fn detect_dead_peer(&self) {
        (**self).detect_dead_peer();
    }
}

impl RelayTap for &mut Tapped {
    fn see(&mut self, direction: Direction, bytes: &[u8]) {
        match direction {
            Direction::ToUpstream => self.up.extend_from_slice(bytes),
            Direction::ToClient => self.down.extend_from_slice(bytes),
        }
    }

    fn unseen(&self, _bound: Direction) -> usize {
        self.unseen
    }

    fn pass(&mut self, direction: Direction, count: usize) {
        assert!(direction == Direction::ToClient && count <= self.unseen);
        self.passed += count;
    }

    fn has_grown(&mut self, _cx: &mut Context<'_>) -> bool {
        false
    }

    fn poll_stop(&mut self, _cx: &mut Context<'_>, clear: bool) -> Poll<Stop> {
        let seen = self.up.len() + self.down.len();
        if clear && self.stop_after.is_some_and(|count| seen >= count) {
            Poll::Ready(Stop::Boundary)
        } else {
            Poll::Pending
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_tap_sees_every_byte_and_stops_only_when_all_has_arrived() {
    let (mut client, mut near) = duplex(64);
    let (mut far, mut server) = duplex(4);
    let mut tap = Tapped { stop_after: Some(14), ..Tapped::default() };
    let talk = async {
        client.write_all(b"question").await.unwrap();
        let mut question = [0; 8];
        server.read_exact(&mut question).await.unwrap();
        server.write_all(b"answer").await.unwrap();
        let mut answer = [0; 6];
        client.read_exact(&mut answer).await.unwrap();
        (question, answer)
    };
    let (relayed, (question, answer)) = tokio::join!(Relay::new(&mut near, &mut far, &mut tap), talk);
    assert!(matches!(relayed, Relayed::Stopped(Stop::Boundary)));
    assert_eq!((&question, &answer), (b"question", b"answer"));
    assert_eq!((&*tap.up, &*tap.down), (&b"question"[..], &b"answer"[..]));
    // Bytes that come later are not forwarded.
    client.write_all(b"too late").await.unwrap();
    drop((near, far));
    let mut rest = Vec::new();
    server.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"");
}

#[tokio::test(start_paused = true)]
async fn a_half_that_has_ended_leaves_the_other_open_while_it_is_used() {
    let (mut client, mut near) = duplex(64);
    let (mut far, mut server) = duplex(64);
    let ends = async {
        client.write_all(b"question").await.unwrap();
        client.shutdown().await.unwrap();
        let mut question = Vec::new();
        server.read_to_end(&mut question).await.unwrap();
        assert_eq!(question, b"question");
        // Each pause is below the limit; their sum is above it.
        for _ in 0..5 {
            sleep(HALF_CLOSED_IDLE - Duration::from_secs(1)).await;
            server.write_all(b"answer").await.unwrap();
        }
        server.shutdown().await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"answer".repeat(5));
    };
    let (ended, ()) = tokio::join!(relay(&mut near, &mut far), ends);
    assert!(matches!((ended.client, ended.upstream), (End::Closed, End::Closed)));
}

#[tokio::test(start_paused = true)]
async fn a_silent_other_half_ends_after_a_minute() {
    let (mut client, mut near) = duplex(64);
    let (mut far, _server) = duplex(64);
    client.shutdown().await.unwrap();
    let began = Instant::now();
    let ended = relay(&mut near, &mut far).await;
    assert!(matches!((ended.client, ended.upstream), (End::Closed, End::Idle)));
    assert_eq!(began.elapsed().as_secs(), HALF_CLOSED_IDLE.as_secs());
}

/// TCP times out by itself if its peer acknowledges nothing; a Unix socket has no such timeout.
#[tokio::test(start_paused = true)]
async fn a_sink_that_takes_nothing_is_given_up_and_a_slow_one_is_not() {
    let (mut client, mut near) = duplex(256);
    let (mut far, mut server) = duplex(64);
    client.write_all(&[7; 200]).await.unwrap();
    let began = Instant::now();
    let slowly = async {
        // Eight bytes a minute are slow, but they are progress.
        for _ in 0..10 {
            sleep(Duration::from_secs(60)).await;
            server.read_exact(&mut [0; 8]).await.unwrap();
        }
        pending::<()>().await;
    };
    let ended = tokio::select! {
        ended = relay(&mut near, &mut far) => ended,
        () = slowly => unreachable!(),
    };
    assert!(matches!((ended.client, ended.upstream), (End::Idle, End::Idle)));
    assert_eq!(began.elapsed(), Duration::from_secs(600) + STALLED);
}

#[tokio::test(start_paused = true)]
async fn two_silent_halves_may_be_silent_for_ever() {
    let (_client, mut near) = duplex(64);
    let (mut far, _server) = duplex(64);
    let idle = relay(&mut near, &mut far);
    tokio::time::timeout(Duration::from_secs(1_000_000), idle).await.unwrap_err();
}

/// A writer that holds bytes back until it is flushed, as TLS may. The relay must flush before it waits.
#[tokio::test(start_paused = true)]
async fn what_was_written_is_flushed_before_a_wait() {
    let (mut client, mut near) = duplex(64);
    let (far, mut server) = duplex(64);
    let mut far = Pending { inner: BufWriter::new(far) };
    let ping = async {
        client.write_all(b"x").await.unwrap();
        let mut got = [0];
        server.read_exact(&mut got).await.unwrap();
    };
    tokio::select! {
        _ = relay(&mut near, &mut far) => panic!("neither side has ended"),
        () = ping => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_fails_ends_both_at_once() {
    let mut near = Failing(io::ErrorKind::ConnectionReset);
    let (mut far, _server) = duplex(64);
    let ended = relay(&mut near, &mut far).await;
    assert!(matches!((ended.client, ended.upstream), (End::Failed(_), End::Open)));
    let mut near = Failing(io::ErrorKind::UnexpectedEof);
    let ended = relay(&mut near, &mut far).await;
    assert!(matches!((ended.client, ended.upstream), (End::Truncated, End::Idle)), "no close_notify is an end");
}

/// The last bytes of a server reach the client, even if the server does not accept any more bytes.
#[tokio::test(start_paused = true)]
async fn a_sink_that_fails_is_heard_out() {
    let (mut client, mut near) = duplex(64);
    let mut far = LastWords(Some(b"goodbye"));
    client.write_all(b"more").await.unwrap();
    let ended = relay(&mut near, &mut far).await;
    drop(near);
    let mut heard = Vec::new();
    client.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"goodbye");
    assert!(matches!(ended.upstream, End::Closed), "{ended:?}");
}

/// Returns two connected sockets.
async fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    (near.unwrap(), far.unwrap().0)
}

impl RelayStream for TcpStream {
    fn bare(&self) -> Option<&TcpStream> {
        Some(self)
    }

    fn take_error(&self) -> Option<io::Error> {
        TcpStream::take_error(self).unwrap_or_else(Some)
    }

    fn detect_dead_peer(&self) {}
}

#[tokio::test]
async fn the_first_bytes_do_not_wait_for_the_turn_in_which_tokio_gets_to_know_a_socket() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let far = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    let (mut client, mut near) = duplex(64);
    client.write_all(b"first").await.unwrap();
    far.set_nonblocking(true).unwrap();
    server.set_nonblocking(true).unwrap();
    let (mut far, mut tap) = (TcpStream::from_std(far).unwrap(), Tapped::default());
    let mut relay = Relay::new(&mut near, &mut far, &mut tap);
    assert!(poll_once(&mut relay).is_pending());
    let mut heard = [0; 5];
    server.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"first");
}

#[tokio::test(start_paused = true)]
async fn a_timer_is_there_only_while_bytes_wait() {
    let (mut client, mut near) = duplex(64);
    let (mut far, mut server) = duplex(4);
    let mut tap = Tapped::default();
    let mut relay = Relay::new(&mut near, &mut far, &mut tap);
    assert!(poll_once(&mut relay).is_pending() && !relay.idle.is_running());
    client.write_all(b"question").await.unwrap();
    assert!(poll_once(&mut relay).is_pending() && relay.idle.is_running());
    server.read_exact(&mut [0; 4]).await.unwrap();
    assert!(poll_once(&mut relay).is_pending() && !relay.idle.is_running());
}

/// Polls the relay once.
fn poll_once(mut relay: impl Future<Output = Relayed> + Unpin) -> Poll<Relayed> {
    Pin::new(&mut relay).poll(&mut Context::from_waker(Waker::noop()))
}

/// In a bulk transfer, bytes that the tap need not see bypass it; the others are seen. All bytes arrive, however slowly
/// the sink accepts them.
#[tokio::test]
async fn between_sockets_the_kernel_moves_what_nobody_looks_at() {
    const LENGTH: usize = 40 * RELAY_BUFFER + 12_345;
    for (unseen, slow) in [(0, false), (RELAY_BUFFER + 1, false), (usize::MAX, false), (usize::MAX, true)] {
        let ((mut client, mut near), (mut far, mut server)) = (sockets().await, sockets().await);
        let sent: Vec<u8> = (0..LENGTH).map(|at| u8::try_from(at * 31 % 251).unwrap()).collect();
        let mut tap = Tapped { unseen, ..Tapped::default() };
        let serve = async {
            server.write_all(&sent).await.unwrap();
            server.shutdown().await.unwrap();
            server.read_to_end(&mut Vec::new()).await.unwrap();
        };
        let take = async {
            let (mut got, mut buffer) = (Vec::new(), vec![0; 1 << 20]);
            if slow {
                // The sink fills up, and bytes remain in the pipe.
                sleep(Duration::from_millis(300)).await;
            }
            while let count @ 1.. = client.read(&mut buffer).await.unwrap() {
                got.extend_from_slice(&buffer[..count]);
            }
            client.shutdown().await.unwrap();
            got
        };
        let relayed = async {
            let relayed = Relay::new(&mut near, &mut far, &mut tap).await;
            // The end of the second direction is signalled by the close.
            drop((near, far));
            relayed
        };
        let (relayed, (), got) = tokio::join!(relayed, serve, take);
        assert!(
            matches!(relayed, Relayed::Ended(RelayEnds { client: End::Closed, upstream: End::Closed })),
            "{relayed:?}"
        );
        assert!(got == sent, "unseen {unseen}, slow {slow}");
        assert_eq!((tap.down.len() + tap.passed, tap.passed > 0), (LENGTH, unseen > 0));
    }
}

struct Pending {
    inner: BufWriter<DuplexStream>,
}

struct Failing(io::ErrorKind);

struct LastWords(Option<&'static [u8]>);

impl AsyncRead for Pending {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Pending {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

impl AsyncRead for Failing {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(self.0.into()))
    }
}

impl AsyncRead for LastWords {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        buffer.put_slice(self.get_mut().0.take().unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

macro_rules! in_memory {
    ($($stream:ty),*) => {
        $(impl RelayStream for $stream {
            fn bare(&self) -> Option<&TcpStream> {
                None
            }

            fn take_error(&self) -> Option<io::Error> {
                None
            }

            fn detect_dead_peer(&self) {}
        })*
    };
}
in_memory!(DuplexStream, Pending, Failing, LastWords);

macro_rules! takes_nothing {
    ($stream:ty) => {
        impl AsyncWrite for $stream {
            fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
                Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
            }

            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }
        }
    };
}
takes_nothing!(Failing);
takes_nothing!(LastWords);
