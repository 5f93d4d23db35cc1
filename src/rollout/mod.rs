//! `tlsramp rollout`: MongoDB's "Upgrade a Cluster to Use SSL" over many nodes, one step at a time.
//!
//! | file | what a reader would look for there |
//! |---|---|
//! | `command`, `wish` | the command line; what was asked for, found consistent |
//! | `run` | leases, the way up or back, the end, the exit code |
//! | `plan` | whose step is next, up and down, and why that order is safe. PURE |
//! | `findings`, `peers`, `behind` | what stops it: nodes that are ill, missing, or of others; modes that fell behind. PURE |
//! | `member_names`, `health` | the names of all members, given to every node; whether every member is reached |
//! | `up`, `back` | the two ways, each a loop around the plan |
//! | `walk`, `step` | where the nodes are; one node's step |
//! | `waits`, `moves`, `leftover` | clients that are waited for; old connections; what those are that stay. The last is PURE |
//! | `outside` | a look at a node from outside, as a client has it |
//! | `dry`, `foresight` | `--dry-run`; what it says of the later steps. The latter is PURE |
//! | `fleet`, `node` | the nodes' admin ports; a node as it tells of itself |
//! | `exceptions` | clients that are accepted by name on every node |
//! | `lease`, `interrupt`, `halt` | keeping others out; signals; why it does not go on |
//! | `journal`, `screen`, `ends` | the change record; the live lines; where everything stands |
//!
//! It refuses to remember: what is next, the nodes say, before each step. It steps nobody down, restarts nothing, and
//! writes to nobody's files.

mod back;
mod behind;
mod command;
mod dry;
mod ends;
mod exceptions;
mod findings;
mod fleet;
mod foresight;
mod halt;
mod health;
mod interrupt;
mod journal;
mod lease;
mod leftover;
mod member_names;
mod moves;
mod node;
mod outside;
mod peers;
mod plan;
mod run;
mod screen;
mod step;
mod up;
mod waits;
mod walk;
mod wish;

pub use command::command;
pub use run::run;
