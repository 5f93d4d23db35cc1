//! Changes under load: hundreds of mode changes and reloads while clients of both kinds are working. No operation of an
//! accepted connection is lost.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use clap::{ArgMatches, Command};
use tlsramp::testing::{
    App, Caller, Change, ChangeError, Changed, Controller, Mode, MongoClient, Outcome, Spelling, StandIn, load_config,
    with_options,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::client::TlsStream;

use crate::support::{certs, tls};

/// `allowSSL` and `preferSSL` accept both kinds of clients, so no operation may fail, neither on old connections nor on
/// new ones. Each change of mode changes the kind of links, and each reload the certificate.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_modes_and_a_hundred_reloads_lose_nothing() {
    let bench = Bench::new("allowSSL", "policy").await;
    let certificates = ["server.pem", "member.pem"].map(|name| std::fs::read(bench.folder.join(name)).unwrap());
    let work = Arc::new(Work::default());
    let mut clients = JoinSet::new();
    for number in 0..8 {
        clients.spawn(plaintext(bench.address, Arc::clone(&work), number % 2 == 0));
        clients.spawn(by_tls(bench.address, bench.client(), Arc::clone(&work), number % 2 == 0));
    }
    work.reached(100).await;
    let mut generation = 1;
    for round in 0..100 {
        let to = if round % 2 == 0 { Mode::Prefer } else { Mode::Allow };
        let changed = bench.change(Change::forced(to, Spelling::Ssl)).await.unwrap();
        assert_eq!((changed.mode, changed.generation), (to, generation + 1));
        std::fs::write(bench.folder.join("server.pem"), &certificates[(round / 2) % 2]).unwrap();
        let reloaded = bench.controller().reload(&Caller::PROGRAM).await.unwrap();
        assert_eq!((reloaded.mode, reloaded.generation), (to, generation + 2), "the file did not change the mode");
        generation = reloaded.generation;
        // A few operations in each round, so that changes and operations are interleaved.
        let done = work.operations.load(Ordering::SeqCst);
        work.reached(done + 20).await;
    }
    work.stop.store(true, Ordering::SeqCst);
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    assert!(work.operations.load(Ordering::SeqCst) > 2000);
    for outcome in Outcome::ALL {
        assert!(outcome == Outcome::Completed || bench.app.observer.count(outcome) == 0, "{outcome:?}");
    }
    assert!(bench.app.stop(Duration::from_secs(60), std::future::pending()).await, "every client has left");
}

/// Up to requireSSL and down to disabled: established connections stay, whatever the mode means for new ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn established_connections_keep_their_verdict_in_every_mode() {
    let bench = Bench::new("allowSSL", "never").await;
    let mut plaintext = MongoClient::over(TcpStream::connect(bench.address).await.unwrap());
    let mut secure = MongoClient::over(tls::connect(bench.address, &bench.client()).await.unwrap());
    plaintext.ping().await.unwrap();
    secure.ping().await.unwrap();
    for to in [Mode::Prefer, Mode::Require, Mode::Allow, Mode::Disabled, Mode::Require] {
        bench.change(Change::forced(to, Spelling::Ssl)).await.unwrap();
        plaintext.ping().await.unwrap();
        secure.ping().await.unwrap();
        let newcomer = MongoClient::over(TcpStream::connect(bench.address).await.unwrap()).ping().await;
        assert_eq!(newcomer.is_ok(), to.accepts_plaintext(), "{to}");
        let newcomer = tls::connect(bench.address, &bench.client()).await;
        assert_eq!(newcomer.is_ok(), to.accepts_tls(), "{to}");
    }
}

/// Without force, only changes along the ladder are made; a refused change has no effect.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ladder_holds() {
    let bench = Bench::new("disabled", "never").await;
    for to in [Mode::Disabled, Mode::Prefer, Mode::Require] {
        let refused = bench.change(Change::to(to, Spelling::Ssl)).await.unwrap_err();
        let text = format!("Illegal state transition for sslMode, attempt to change from disabled to {to}");
        assert_eq!(refused.to_string(), text);
    }
    assert_eq!(bench.controller().view().mode(), (Mode::Disabled, 1));
    for (to, generation) in [(Mode::Allow, 2), (Mode::Prefer, 3), (Mode::Require, 4)] {
        let changed = bench.change(Change::to(to, Spelling::Tls)).await.unwrap();
        assert_eq!(changed.generation, generation);
    }
    bench.change(Change::to(Mode::Allow, Spelling::Tls)).await.unwrap_err();
    assert_eq!(bench.controller().view().mode(), (Mode::Require, 4));
}

/// The old certificates stay in use, whatever is on disk, and the error describes the fault.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_of_broken_files_keeps_the_old_ones_and_says_why() {
    let bench = Bench::new("requireSSL", "never").await;
    let key_file = bench.folder.join("server.pem");
    let good = std::fs::read_to_string(&key_file).unwrap();
    let (certificate, key) = good.split_at(good.find("-----BEGIN PRIVATE KEY").unwrap());
    let member = std::fs::read_to_string(bench.folder.join("member.pem")).unwrap();
    let member_key = &member[member.find("-----BEGIN PRIVATE KEY").unwrap()..];
    let expired = std::fs::read_to_string(bench.folder.join("expired.pem")).unwrap();
    let rows = [
        (String::new(), "empty"),
        ("no PEM at all".to_owned(), "no certificate"),
        (good.replace("MII", "!!!"), "PEM"),
        (certificate.to_owned(), "0 private keys"),
        (key.to_owned(), "no certificate"),
        ([certificate, member_key].concat(), "does not match"),
        (expired, "expired"),
    ];
    let mut established = MongoClient::over(tls::connect(bench.address, &bench.client()).await.unwrap());
    for (text, reason) in rows {
        std::fs::write(&key_file, &text).unwrap();
        let refused = bench.controller().reload(&Caller::PROGRAM).await.unwrap_err().to_string();
        assert!(refused.contains(reason) && refused.contains("server.pem"), "{reason}: {refused}");
        assert_eq!(bench.controller().view().mode(), (Mode::Require, 1));
        established.ping().await.unwrap();
        MongoClient::over(tls::connect(bench.address, &bench.client()).await.unwrap()).ping().await.unwrap();
    }
    std::fs::write(&key_file, good).unwrap();
    assert_eq!(bench.controller().reload(&Caller::PROGRAM).await.unwrap().generation, 2);
}

/// A stand-in server behind a proxy of this process. If the link follows the policy, there is a second proxy in front
/// of the server, which accepts both kinds of links like a server that supports TLS.
struct Bench {
    app: App,
    _second: Option<App>,
    address: SocketAddr,
    folder: crate::support::Scratch,
    _server: tlsramp::testing::StandInHandle,
}

impl Bench {
    async fn new(mode: &str, link: &str) -> Bench {
        let server = StandIn::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let mut upstream = server.local_addr();
        let server = server.spawn();
        let folder = certs::folder();
        let path = |name: &str| folder.join(name).display().to_string();
        let second = (link == "policy").then(|| {
            let (key, upstream) = (path("server.pem"), upstream.to_string());
            let base = ["run", "--port", "0", "--upstream", &upstream, "--upstreamTLS", "never", "--watch", "off"];
            let tls = ["--sslMode", "allowSSL", "--sslPEMKeyFile", &key];
            start(&matches(base.iter().chain(&tls)))
        });
        if let Some(second) = &second {
            upstream = second.addresses()[0].1;
        }
        let file = folder.join("tlsramp.conf");
        // The tests count generations. A file that is written and read again must not be rotated in between as well.
        let text = format!(
            "watch = off\nsslMode = {mode}\nport = 0\nupstream = {upstream}\nupstreamTLS = {link}\nsslPEMKeyFile = {}\nsslCAFile = {}\n\
             sniffTimeout = 120s\nhandshakeTimeout = 120s\nconnectTimeout = 60s\n",
            path("server.pem"),
            path("ca.pem"),
        );
        std::fs::write(&file, text).unwrap();
        let arguments = arguments(&file);
        let app = start(&arguments);
        let address = app.addresses()[0].1;
        Bench { app, _second: second, address, folder, _server: server }
    }

    fn controller(&self) -> &Arc<Controller> {
        &self.app.controller
    }

    async fn change(&self, change: Change) -> Result<Changed, ChangeError> {
        self.controller().change_mode(change, &Caller::PROGRAM).await
    }

    fn client(&self) -> Arc<rustls::ClientConfig> {
        let path = |name: &str| self.folder.join(name).display().to_string();
        tls::client(path("ca.pem"), Some(&path("client.pem")))
    }
}

fn start(arguments: &ArgMatches) -> App {
    App::start(load_config(arguments).unwrap(), arguments, 1000, None).unwrap()
}

fn arguments(file: &Path) -> ArgMatches {
    matches(["run", "--config", &file.display().to_string()])
}

fn matches(args: impl IntoIterator<Item = impl Into<std::ffi::OsString> + Clone>) -> ArgMatches {
    with_options(Command::new("run")).try_get_matches_from(args).unwrap()
}

/// State shared by the clients.
#[derive(Default)]
struct Work {
    operations: AtomicU64,
    stop: AtomicBool,
}

impl Work {
    async fn reached(&self, operations: u64) {
        let reached = async {
            while self.operations.load(Ordering::SeqCst) < operations {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), reached).await.expect("the clients work");
    }

    async fn operate<S: AsyncRead + AsyncWrite + Unpin>(&self, client: &mut MongoClient<S>) {
        client.ping().await.unwrap();
        self.operations.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::SeqCst)
    }
}

/// Runs operations over one connection, or over a new connection every ten operations.
async fn plaintext(address: SocketAddr, work: Arc<Work>, stays: bool) {
    while work.goes_on() {
        let mut client = MongoClient::over(TcpStream::connect(address).await.unwrap());
        for _ in 0..10 {
            work.operate(&mut client).await;
        }
        while stays && work.goes_on() {
            work.operate(&mut client).await;
        }
    }
}

async fn by_tls(address: SocketAddr, config: Arc<rustls::ClientConfig>, work: Arc<Work>, stays: bool) {
    while work.goes_on() {
        let stream: TlsStream<TcpStream> = tls::connect(address, &config).await.unwrap();
        let mut client = MongoClient::over(stream);
        for _ in 0..10 {
            work.operate(&mut client).await;
        }
        while stays && work.goes_on() {
            work.operate(&mut client).await;
        }
    }
}
