//! Bytes are relayed exactly as sent, in both directions, with all four combinations of plaintext and TLS, with pauses
//! and half-closes at any point.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::support::{Proxy, cert, tls};

/// 1 GiB in total: four combinations, eight connections each, 16 MiB in each direction on average.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gibibyte_arrives_as_it_was_sent() {
    let mut connections = JoinSet::new();
    let mut proxies = Vec::new();
    for pair in Pair::ALL {
        let proxy = pair.proxy(serve_streams(pair.upstream_tls).await);
        for number in 0..CONNECTIONS {
            let address = proxy.address("inbound");
            connections.spawn(async move {
                let seed = u64::from(pair.client_tls) << 9 | u64::from(pair.upstream_tls) << 8 | number;
                let up = length(seed);
                // The two lengths of a connection add up to a constant, so that the total is exact.
                let down = 2 * MEAN_BYTES - up;
                let stream = connect(address, pair.client_tls).await;
                let (reader, mut writer) = tokio::io::split(stream);
                writer.write_all(&[seed, up, down].map(u64::to_le_bytes).concat()).await.unwrap();
                let sent = send(writer, Stream::new(seed), up);
                let received = receive(reader, Stream::new(!seed), down);
                let (sent, received) = tokio::join!(sent, received);
                assert_eq!((sent, received), (up, down), "{pair:?}, connection {number}");
                up + down
            });
        }
        proxies.push(proxy);
    }
    let mut total = 0;
    while let Some(moved) = timeout(Duration::from_secs(900), connections.join_next()).await.expect("stalled") {
        total += moved.unwrap();
    }
    assert_eq!(total, 1 << 30);
    for proxy in proxies {
        let mut completed = 0;
        let all = |line: &serde_json::Value| {
            completed += u64::from(line["outcome"] == "completed");
            completed == CONNECTIONS
        };
        proxy.wait_log(all, Duration::from_secs(30));
    }
}

/// If a TLS writer held back a byte while its reader waits for it, this would stall in the first round.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_byte_goes_there_and_back_without_waiting_for_a_second() {
    for pair in Pair::ALL {
        let proxy = pair.proxy(serve_echo(pair.upstream_tls).await);
        let mut stream = connect(proxy.address("inbound"), pair.client_tls).await;
        for round in 0..2000_u32 {
            let sent = [b'A' + u8::try_from(round % 26).unwrap()];
            stream.write_all(&sent).await.unwrap();
            stream.flush().await.unwrap();
            let mut back = [0];
            let read = timeout(Duration::from_secs(30), stream.read_exact(&mut back)).await;
            read.unwrap_or_else(|_| panic!("{pair:?} stalled in round {round}")).unwrap();
            assert_eq!(back, sent);
        }
    }
}

/// A client that dies must look like a dead client to the server, and vice versa: a reset is passed on as a reset.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_is_passed_on_as_a_reset() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Pair { client_tls: false, upstream_tls: false }.proxy(upstream.local_addr().unwrap());
    for client_resets in [true, false] {
        let mut client = TcpStream::connect(proxy.address("inbound")).await.unwrap();
        client.write_all(b"hello").await.unwrap();
        let (mut server, _) = upstream.accept().await.unwrap();
        let mut greeting = [0; 5];
        server.read_exact(&mut greeting).await.unwrap();
        let (dying, mut left) = if client_resets { (client, server) } else { (server, client) };
        dying.set_zero_linger().unwrap();
        drop(dying);
        let end = timeout(Duration::from_secs(30), left.read(&mut greeting)).await.expect("the other leg ends too");
        assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
        let outcome = if client_resets { "client_reset" } else { "upstream_reset" };
        proxy.wait_log(|line| line["outcome"] == outcome, Duration::from_secs(30));
    }
}

/// An upstream dies in the middle of its answer while the client sends. Whether a read or a write of ours notices it
/// first, the client's data must not look complete.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_cut_off_by_a_reset_does_not_end_like_a_whole_one() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Pair { client_tls: true, upstream_tls: false }.proxy(upstream.local_addr().unwrap());
    let client = tls::client(cert("ca.pem"), Some(&cert("client.pem")));
    for round in 0..20 {
        let stream = tls::connect(proxy.address("inbound"), &client).await.unwrap();
        let (mut reader, mut writer) = tokio::io::split(stream);
        let sending = tokio::spawn(async move { while writer.write_all(&[7; 4096]).await.is_ok() {} });
        let (mut server, _) = upstream.accept().await.unwrap();
        server.read_exact(&mut [0; 4096]).await.unwrap();
        server.write_all(b"half an answ").await.unwrap();
        server.set_zero_linger().unwrap();
        drop(server);
        let mut got = Vec::new();
        let end = timeout(Duration::from_secs(30), reader.read_to_end(&mut got)).await.expect("it ends");
        assert!(end.is_err(), "round {round}: a clean end after {got:?}");
        sending.await.unwrap();
    }
    let mut ended = 0;
    let cut = |line: &serde_json::Value| {
        if line["outcome"] == "upstream_reset" {
            // A line of its own, or a count in the summary of omitted lines.
            ended += line["connections"].as_u64().unwrap_or(1);
        }
        ended == 20
    };
    proxy.wait_log(cut, Duration::from_secs(30));
}

/// A TLS client that closes its direction receives a `close_notify`; a client that sends none has simply ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn close_notify_is_sent_and_not_insisted_on() {
    let proxy = Pair { client_tls: true, upstream_tls: false }.proxy(serve_echo(false).await);
    let client = tls::client(cert("ca.pem"), Some(&cert("client.pem")));

    let mut polite = tls::connect(proxy.address("inbound"), &client).await.unwrap();
    polite.write_all(b"x").await.unwrap();
    polite.shutdown().await.unwrap();
    let mut all = Vec::new();
    // rustls reports an end of stream without `close_notify` as an error, so this end had one.
    timeout(Duration::from_secs(30), polite.read_to_end(&mut all)).await.unwrap().unwrap();
    assert_eq!(all, b"x");
    let record = proxy.wait_log(|line| line["message"] == "connection", Duration::from_secs(30));
    assert_eq!((&record["outcome"], &record["reason"]), (&"completed".into(), &serde_json::Value::Null));

    let mark = proxy.mark();
    let mut rude = tls::connect(proxy.address("inbound"), &client).await.unwrap();
    rude.write_all(b"x").await.unwrap();
    let mut back = [0];
    rude.read_exact(&mut back).await.unwrap();
    drop(rude);
    let record = proxy.wait_next(mark, Duration::from_secs(30));
    assert_eq!(record["outcome"], "completed");
    assert_eq!(record["reason"], "the client sent no close_notify");
}

#[derive(Debug, Clone, Copy)]
struct Pair {
    client_tls: bool,
    upstream_tls: bool,
}

impl Pair {
    const ALL: [Pair; 4] = [
        Pair { client_tls: false, upstream_tls: false },
        Pair { client_tls: true, upstream_tls: false },
        Pair { client_tls: false, upstream_tls: true },
        Pair { client_tls: true, upstream_tls: true },
    ];

    fn proxy(self, upstream: SocketAddr) -> Proxy {
        let link = if self.upstream_tls { "always" } else { "never" };
        let upstream = upstream.to_string();
        let (key, ca, cluster) = (cert("server.pem"), cert("ca.pem"), cert("member.pem"));
        Proxy::start(
            ["--port", "0", "--sslMode", "allowSSL", "--upstream", &upstream, "--upstreamTLS", link]
                .into_iter()
                .chain(["--sslPEMKeyFile", &key, "--sslCAFile", &ca, "--sslClusterFile", &cluster]),
        )
    }
}

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

async fn connect(address: SocketAddr, by_tls: bool) -> Box<dyn Duplex> {
    if by_tls {
        let client = tls::client(cert("ca.pem"), Some(&cert("client.pem")));
        Box::new(tls::connect(address, &client).await.unwrap())
    } else {
        Box::new(TcpStream::connect(address).await.unwrap())
    }
}

async fn serve<F>(by_tls: bool, each: impl Fn(Box<dyn Duplex>) -> F + Send + Sync + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(tls::server(&cert("server.pem"), Some(&cert("ca.pem"))));
    let each = Arc::new(each);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (acceptor, each) = (acceptor.clone(), Arc::clone(&each));
            tokio::spawn(async move {
                if by_tls {
                    if let Ok(stream) = acceptor.accept(socket).await {
                        each(Box::new(stream)).await;
                    }
                } else {
                    each(Box::new(socket)).await;
                }
            });
        }
    });
    address
}

async fn serve_echo(by_tls: bool) -> SocketAddr {
    serve(by_tls, |stream| async move {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let _ = tokio::io::copy(&mut reader, &mut writer).await;
        let _ = writer.shutdown().await;
    })
    .await
}

/// A server that is told in 24 bytes what it will receive and what to send, and panics on a wrong byte. The client then
/// sees its stream end early.
async fn serve_streams(by_tls: bool) -> SocketAddr {
    serve(by_tls, |stream| async move {
        let (mut reader, writer) = tokio::io::split(stream);
        let mut order = [0; 24];
        reader.read_exact(&mut order).await.unwrap();
        let word = |at: usize| u64::from_le_bytes(order[at..at + 8].try_into().unwrap());
        let (seed, up, down) = (word(0), word(8), word(16));
        let (received, sent) =
            tokio::join!(receive(reader, Stream::new(seed), up), send(writer, Stream::new(!seed), down));
        assert_eq!((received, sent), (up, down));
    })
    .await
}

/// Sends this number of bytes in chunks of any size, with pauses, then closes its sending direction.
async fn send(mut writer: impl AsyncWrite + Unpin, mut stream: Stream, bytes: u64) -> u64 {
    let mut dice = stream.dice();
    let mut left = bytes;
    let mut chunk = vec![0; 256 * 1024];
    while left > 0 {
        let most = if dice.next_u64().is_multiple_of(4) { 64 } else { chunk.len() as u64 };
        let size = usize::try_from((1 + dice.next_u64() % most).min(left)).unwrap();
        stream.fill(&mut chunk[..size]);
        writer.write_all(&chunk[..size]).await.unwrap();
        left -= size as u64;
        if dice.next_u64().is_multiple_of(16) {
            writer.flush().await.unwrap();
            sleep(Duration::from_millis(dice.next_u64() % 4)).await;
        }
    }
    writer.shutdown().await.unwrap();
    bytes
}

/// Receives to the end of the stream and compares every byte.
async fn receive(mut reader: impl AsyncRead + Unpin, mut stream: Stream, bytes: u64) -> u64 {
    let mut dice = stream.dice();
    let mut seen = 0;
    let (mut chunk, mut expected) = (vec![0; 128 * 1024], vec![0; 128 * 1024]);
    loop {
        let size = usize::try_from(1 + dice.next_u64() % chunk.len() as u64).unwrap();
        let count = reader.read(&mut chunk[..size]).await.unwrap();
        if count == 0 {
            return seen;
        }
        stream.fill(&mut expected[..count]);
        assert!(
            chunk[..count] == expected[..count],
            "wrong bytes between {seen} and {} of {bytes}",
            seen + count as u64
        );
        seen += count as u64;
        if dice.next_u64().is_multiple_of(64) {
            sleep(Duration::from_millis(dice.next_u64() % 8)).await;
        }
    }
}

/// A length between half and one and a half of the mean.
fn length(seed: u64) -> u64 {
    MEAN_BYTES / 2 + Stream::new(seed ^ 0x5eed).dice().next_u64() % MEAN_BYTES
}

/// The bytes of a seed: splitmix64, so that bytes at any position are wrong if a byte before them was lost or
/// duplicated.
struct Stream {
    state: u64,
    rest: Vec<u8>,
}

impl Stream {
    fn new(seed: u64) -> Stream {
        Stream { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15), rest: Vec::new() }
    }

    /// Random numbers of the same seed that are independent of the stream.
    fn dice(&self) -> Stream {
        Stream::new(self.state ^ 0xd1ce)
    }

    fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn fill(&mut self, buffer: &mut [u8]) {
        let from_rest = self.rest.len().min(buffer.len());
        buffer[..from_rest].copy_from_slice(&self.rest[..from_rest]);
        self.rest.drain(..from_rest);
        for chunk in buffer[from_rest..].chunks_mut(8) {
            let word = self.next_u64().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
            self.rest = word[chunk.len()..].to_vec();
        }
    }
}

const CONNECTIONS: u64 = 8;
const MEAN_BYTES: u64 = 16 << 20;
