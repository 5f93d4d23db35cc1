//! The description of an option: its names in each of the three syntaxes, the kind of its value, its default and its
//! help. The options are the rows of [`super::table`].

/// Identifies an option, whichever of its names is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum OptionKey {
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
    AdminLink,
    ProbeBind,
    GuardWindow,
    StateFile,
    Takeover,
    Watch,
}

/// The kind of value of an option, with its placeholder in the help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ValueKind {
    Value(&'static str),
    /// One value, which is never shown in a message, a log line or debug output.
    Secret(&'static str),
    /// True or false; the flag without a value is true.
    Switch,
    /// Any number of values.
    List(&'static str),
}

/// The syntax in which an option is written.
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
pub(super) struct OptionSpec {
    pub(super) key: OptionKey,
    /// The heading in the help.
    pub(super) heading: &'static str,
    /// Names on the command line and in `key = value` files. If mongod has two spellings: the name with `ssl`, then the
    /// name with `tls`, then aliases in the same order.
    pub(super) flags: &'static [&'static str],
    /// Dotted paths in YAML, in the order of `flags`.
    pub(super) yaml: &'static [&'static str],
    pub(super) kind: ValueKind,
    pub(super) reloadable: bool,
    /// The default, as it would be written; a description in parentheses if it is not a constant value; empty if there
    /// is none.
    pub(super) default: &'static str,
    pub(super) help: &'static str,
}

/// An option that a reload may change.
pub(super) const fn reloadable(
    key: OptionKey,
    heading: &'static str,
    flags: &'static [&'static str],
    yaml: &'static [&'static str],
    kind: ValueKind,
) -> OptionSpec {
    let default = if matches!(kind, ValueKind::Switch) { "false" } else { "" };
    OptionSpec { key, heading, flags, yaml, kind, reloadable: true, default, help: "" }
}

/// An option that only a restart can change.
pub(super) const fn restart_only(
    key: OptionKey,
    heading: &'static str,
    flags: &'static [&'static str],
    yaml: &'static [&'static str],
    kind: ValueKind,
) -> OptionSpec {
    OptionSpec { reloadable: false, ..reloadable(key, heading, flags, yaml, kind) }
}

impl OptionSpec {
    pub(super) const fn default(self, default: &'static str) -> OptionSpec {
        OptionSpec { default, ..self }
    }

    pub(super) const fn help(self, help: &'static str) -> OptionSpec {
        OptionSpec { help, ..self }
    }

    /// The option's names in a syntax.
    pub(super) const fn names(&self, form: Form) -> &'static [&'static str] {
        match form {
            Form::Flag | Form::Pairs => self.flags,
            Form::Yaml => self.yaml,
        }
    }

    /// One of the option's names, as written in a syntax.
    pub(super) fn written(&self, form: Form, variant: usize) -> String {
        let names = self.names(form);
        let name = names.get(variant).or(names.last()).copied().unwrap_or_default();
        match form {
            Form::Flag => format!("--{name}"),
            Form::Yaml | Form::Pairs => name.to_owned(),
        }
    }

    pub(super) const fn is_secret(&self) -> bool {
        matches!(self.kind, ValueKind::Secret(_))
    }

    pub(super) const fn has_two_spellings(&self) -> bool {
        self.flags.len() > 1
    }
}
