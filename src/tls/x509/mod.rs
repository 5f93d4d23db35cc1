//! Additions to x509-parser and webpki: names as OpenSSL writes and compares them, and checks of
//! extensions by its rules.

pub(crate) mod canonical_name;
pub(crate) mod issuer;
pub(crate) mod name_constraints;
pub(crate) mod purpose;
pub(crate) mod subject;
