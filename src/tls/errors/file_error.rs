//! Errors of TLS files: the file, the problem and the remedy.

use std::fmt;
use std::path::{Path, PathBuf};

/// The option that names a TLS file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileRole {
    /// `certificateKeyFile`.
    CertificateKey,
    /// `clusterFile`.
    Cluster,
    /// `CAFile`.
    Ca,
    /// `clusterCAFile`.
    ClusterCa,
    /// `CRLFile`.
    Crl,
}

/// One error in one file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file} {}: {problem}; {remedy}", path.display())]
pub struct FileError {
    /// The option that names the file.
    pub file: FileRole,
    /// The path of the file.
    pub path: PathBuf,
    /// The problem.
    pub problem: String,
    /// The remedy.
    pub remedy: String,
    /// Whether the key is encrypted and no password is configured. The `config` module adds the name of the option to
    /// set.
    pub needs_password: bool,
}

impl FileError {
    pub(crate) fn new(role: FileRole, path: &Path, problem: impl Into<String>, remedy: impl Into<String>) -> FileError {
        FileError {
            file: role,
            path: path.to_owned(),
            problem: problem.into(),
            remedy: remedy.into(),
            needs_password: false,
        }
    }
}

impl fmt::Display for FileRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FileRole::CertificateKey => "tlsCertificateKeyFile",
            FileRole::Cluster => "tlsClusterFile",
            FileRole::Ca => "tlsCAFile",
            FileRole::ClusterCa => "tlsClusterCAFile",
            FileRole::Crl => "tlsCRLFile",
        })
    }
}
