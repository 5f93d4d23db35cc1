//! Errors in making certificates. Each variant identifies the source of the fault; there is no catch-all.

use std::{io, path::PathBuf};

/// The reason why a certificate, list or file was not made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name is neither an IP address nor a host name that is allowed in a certificate.
    #[error("'{0}' is neither an IP address nor a host name")]
    Name(String),
    /// The name cannot be used for another file in the folder.
    #[error(
        "'{0}' cannot name a file here: a name has letters, digits, '-', '_' and '.', does not begin with '.', is not \
         given twice, and is not that of a file that is always made"
    )]
    File(String),
    /// Generating a key or signing failed.
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
        /// The operating system's error.
        source: io::Error,
    },
}
