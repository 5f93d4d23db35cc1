//! The verdict on one connection: may it come in, as what, and how does it go on.

use super::Mode;

/// How a client opened its connection, told from its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Opening {
    /// Not TLS.
    Plaintext,
    /// A TLS handshake.
    Tls,
    /// A TLS handshake of a client that knows no version from 1.2 up.
    OldTls,
    /// An SSLv2-framed ClientHello: a client of the nineties, which no mode can serve.
    Sslv2,
}

impl Opening {
    /// Its name in logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Opening::Plaintext => "plaintext",
            Opening::Tls => "tls",
            Opening::OldTls => "old_tls",
            Opening::Sslv2 => "sslv2",
        }
    }
}

/// What a route does with the two kinds of openings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acceptance {
    /// The inbound route: by the mode; admitted TLS ends here.
    Terminate,
    /// The inbound route in front of a server with a TLS of its own: by the mode; admitted TLS goes through.
    Passthrough,
    /// An outbound route: plaintext in every mode; what is TLS already goes through.
    Outbound,
}

/// How a route's upstream link is chosen, where the link is ours to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkRule {
    /// TLS when the mode says so for connections to other servers.
    Policy,
    /// Plaintext in every mode: the hop to a server on the same host.
    Never,
    /// TLS in every mode.
    Always,
}

/// What an admitted client is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Plaintext, relayed as it is.
    Plaintext,
    /// TLS, terminated here.
    Terminated,
    /// TLS, relayed untouched: its handshake is with the upstream.
    Untouched,
}

/// What the upstream link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// A plain connection.
    Plaintext,
    /// TLS of ours.
    Tls,
    /// A plain connection that carries the client's own TLS.
    Untouched,
}

impl Link {
    /// Its name in logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Link::Plaintext => "plaintext",
            Link::Tls => "tls",
            Link::Untouched => "untouched",
        }
    }
}

/// Why a connection was refused by policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Plaintext in a mode that requires TLS.
    Plaintext,
    /// TLS in a mode that has it disabled.
    Tls,
    /// TLS below 1.2, which ends nowhere here.
    TlsTooOld,
}

/// How a refusal is given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RefusalStyle {
    /// With an answer that the client's protocol can show to its user.
    #[default]
    Reply,
    /// By closing, as mongod does.
    Close,
}

/// Leave to dial, for one connection. Made by [`judge`] alone; the dialler consumes it.
#[derive(Debug, PartialEq, Eq)]
pub struct Permit {
    admission: Admission,
    link: Link,
}

impl Permit {
    /// What the client is.
    #[must_use]
    pub const fn admission(&self) -> Admission {
        self.admission
    }

    /// What the link must be. There is no way to a lesser one.
    #[must_use]
    pub const fn link(&self) -> Link {
        self.link
    }
}

/// Judges an opening under a mode, for a route.
///
/// # Errors
/// [`Refused`], with the rule that refuses.
pub fn judge(mode: Mode, acceptance: Acceptance, rule: LinkRule, opening: Opening) -> Result<Permit, Refused> {
    let admission = match (opening, acceptance) {
        (Opening::Sslv2, _) => return Err(Refused::TlsTooOld),
        (Opening::Plaintext, Acceptance::Outbound) => Admission::Plaintext,
        (Opening::Tls | Opening::OldTls, Acceptance::Outbound) => Admission::Untouched,
        (Opening::Plaintext, _) if !mode.accepts_plaintext() => return Err(Refused::Plaintext),
        (Opening::Tls | Opening::OldTls, _) if !mode.accepts_tls() => return Err(Refused::Tls),
        (Opening::Plaintext, _) => Admission::Plaintext,
        (Opening::Tls, Acceptance::Terminate) => Admission::Terminated,
        (Opening::OldTls, Acceptance::Terminate) => return Err(Refused::TlsTooOld),
        (Opening::Tls | Opening::OldTls, Acceptance::Passthrough) => Admission::Untouched,
    };
    let link = match (admission, rule) {
        (Admission::Untouched, _) => Link::Untouched,
        (_, LinkRule::Never) => Link::Plaintext,
        (_, LinkRule::Always) => Link::Tls,
        (_, LinkRule::Policy) if mode.dials_tls() => Link::Tls,
        (_, LinkRule::Policy) => Link::Plaintext,
    };
    Ok(Permit { admission, link })
}

#[cfg(test)]
mod tests {
    use super::{Acceptance, Admission, Link, LinkRule, Opening, Refused, judge};
    use crate::policy::Mode;

    /// The truth table of the README, row by row.
    #[test]
    fn the_truth_table() {
        use Mode::{Allow, Disabled, Prefer, Require};
        let rows = [
            (Disabled, Ok(Admission::Plaintext), Err(Refused::Tls), Link::Plaintext),
            (Allow, Ok(Admission::Plaintext), Ok(Admission::Terminated), Link::Plaintext),
            (Prefer, Ok(Admission::Plaintext), Ok(Admission::Terminated), Link::Tls),
            (Require, Err(Refused::Plaintext), Ok(Admission::Terminated), Link::Tls),
        ];
        for (mode, plaintext, tls, link) in rows {
            for (opening, expected) in [(Opening::Plaintext, plaintext), (Opening::Tls, tls)] {
                let verdict = judge(mode, Acceptance::Terminate, LinkRule::Policy, opening);
                assert_eq!(verdict.as_ref().map(|permit| permit.admission()), expected.as_ref().copied());
                if let Ok(permit) = verdict {
                    assert_eq!(permit.link(), link, "{mode} {opening:?}");
                }
            }
            let outbound = judge(mode, Acceptance::Outbound, LinkRule::Policy, Opening::Plaintext);
            assert_eq!(outbound.map(|permit| permit.link()), Ok(link), "outbound, {mode}");
        }
    }

    #[test]
    fn never_and_always_do_not_ask_the_mode() {
        for mode in Mode::ALL {
            for (rule, link) in [(LinkRule::Never, Link::Plaintext), (LinkRule::Always, Link::Tls)] {
                for opening in [Opening::Plaintext, Opening::Tls] {
                    if let Ok(permit) = judge(mode, Acceptance::Terminate, rule, opening) {
                        assert_eq!(permit.link(), link);
                    }
                }
            }
        }
    }

    #[test]
    fn old_tls_is_refused_by_name_where_it_would_end() {
        for mode in Mode::ALL {
            let verdict = judge(mode, Acceptance::Terminate, LinkRule::Never, Opening::OldTls);
            let expected = if mode.accepts_tls() { Refused::TlsTooOld } else { Refused::Tls };
            assert_eq!(verdict, Err(expected));
            for acceptance in [Acceptance::Passthrough, Acceptance::Outbound] {
                let old = judge(mode, acceptance, LinkRule::Never, Opening::OldTls);
                assert_eq!(old, judge(mode, acceptance, LinkRule::Never, Opening::Tls), "not ours to judge");
            }
        }
    }

    #[test]
    fn tls_goes_through_untouched_where_it_does_not_end_here() {
        for mode in Mode::ALL {
            for rule in [LinkRule::Policy, LinkRule::Never, LinkRule::Always] {
                let outbound = judge(mode, Acceptance::Outbound, rule, Opening::Tls);
                assert_eq!(outbound.map(|permit| permit.link()), Ok(Link::Untouched));
                let inbound = judge(mode, Acceptance::Passthrough, rule, Opening::Tls).map(|permit| permit.link());
                let expected = if mode.accepts_tls() { Ok(Link::Untouched) } else { Err(Refused::Tls) };
                assert_eq!(inbound, expected, "{mode}");
            }
        }
    }

    #[test]
    fn sslv2_is_refused_by_name_everywhere() {
        for mode in Mode::ALL {
            for acceptance in [Acceptance::Terminate, Acceptance::Passthrough, Acceptance::Outbound] {
                let verdict = judge(mode, acceptance, LinkRule::Never, Opening::Sslv2);
                assert_eq!(verdict, Err(Refused::TlsTooOld));
            }
        }
    }
}
