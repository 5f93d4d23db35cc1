//! Errors of TLS files and of peers, described so that an operator can act on them.

pub(crate) mod certificate;
pub(crate) mod diagnosis;
pub(crate) mod explain;
pub(crate) mod file_error;
pub(crate) mod peer_fault;
