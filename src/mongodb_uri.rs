//! `mongodb://` URIs in place of HOST:PORT on a command line, since an operator has such a URI at hand. The URI is
//! replaced by the address and the options that it stands for, before the command line is parsed.

use std::ffi::OsString;

/// Replaces `mongodb://` URIs after `--target`, `--upstream`, `--admin` and `--node`.
///
/// # Errors
/// A message about a URI that cannot be used.
pub fn expand(arguments: impl IntoIterator<Item = OsString>) -> Result<Vec<OsString>, String> {
    let mut expanded: Vec<OsString> = Vec::new();
    let mut added: Vec<OsString> = Vec::new();
    for argument in arguments {
        let text = argument.to_str().unwrap_or_default();
        let (flag, value) = match text.split_once('=') {
            Some((flag, value)) if OPTIONS.contains(&flag) => (flag.to_owned(), value),
            _ => (expanded.last().and_then(|last| last.to_str()).unwrap_or_default().to_owned(), text),
        };
        let is_uri = value.starts_with("mongodb://") || value.starts_with("mongodb+srv://");
        if !is_uri || !OPTIONS.contains(&&*flag) {
            expanded.push(argument);
            continue;
        }
        // The message does not repeat the whole URI, which may have a password.
        let uri = MongodbUri::parse(value, [TARGET, UPSTREAM].contains(&&*flag))
            .and_then(|uri| uri.for_flag(&flag))
            .map_err(|why| format!("{flag}: the URI cannot be used: {why}"))?;
        if text != value {
            expanded.push(flag.into());
        }
        expanded.push(uri.address.into());
        added.extend(uri.options.into_iter().map(OsString::from));
    }
    // An option that is already a word of the command line is not added again.
    let mut words = added.into_iter().peekable();
    while let Some(option) = words.next() {
        let value = words.next_if(|word| !word.to_string_lossy().starts_with("--"));
        if !expanded.contains(&option) {
            expanded.push(option);
            expanded.extend(value);
        }
    }
    Ok(expanded)
}

/// An address, and the options of the command line that the URI's options stand for.
#[derive(Debug, PartialEq, Eq)]
struct MongodbUri {
    address: String,
    options: Vec<String>,
}

impl MongodbUri {
    /// Refuses TLS options in the URI of `--upstream`, because the options of `run` with these names do not concern
    /// this server alone.
    fn for_flag(self, flag: &str) -> Result<MongodbUri, String> {
        if flag == UPSTREAM && !self.options.is_empty() {
            return Err("it has TLS options; write HOST:PORT, and --upstreamTLS always with --sslCAFile".into());
        }
        Ok(self)
    }

    /// Parses a connection string of MongoDB. If it names no port, mongod's default port is used if `has_default_port`;
    /// otherwise the string is refused.
    fn parse(text: &str, has_default_port: bool) -> Result<MongodbUri, String> {
        let Some(rest) = text.strip_prefix("mongodb://") else {
            return Err("mongodb+srv names hosts by DNS SRV records, which are not looked up; write HOST:PORT".into());
        };
        let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err("it has a user name; tlsramp does not log in: remove it with its password".into());
        }
        let hosts = authority.split(',').count();
        if hosts > 1 {
            return Err(format!("it names {hosts} hosts; write the one that is meant"));
        }
        let address = address(authority, has_default_port)?;
        let mut options = Vec::new();
        let query = rest.split_once('?').map_or("", |(_, query)| query);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            options.extend(option(name, &decoded(value)?)?);
        }
        Ok(MongodbUri { address, options })
    }
}

fn address(authority: &str, has_default_port: bool) -> Result<String, String> {
    let host = decoded(authority)?;
    if host.ends_with(".sock") {
        return Ok(format!("unix:{host}"));
    }
    let has_port = host.rsplit_once(':').is_some_and(|(before, _)| !before.contains(':') || before.ends_with(']'));
    match (has_port, has_default_port) {
        (true, _) => Ok(host),
        (false, true) => Ok(format!("{host}:27017")),
        (false, false) => Err("it has no port; the admin port is usually 28017".into()),
    }
}

/// The options that a URI's option stands for.
fn option(name: &str, value: &str) -> Result<Vec<String>, String> {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    if is("tls") || is("ssl") {
        return match value {
            "true" => Ok(vec!["--tls".into()]),
            "false" => Ok(Vec::new()),
            _ => Err(format!("{name}={value}: expected true or false")),
        };
    }
    if let Some(file) = FILES.iter().find(|file| is(file)) {
        return Ok(vec![format!("--{file}"), value.to_owned()]);
    }
    if let Some(switch) = SWITCHES.iter().find(|switch| is(switch)) {
        return if value == "true" { Ok(vec![format!("--{switch}")]) } else { Ok(Vec::new()) };
    }
    if WITHOUT_EFFECT.iter().any(|other| is(other)) {
        return Ok(Vec::new());
    }
    let known = FILES.iter().chain(&SWITCHES).copied().collect::<Vec<_>>().join(", ");
    Err(format!("its option {name} is not supported; tls, {known} are"))
}

/// Decodes percent-encoding (RFC 3986 section 2.1). The error does not show the text, which may be a password.
fn decoded(text: &str) -> Result<String, String> {
    let wrong = || "a part of it is not percent-encoded UTF-8; write % as %25".to_owned();
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = rest.get(..2).and_then(|digits| std::str::from_utf8(digits).ok()).ok_or_else(wrong)?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| wrong())?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

const TARGET: &str = "--target";
const UPSTREAM: &str = "--upstream";
/// The options whose values are replaced.
const OPTIONS: [&str; 4] = [TARGET, UPSTREAM, "--admin", "--node"];
const FILES: [&str; 3] = ["tlsCAFile", "tlsCertificateKeyFile", "tlsCertificateKeyFilePassword"];
const SWITCHES: [&str; 1] = ["tlsAllowInvalidCertificates"];
/// Options of drivers that change nothing for a single connection without login. An unknown option is an error, so that
/// a misspelt `tls` does not mean plaintext.
const WITHOUT_EFFECT: [&str; 6] =
    ["directConnection", "appName", "serverSelectionTimeoutMS", "connectTimeoutMS", "retryWrites", "retryReads"];

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::expand;

    fn expanded(line: &str) -> Result<String, String> {
        let words = expand(line.split(' ').map(OsString::from))?;
        Ok(words.iter().map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn uris_become_addresses_and_options() {
        for (line, expected) in [
            ("load --target db1:27017", "load --target db1:27017"),
            ("load --target mongodb://db1", "load --target db1:27017"),
            ("load ping --target=mongodb://db1:1/ --json", "load ping --target db1:1 --json"),
            ("load --target mongodb://db1:1/?tls=true", "load --target db1:1 --tls"),
            ("load --tls --target mongodb://db1:1/?ssl=true", "load --tls --target db1:1"),
            (
                "load --target mongodb://db1:1/x?tls=true&tlsCAFile=%2Fa%20b.pem&directConnection=true&appName=mongosh+2.1",
                "load --target db1:1 --tls --tlsCAFile /a b.pem",
            ),
            (
                "load --target mongodb://[::1]:1/?tlsAllowInvalidCertificates=true",
                "load --target [::1]:1 --tlsAllowInvalidCertificates",
            ),
            ("load --target mongodb://[::1]", "load --target [::1]:27017"),
            ("ctl --admin mongodb://127.0.0.1:28017/?tls=false status", "ctl --admin 127.0.0.1:28017 status"),
            ("ctl --admin mongodb://%2Frun%2Ftlsramp.sock mode", "ctl --admin unix:/run/tlsramp.sock mode"),
            ("rollout --node mongodb://a:1 --node mongodb://b:1/", "rollout --node a:1 --node b:1"),
            ("run --upstream mongodb://127.0.0.1/", "run --upstream 127.0.0.1:27017"),
            // Not an address.
            ("ctl accept mongodb://a", "ctl accept mongodb://a"),
        ] {
            assert_eq!(expanded(line).as_deref(), Ok(expected), "{line}");
        }
    }

    #[test]
    fn uris_that_cannot_be_taken_say_why() {
        for (line, part) in [
            ("load --target mongodb+srv://cluster.example.net", "SRV"),
            ("load --target mongodb://a:1,b:2/?replicaSet=rs0", "names 2 hosts"),
            ("load --target mongodb://user:secret@a:1", "does not log in"),
            ("load --target mongodb://a:1/?tsl=true", "tsl is not supported"),
            ("load --target mongodb://a:1/?tls=yes", "expected true or false"),
            ("load --target mongodb://a:1/?tlsCAFile=%2", "percent"),
            ("load --target mongodb://a:1/?tlsCAFile=%ff", "percent"),
            ("ctl --admin mongodb://a status", "28017"),
            ("run --upstream mongodb://a/?tls=true", "--upstreamTLS always"),
        ] {
            let error = expanded(line).unwrap_err();
            assert!(error.contains(part), "{line}: {error}");
        }
    }
}
