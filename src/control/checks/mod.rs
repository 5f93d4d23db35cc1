//! Checks of the running proxy, and of the effects of a change.
//!
//! | file | question |
//! |---|---|
//! | [`readiness`] | what would a change of mode break? |
//! | [`conformance`] | which connections would the present policy not make? |
//! | [`interception`] | are the interception rules in force, and what happens if not? |
//! | [`bypass`] | which connections bypass this proxy? |
//! | [`sync`] | which servers would restart an initial sync if a connection is lost? |
//! | [`tls_files`] | can the TLS files serve a mode, are they out of date, when do they expire? |

pub(super) mod bypass;
pub(super) mod conformance;
pub(super) mod interception;
pub(super) mod readiness;
pub(super) mod sync;
pub(super) mod tls_files;
