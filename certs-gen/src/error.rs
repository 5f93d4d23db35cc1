//! Errors while making certificates. Each variant identifies the source of the fault; there is no catch-all.

use std::{io, path::PathBuf};

/// Why no certificate, list or file was made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A name that is neither an IP address nor a host name a certificate can carry.
    #[error("'{0}' is neither an IP address nor a host name")]
    Name(String),
    /// A name that cannot be the name of one more file in the folder.
    #[error(
        "'{0}' cannot name a file here: letters, digits, '-', '_' and '.', not first; and no name twice, nor one of the \
         files that are always made"
    )]
    File(String),
    /// Signing failed: the key generator or the encoder refused.
    #[error("cannot make the certificate: {0}")]
    Sign(#[from] rcgen::Error),
    /// The private key could not be encrypted.
    #[error("cannot encrypt the private key: {0}")]
    Encrypt(#[from] pkcs8::Error),
    /// A file or folder could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
}
