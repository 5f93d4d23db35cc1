//! What is wrong with a TLS file: which one, what, and what to do.

use std::fmt;
use std::path::{Path, PathBuf};

/// Which of the TLS files.
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

/// One mistake in one file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file} {}: {problem}; {remedy}", path.display())]
pub struct Fault {
    /// Which file.
    pub file: FileRole,
    /// Where it is.
    pub path: PathBuf,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub remedy: String,
    /// Whether what is missing is the file's password, whose option the configuration knows the name of.
    pub needs_password: bool,
}

impl Fault {
    pub(super) fn new(role: FileRole, path: &Path, problem: impl Into<String>, remedy: impl Into<String>) -> Fault {
        Fault {
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
