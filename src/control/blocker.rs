//! Blockers: the clients, links and files for which a change of mode would fail, each with its remedy.

use serde::{Deserialize, Serialize};

use crate::telemetry::BlockingClient;

/// An obstacle to a change of mode.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Blocker {
    /// The kind of the blocker.
    pub kind: BlockerKind,
    /// Whether the change is refused even without the guard.
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
    /// Clients without a row in the inventory, because it was full.
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
    /// Whether an operator can accept the client by its key. False for blockers of `disabled`, whose clients have to
    /// move back to plaintext.
    pub(crate) const fn is_acceptable(self) -> bool {
        matches!(self, BlockerKind::PlaintextOpen | BlockerKind::PlaintextSeen)
    }
}
