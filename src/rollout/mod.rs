//! `tlsramp rollout`: MongoDB's "Upgrade a Cluster to Use SSL" over many nodes, one step at a time.
//!
//! | file | contents |
//! |---|---|
//! | `command`, `args`, `limits` | the command line; the parsed arguments; bounds |
//! | `run`, `summary` | leases, upgrade or rollback; the final state of every node, advice, exit codes |
//! | `plan` | the next step, up and down, and why that order is safe. PURE |
//! | `upgrade`, `rollback` | the two loops around the plan |
//! | `context`, `step` | what all steps share; one node's step |
//! | `health`, `lagging` | nodes in a state that stops a rollout; nodes whose mode fell behind. PURE |
//! | `survey`, `peers` | MongoDB servers that are connected to the nodes and are not listed. `peers` is PURE |
//! | `reachability` | whether every node reaches every server |
//! | `member_names`, `accept` | names of all members, and accepted clients, given to every node |
//! | `blockers` | waiting for clients that a mode would refuse |
//! | `recycle`, `remaining` | recycling of old connections; the text about those that remain. `remaining` is PURE |
//! | `external_check` | whether a node answers TLS and refuses plaintext, seen from outside |
//! | `dry_run`, `forecast` | `--dry-run`; what later steps will wait for. `forecast` is PURE |
//! | `fleet`, `node` | the admin ports of all nodes; a node's state, read from its status |
//! | `lease`, `interrupt`, `halt` | locking out other writers; signals; why a rollout ends early |
//! | `journal`, `display` | the log; the progress lines |
//!
//! PURE: without input or output.
//!
//! Before each step, the nodes' own answers decide which step is the next, so an interrupted rollout is simply started
//! again. A rollout steps down no primary, restarts no process, and edits no configuration file of a node.

mod accept;
mod args;
mod blockers;
mod command;
mod context;
mod display;
mod dry_run;
mod external_check;
mod fleet;
mod forecast;
mod halt;
mod health;
mod interrupt;
mod journal;
mod lagging;
mod lease;
mod limits;
mod member_names;
mod node;
mod peers;
mod plan;
mod reachability;
mod recycle;
mod remaining;
mod rollback;
mod run;
mod step;
mod summary;
mod survey;
mod upgrade;

pub use command::command;
pub use run::run;
