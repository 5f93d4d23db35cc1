//! Number and use of the slots, and the reasons why a connection is refused a slot.

use std::net::IpAddr;

use tokio::sync::oneshot;

/// The limits on the slots of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotLimits {
    /// Number of slots, reserved ones included.
    pub size: usize,
    /// Number of slots reserved for members, at most half of all.
    pub kept: usize,
    /// Maximum number of connections per address, waiting ones included. Members are exempt.
    pub per_address: Option<usize>,
}

/// How many slots are in use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SlotUsage {
    /// Number of slots, reserved ones included.
    pub limit: usize,
    /// Number of slots that are taken.
    pub used: usize,
    /// Number of taken slots whose client has not sent a byte yet.
    pub silent: usize,
    /// Number of connections that wait for a slot.
    pub waiting: usize,
    /// Whether all slots that are not reserved for members are taken.
    pub full: bool,
}

/// Why a connection is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooMany {
    /// All slots are taken, and the queue is full or another connection has taken the place in it.
    Full,
    /// The connection's address has reached the limit per address.
    FromAddress,
}

/// The pool that a slot belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pool {
    /// Slots for all addresses.
    Open,
    /// Slots reserved for members, used once the others are taken.
    Kept,
}

/// A slot that was granted.
#[derive(Debug)]
pub(super) struct TakenSlot {
    pub(super) id: u64,
    pub(super) ip: IpAddr,
    pub(super) pool: Pool,
    pub(super) silence: oneshot::Receiver<()>,
}
