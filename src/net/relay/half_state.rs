//! The state of one direction of a relay.

use super::pipe::Pipe;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HalfState {
    Moving,
    Ending,
    Over,
}

/// Bytes in transit between source and sink.
#[derive(Debug)]
pub(super) enum Unwritten {
    /// Bytes that were read, and the number of them that the sink has accepted.
    Bytes(Vec<u8>, usize),
    /// A pipe, which may be empty during a bulk transfer.
    Pipe(Pipe),
}

/// The result of one step.
pub(super) enum HalfStep {
    Moved(usize),
    RelayEnds,
}
