//! The admin port of a running proxy: both protocols, over loopback.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Command;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use crate::app::App;
use crate::config;

/// A connection to the admin port that sends this input and then closes its sending side.
///
/// An answer is HTTP or whole MongoDB messages.
pub fn admin_port(data: &[u8]) {
    thread_local! {
        // One proxy for each thread that calls this. It runs until the process ends.
        static PROXY: &'static FuzzedProxy = Box::leak(Box::new(FuzzedProxy::start()));
    }
    PROXY.with(|proxy| proxy.ask(data));
}

/// A proxy whose upstream does not exist.
struct FuzzedProxy {
    runtime: Runtime,
    _app: App,
    admin: SocketAddr,
}

impl FuzzedProxy {
    fn start() -> FuzzedProxy {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.unwrap_or_else(|error| panic!("{error}"));
        let (app, admin) = runtime.block_on(async {
            // Rust's main function ignores this signal, libFuzzer's does not. Its handler stays when this is dropped.
            let _handled = signal(SignalKind::pipe());
            start()
        });
        FuzzedProxy { runtime, _app: app, admin }
    }

    fn ask(&self, data: &[u8]) {
        self.runtime.block_on(async {
            let answer = timeout(LIMIT, exchange(self.admin, data)).await;
            let Ok(Ok(answer)) = answer else { return };
            if answer.starts_with(b"HTTP/1.") {
                return;
            }
            let mut rest = &answer[..];
            while let Some((length, _)) = rest.split_first_chunk() {
                let length = usize::try_from(i32::from_le_bytes(*length)).unwrap_or(0);
                assert!(length >= 16 && length <= rest.len(), "neither HTTP nor whole messages: {answer:?}");
                rest = &rest[length..];
            }
        });
    }
}

fn start() -> (App, SocketAddr) {
    let arguments = [
        ["--port", "0"],
        ["--bind_ip", "127.0.0.1"],
        ["--upstream", "127.0.0.1:1"],
        ["--upstreamTLS", "never"],
        ["--upstreamProbe", "off"],
        ["--watch", "off"],
        ["--workers", "1"],
        ["--adminBind", "127.0.0.1:0"],
    ];
    let arguments = std::iter::once("run").chain(arguments.as_flattened().iter().copied());
    let arguments = config::with_options(Command::new("run")).try_get_matches_from(arguments);
    let arguments = arguments.unwrap_or_else(|error| panic!("{error}"));
    let loaded = config::load(&arguments).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
    let app = App::start(loaded, &arguments, 100, None).unwrap_or_else(|error| panic!("{error}"));
    let admin = app.addresses().into_iter().find(|(route, _)| **route == *"admin");
    let (_, admin) = admin.unwrap_or_else(|| panic!("no admin port"));
    (app, admin)
}

async fn exchange(admin: SocketAddr, data: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(admin).await?;
    // The answer to the first bytes may end the connection.
    let _ = stream.write_all(data).await;
    let _ = stream.shutdown().await;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer)
}

/// Time limit of an answer. A client may request one that comes later or never ends; it is not checked then.
const LIMIT: Duration = Duration::from_millis(500);
