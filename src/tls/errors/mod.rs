//! Errors of TLS files and of peers, in words that an operator can act on.

pub(crate) mod certificate;
pub(crate) mod diagnosis;
pub(crate) mod explain;
pub(crate) mod file_error;
pub(crate) mod peer_fault;
