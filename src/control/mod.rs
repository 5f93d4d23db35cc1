//! The control plane: the desk, where every change is judged, staged and committed, whatever door it came by.
//!
//! | file | what a reader would look for there |
//! |---|---|
//! | [`desk`] | the changes: mode, reload, rotation, lease |
//! | [`doors`] | the admin port: MongoDB commands and HTTP |
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

mod audit;
mod caller;
mod change;
mod conformity;
mod desk;
mod doors;
mod history;
mod housekeeping;
mod interception;
mod lease;
mod links;
mod listing;
mod naming;
mod persistence;
mod probe;
mod readers;
mod readiness;
mod recycle;
mod redirect;
mod refusals;
mod remedy;
pub mod requests;
mod roster;
mod scrape;
mod state_file;
mod status;
mod syncing;
mod time;
pub mod views;
mod watch;

pub use caller::{Caller, Door, Who};
pub use change::{Change, Changed, Recycle, Refused};
pub use desk::{Desk, Parts, Plant, Staged, servable, tuning};
pub use doors::{Bound, Doors};
pub use history::History;
pub use naming::NamedSets;
pub use state_file::{Persisted, State, StateError, read as read_state};
