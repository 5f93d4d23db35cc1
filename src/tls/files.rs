//! Which TLS files and switches an operator named. Plain data: read and judged by [`super::Material`].

use std::fmt;
use std::path::PathBuf;

use crate::files;
use crate::limits::PASSWORD_FILE_BYTES;

/// The TLS options, by their meaning; the option names are the configuration's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificate chain and key, shown to clients, and to servers if there is no cluster file.
    pub certificate_key: Option<PathBuf>,
    /// Its password, if the key is encrypted.
    pub certificate_key_password: Option<Password>,
    /// Certificate chain and key for outgoing links.
    pub cluster: Option<PathBuf>,
    /// Its password.
    pub cluster_password: Option<Password>,
    /// Roots that verify servers, and clients if there is no cluster CA.
    pub ca: Option<PathBuf>,
    /// Roots that verify clients.
    pub cluster_ca: Option<PathBuf>,
    /// Revoked certificates.
    pub crl: Option<PathBuf>,
    /// Clients may come without a certificate; one that is shown must still verify.
    pub allow_connections_without_certificates: bool,
    /// Peers' certificates need not verify, either way.
    pub allow_invalid_certificates: bool,
    /// Servers' certificates need not bear the name dialled.
    pub allow_invalid_hostnames: bool,
    /// Protocol versions that are off.
    pub disabled: DisabledProtocols,
}

/// Versions that are off. TLS 1.0 and 1.1 always are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DisabledProtocols {
    /// TLS 1.2 is off.
    pub tls1_2: bool,
    /// TLS 1.3 is off.
    pub tls1_3: bool,
}

/// Where the password of an encrypted key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Password {
    /// An option or the environment: it is known from the start.
    Given(Secret),
    /// The first line of a file, which is read again whenever the key is.
    File(PathBuf),
}

impl Password {
    /// The password itself.
    ///
    /// # Errors
    /// In words: the file cannot be read, or its first line is empty or not UTF-8.
    pub(super) fn read(&self) -> Result<Secret, String> {
        let path = match self {
            Password::Given(secret) => return Ok(secret.clone()),
            Password::File(path) => path,
        };
        let cannot = |problem: &str| format!("its password file {}: {problem}", path.display());
        let bytes = files::read(path, PASSWORD_FILE_BYTES).map_err(|problem| cannot(&problem))?;
        let text = String::from_utf8(bytes).map_err(|_| cannot("it is not UTF-8 text"))?;
        match text.lines().next().unwrap_or_default() {
            "" => Err(cannot("its first line is empty, and should be the password")),
            line => Ok(Secret(line.to_owned())),
        }
    }
}

/// A password, which no log, error or debug output shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<password>")
    }
}
