//! What an option is, and how it is found by a name in each of the three places where it can be written.
//!
//! The options themselves are the rows of [`super::table`]. Nothing here reads a value.

use super::table::TABLE;

/// The options, by meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Port,
    BindIp,
    InboundTransparent,
    InboundTls,
    Upstream,
    UpstreamTls,
    UpstreamBind,
    UpstreamProbe,
    Outbound,
    Transparent,
    Member,
    Mode,
    Certificate,
    CertificatePassword,
    CertificatePasswordFile,
    Cluster,
    ClusterPassword,
    ClusterPasswordFile,
    Ca,
    ClusterCa,
    Crl,
    WithoutCertificates,
    InvalidCertificates,
    InvalidHostnames,
    DisabledProtocols,
    MaxIncoming,
    MaxPerIp,
    MemberReserve,
    Workers,
    SniffTimeout,
    HandshakeTimeout,
    ConnectTimeout,
    DrainTimeout,
    OnSilence,
    Refusal,
    LogFormat,
    LogLevel,
    AdminBind,
    AdminAllow,
    AdminReadOnly,
    AdminHost,
    ProbeBind,
    GuardWindow,
    StateFile,
    Watch,
}

/// What an option takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// One value; the word that stands for it in the help.
    Value(&'static str),
    /// One value that no message, log or debug output shows.
    Secret(&'static str),
    /// On or off; the bare flag is on.
    Switch,
    /// Any number of values.
    List(&'static str),
}

/// Whether a reload may change an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// While running.
    Reload,
    /// By a restart only.
    Restart,
}

/// Where a name is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// The command line: `--sslMode`.
    Flag,
    /// A YAML file: `net.ssl.mode`.
    Yaml,
    /// A file of `key = value` lines: `sslMode`.
    Pairs,
}

/// One row of the table.
#[derive(Debug)]
pub(super) struct Opt {
    pub(super) key: Key,
    /// Names on the command line and in `key = value` files. Where mongod has two spellings: the one with `ssl`
    /// first, then the one with `tls`; aliases after them, in the same order.
    pub(super) flags: &'static [&'static str],
    /// Dotted paths in YAML, in the order of `flags`.
    pub(super) yaml: &'static [&'static str],
    pub(super) kind: Kind,
    /// The heading in the help.
    pub(super) heading: &'static str,
    /// What holds when it is not given, as it would be written; a description in parentheses where it is no
    /// constant; empty where nothing holds.
    pub(super) default: &'static str,
    pub(super) help: &'static str,
    pub(super) change: Change,
}

impl Opt {
    /// The row of a key. The table has one for each: a test counts them.
    pub(super) fn of(key: Key) -> &'static Opt {
        TABLE.iter().find(|opt| opt.key == key).unwrap_or(&TABLE[0])
    }

    /// The row that a name belongs to in a form, and which of the row's names it is.
    pub(super) fn find(form: Form, name: &str) -> Option<(&'static Opt, usize)> {
        TABLE.iter().find_map(|opt| Some((opt, opt.names(form).iter().position(|known| *known == name)?)))
    }

    /// The names of a form.
    pub(super) const fn names(&self, form: Form) -> &'static [&'static str] {
        match form {
            Form::Flag | Form::Pairs => self.flags,
            Form::Yaml => self.yaml,
        }
    }

    /// One of the names, as it is written in a form.
    pub(super) fn written(&self, form: Form, variant: usize) -> String {
        let names = self.names(form);
        let name = names.get(variant).or(names.last()).copied().unwrap_or_default();
        match form {
            Form::Flag => format!("--{name}"),
            Form::Yaml | Form::Pairs => name.to_owned(),
        }
    }

    /// Whether the value must not be shown.
    pub(super) const fn is_secret(&self) -> bool {
        matches!(self.kind, Kind::Secret(_))
    }

    /// Whether the value is the same word under either spelling: the modes are not.
    pub(super) fn has_two_spellings(&self) -> bool {
        self.flags.len() > 1
    }
}

/// The known name of a form that is nearest to an unknown one, if any is near enough to be meant: by the
/// whole name, or by its last part, so that `net.sslMode` leads to `net.ssl.mode`.
pub(super) fn nearest(form: Form, unknown: &str) -> Option<&'static str> {
    let last = unknown.rsplit('.').next().unwrap_or(unknown);
    let candidates =
        TABLE.iter().flat_map(|opt| opt.names(form).iter().enumerate().map(move |(at, name)| (opt, at, *name)));
    let scored = candidates.map(|(opt, at, name)| {
        let flag = opt.flags.get(at).copied().unwrap_or(name);
        let whole = distance(unknown, name);
        let part = distance(last, name.rsplit('.').next().unwrap_or(name)).min(distance(last, flag)) + 1;
        (whole.min(part), name)
    });
    let (score, name) = scored.min_by_key(|(score, _)| *score)?;
    (score <= 1 + last.len() / 4).then_some(name)
}

/// Levenshtein's distance, not counting case; the other name is cut to 64 characters.
fn distance(one: &str, other: &str) -> usize {
    let one = one.chars().take(64).map(|c| c.to_ascii_lowercase()).collect::<Vec<_>>();
    let mut row = (0..=one.len()).collect::<Vec<_>>();
    for (line, letter) in other.chars().take(64).map(|c| c.to_ascii_lowercase()).enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (at, own) in one.iter().enumerate() {
            let swap = diagonal + usize::from(*own != letter);
            diagonal = row[at + 1];
            row[at + 1] = swap.min(diagonal + 1).min(row[at] + 1);
        }
    }
    row[one.len()]
}

#[cfg(test)]
mod tests {
    use super::{Form, distance, nearest};

    #[test]
    fn suggests_what_is_near_and_nothing_else() {
        let rows = [
            (Form::Yaml, "net.tls.cafile", Some("net.tls.CAFile")),
            (Form::Yaml, "net.sslMode", Some("net.ssl.mode")),
            (Form::Yaml, "net.tls.certificateKeyfile", Some("net.tls.certificateKeyFile")),
            (Form::Yaml, "proxy.port", Some("net.port")),
            (Form::Yaml, "proxy.upstreams", Some("proxy.upstream")),
            (Form::Yaml, "replication.replSetName", None),
            (Form::Pairs, "sslmode", Some("sslMode")),
            (Form::Pairs, "bindIp", Some("bind_ip")),
            (Form::Pairs, "dbpath", None),
            (Form::Pairs, "", None),
        ];
        for (form, unknown, expected) in rows {
            assert_eq!(nearest(form, unknown), expected, "{unknown}");
        }
    }

    #[test]
    fn distances_count_edits() {
        for (one, other, edits) in
            [("", "", 0), ("a", "", 1), ("", "abc", 3), ("port", "Prt", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(one, other), edits, "{one} {other}");
        }
    }
}
