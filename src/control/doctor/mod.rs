//! `doctor`: checks for usual problems, made by the proxy itself.
//!
//! | file | content |
//! |---|---|
//! | [`finding`] | a finding: check, subject, verdict, remedy |
//! | `local` | certificates and descriptors: needs neither a network nor a running proxy |
//! | `names`, `trial`, `server` | name resolution; one connection to a server; the findings about a server |
//! | `around` | interception rules, and connections that bypass the proxy |
//! | `rules` | verdicts on clocks, modes, states and descriptors |
//! | `report` | the report of a run, kept for some seconds |
//! | `run` | runs all checks, for a running proxy and for `check` |

mod around;
mod finding;
mod local;
mod names;
mod report;
mod rules;
mod run;
mod server;
#[cfg(test)]
mod tests;
mod trial;

#[cfg(test)]
pub use finding::DoctorCheck;
pub use finding::{CheckVerdict, DoctorFinding};
pub(super) use report::DoctorCache;
pub use report::DoctorReport;
pub use run::{check_configuration, check_servers, doctor};
