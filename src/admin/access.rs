//! Who may do what at the admin port, by the way a connection came and the certificate that it has shown. Decided for each
//! request: settings, CAs and CRLs change while connections are open, and certificates expire.

use crate::config::Pattern;
use crate::limits::ALLOW_SHOWN;
use crate::text::printable;

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
    /// Nothing: its certificate was good when the connection was made, and no longer is.
    NotValid,
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
    /// Whether nothing is done for this visitor.
    pub(super) const fn is_refused(self) -> bool {
        match self {
            Access::Full | Access::ReadOnly => false,
            Access::NeedsTls | Access::NotAllowed | Access::NotValid => true,
        }
    }
}

/// What is said to a certificate that no pattern matches. It shows both sides, so that the pattern to give can be read
/// off: to a caller whose certificate the CA has signed, and who may well be the operator with the wrong file.
pub(super) fn not_allowed(subject: Option<&str>, names: &[String], allow: &[Pattern]) -> String {
    let list = |texts: Vec<String>| {
        let more = texts.len().saturating_sub(ALLOW_SHOWN);
        let mut shown: Vec<_> = texts.into_iter().take(ALLOW_SHOWN).collect();
        shown.extend((more > 0).then(|| format!("and {more} more")));
        shown.join(", ")
    };
    let quoted = |text: &str| format!("'{}'", printable(text));
    let subject = subject.map_or_else(|| "cannot be read".to_owned(), |subject| format!("is {}", quoted(subject)));
    let names = list(names.iter().map(|name| printable(name)).collect());
    let names = if names.is_empty() { "none".to_owned() } else { names };
    let patterns = list(allow.iter().map(|pattern| quoted(&pattern.to_string())).collect());
    let allow = if patterns.is_empty() {
        "--adminAllow has no pattern".to_owned()
    } else {
        format!("no pattern of --adminAllow matches: {patterns}")
    };
    format!(
        "this client certificate is not allowed at the admin port: its subject {subject}, its alternative names: \
         {names}; {allow}. Add one for this certificate there, or show another certificate"
    )
}

/// Said to a certificate that was good when the connection was made, with what is wrong with it now.
pub(super) fn not_valid(reason: &str) -> String {
    format!(
        "the client certificate of this connection is no longer accepted: {reason}. Connect again, with one that is"
    )
}

/// Said to plaintext where TLS is required.
pub(super) const NEEDS_TLS: &str = "this admin address takes TLS with a client certificate only; connect with --tls, \
     --tlsCAFile and --tlsCertificateKeyFile";
/// Said to changes where they are not taken.
pub(super) const READ_ONLY: &str =
    "this admin address is read-only (--adminReadOnly); changes are made by its unix socket";

#[cfg(test)]
mod tests {
    use super::{Access, Entrance, access, not_allowed};
    use crate::limits::ALLOW_SHOWN;

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

    #[test]
    fn a_refusal_shows_the_certificate_and_the_patterns() {
        let allow = ["CN=ops,*", "DNS:*.ops.example.net"].map(|text| text.parse().unwrap());
        let text = not_allowed(Some("CN=app\n2026,O=x"), &["DNS:app".to_owned()], &allow);
        for part in ["'CN=app\\n2026,O=x'", "names: DNS:app;", "'CN=ops,*', 'DNS:*.ops.example.net'", "--adminAllow"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let many = vec!["x".repeat(1000).parse().unwrap(); ALLOW_SHOWN + 3];
        let text = not_allowed(None, &vec!["DNS:\u{202e}".repeat(500); 100], &many);
        assert!(text.len() < 20_000 && text.contains("and 3 more") && !text.contains('\u{202e}'), "{}", text.len());
    }
}
