//! The server of the echo protocol, which runs behind the proxy under test.

use std::convert::Infallible;
use std::io::Write;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::runtime::Builder;

use super::args::ServeArgs;
use super::exchange::answer;
use super::limits::OPERATION;
use crate::net::{Listener, bind};
use crate::tls;

/// Serves until the process ends. Prints its address once it listens.
pub(super) fn serve(service: ServeArgs) -> Result<Infallible, String> {
    let ServeArgs { listen, threads, material } = service;
    let failed = |error: std::io::Error| format!("--serve {listen}: cannot listen: {error}");
    let tls = match &material {
        Some(material) => Some(material.server_config().ok_or("internal error: no TLS configuration")?),
        None => None,
    };
    let listeners = bind(listen, threads).map_err(failed)?;
    let bound = listeners.first().map_or(Ok(listen), std::net::TcpListener::local_addr).map_err(failed)?;
    let started = listeners.into_iter().map(|listener| {
        let tls = tls.clone();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("serve".into()).spawn(move || runtime.block_on(accept(listener, tls)))
    });
    let started: Vec<_> = started.collect::<Result<_, _>>().map_err(failed)?;
    // A closed standard output is not an error.
    let _ = writeln!(std::io::stdout(), "serving on {bound}");
    let mut ended = started.into_iter().map(std::thread::JoinHandle::join);
    match ended.next() {
        Some(Ok(Err(error))) => Err(failed(error)),
        Some(Ok(Ok(never))) => match never {},
        Some(Err(_)) | None => Err("a thread of the server has panicked".to_owned()),
    }
}

async fn accept(listener: std::net::TcpListener, tls: Option<Arc<ServerConfig>>) -> std::io::Result<Infallible> {
    let mut listener = Listener::register(listener)?;
    loop {
        let (socket, _) = listener.accept().await;
        let tls = tls.clone();
        tokio::spawn(async move {
            // The client sees failures and counts them.
            match tls {
                None => drop(answer(socket).await),
                Some(config) => {
                    if let Ok(accepted) = tls::accept(socket, config, OPERATION).await {
                        drop(answer(accepted.stream).await);
                    }
                }
            }
        });
    }
}
