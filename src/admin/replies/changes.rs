//! Replies to changes, and to checks of whether a change would be refused.

use serde::{Deserialize, Serialize};

use super::servers::MemberStatus;
use super::status::CertificateStatus;
use crate::control::{AcceptedClient, Blocker, BlockerKind, Changed, HistoryEntry, Readiness, Recycled, Rotated};
use crate::policy::Spelling;
use crate::state::MemberList;
use crate::text::rfc3339_millis;

/// `GET /ready?to=MODE`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Ready {
    /// The mode in force.
    pub mode: String,
    /// The mode that was asked about.
    pub to: String,
    /// Whether there is no blocker, so that even the guard accepts the change.
    pub ready: bool,
    /// The blockers: the fatal ones prevent the change unless it is forced, the others only a change with the guard.
    pub blockers: Vec<BlockerReply>,
}

/// An obstacle to a change of mode.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BlockerReply {
    /// The kind of the blocker.
    pub kind: BlockerKind,
    /// Whether it prevents the change even without the guard, unless the change is forced.
    pub fatal: bool,
    /// A one-line description.
    pub text: String,
    /// The remedy.
    pub remedy: String,
    /// The key to pass to `accept`, if the blocker can be accepted.
    pub key: Option<String>,
    /// The client's application.
    pub application: Option<String>,
    /// The client's driver and version.
    pub driver: Option<String>,
    /// The client's or the server's address.
    pub address: Option<String>,
    /// The lowest number of the client's rows in `GET /clients`.
    pub number: Option<u64>,
    /// The client's key in `GET /clients`, even if the client cannot be accepted.
    pub client: Option<String>,
    /// Whether the client is a mongod or mongos.
    pub member: bool,
    /// The approximate number of client names in the row, if several names share it.
    pub more_names: Option<u64>,
    /// The number of open connections.
    pub open: Option<u64>,
    /// The time of the client's last connection: RFC 3339.
    pub last_seen: Option<String>,
}

/// Reply to `PUT /mode` and `POST /reload`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ModeReply {
    /// The mode before.
    pub was: String,
    /// The mode in force.
    pub mode: String,
    /// The generation of the snapshot with this mode.
    pub generation: u64,
    /// Whether a restart starts in this mode, because of the state file.
    pub persisted: bool,
    /// Warnings.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Reply to `POST /rotate`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RotateReply {
    /// The generation of the snapshot with these files.
    pub generation: u64,
    /// The certificates in use from now on.
    pub certificates: Vec<CertificateStatus>,
    /// Warnings.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Reply to `POST /recycle`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RecycleReply {
    /// Connections whose clients may see an error, or lose an unacknowledged request, if the connections are recycled.
    pub at_risk: usize,
    /// The number of connections at risk that were left open, since `force` was not given.
    pub left_alone: usize,
    /// The reasons why connections are at risk.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub risks: Vec<String>,
    /// Connections that ended at a message boundary.
    pub moved: usize,
    /// Connections that were cut at the end of the grace time.
    pub cut: usize,
    /// Connections that client or server ended meanwhile.
    pub ended: usize,
    /// Connections that still wait for a message boundary.
    pub waiting: usize,
    /// Warnings.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Reply to `POST /accept`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct AcceptReply {
    /// The client's key.
    pub key: String,
    /// Whether the client is accepted now.
    pub accepted: bool,
    /// Whether a client with this key was ever seen.
    pub known: bool,
}

/// Reply to `POST /members`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MembersReply {
    /// All known members, from every source.
    pub members: Vec<MemberStatus>,
    /// Warnings.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// `GET /history`: the last changes, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HistoryReply {
    /// The entries, at most 200.
    pub history: Vec<HistoryEntry>,
}

/// The reply to a refused or failed HTTP request; only `/readyz` replies with plain text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ErrorReply {
    /// The problem and the remedy.
    pub error: String,
    /// The error code, a word for programs: `IllegalTransition`, `Unreachable`, `Guarded`, `Leased`, `ReadOnly`, ...
    pub code: String,
    /// The blockers, if the change was refused because of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub blockers: Vec<BlockerReply>,
}

impl ErrorReply {
    /// The code of a change that the guard refused.
    pub const GUARDED: &str = "Guarded";

    /// Whether the guard refused a change.
    pub fn is_guarded(&self) -> bool {
        self.code == ErrorReply::GUARDED
    }
}

impl Ready {
    /// Converts the reply, with modes in one spelling.
    pub fn new(readiness: Readiness, spelling: Spelling) -> Ready {
        let Readiness { mode, to, blockers } = readiness;
        Ready {
            mode: mode.name(spelling).into(),
            to: to.name(spelling).into(),
            ready: blockers.is_empty(),
            blockers: blockers.into_iter().map(BlockerReply::from).collect(),
        }
    }
}

impl From<Blocker> for BlockerReply {
    fn from(blocker: Blocker) -> BlockerReply {
        let Blocker { kind, fatal, text, remedy, address, client, open } = blocker;
        let reply = BlockerReply { kind, fatal, text, remedy, address, open, ..BlockerReply::default() };
        let Some(client) = client else { return reply };
        let key = client.identity.text();
        BlockerReply {
            key: kind.is_acceptable().then(|| key.clone()),
            number: client.number,
            client: Some(key),
            member: client.identity.is_member(),
            more_names: client.more_names,
            driver: client.driver(),
            application: client.identity.application,
            last_seen: Some(rfc3339_millis(client.last_seen)),
            ..reply
        }
    }
}

impl ModeReply {
    /// Converts the reply, with modes in one spelling.
    pub fn new(changed: Changed, spelling: Spelling) -> ModeReply {
        let Changed { was, mode, generation, persisted, warnings } = changed;
        let (was, mode) = (was.name(spelling).to_owned(), mode.name(spelling).to_owned());
        ModeReply { was, mode, generation, persisted, warnings }
    }
}

impl From<Rotated> for RotateReply {
    fn from(rotated: Rotated) -> RotateReply {
        let Rotated { generation, material, warnings } = rotated;
        RotateReply { generation, certificates: CertificateStatus::all(&material), warnings }
    }
}

impl From<Recycled> for RecycleReply {
    fn from(recycled: Recycled) -> RecycleReply {
        let Recycled { at_risk, left_alone, risks, moved, cut, ended, waiting, warnings } = recycled;
        RecycleReply { at_risk, left_alone, risks, moved, cut, ended, waiting, warnings }
    }
}

impl From<AcceptedClient> for AcceptReply {
    fn from(AcceptedClient { key, accepted, known }: AcceptedClient) -> AcceptReply {
        AcceptReply { key, accepted, known }
    }
}

impl MembersReply {
    /// The reply with all known members, and warnings.
    pub fn new(members: &MemberList, warnings: Vec<String>) -> MembersReply {
        MembersReply { members: members.members().iter().map(MemberStatus::from).collect(), warnings }
    }
}
