//! What one direction of a relay is doing.

use super::pipe::Pipe;

/// Whether a direction still moves bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HalfState {
    Moving,
    Ending,
    Over,
}

/// What is on its way between source and sink.
#[derive(Debug)]
pub(super) enum Unwritten {
    /// Bytes that were read, and how many of them the sink has taken.
    Bytes(Vec<u8>, usize),
    /// What the pipe holds; maybe nothing, while much moves.
    Pipe(Pipe),
}

/// What one step has done.
pub(super) enum HalfStep {
    Moved(usize),
    RelayEnds,
}
