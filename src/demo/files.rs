//! Temporary certificates, in a folder that is removed when the handle is dropped.
//!
//! The CA's key is never written to disk; private keys have mode 0600 in a folder of mode 0700.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use certs_gen::{Authority, Issued, Request, write_private, write_public};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};

/// The certificates of one run.
#[derive(Debug)]
pub(super) struct Files {
    folder: Folder,
    /// Configuration for TLS clients, without resumption, so that each handshake is a full one.
    pub(super) client: Arc<ClientConfig>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum FilesError {
    #[error("cannot write certificates to {}: {error}", folder.display())]
    Write { folder: PathBuf, error: io::Error },
    #[error("{0}")]
    Make(#[from] certs_gen::Error),
    #[error("the client certificate cannot be used: {0}")]
    Read(#[from] pem::Error),
    #[error("the client certificate cannot be used: {0}")]
    Use(#[from] rustls::Error),
}

impl Files {
    /// Makes a CA, a member certificate for each of these nodes, and a client certificate.
    pub(super) fn make(nodes: &[&str]) -> Result<Files, FilesError> {
        let folder = Folder::new().map_err(|error| write_error(&std::env::temp_dir(), error))?;
        let failed = |error| write_error(&folder.0, error);
        let ca = Authority::new("tlsramp demo CA")?;
        write_public(&folder.0.join(CA), ca.pem()).map_err(failed)?;
        for node in nodes {
            let member = Request::member(&host(node)).names([host(node).as_str(), "localhost", "127.0.0.1"]);
            let member = ca.issue(&member.organization("tlsramp demo members"))?;
            write_private(&folder.0.join(file(node)), &member.pem()).map_err(failed)?;
        }
        let client = ca.issue(&Request::client("demo client").organization("tlsramp demo clients"))?;
        write_private(&folder.0.join(CLIENT), &client.pem()).map_err(failed)?;
        let client = Arc::new(client_config(ca.pem(), &client)?);
        Ok(Files { folder, client })
    }

    pub(super) fn ca(&self) -> PathBuf {
        self.folder.0.join(CA)
    }

    pub(super) fn client_pem(&self) -> PathBuf {
        self.folder.0.join(CLIENT)
    }

    pub(super) fn member_pem(&self, node: &str) -> PathBuf {
        self.folder.0.join(file(node))
    }
}

/// The name in a node's certificate, under the reserved domain `test` (RFC 6761).
pub(super) fn host(node: &str) -> String {
    format!("{}.test", node.replace(' ', "-"))
}

fn file(node: &str) -> String {
    format!("{}.pem", node.replace(' ', "-"))
}

fn client_config(ca: &str, client: &Issued) -> Result<ClientConfig, FilesError> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.as_bytes())?)?;
    let chain = vec![CertificateDer::from_pem_slice(client.cert_pem().as_bytes())?];
    let key = PrivateKeyDer::from_pem_slice(client.key_pem().as_bytes())?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)?;
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn write_error(folder: &Path, error: io::Error) -> FilesError {
    FilesError::Write { folder: folder.to_owned(), error }
}

/// A folder that is removed on drop.
#[derive(Debug)]
struct Folder(PathBuf);

impl Folder {
    /// Creates a new folder; an existing one is never used.
    fn new() -> io::Result<Folder> {
        let all = std::env::temp_dir();
        for number in 0..MOST_TRIES {
            let path = all.join(format!("tlsramp-demo-{}-{number}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Folder(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // An error can no longer be reported here.
        let _ = fs::remove_dir_all(&self.0);
    }
}

const CA: &str = "ca.pem";
const CLIENT: &str = "client.pem";
/// Limit on the number of names that are tried: killed runs with the same process number leave folders behind.
const MOST_TRIES: u32 = 1000;
