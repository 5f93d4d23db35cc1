//! The policy, as pure functions: which openings a mode admits, and what a connection may then do.
//!
//! Nothing here reads a clock, a socket or a configuration. [`judge()`] is the truth table of the README as
//! code; the [`Permit`] it returns has no public constructor and is what the dialler asks for, so no
//! connection can reach a server without having been judged.

mod conform;
mod judge;
mod mode;

pub use conform::{NonConforming, NonConformingModes, conforms, non_conforming_modes};
pub use judge::{Acceptance, Admission, Link, LinkRule, Opening, Permit, RefusalStyle, Refused, judge};
pub use mode::{IllegalTransition, Mode, Spelling};
