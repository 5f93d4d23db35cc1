//! The older form of mongod's file: `key = value` lines with the flag names as keys.
//!
//! Parsed as mongod does: one option per line, no quoting, no escapes; a `#` after a space or tab starts a comment. A
//! line without `=` is an error, and so is a `[section]`. General INI parsers are unsuitable: they end a value at any
//! `#`, join lines at a backslash, and treat an indented comment as part of the next key.

use std::path::Path;

use super::mistake::Mistake;
use super::options::Form;
use super::raw::RawValue;
use super::table;
use super::unknown::unknown;

/// The values in a text, in its order. Errors are added to `mistakes`.
pub(super) fn entries(text: &str, path: &Path, mistakes: &mut Vec<Mistake>) -> Vec<RawValue> {
    let mut entries = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = without_comment(line).trim();
        if line.is_empty() {
            continue;
        }
        match entry(line, number + 1, path) {
            Ok(entry) => entries.push(entry),
            Err(mistake) => mistakes.push(mistake),
        }
    }
    entries
}

fn entry(line: &str, number: usize, path: &Path) -> Result<RawValue, Mistake> {
    let Some((name, value)) = line.split_once('=') else {
        let problem = "the line is not of the form `key = value`";
        return Err(Mistake::new(format!("line {number}"), problem, "correct the line, or remove it").within(path));
    };
    let (name, value) = (name.trim(), value.trim());
    if name == "sslOnNormalPorts" || name == "tlsOnNormalPorts" {
        let remedy = if name.starts_with('s') { "write sslMode = requireSSL" } else { "write tlsMode = requireTLS" };
        return Err(Mistake::new(name, "this is a mode name of older versions", remedy).within(path));
    }
    let (opt, variant) = table::find(Form::Pairs, name).ok_or_else(|| unknown(Form::Pairs, name, path))?;
    if value.is_empty() {
        return Err(Mistake::new(name, "the option has no value", "give it a value, or remove the line").within(path));
    }
    Ok(RawValue { opt, form: Form::Pairs, variant, value: value.to_owned() })
}

fn without_comment(line: &str) -> &str {
    if line.trim_start().starts_with(['#', ';']) {
        return "";
    }
    let start =
        line.char_indices().zip(line.chars().skip(1)).find(|((_, one), two)| one.is_whitespace() && *two == '#');
    start.map_or(line, |((at, _), _)| &line[..at])
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::entries;

    #[test]
    fn reads_lines_as_mongod_does() {
        let text = "# c\n  ; c\n\t# c\nport = 27018 # the port\n\nsslPEMKeyPassword=a#b\\\n bind_ip =::1\t#x\r\nupstream = \"db:1\"\n";
        let mut mistakes = Vec::new();
        let read = entries(text, Path::new("f"), &mut mistakes);
        let read = read.iter().map(|entry| (entry.name(), entry.value.as_str())).collect::<Vec<_>>();
        let expected =
            [("port", "27018"), ("sslPEMKeyPassword", "a#b\\"), ("bind_ip", "::1"), ("upstream", "\"db:1\"")];
        assert_eq!(read, expected.map(|(name, value)| (name.to_owned(), value)));
        assert_eq!(mistakes, []);
    }

    #[test]
    fn names_each_line_that_is_wrong() {
        let text = "port = 1\nfork\n[net]\nsslmode = x\nport =\nsslOnNormalPorts = true\ndbpath = /data\n=x\n";
        let mut mistakes = Vec::new();
        assert_eq!(entries(text, Path::new("/etc/t.conf"), &mut mistakes).len(), 1);
        let texts = mistakes.iter().map(ToString::to_string).collect::<Vec<_>>();
        let expected = [
            "line 2 in /etc/t.conf: the line is not of the form `key = value`",
            "line 3 in /etc/t.conf",
            "sslmode in /etc/t.conf: there is no such option\n  did you mean sslMode?",
            "port in /etc/t.conf: the option has no value",
            "write sslMode = requireSSL",
            "dbpath in /etc/t.conf: this is an option of mongod",
            " in /etc/t.conf: there is no such option",
        ];
        assert_eq!(texts.len(), expected.len(), "{texts:#?}");
        for (text, expected) in texts.iter().zip(expected) {
            assert!(text.contains(expected), "{text}");
        }
    }
}
