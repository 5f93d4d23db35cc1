//! Sizes and use of the slots, and why a connection is refused one.

use std::net::IpAddr;

use tokio::sync::oneshot;

/// The number of slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotLimits {
    /// All slots, reserved ones included.
    pub size: usize,
    /// Those reserved for members, at most half of all.
    pub kept: usize,
    /// The limit per address, waiting connections included; not for members.
    pub per_address: Option<usize>,
}

/// The use of the slots.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SlotUsage {
    /// All slots, reserved ones included.
    pub limit: usize,
    /// Those that are taken.
    pub used: usize,
    /// Of those, the ones whose client has not sent a byte yet.
    pub silent: usize,
    /// Connections that wait for a slot.
    pub waiting: usize,
    /// Whether all slots that are not reserved for members are taken.
    pub full: bool,
}

/// Why a connection is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooMany {
    /// All slots are taken, and the queue is full.
    Full,
    /// Its address has reached the limit per address.
    FromAddress,
}

/// The pool of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pool {
    /// For all addresses.
    Open,
    /// Reserved for members, once the others are taken.
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
