//! The control plane: the desk, where every change is judged, staged and committed, whatever door it came by.

mod desk;

pub use desk::{Changed, Desk, Force, Plant, Refused, Staged, tuning};
