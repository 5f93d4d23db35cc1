//! Who may do what at the admin port. Decided once for a connection, by the way it came and what it showed.

/// The listener that a visitor came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entrance {
    /// The admin port on a loopback address: every local user is trusted.
    Loopback,
    /// The admin port on any other address, wildcards included, whoever the peer is.
    Remote,
    /// Its Unix socket, which only our own user and root can open.
    Unix,
    /// The port for probes.
    Probes,
}

/// What a visitor may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Everything.
    Full,
    /// Look, and change nothing: `--adminReadOnly`.
    ReadOnly,
    /// Nothing, for want of TLS.
    NeedsTls,
    /// Nothing: its certificate is one of the CA, and nobody has allowed it.
    NotAllowed,
}

/// The access of a visitor who came by TLS if it is known whether its certificate is `allowed`. `--adminReadOnly` leaves
/// changes to the Unix socket.
pub(super) const fn access(entrance: Entrance, allowed: Option<bool>, read_only: bool) -> Access {
    let trusted = if read_only { Access::ReadOnly } else { Access::Full };
    match (entrance, allowed) {
        (Entrance::Unix, _) => Access::Full,
        (Entrance::Probes, _) => Access::ReadOnly,
        (Entrance::Loopback, _) | (Entrance::Remote, Some(true)) => trusted,
        (Entrance::Remote, None) => Access::NeedsTls,
        (Entrance::Remote, Some(false)) => Access::NotAllowed,
    }
}

impl Access {
    /// Why nothing is done for this visitor, if nothing is.
    pub(super) const fn refusal(self) -> Option<&'static str> {
        match self {
            Access::Full | Access::ReadOnly => None,
            Access::NeedsTls => Some(NEEDS_TLS),
            Access::NotAllowed => Some(NOT_ALLOWED),
        }
    }
}

/// Said to plaintext where TLS is required.
pub(super) const NEEDS_TLS: &str = "this admin address takes TLS with a client certificate only; connect with --tls, \
     --tlsCAFile and --tlsCertificateKeyFile";
/// Said to a certificate that nobody has allowed.
pub(super) const NOT_ALLOWED: &str =
    "this client certificate is not allowed at the admin port; name its subject or an alternative name by --adminAllow";
/// Said to changes where they are not taken.
pub(super) const READ_ONLY: &str =
    "this admin address is read-only (--adminReadOnly); changes are made by its unix socket";

#[cfg(test)]
mod tests {
    use super::{Access, Entrance, access};

    #[test]
    fn who_may_do_what() {
        for (entrance, allowed, open, read_only) in [
            (Entrance::Loopback, None, Access::Full, Access::ReadOnly),
            (Entrance::Loopback, Some(false), Access::Full, Access::ReadOnly),
            (Entrance::Unix, None, Access::Full, Access::Full),
            (Entrance::Probes, None, Access::ReadOnly, Access::ReadOnly),
            (Entrance::Remote, None, Access::NeedsTls, Access::NeedsTls),
            (Entrance::Remote, Some(false), Access::NotAllowed, Access::NotAllowed),
            (Entrance::Remote, Some(true), Access::Full, Access::ReadOnly),
        ] {
            assert_eq!(access(entrance, allowed, false), open, "{entrance:?}");
            assert_eq!(access(entrance, allowed, true), read_only, "{entrance:?}");
        }
    }
}
