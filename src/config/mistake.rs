//! Configuration errors: the name as written, the value, what was expected, and the remedy. Never shows a password, nor
//! the value of an unknown option.

use std::path::Path;
use std::{fmt, io};

use crate::text::printable;

/// A configuration error, shown on two lines: the problem and the remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The flag or key, as the operator wrote it or is to write it; or else a file, or a line of a file.
    pub name: String,
    /// The configuration file that the key is in.
    pub file: Option<Box<Path>>,
    /// The value as written, if it may be shown.
    pub value: Option<String>,
    pub problem: String,
    pub remedy: String,
    /// Whether the problem may end without a change of the configuration, so that a service manager should retry: an
    /// address that no interface has yet, or a name that does not resolve while the host boots.
    pub passing: bool,
    /// Whether the problem is an address that is already in use.
    pub in_use: bool,
}

impl Mistake {
    /// A mistake without a value to show.
    pub fn new(name: impl Into<String>, problem: impl Into<String>, remedy: impl Into<String>) -> Mistake {
        let (name, problem, remedy) = (name.into(), problem.into(), remedy.into());
        Mistake { name, file: None, value: None, problem, remedy, passing: false, in_use: false }
    }

    /// A listener that cannot be opened on `address`, which the flag or key `name` gives.
    pub fn cannot_listen(name: &str, address: &str, error: &io::Error) -> Mistake {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the enum is not exhaustive")]
        let remedy = match error.kind() {
            io::ErrorKind::AddrInUse => {
                "another process listens there (ss -ltnp shows which); stop it or choose another port"
            }
            io::ErrorKind::AddrNotAvailable => "give an address of this host (ip address lists them)",
            io::ErrorKind::PermissionDenied => "choose a port of at least 1024, or grant CAP_NET_BIND_SERVICE",
            _ => "choose another address or port",
        };
        let mistake = Mistake::of(name, address, format!("cannot listen: {error}"), remedy);
        Mistake { passing: error.kind() == io::ErrorKind::AddrNotAvailable, ..mistake.in_use_by(error) }
    }

    /// A Unix socket that cannot be opened at `path`, which the flag or key `name` gives.
    pub fn cannot_listen_unix(name: &str, path: &Path, error: &io::Error) -> Mistake {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the enum is not exhaustive")]
        let remedy = match error.kind() {
            io::ErrorKind::AddrInUse => {
                "another process listens there (ss -lxp shows which); stop it or choose another path"
            }
            io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied | io::ErrorKind::NotADirectory => {
                "choose an existing folder in which the user that runs tlsramp can create files (under systemd, \
                 RuntimeDirectory=tlsramp creates /run/tlsramp)"
            }
            io::ErrorKind::AlreadyExists => "move the file away, or choose another path",
            _ => "choose another path",
        };
        Mistake::of(name, &format!("unix:{}", path.display()), format!("cannot listen: {error}"), remedy)
            .in_use_by(error)
    }

    fn in_use_by(self, error: &io::Error) -> Mistake {
        Mistake { in_use: error.kind() == io::ErrorKind::AddrInUse, ..self }
    }

    /// Marks the mistake as one that may end by itself.
    pub(super) fn passing(self) -> Mistake {
        Mistake { passing: true, ..self }
    }

    /// Adds the file in which the key is.
    pub(super) fn within(mut self, file: &Path) -> Mistake {
        self.file = Some(file.into());
        self
    }

    /// A mistake that was found only at the start, in a value given by the flag or key `name`.
    pub fn of(name: &str, value: &str, problem: impl Into<String>, remedy: &str) -> Mistake {
        Mistake::new(name, problem, remedy).with_value(value)
    }

    /// Adds the value as written.
    pub(super) fn with_value(mut self, value: &str) -> Mistake {
        self.value = Some(value.to_owned());
        self
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(value) = &self.value {
            write!(f, " '{}'", printable(value))?;
        }
        if let Some(file) = &self.file {
            write!(f, " in {}", file.display())?;
        }
        write!(f, ": {}\n  {}", self.problem, self.remedy)
    }
}

#[cfg(test)]
mod tests {
    use super::Mistake;

    #[test]
    fn two_lines_whatever_the_value() {
        let mistake = Mistake::new("--port", "expected a number", "correct it").with_value("7\n0\u{1b}[31m");
        assert_eq!(mistake.to_string(), "--port '7\\n0\\u{1b}[31m': expected a number\n  correct it");
    }
}
