//! The YAML form of the configuration file, flattened to dotted paths. Unknown keys, duplicate keys, values in place of
//! sections and sections in place of values are errors. Messages quote keys but never values, which may be passwords.

use std::path::Path;

use serde_json::Value;

use super::mistake::Mistake;
use super::options::{Form, OptionSpec, ValueKind};
use super::raw::RawValue;
use super::table::{self, TABLE};
use super::unknown::unknown;
use crate::text::printable;

/// The values in a text; `None` if it is not YAML with sections at the top. Errors are added to `mistakes`.
pub(super) fn entries(text: &str, path: &Path, mistakes: &mut Vec<Mistake>) -> Option<Vec<RawValue>> {
    let mut walk = YamlWalker { path, mistakes, entries: Vec::new() };
    let readable = match parse(text, serde_saphyr::DuplicateKeyPolicy::Error) {
        Ok(value) => walk.document(&value),
        Err(error) => {
            let double = matches!(error, serde_saphyr::Error::DuplicateMappingKey { .. });
            walk.refuse_text(&error, double);
            // Continues with the first of two duplicate values, so that the rest of the file is checked in the same
            // run.
            let first = double.then(|| parse(text, serde_saphyr::DuplicateKeyPolicy::FirstWins));
            first.and_then(Result::ok).is_some_and(|value| walk.document(&value))
        }
    };
    readable.then_some(walk.entries)
}

fn parse(text: &str, duplicate_keys: serde_saphyr::DuplicateKeyPolicy) -> Result<Value, serde_saphyr::Error> {
    let options = serde_saphyr::options! {
        duplicate_keys: duplicate_keys,
        strict_booleans: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options)
}

struct YamlWalker<'a> {
    path: &'a Path,
    mistakes: &'a mut Vec<Mistake>,
    entries: Vec<RawValue>,
}

impl YamlWalker<'_> {
    /// Handles the whole document. Returns whether its top consists of sections, or is empty.
    fn document(&mut self, value: &Value) -> bool {
        match value {
            Value::Object(_) => self.section("", value),
            Value::Null => {}
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                let problem = "the file has neither YAML sections nor `key = value` lines";
                self.mistakes.push(Mistake::new(
                    format!("--config '{}'", self.path.display()),
                    problem,
                    "write options as in mongod.conf, such as port under net, or port = 27017",
                ));
                return false;
            }
        }
        true
    }

    /// Handles a value at a dotted path, which may be an option, a section or neither.
    fn value(&mut self, dotted: &str, value: &Value) {
        if let Some((opt, variant)) = table::find(Form::Yaml, dotted) {
            return self.option(opt, variant, value);
        }
        let is_section = TABLE
            .iter()
            .flat_map(|opt| opt.yaml)
            .any(|known| known.strip_prefix(dotted).is_some_and(|rest| rest.starts_with('.')));
        match (value, is_section) {
            (_, false) => self.mistakes.push(unknown(Form::Yaml, dotted, self.path)),
            (Value::Object(_), true) => self.section(dotted, value),
            (Value::Null, true) => {}
            (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_), true) => {
                self.refuse(dotted, "this is a section, not an option", "write options under it");
            }
        }
    }

    fn section(&mut self, dotted: &str, value: &Value) {
        for (name, value) in value.as_object().into_iter().flatten() {
            let dotted = if dotted.is_empty() { name.clone() } else { format!("{dotted}.{name}") };
            self.value(&dotted, value);
        }
    }

    fn option(&mut self, opt: &'static OptionSpec, variant: usize, value: &Value) {
        let name = opt.written(Form::Yaml, variant);
        match (value, opt.kind) {
            (Value::Array(items), ValueKind::List(_)) if items.iter().all(Value::is_string) => {
                items.iter().for_each(|item| self.push(opt, variant, item));
            }
            (Value::Array(_), ValueKind::List(_)) => {
                self.refuse(&name, "the option requires a list of strings", "write each item in quotes")
            }
            (Value::Array(_) | Value::Object(_), _) => {
                let remedy = format!("write {name}: {}", placeholder(opt.kind));
                self.refuse(&name, "the option does not accept this list or section", &remedy);
            }
            (Value::Null, _) => self.refuse(&name, "the option has no value", "give it a value, or remove the line"),
            (Value::String(text), _) if text.trim().is_empty() => {
                self.refuse(&name, "the option has no value", "give it a value, or remove the line");
            }
            (Value::Number(_) | Value::Bool(_), ValueKind::Secret(_)) => {
                self.refuse(&name, "YAML reads this password as a number or a boolean", "write it in quotes");
            }
            (Value::Bool(_), ValueKind::Value(_) | ValueKind::List(_)) => {
                let problem = format!("expected {}, not true or false", placeholder(opt.kind));
                self.refuse(&name, &problem, "correct the value, or remove the line");
            }
            (Value::String(_) | Value::Number(_) | Value::Bool(_), _) => self.push(opt, variant, value),
        }
    }

    fn push(&mut self, opt: &'static OptionSpec, variant: usize, value: &Value) {
        let value = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        self.entries.push(RawValue { opt, form: Form::Yaml, variant, value });
    }

    fn refuse(&mut self, name: &str, problem: &str, remedy: &str) {
        self.mistakes.push(Mistake::new(printable(name), problem, remedy).within(self.path));
    }

    fn refuse_text(&mut self, error: &serde_saphyr::Error, double: bool) {
        let place = error.location().map_or_else(|| "--config".to_owned(), |at| format!("line {}", at.line()));
        let mistake = if double {
            Mistake::new(place, "a key is given twice in one section", "keep one of them")
        } else {
            let reason = format!("invalid YAML: {}", printable(&error.without_snippet().to_string()));
            Mistake::new(place, reason, "correct the line, or the indentation around it")
        };
        self.mistakes.push(mistake.within(self.path));
    }
}

const fn placeholder(kind: ValueKind) -> &'static str {
    match kind {
        ValueKind::Value(placeholder) | ValueKind::Secret(placeholder) | ValueKind::List(placeholder) => placeholder,
        ValueKind::Switch => "true|false",
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::entries;

    fn read(text: &str) -> (Vec<String>, Vec<String>) {
        let mut mistakes = Vec::new();
        let read = entries(text, Path::new("/etc/t.yaml"), &mut mistakes);
        let read = read.into_iter().flatten();
        (read.map(|entry| format!("{entry:?}")).collect(), mistakes.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn walks_sections_to_options() {
        let text = "net:\n  port: 27018\n  tls: {mode: allowTLS, allowInvalidHostnames: true}\nproxy:\n  outbound:\n  - a=b\n  - c=d\n";
        let expected = [
            "net.port=27018",
            "net.tls.allowInvalidHostnames=true",
            "net.tls.mode=allowTLS",
            "proxy.outbound=a=b",
            "proxy.outbound=c=d",
        ];
        assert_eq!(read(text), (expected.map(ToOwned::to_owned).to_vec(), vec![]));
        assert_eq!(read("net.port: 1\nproxy:\n  outbound: a=b").0, ["net.port=1", "proxy.outbound=a=b"]);
        assert_eq!(read("net:\nproxy: ~\n"), (vec![], vec![]));
        assert_eq!(read("--- # nothing\n"), (vec![], vec![]));
    }

    #[test]
    fn names_each_mistake() {
        let rows = [
            ("storage: {dbPath: /data}", "storage in /etc/t.yaml: this is an option of mongod"),
            (
                "net: {tls: {cafile: a}}",
                "net.tls.cafile in /etc/t.yaml: there is no such option\n  did you mean net.tls.CAFile?",
            ),
            ("net: {tls: {FIPSMode: true}}", "net.tls.FIPSMode in /etc/t.yaml: there is no such option"),
            ("net: 5", "net in /etc/t.yaml: this is a section"),
            ("net: {port: [1, 2]}", "net.port in /etc/t.yaml: the option does not accept this list or section"),
            ("net: {port: {a: 1}}", "net.port in /etc/t.yaml: the option does not accept this list or section"),
            ("net: {port: }", "net.port in /etc/t.yaml: the option has no value"),
            ("net: {bindIp: ''}", "net.bindIp in /etc/t.yaml: the option has no value"),
            ("net: {port: true}", "net.port in /etc/t.yaml: expected PORT, not true or false"),
            ("net: {tls: {clusterPassword: 0123}}", "write it in quotes"),
            ("proxy: {outbound: [1, {a: b}]}", "proxy.outbound in /etc/t.yaml: the option requires a list of strings"),
            ("- a\n- b", "neither YAML sections"),
            ("just text", "neither YAML sections"),
            ("net:\n  port: [", "invalid YAML"),
            ("net:\n  port: 1\nnet:\n  port: 2\n", "line 3 in /etc/t.yaml: a key is given twice"),
            ("a: 1\n---\nb: 2\n", "invalid YAML"),
        ];
        for (text, expected) in rows {
            let (_, mistakes) = read(text);
            assert_eq!(mistakes.len(), 1, "{text}: {mistakes:?}");
            assert!(mistakes[0].contains(expected), "{}", mistakes[0]);
        }
    }

    #[test]
    fn a_double_key_does_not_hide_the_rest() {
        let (read, mistakes) = read("net:\n  port: 1\n  port: 2\nstorage: {}\n");
        assert_eq!((read, mistakes.len()), (vec!["net.port=1".to_owned()], 2));
    }

    #[test]
    fn no_message_quotes_a_password() {
        for text in [
            "net: {tls: {clusterPassword: [hunter2]}}",
            "net: {tls: {clusterPasswort: hunter2}}",
            "a: \"hunter2",
            "hunter2",
            "&hunter2 *x",
            "!!int hunter2",
            "clusterPassword: !!int hunter2",
            "net: {tls: {clusterPassword: *hunter2}}",
        ] {
            let (_, mistakes) = read(text);
            assert!(!mistakes.is_empty() && !mistakes.concat().contains("hunter2"), "{text}: {mistakes:?}");
        }
    }
}
