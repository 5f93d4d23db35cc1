//! The control plane: the controller changes the running state, and a view reads it.
//!
//! | file | contents |
//! |---|---|
//! | [`controller`] | every change: mode, reload, rotation, lease, members |
//! | [`view`] | the read side: settings, snapshot, records, results of probes and checks |
//! | [`change`], [`caller`], [`blocker`] | changes, their results and errors; callers; obstacles to a change |
//! | [`checks`] | readiness for a mode, conformance of connections, bypass, syncing servers, TLS files |
//! | [`tasks`] | the loops: file watch, member discovery, interception monitor, state saver, certificate expiry |
//! | [`probe`] | whether the fronted server and other servers can be reached, and their `hello` |
//! | [`links`], [`remedy`] | the links to other servers, and the remedy for one that fails |
//! | [`mod@doctor`] | checks for usual problems, with remedies |
//! | [`recycle`], [`draining`] | recycling of non-conforming connections; of all connections at a stop |
//! | [`mod@status`], [`mod@traffic`], [`mod@metrics`], [`answer_limit`] | reports, and the bound on large ones |
//! | [`running`], [`lease`], [`member_names`] | the running state outside of the snapshot |
//! | [`handover`] | the state that is handed over to the process that replaces this one |
//! | [`state_file`], [`history`], [`audit`], [`refusals`] | state that outlives a restart; the log of changes; the last refused reload and rotation |
//! | [`bypass_scan`], [`interception_state`] | connections of this host that bypass the proxy; the monitor's last results |
//! | [`blocking`], [`listener_control`] | threads for work that blocks (not blockers); the interface to the listeners |

mod answer_limit;
mod audit;
mod blocker;
mod blocking;
mod bypass_scan;
mod caller;
mod change;
mod checks;
mod controller;
mod doctor;
mod draining;
mod handover;
mod history;
mod interception_state;
mod lease;
mod links;
mod listener_control;
mod member_names;
mod metrics;
mod probe;
mod recycle;
mod refusals;
mod remedy;
mod running;
mod state_file;
mod status;
mod tasks;
mod traffic;
mod view;

pub(crate) use answer_limit::AnswerSize;
pub use blocker::{Blocker, BlockerKind};
pub use bypass_scan::Bypass;
pub use caller::{Caller, Interface, Who};
pub use change::{AcceptedClient, Change, ChangeError, Changed, MemberSets, Recycle, Recycled, Rotated};
pub(crate) use checks::interception::missing_rules;
pub use checks::readiness::{Readiness, readiness};
pub use checks::sync::sync_warnings;
pub use checks::tls_files::servable;
pub use controller::freeze::FreezeError;
pub use controller::{Controller, ControllerParts, tuning};
#[cfg(test)]
pub use doctor::DoctorCheck;
pub use doctor::{CheckVerdict, DoctorFinding, DoctorReport, check_configuration, check_servers, doctor};
pub use draining::drain_connections;
pub use handover::{Carried, Handover, ModeChange};
#[cfg(test)]
pub use history::Action;
pub use history::{Effect, History, HistoryEntry};
pub use lease::LeaseHeld;
pub use links::LinkHealth;
pub use listener_control::{ListenerControl, Staged};
pub use member_names::NamedSets;
pub use metrics::metrics;
pub use probe::{OtherLinkResult, ServerState, ServerStatus};
pub use refusals::StandingRefusal;
pub use state_file::{PersistedMode, SavedState, StateFileError, read as read_state};
pub use status::{ConnectionTotals, StatusReport, status};
pub use tasks::start_tasks;
pub use traffic::traffic;
pub use view::{ClientReport, ConnectionReport, View};
