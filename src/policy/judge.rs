//! The verdict on one connection: whether it is accepted, in which form, and whether its link is TLS.

use super::Mode;

/// How a client opened its connection, as classified by the first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Opening {
    /// Not TLS.
    Plaintext,
    /// A TLS handshake, unless it is one of the two below.
    Tls,
    /// A TLS handshake of a client that supports neither TLS 1.2 nor a later version.
    OldTls,
    /// An SSLv2-framed ClientHello, as clients of the 1990s send. No mode can serve such a client.
    Sslv2,
}

impl Opening {
    /// Returns the name used in logs.
    pub const fn name(self) -> &'static str {
        match self {
            Opening::Plaintext => "plaintext",
            Opening::Tls => "tls",
            Opening::OldTls => "old_tls",
            Opening::Sslv2 => "sslv2",
        }
    }
}

/// How a route handles plaintext and TLS openings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acceptance {
    /// The inbound route: the mode decides which openings are accepted, and accepted TLS is terminated.
    Terminate,
    /// The inbound route in front of a server that terminates TLS itself: the mode decides which openings are accepted,
    /// and accepted TLS is relayed unchanged.
    Passthrough,
    /// An outbound route: plaintext is accepted in every mode, and a connection that is already TLS is relayed
    /// unchanged.
    Outbound,
}

/// How a route chooses between TLS and plaintext for its upstream link. Not used for TLS that is relayed unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkRule {
    /// TLS if the mode demands TLS for connections to other servers.
    Policy,
    /// Plaintext in every mode, for a server on the same host.
    Never,
    /// TLS in every mode.
    Always,
}

/// How an accepted client connection is handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Plaintext, relayed unchanged.
    Plaintext,
    /// TLS, terminated by tlsramp.
    Terminated,
    /// TLS, relayed unchanged: the client's handshake is with the upstream.
    Untouched,
}

/// The protocol of the upstream link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// A plaintext connection.
    Plaintext,
    /// TLS between tlsramp and the upstream.
    Tls,
    /// A connection that carries the client's own TLS, relayed unchanged.
    Untouched,
}

impl Link {
    /// Returns the name used in logs.
    pub const fn name(self) -> &'static str {
        match self {
            Link::Plaintext => "plaintext",
            Link::Tls => "tls",
            Link::Untouched => "untouched",
        }
    }
}

/// Why the policy refuses a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Plaintext in a mode that requires TLS.
    Plaintext,
    /// TLS in a mode that disables TLS.
    Tls,
    /// TLS below 1.2 on a route that terminates TLS, or SSLv2 on any route.
    TlsTooOld,
}

/// How a client is refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RefusalStyle {
    /// By a reply in the client's protocol, which the client can show to its user.
    #[default]
    Reply,
    /// By closing the connection without a reply, as mongod does.
    Close,
}

/// Permission to dial the upstream for one connection. Only [`judge`] creates it; dialling consumes it.
#[derive(Debug, PartialEq, Eq)]
pub struct Permit {
    admission: Admission,
    link: Link,
}

impl Permit {
    /// Returns how the client connection is handled.
    pub const fn admission(&self) -> Admission {
        self.admission
    }

    /// Returns the protocol that the link must use. There is no fallback to a weaker one.
    pub const fn link(&self) -> Link {
        self.link
    }
}

/// Returns the verdict on an opening, by the mode and the route's rules.
///
/// # Errors
/// [`Refused`], with the reason.
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

/// Returns the permit for the link that a route makes in a mode: that of a plaintext client or, if plaintext is
/// refused, that of a TLS client.
pub fn route_permit(mode: Mode, acceptance: Acceptance, rule: LinkRule) -> Option<Permit> {
    [Opening::Plaintext, Opening::Tls].into_iter().find_map(|opening| judge(mode, acceptance, rule, opening).ok())
}

#[cfg(test)]
mod tests {
    use super::{Acceptance, Admission, Link, LinkRule, Opening, Refused, judge};
    use crate::policy::Mode;

    /// The truth table in docs/src/explanation/modes.md, row by row.
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
