//! Acceptance: an operator knows that `requireSSL` will refuse a client, so the client no longer blocks the change.

use std::sync::Arc;

use super::Inventory;
use super::key::{ClientIdentity, InvalidClientKey};
use crate::limits::INVENTORY_ACCEPTED;

/// Why the acceptance of a client was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AcceptError {
    /// The key is malformed.
    #[error(transparent)]
    Key(#[from] InvalidClientKey),
    /// No client has this key.
    #[error(
        "no client with the key {0} has been seen; `tlsramp ctl clients --wide` lists the keys; for a client that is yet to come, \
         add --unseen (by HTTP: \"unseen\": true)"
    )]
    Unseen(String),
    /// The list is full.
    #[error("{INVENTORY_ACCEPTED} clients are accepted already; withdraw some acceptances first (accept KEY --remove)")]
    Full,
}

impl Inventory {
    /// Accepts that a client will be refused, or withdraws the acceptance. Returns whether the client was seen.
    ///
    /// # Errors
    /// [`AcceptError::Full`]; [`AcceptError::Unseen`], unless `unseen` is true or the client was accepted before.
    pub fn accept(&self, identity: ClientIdentity, accepted: bool, unseen: bool) -> Result<bool, AcceptError> {
        let known = self.table().copied().rows.iter().any(|(key, _)| identity.includes(&ClientIdentity::of(key)));
        let mut table = self.table();
        let is_accepted = table.accepted.contains(&identity);
        if !(known || unseen || is_accepted) {
            return Err(AcceptError::Unseen(identity.text()));
        }
        if accepted && !is_accepted && table.accepted.len() >= INVENTORY_ACCEPTED {
            return Err(AcceptError::Full);
        }
        let names = Arc::make_mut(&mut table.accepted);
        if accepted {
            names.insert(identity);
        } else {
            names.remove(&identity);
        }
        drop(table);
        self.changed();
        Ok(known)
    }
}
