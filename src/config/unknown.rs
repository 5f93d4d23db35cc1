//! The error for an unknown option name, with the option that was probably meant.

use std::path::Path;

use super::mistake::Mistake;
use super::options::Form;
use super::table::TABLE;
use crate::text::printable;

/// The mistake for an unknown option name.
pub(super) fn unknown(form: Form, name: &str, path: &Path) -> Mistake {
    let shown = printable(name);
    let first = name.split('.').next().unwrap_or(name);
    if MONGOD_ONLY.contains(&first) {
        let remedy = "remove it: tlsramp's file has mongod's format, but only tlsramp's own options";
        let problem = "this is an option of mongod that tlsramp does not have";
        return Mistake::new(shown, problem, remedy).within(path);
    }
    let remedy = match nearest(form, name) {
        Some(near) => format!("did you mean {near}? Otherwise remove it"),
        None => "remove it; `tlsramp run --help` lists the keys".to_owned(),
    };
    Mistake::new(shown, "there is no such option", remedy).within(path)
}

/// The known name nearest to an unknown one, if it is near enough. The names are compared as a whole, or by their last
/// parts, so that `net.sslMode` leads to `net.ssl.mode`.
fn nearest(form: Form, unknown: &str) -> Option<&'static str> {
    let last = unknown.rsplit('.').next().unwrap_or(unknown);
    let candidates =
        TABLE.iter().flat_map(|option| option.names(form).iter().copied().zip(option.flags.iter().copied()));
    let scored = candidates.map(|(name, flag)| {
        let whole = distance(unknown, name);
        let part = distance(last, name.rsplit('.').next().unwrap_or(name)).min(distance(last, flag)) + 1;
        (whole.min(part), name)
    });
    let (score, name) = scored.min_by_key(|(score, _)| *score)?;
    (score <= 1 + last.len() / 4).then_some(name)
}

/// Case-insensitive edit distance. An unknown name is cut to 64 characters.
fn distance(unknown: &str, known: &str) -> usize {
    let unknown = unknown.chars().take(64).collect::<String>().to_ascii_lowercase();
    strsim::levenshtein(&unknown, &known.to_ascii_lowercase())
}

/// mongod's sections and older keys that are likely to be left in a copied file.
const MONGOD_ONLY: &[&str] = &[
    "storage",
    "systemLog",
    "processManagement",
    "replication",
    "security",
    "sharding",
    "operationProfiling",
    "setParameter",
    "auditLog",
    "snmp",
    "cloud",
    "dbpath",
    "logpath",
    "logappend",
    "fork",
    "replSet",
    "keyFile",
    "auth",
    "noauth",
    "journal",
    "nojournal",
    "smallfiles",
    "noprealloc",
    "oplogSize",
    "pidfilepath",
    "configsvr",
    "shardsvr",
    "directoryperdb",
    "verbose",
    "quiet",
    "rest",
    "httpinterface",
    "nohttpinterface",
    "clusterAuthMode",
];

#[cfg(test)]
mod tests {
    use super::{Form, nearest};

    #[test]
    fn suggests_near_names_only() {
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
}
