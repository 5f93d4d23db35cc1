//! Checks whether an established connection conforms to the present mode.

use super::{Acceptance, Link, LinkRule, Mode, Opening, judge};

/// Why a connection does not conform to the present policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NonConforming {
    /// The client uses plaintext, which the present mode refuses.
    Plaintext,
    /// The client uses TLS, which the present mode refuses.
    Tls,
    /// The link to the server is plaintext, and the present mode demands TLS.
    Link,
}

impl NonConforming {
    /// Returns the name used in lists.
    pub const fn name(self) -> &'static str {
        match self {
            NonConforming::Plaintext => "plaintext client",
            NonConforming::Tls => "TLS client",
            NonConforming::Link => "plaintext link",
        }
    }
}

/// Checks an established connection against a mode. A TLS link conforms even if the mode would use plaintext: no link
/// is downgraded.
///
/// # Errors
/// [`NonConforming`], with the part of the connection that does not conform.
pub fn conforms(
    mode: Mode,
    acceptance: Acceptance,
    rule: LinkRule,
    opening: Opening,
    link: Link,
) -> Result<(), NonConforming> {
    match judge(mode, acceptance, rule, opening) {
        Err(_) if opening == Opening::Plaintext => Err(NonConforming::Plaintext),
        Err(_) => Err(NonConforming::Tls),
        Ok(permit) if permit.link() == Link::Tls && link == Link::Plaintext => Err(NonConforming::Link),
        Ok(_) => Ok(()),
    }
}

/// The set of modes to which a connection does not conform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NonConformingModes(u8);

impl NonConformingModes {
    /// The number of different sets.
    pub const COUNT: usize = 1 << Mode::ALL.len();

    /// Returns every set, in the order of their numbers, which are below [`NonConformingModes::COUNT`].
    pub fn all() -> impl Iterator<Item = NonConformingModes> {
        (0..=u8::MAX).map(NonConformingModes).take(NonConformingModes::COUNT)
    }

    /// Returns the number of this set, below [`NonConformingModes::COUNT`].
    pub fn number(self) -> usize {
        self.0.into()
    }

    /// Returns whether the set contains `mode`.
    pub fn has(self, mode: Mode) -> bool {
        Mode::ALL.iter().position(|one| *one == mode).is_some_and(|at| self.0 & (1 << at) != 0)
    }
}

/// Checks a connection against every mode.
pub fn non_conforming_modes(
    acceptance: Acceptance,
    rule: LinkRule,
    opening: Opening,
    link: Link,
) -> NonConformingModes {
    let bit = |(at, mode): (usize, Mode)| u8::from(conforms(mode, acceptance, rule, opening, link).is_err()) << at;
    NonConformingModes(Mode::ALL.into_iter().enumerate().map(bit).sum())
}

#[cfg(test)]
mod tests {
    use super::NonConforming::{Link as OldLink, Plaintext, Tls};
    use super::{NonConformingModes, conforms, non_conforming_modes};
    use crate::policy::{Acceptance, Link, LinkRule, Mode, Opening};

    #[test]
    fn every_mode_by_every_connection_of_the_inbound_route() {
        use Mode::{Allow, Disabled, Prefer, Require};
        let rows = [
            (Opening::Plaintext, Link::Plaintext, [Ok(()), Ok(()), Err(OldLink), Err(Plaintext)]),
            (Opening::Plaintext, Link::Tls, [Ok(()), Ok(()), Ok(()), Err(Plaintext)]),
            (Opening::Tls, Link::Plaintext, [Err(Tls), Ok(()), Err(OldLink), Err(OldLink)]),
            (Opening::Tls, Link::Tls, [Err(Tls), Ok(()), Ok(()), Ok(())]),
        ];
        for (opening, link, expected) in rows {
            for (mode, expected) in [Disabled, Allow, Prefer, Require].into_iter().zip(expected) {
                let found = conforms(mode, Acceptance::Terminate, LinkRule::Policy, opening, link);
                assert_eq!(found, expected, "{mode} {opening:?} {link:?}");
            }
        }
        assert_eq!(
            conforms(Require, Acceptance::Outbound, LinkRule::Policy, Opening::Plaintext, Link::Plaintext),
            Err(OldLink)
        );
        assert_eq!(conforms(Require, Acceptance::Outbound, LinkRule::Policy, Opening::Tls, Link::Untouched), Ok(()));
        assert_eq!(
            conforms(Prefer, Acceptance::Terminate, LinkRule::Never, Opening::Plaintext, Link::Plaintext),
            Ok(())
        );
    }

    #[test]
    fn misfits_are_the_modes_that_do_not_conform() {
        let kind = (Acceptance::Terminate, LinkRule::Policy, Opening::Plaintext, Link::Plaintext);
        let found = non_conforming_modes(kind.0, kind.1, kind.2, kind.3);
        let modes: Vec<_> = Mode::ALL.into_iter().filter(|mode| found.has(*mode)).collect();
        assert_eq!(modes, [Mode::Prefer, Mode::Require]);
        assert_eq!(NonConformingModes::all().find(|one| one.number() == found.number()), Some(found));
        assert_eq!(NonConformingModes::all().count(), NonConformingModes::COUNT);
    }
}
