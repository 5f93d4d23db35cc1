//! Blockers: what a change of mode would break, each with what to do about it.

use serde::{Deserialize, Serialize};

use crate::telemetry::BlockingClient;

/// Something that a change of mode would break.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Blocker {
    /// Its kind.
    pub kind: BlockerKind,
    /// Whether the change is refused without a guard too.
    pub fatal: bool,
    /// A description in one line.
    pub text: String,
    /// What to do about it.
    pub remedy: String,
    /// The address of the client or the server.
    pub address: Option<String>,
    /// The client, if it is one.
    pub client: Option<BlockingClient>,
    /// Connections that are open now.
    pub open: Option<u64>,
}

/// Kinds of blockers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BlockerKind {
    /// A client that is connected without TLS.
    PlaintextOpen,
    /// A client that was connected without TLS within `--guardWindow`.
    PlaintextSeen,
    /// A client that is connected by TLS.
    TlsOpen,
    /// A client that was connected by TLS within `--guardWindow`.
    TlsSeen,
    /// A server that cannot be reached by the link that the mode makes.
    Upstream,
    /// Clients that the inventory has lost.
    InventoryLost,
    /// The files that the mode needs are missing.
    Unservable,
    /// Connections that bypass this proxy.
    Bypass,
    /// Interception rules that are missing.
    Redirect,
    /// The number of blockers that are not listed.
    More,
    /// A kind that only a later version has.
    #[default]
    #[serde(other)]
    Other,
}

impl BlockerKind {
    /// Whether an operator can accept the client by its key. Not for `disabled`: its clients have to move back.
    pub(crate) const fn is_acceptable(self) -> bool {
        matches!(self, BlockerKind::PlaintextOpen | BlockerKind::PlaintextSeen)
    }
}
