//! The control plane: the controller, where every change is judged, staged and committed, whatever door it came by.
//!
//! | file | what a reader would look for there |
//! |---|---|
//! | [`controller`] | the changes: mode, reload, rotation, lease |
//! | [`change`], [`caller`], [`requests`], [`views`] | what is asked, by whom, and what is answered |
//! | [`audit`], [`history`] | the lines that say so; the last of them, kept |
//! | [`lease`], [`state_file`] | who keeps others out; what outlives a restart |
//! | [`readiness`] | what a change of mode would hurt |
//! | [`probe`] | whether the servers behind can be reached, and what they are |
//! | [`naming`] | members that a rollout has named |
//! | [`links`], [`remedy`] | the links to other servers, and what mends one that fails |
//! | [`roster`], [`redirect`], [`interception`] | who is a member of the set; the redirect rules, and what goes around them |
//! | [`status`], [`listing`], [`scrape`], [`readers`] | what is shown; how many may look at a time |
//! | [`syncing`] | members for whom a connection lost is a sync lost |
//! | [`conformity`], [`recycle`] | connections that today's policy would not make, and moving them |
//! | [`watch`], [`refusals`] | files that are read again when they change; those that were refused |
//! | [`persistence`], [`housekeeping`] | keeping the state file, looking at old certificates |

pub(crate) mod audit;
pub(crate) mod caller;
pub(crate) mod change;
pub(crate) mod conformity;
pub(crate) mod controller;
pub(crate) mod history;
pub(crate) mod housekeeping;
pub(crate) mod interception;
pub(crate) mod lease;
pub(crate) mod links;
pub(crate) mod listing;
pub(crate) mod naming;
pub(crate) mod persistence;
pub(crate) mod probe;
pub(crate) mod readers;
pub(crate) mod readiness;
pub(crate) mod recycle;
pub(crate) mod redirect;
pub(crate) mod refusals;
pub(crate) mod remedy;
pub mod requests;
pub(crate) mod roster;
pub(crate) mod scrape;
pub(crate) mod state_file;
pub(crate) mod status;
pub(crate) mod syncing;
pub(crate) mod time;
pub mod views;
pub(crate) mod watch;

pub use caller::{Caller, Door, Who};
pub use change::{Change, ChangeError, Changed, Recycle};
pub use controller::{Controller, ListenerControl, Parts, Staged, servable, tuning};
pub use history::History;
pub use naming::NamedSets;
pub use state_file::{Persisted, State, StateError, read as read_state};
