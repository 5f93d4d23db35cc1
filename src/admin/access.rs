//! Authorization at the admin port, by listener and client certificate. It is checked for each request, since settings,
//! CAs and CRLs change while connections are open, and certificates expire.

use crate::config::Pattern;
use crate::limits::ALLOW_SHOWN;
use crate::text::printable;

/// The kind of listener that a client connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ListenerKind {
    /// The admin port on a loopback address: every local user is trusted.
    Loopback,
    /// The admin port on any other address, wildcards included, whatever the peer's address.
    Remote,
    /// The Unix socket, which only the process's user and root can open.
    Unix,
    /// The health probe port.
    Probes,
}

/// The access that a client has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Everything.
    Full,
    /// Read only: `--adminReadOnly`, or the health probe port.
    ReadOnly,
    /// No access: TLS is required.
    NeedsTls,
    /// No access: the certificate is valid, but no `--adminAllow` pattern matches it.
    NotAllowed,
    /// No access: the client certificate was valid at the handshake, but is not valid any more.
    NotValid,
}

/// The access of a client. `allowed` is whether `--adminAllow` matches the client's certificate; `None` without TLS.
/// With `--adminReadOnly`, only the Unix socket permits changes.
pub(super) const fn access(listener: ListenerKind, allowed: Option<bool>, read_only: bool) -> Access {
    let trusted = if read_only { Access::ReadOnly } else { Access::Full };
    match (listener, allowed) {
        (ListenerKind::Unix, _) => Access::Full,
        (ListenerKind::Probes, _) => Access::ReadOnly,
        (ListenerKind::Loopback, _) | (ListenerKind::Remote, Some(true)) => trusted,
        (ListenerKind::Remote, None) => Access::NeedsTls,
        (ListenerKind::Remote, Some(false)) => Access::NotAllowed,
    }
}

impl Access {
    /// Whether every request is refused.
    pub(super) const fn is_refused(self) -> bool {
        match self {
            Access::Full | Access::ReadOnly => false,
            Access::NeedsTls | Access::NotAllowed | Access::NotValid => true,
        }
    }
}

/// The text for a certificate that no pattern matches. It names the certificate and the patterns: the CA has signed the
/// certificate, so the client may be an operator who uses the wrong file.
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
        "this client certificate is not allowed at the admin port: its subject {subject}, its alternative names are \
         {names}; {allow}. Add a matching pattern to --adminAllow, or present another certificate"
    )
}

/// The text for a certificate that was valid only at the handshake.
pub(super) fn not_valid(reason: &str) -> String {
    format!(
        "the client certificate of this connection is no longer accepted: {reason}. Connect again with a valid \
         certificate"
    )
}

/// The refusal of plaintext where TLS is required.
pub(super) const NEEDS_TLS: &str = "this admin address requires TLS with a client certificate; connect with --tls, \
    --tlsCAFile and --tlsCertificateKeyFile";
/// The refusal of a change where the admin port is read-only.
pub(super) const READ_ONLY: &str =
    "this admin address is read-only (--adminReadOnly); make changes through its unix socket";

#[cfg(test)]
mod tests {
    use super::{Access, ListenerKind, access, not_allowed};
    use crate::limits::ALLOW_SHOWN;

    #[test]
    fn who_may_do_what() {
        for (listener, allowed, open, read_only) in [
            (ListenerKind::Loopback, None, Access::Full, Access::ReadOnly),
            (ListenerKind::Loopback, Some(false), Access::Full, Access::ReadOnly),
            (ListenerKind::Unix, None, Access::Full, Access::Full),
            (ListenerKind::Probes, None, Access::ReadOnly, Access::ReadOnly),
            (ListenerKind::Remote, None, Access::NeedsTls, Access::NeedsTls),
            (ListenerKind::Remote, Some(false), Access::NotAllowed, Access::NotAllowed),
            (ListenerKind::Remote, Some(true), Access::Full, Access::ReadOnly),
        ] {
            assert_eq!(access(listener, allowed, false), open, "{listener:?}");
            assert_eq!(access(listener, allowed, true), read_only, "{listener:?}");
        }
    }

    #[test]
    fn a_refusal_shows_the_certificate_and_the_patterns() {
        let allow = ["CN=ops,*", "DNS:*.ops.example.net"].map(|text| text.parse().unwrap());
        let text = not_allowed(Some("CN=app\n2026,O=x"), &["DNS:app".to_owned()], &allow);
        for part in ["'CN=app\\n2026,O=x'", "names are DNS:app;", "'CN=ops,*', 'DNS:*.ops.example.net'", "--adminAllow"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        let many = vec!["x".repeat(1000).parse().unwrap(); ALLOW_SHOWN + 3];
        let text = not_allowed(None, &vec!["DNS:\u{202e}".repeat(500); 100], &many);
        assert!(text.len() < 20_000 && text.contains("and 3 more") && !text.contains('\u{202e}'), "{}", text.len());
    }
}
