//! The state that the control plane writes and the data plane reads: the policy snapshot and the list of members.
//!
//! | file | contents |
//! |---|---|
//! | [`snapshot`] | mode, generation and TLS material, behind one pointer |
//! | [`members`] | the known members of the replica set |

mod members;
mod snapshot;

pub use members::{Member, MemberList, MemberListReader, MemberListWriter, NameSource};
pub use snapshot::{PendingConnection, Snapshot, SnapshotReader, SnapshotWriter, Tuning};
