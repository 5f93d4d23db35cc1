//! The four modes, their two spellings, and the permitted transitions between them.

use std::fmt;

/// The policy's mode: mongod's `sslMode`, which newer versions call `tlsMode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Accepts plaintext only; uses plaintext for connections to other servers.
    Disabled,
    /// Accepts plaintext and TLS; uses plaintext for connections to other servers.
    Allow,
    /// Accepts plaintext and TLS; uses TLS for connections to other servers.
    Prefer,
    /// Accepts TLS only; uses TLS for connections to other servers.
    Require,
}

/// The name of the mode parameter. Each name accepts and shows only its own values, as in mongod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spelling {
    /// `sslMode`, with `allowSSL`, `preferSSL`, `requireSSL`.
    Ssl,
    /// `tlsMode`, with `allowTLS`, `preferTLS`, `requireTLS`.
    Tls,
}

/// A value that is not one of the four values of a spelling.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "Invalid {} setting '{value}', expected one of: {}",
    spelling.parameter(),
    spelling.expected()
)]
pub struct UnknownMode {
    spelling: Spelling,
    value: String,
}

/// A transition that is not permitted. The message is mongod's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "Illegal state transition for {}, attempt to change from {} to {}",
    spelling.parameter(),
    from.name(*spelling),
    to.name(*spelling)
)]
pub struct IllegalTransition {
    /// The spelling that the request used.
    pub spelling: Spelling,
    /// The mode in force.
    pub from: Mode,
    /// The requested mode.
    pub to: Mode,
}

impl Mode {
    /// Every mode, from `disabled` to `requireSSL`.
    pub const ALL: [Mode; 4] = [Mode::Disabled, Mode::Allow, Mode::Prefer, Mode::Require];

    /// Returns the mode's value in one spelling.
    pub const fn name(self, spelling: Spelling) -> &'static str {
        match (self, spelling) {
            (Mode::Disabled, _) => "disabled",
            (Mode::Allow, Spelling::Ssl) => "allowSSL",
            (Mode::Prefer, Spelling::Ssl) => "preferSSL",
            (Mode::Require, Spelling::Ssl) => "requireSSL",
            (Mode::Allow, Spelling::Tls) => "allowTLS",
            (Mode::Prefer, Spelling::Tls) => "preferTLS",
            (Mode::Require, Spelling::Tls) => "requireTLS",
        }
    }

    /// Parses a value of one spelling; case-sensitive, as in mongod.
    ///
    /// # Errors
    /// [`UnknownMode`], with the expected values.
    pub fn parse(value: &str, spelling: Spelling) -> Result<Mode, UnknownMode> {
        Mode::ALL
            .into_iter()
            .find(|mode| mode.name(spelling) == value)
            .ok_or_else(|| UnknownMode { spelling, value: value.to_owned() })
    }

    /// Returns whether plaintext openings are accepted.
    pub const fn accepts_plaintext(self) -> bool {
        !matches!(self, Mode::Require)
    }

    /// Returns whether TLS openings are accepted.
    pub const fn accepts_tls(self) -> bool {
        !matches!(self, Mode::Disabled)
    }

    /// Returns whether connections to other servers use TLS.
    pub const fn dials_tls(self) -> bool {
        matches!(self, Mode::Prefer | Mode::Require)
    }

    /// Returns the mode one step up; `None` for the last.
    pub fn next(self) -> Option<Mode> {
        Mode::ALL.into_iter().find(|mode| *mode as u8 == self as u8 + 1)
    }

    /// Checks that `to` is exactly one step up, the only transition that does not have to be forced.
    ///
    /// # Errors
    /// [`IllegalTransition`] if `to` is a lower mode, skips a mode, or is the present mode.
    pub fn step_to(self, to: Mode, spelling: Spelling) -> Result<(), IllegalTransition> {
        if to as u8 == self as u8 + 1 { Ok(()) } else { Err(IllegalTransition { spelling, from: self, to }) }
    }
}

/// Uses the older spelling, as MongoDB's tutorial does.
impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name(Spelling::Ssl))
    }
}

impl Spelling {
    /// Returns the name of the parameter.
    pub const fn parameter(self) -> &'static str {
        match self {
            Spelling::Ssl => "sslMode",
            Spelling::Tls => "tlsMode",
        }
    }

    /// Returns the four values, quoted and listed as in mongod's error message.
    pub const fn expected(self) -> &'static str {
        match self {
            Spelling::Ssl => "'disabled', 'allowSSL', 'preferSSL', or 'requireSSL'",
            Spelling::Tls => "'disabled', 'allowTLS', 'preferTLS', or 'requireTLS'",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Mode, Spelling};

    #[test]
    fn each_spelling_reads_what_it_shows_and_nothing_of_the_other() {
        for mode in Mode::ALL {
            for (own, other) in [(Spelling::Ssl, Spelling::Tls), (Spelling::Tls, Spelling::Ssl)] {
                assert_eq!(Mode::parse(mode.name(own), own), Ok(mode));
                if mode != Mode::Disabled {
                    assert!(Mode::parse(mode.name(own), other).is_err());
                }
            }
        }
        for value in ["", "requiressl", "REQUIRESSL", "requireSSL ", "ssl"] {
            assert!(Mode::parse(value, Spelling::Ssl).is_err(), "{value:?}");
        }
    }

    #[test]
    fn the_ladder_has_exactly_three_legal_moves() {
        let legal = Mode::ALL
            .into_iter()
            .flat_map(|from| Mode::ALL.map(|to| (from, to)))
            .filter(|(from, to)| from.step_to(*to, Spelling::Ssl).is_ok())
            .collect::<Vec<_>>();
        assert_eq!(legal, [(Mode::Disabled, Mode::Allow), (Mode::Allow, Mode::Prefer), (Mode::Prefer, Mode::Require)]);
    }

    #[test]
    fn texts_are_mongods() {
        let refused = Mode::Require.step_to(Mode::Allow, Spelling::Tls).map_err(|error| error.to_string());
        let text = "Illegal state transition for tlsMode, attempt to change from requireTLS to allowTLS";
        assert_eq!(refused, Err(text.to_owned()));
        let unknown = Mode::parse("on", Spelling::Ssl).map_err(|error| error.to_string());
        let text =
            "Invalid sslMode setting 'on', expected one of: 'disabled', 'allowSSL', 'preferSSL', or 'requireSSL'";
        assert_eq!(unknown, Err(text.to_owned()));
    }
}
