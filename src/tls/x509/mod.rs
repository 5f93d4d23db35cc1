//! Additions to x509-parser and webpki: writes and compares names as OpenSSL does, and checks extensions by OpenSSL's
//! rules.

pub(crate) mod canonical_name;
pub(crate) mod issuer;
pub(crate) mod name_constraints;
pub(crate) mod purpose;
pub(crate) mod subject;
