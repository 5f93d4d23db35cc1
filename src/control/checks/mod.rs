//! Checks of the running proxy, and of what a change would break.
//!
//! | file | question |
//! |---|---|
//! | [`readiness`] | what would a mode break? |
//! | [`conformance`] | which connections would today's policy not make? |
//! | [`interception`] | are the interception rules in force, and what follows if not? |
//! | [`bypass`] | which connections bypass this proxy? |
//! | [`sync`] | which servers would lose an initial sync with a connection? |
//! | [`tls_files`] | can the TLS files serve a mode, are they out of date, when do they expire? |

pub(super) mod bypass;
pub(super) mod conformance;
pub(super) mod interception;
pub(super) mod readiness;
pub(super) mod sync;
pub(super) mod tls_files;
