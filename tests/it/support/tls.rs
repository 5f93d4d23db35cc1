//! TLS peers for tests: clients with a given certificate or none, and servers with a given certificate.

use std::{net::SocketAddr, path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// A client that trusts `ca` and presents `certificate`, if given. It stores sessions: a second connection resumes.
pub(crate) fn client(ca: impl AsRef<Path>, certificate: Option<&str>) -> Arc<ClientConfig> {
    client_of(aws_lc_rs::default_provider(), ca, certificate)
}

/// As [`client`], with the algorithms of this provider.
pub(crate) fn client_of(
    provider: CryptoProvider,
    ca: impl AsRef<Path>,
    certificate: Option<&str>,
) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots(ca));
    Arc::new(match certificate.map(identity) {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
        None => builder.with_no_client_auth(),
    })
}

/// A server with this certificate. With `client_ca`, clients must present a certificate of that CA.
pub(crate) fn server(certificate: &str, client_ca: Option<&str>) -> Arc<ServerConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let roots = Arc::new(roots(ca));
            builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(roots, provider).build().unwrap(),
            )
        }
    };
    let (chain, key) = identity(certificate);
    Arc::new(builder.with_single_cert(chain, key).unwrap())
}

/// Connects and completes a handshake for the name `localhost`.
pub(crate) async fn connect(address: SocketAddr, config: &Arc<ClientConfig>) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::clone(config)).connect(name, TcpStream::connect(address).await?).await
}

fn roots(ca: impl AsRef<Path>) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).unwrap() {
        roots.add(certificate.unwrap()).unwrap();
    }
    roots
}

fn identity(file: &str) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain = CertificateDer::pem_file_iter(file).unwrap().collect::<Result<_, _>>().unwrap();
    (chain, PrivateKeyDer::from_pem_file(file).unwrap())
}
