//! The simplest proxy: tokio's runtime, tokio-rustls and `copy_bidirectional`. This program runs the
//! proxy as a separate process.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::configs::Place;

#[derive(Debug)]
pub(crate) struct NaiveArgs {
    tls: u16,
    plain: u16,
    upstream: u16,
    certificate: String,
    workers: u8,
}

impl NaiveArgs {
    /// Returns `None` if this process is not the proxy.
    pub(crate) fn of(args: impl Iterator<Item = String>) -> Option<NaiveArgs> {
        let args: Vec<String> = args.skip(1).collect();
        let [word, tls, plain, upstream, certificate, workers] = args.as_slice() else { return None };
        let port = |text: &String| text.parse().ok();
        (word == WORD).then_some(())?;
        Some(NaiveArgs {
            tls: port(tls)?,
            plain: port(plain)?,
            upstream: port(upstream)?,
            certificate: certificate.clone(),
            workers: workers.parse().ok()?,
        })
    }

    pub(crate) fn args(place: &Place<'_>) -> Vec<String> {
        let ports = [place.tls, place.plain, place.upstream].map(|port| port.to_string());
        let rest = [place.certs.both.display().to_string(), place.workers.to_string()];
        [WORD.to_owned()].into_iter().chain(ports).chain(rest).collect()
    }
}

/// Serves until the process is ended.
pub(crate) fn run(wanted: &NaiveArgs) -> ExitCode {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(usize::from(wanted.workers)).enable_all().build();
    let ended = runtime.and_then(|runtime| runtime.block_on(serve(wanted)));
    if let Err(error) = ended {
        eprintln!("naive: {error}");
    }
    ExitCode::FAILURE
}

async fn serve(wanted: &NaiveArgs) -> io::Result<()> {
    let upstream = wanted.upstream;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let acceptor = TlsAcceptor::from(Arc::new(config(&wanted.certificate, provider).map_err(io::Error::other)?));
    let by_tls = TcpListener::bind(("127.0.0.1", wanted.tls)).await?;
    let plain = TcpListener::bind(("127.0.0.1", wanted.plain)).await?;
    tokio::spawn(async move {
        while let Ok((client, _)) = plain.accept().await {
            tokio::spawn(async move {
                client.set_nodelay(true)?;
                relay(client, upstream).await
            });
        }
    });
    loop {
        let (client, _) = by_tls.accept().await?;
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            client.set_nodelay(true)?;
            relay(acceptor.accept(client).await?, upstream).await
        });
    }
}

async fn relay<S>(mut client: S, upstream: u16) -> io::Result<()>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut server = TcpStream::connect(("127.0.0.1", upstream)).await?;
    server.set_nodelay(true)?;
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}

/// rustls' default configuration with this provider.
pub(crate) fn config(file: &str, provider: CryptoProvider) -> Result<ServerConfig, String> {
    let in_words = |error: rustls::pki_types::pem::Error| format!("{file}: {error}");
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).map_err(in_words)?.collect();
    let (chain, key) = (chain.map_err(in_words)?, PrivateKeyDer::from_pem_file(file).map_err(in_words)?);
    let builder = ServerConfig::builder_with_provider(Arc::new(provider)).with_safe_default_protocol_versions();
    let config = builder.and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key));
    config.map_err(|error| error.to_string())
}

/// The first argument of the proxy process.
const WORD: &str = "naive-proxy";
