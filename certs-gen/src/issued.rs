//! A certificate and its private key as PEM text. `Debug` does not print the key.

use std::fmt;

use pkcs8::{LineEnding, PrivateKeyInfoRef};
use rcgen::SerialNumber;

use crate::Error;

/// A certificate issued by an [`Authority`](crate::Authority), and its private key.
#[derive(Clone)]
pub struct Issued {
    pub(crate) cert_pem: String,
    pub(crate) key_pem: String,
    pub(crate) key_der: Vec<u8>,
    pub(crate) serial: SerialNumber,
}

impl Issued {
    /// The certificate alone, as PEM.
    pub fn cert_pem(&self) -> &str {
        &self.cert_pem
    }

    /// The private key alone, as unencrypted PKCS#8 (`PRIVATE KEY`).
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// Certificate and key in one text, in the form of mongod's `--sslPEMKeyFile`.
    pub fn pem(&self) -> String {
        format!("{}{}", self.cert_pem, self.key_pem)
    }

    /// As [`pem`](Self::pem), with the key as `ENCRYPTED PRIVATE KEY`: PKCS#8, PBES2 with scrypt and AES-256-CBC. Takes
    /// about 16 MiB of memory and tens of milliseconds, as a password hash should.
    ///
    /// # Errors
    ///
    /// [`Error::Encrypt`] if the operating system's random number generator fails.
    pub fn encrypted_pem(&self, password: &str) -> Result<String, Error> {
        let key = PrivateKeyInfoRef::try_from(self.key_der.as_slice())?.encrypt(password)?;
        let key = key.to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF).map_err(pkcs8::Error::Asn1)?;
        Ok(format!("{}{}", self.cert_pem, key.as_str()))
    }
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued").field("serial", &self.serial.to_string()).finish_non_exhaustive()
    }
}
