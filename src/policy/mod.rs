//! The policy, as pure functions: which openings a mode accepts, and which link an accepted connection gets.
//!
//! Nothing here reads a clock, a socket or a configuration. [`judge()`] implements the truth table in
//! docs/src/explanation/modes.md. It returns a [`Permit`], which has no public constructor. Dialling a server requires a
//! permit, so no connection can reach a server without a verdict.

mod conform;
mod judge;
mod mode;

pub use conform::{NonConforming, NonConformingModes, conforms, non_conforming_modes};
pub use judge::{Acceptance, Admission, Link, LinkRule, Opening, Permit, RefusalStyle, Refused, judge, route_permit};
pub use mode::{IllegalTransition, Mode, Spelling};
