//! One certificate for all servers, made for this run: ECDSA P-256, for `localhost` and `127.0.0.1`.

use std::path::PathBuf;

use certs_gen::{Authority, Request, write_private, write_public};

use super::Scratch;

/// The certificate's files, in a folder that is removed on drop.
#[derive(Debug)]
pub(crate) struct Certs {
    /// Certificate and key in one file, for tlsramp, mongod, HAProxy, hitch and stunnel.
    pub(crate) both: PathBuf,
    /// The certificate in a file of its own, for nginx and Envoy.
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) ca: PathBuf,
    _folder: Scratch,
}

impl Certs {
    /// # Errors
    /// The files cannot be made or written.
    pub(crate) fn make() -> Result<Certs, String> {
        let folder = Scratch::new("bench-certs");
        let in_words = |error: certs_gen::Error| error.to_string();
        let authority = Authority::new("bench CA").map_err(in_words)?;
        let server = Request::server("localhost").names(["localhost", "127.0.0.1"]);
        let server = authority.issue(&server).map_err(in_words)?;
        let certs = Certs {
            both: folder.join("server.pem"),
            certificate: folder.join("certificate.pem"),
            key: folder.join("key.pem"),
            ca: folder.join("ca.pem"),
            _folder: folder,
        };
        let writing = |error: std::io::Error| format!("cannot write certificates: {error}");
        write_private(&certs.both, &server.pem()).map_err(writing)?;
        write_private(&certs.key, server.key_pem()).map_err(writing)?;
        write_public(&certs.certificate, server.cert_pem()).map_err(writing)?;
        write_public(&certs.ca, authority.pem()).map_err(writing)?;
        Ok(certs)
    }
}
