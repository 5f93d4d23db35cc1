//! The replies of the admin port, as JSON and BSON have them, and how each is made of the control plane's own types. `ctl`
//! and `rollout` read the same types back, so fields are only ever added.

mod changes;
mod rows;
mod servers;
mod status;

#[cfg(test)]
pub use crate::control::Action;
pub use crate::control::{BlockerKind, Effect, HistoryEntry};
pub use changes::{
    AcceptReply, BlockerReply, ErrorReply, HistoryReply, MembersReply, ModeReply, Ready, RecycleReply, RotateReply,
};
pub use rows::{ClientRow, ConnectionRow};
#[cfg(test)]
pub use servers::OtherLink;
pub use servers::{BypassStatus, LinkStatus, MemberStatus, UpstreamStatus};
#[cfg(test)]
pub use status::InventoryStatus;
#[cfg(test)]
pub use status::RouteStatus;
pub use status::{CertificateStatus, ConnectionCounts, LeaseStatus, SlotStatus, Status};
