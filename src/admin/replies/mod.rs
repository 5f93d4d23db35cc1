//! The replies of the admin port, in JSON and BSON, and their conversion from the control plane's types. `ctl` and
//! `rollout` parse the same types, so a field is never removed.

mod changes;
mod doctor;
mod page;
mod rows;
mod servers;
mod status;

#[cfg(test)]
pub use crate::control::{Action, DoctorCheck};
pub use crate::control::{BlockerKind, CheckVerdict, DoctorFinding, Effect, HistoryEntry};
pub use changes::{
    AcceptReply, BlockerReply, ErrorReply, HistoryReply, MembersReply, ModeReply, Ready, RecycleReply, RotateReply,
};
pub use doctor::DoctorReply;
pub use page::{PageAccess, RefusalCount};
pub use rows::{ClientRow, ConnectionRow};
#[cfg(test)]
pub use servers::OtherLink;
pub use servers::{BypassStatus, LinkStatus, MemberStatus, UpstreamStatus};
#[cfg(test)]
pub use status::InventoryStatus;
#[cfg(test)]
pub use status::RouteStatus;
pub use status::{CertificateStatus, ConnectionCounts, LeaseStatus, SlotStatus, Status};
