//! The TLS options as plain data. [`Material`](crate::tls::Material) reads and checks the files.

use std::fmt;
use std::path::PathBuf;

use crate::files;
use crate::limits::PASSWORD_FILE_BYTES;

/// The TLS files and switches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificate chain and key presented to clients, and to servers if there is no cluster file.
    pub certificate_key: Option<PathBuf>,
    /// Password of the key in `certificate_key`, if the key is encrypted.
    pub certificate_key_password: Option<Password>,
    /// Certificate chain and key presented to servers.
    pub cluster: Option<PathBuf>,
    /// Password of the key in `cluster`, if the key is encrypted.
    pub cluster_password: Option<Password>,
    /// CAs that verify servers, and clients if there is no cluster CA file.
    pub ca: Option<PathBuf>,
    /// CAs that verify clients.
    pub cluster_ca: Option<PathBuf>,
    /// Certificate revocation lists.
    pub crl: Option<PathBuf>,
    /// Accept clients that send no certificate. A certificate that a client does send must still verify.
    pub allow_connections_without_certificates: bool,
    /// Accept client and server certificates that do not verify.
    pub allow_invalid_certificates: bool,
    /// Accept a server certificate that does not contain the dialled host name.
    pub allow_invalid_hostnames: bool,
    /// Disabled protocol versions.
    pub disabled: DisabledProtocols,
}

/// Disabled protocol versions. TLS 1.0 and 1.1 are never negotiated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DisabledProtocols {
    /// TLS 1.2.
    pub tls1_2: bool,
    /// TLS 1.3.
    pub tls1_3: bool,
}

/// The source of the password of an encrypted key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Password {
    /// Given by an option or the environment.
    Given(Secret),
    /// The first line of a file, which is read again whenever the key is loaded.
    File(PathBuf),
}

impl Password {
    /// The password in an environment variable; `None` if the variable is not set or empty.
    pub(crate) fn from_environment(name: &str) -> Option<Password> {
        let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
        Some(Password::Given(Secret(value)))
    }

    /// Reads the password.
    ///
    /// # Errors
    /// If the file cannot be read or is not UTF-8, or if its first line is empty.
    pub(crate) fn read(&self) -> Result<Secret, String> {
        let path = match self {
            Password::Given(secret) => return Ok(secret.clone()),
            Password::File(path) => path,
        };
        let cannot = |problem: &str| format!("its password file {}: {problem}", path.display());
        let bytes = files::read(path, PASSWORD_FILE_BYTES).map_err(|problem| cannot(&problem))?;
        let text = String::from_utf8(bytes).map_err(|_| cannot("the file is not UTF-8 text"))?;
        match text.lines().next().unwrap_or_default() {
            "" => Err(cannot("its first line is empty, and should be the password")),
            line => Ok(Secret(line.to_owned())),
        }
    }
}

/// A password; its debug output hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<password>")
    }
}
