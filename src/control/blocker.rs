//! Blockers of a change of mode, each with its remedy: clients that the mode would refuse, servers that it could not
//! reach, missing files and rules, and connections that bypass this proxy.

use serde::{Deserialize, Serialize};

use crate::telemetry::BlockingClient;

/// An obstacle to a change of mode.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Blocker {
    /// The kind of the blocker.
    pub kind: BlockerKind,
    /// Whether the change is refused even without the guard, unless it is forced.
    pub fatal: bool,
    /// A description in one line.
    pub text: String,
    /// The remedy.
    pub remedy: String,
    /// The address of the client or the server.
    pub address: Option<String>,
    /// The client, if the blocker is a client.
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
    /// A server that cannot be reached by the kind of link that the mode requires.
    Upstream,
    /// Clients without a row in the inventory, because it was full; or the clients could not be checked.
    InventoryLost,
    /// A file or option that the mode needs is missing. Such a change is refused even if forced.
    Unservable,
    /// Connections that bypass this proxy.
    Bypass,
    /// Interception rules that are missing.
    Redirect,
    /// Stands for the blockers that are not listed, and tells their number.
    More,
    /// A kind that only a later version has.
    #[default]
    #[serde(other)]
    Other,
}

impl BlockerKind {
    /// Whether an operator can accept the client by its key. A client that blocks `disabled` cannot be accepted; it has
    /// to move back to plaintext.
    pub(crate) const fn is_acceptable(self) -> bool {
        matches!(self, BlockerKind::PlaintextOpen | BlockerKind::PlaintextSeen)
    }
}
