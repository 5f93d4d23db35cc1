//! Reads the configuration file and detects its syntax, YAML or `key = value`. Refuses a file that is too large, is not
//! text, or cannot be read. A relative path is relative to the working directory, as with mongod.

use std::path::Path;

use super::mistake::Mistake;
use super::options::Form;
use super::raw::RawValue;
use super::{pairs, yaml};
use crate::files;
use crate::limits::CONFIG_FILE_BYTES;

/// The values in a file; `None` if it cannot be read. Errors are added to `mistakes`.
pub(super) fn read(path: &Path, mistakes: &mut Vec<Mistake>) -> Option<Vec<RawValue>> {
    match text(path) {
        Ok(text) => entries(&text, path, mistakes),
        Err(mistake) => {
            mistakes.push(mistake);
            None
        }
    }
}

/// The values in a file's text; `None` if its syntax is neither of the two. Errors are added to `mistakes`.
pub(super) fn entries(text: &str, path: &Path, mistakes: &mut Vec<Mistake>) -> Option<Vec<RawValue>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match form(text) {
        Some(Form::Pairs) => Some(pairs::entries(text, path, mistakes)),
        Some(Form::Yaml | Form::Flag) => yaml::entries(text, path, mistakes),
        None => Some(Vec::new()),
    }
}

fn text(path: &Path) -> Result<String, Mistake> {
    let name = format!("--config '{}'", path.display());
    let bytes = files::read(path, CONFIG_FILE_BYTES)
        .map_err(|problem| Mistake::new(&name, problem, "check the path and the file's permissions"))?;
    String::from_utf8(bytes).map_err(|_| Mistake::new(name, "the file is not UTF-8 text", "name a configuration file"))
}

/// The syntax, by the first line that is neither empty nor a comment: `name = value`, or else YAML. `None` if there is
/// no such line.
fn form(text: &str) -> Option<Form> {
    let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with(['#', ';']))?;
    let pair = first.split_once('=').is_some_and(|(name, _)| {
        let name = name.trim_end();
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
    });
    Some(if pair { Form::Pairs } else { Form::Yaml })
}

#[cfg(test)]
mod tests {
    use super::{Form, form, read};
    use crate::limits::CONFIG_FILE_BYTES;

    #[test]
    fn the_first_meaningful_line_tells_the_form() {
        let rows = [
            ("", None),
            ("\n  \n# only = comments\n; here\n", None),
            ("# c\n\nsslMode = allowSSL\n", Some(Form::Pairs)),
            ("port=1", Some(Form::Pairs)),
            ("net:\n  port: 1\n", Some(Form::Yaml)),
            ("---\nport = 1", Some(Form::Yaml)),
            ("outbound: 127.0.0.1:1=db:1", Some(Form::Yaml)),
            ("{proxy: {upstream: 'a=b'}}", Some(Form::Yaml)),
            ("= value", Some(Form::Yaml)),
            ("[section]\nport = 1", Some(Form::Yaml)),
        ];
        for (text, expected) in rows {
            assert_eq!(form(text), expected, "{text:?}");
        }
    }

    #[test]
    fn files_that_cannot_be_read_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let rows = [
            (dir.path().join("absent"), "cannot be read"),
            (dir.path().to_owned(), "cannot be read"),
            (
                file("large", &vec![b'#'; usize::try_from(CONFIG_FILE_BYTES).unwrap() + 1]),
                "exceeds the limit of 1048576 bytes",
            ),
            (file("binary", b"port = \xff"), "not UTF-8"),
        ];
        for (path, expected) in rows {
            let mut mistakes = Vec::new();
            assert!(read(&path, &mut mistakes).is_none());
            assert_eq!(mistakes.len(), 1);
            let text = mistakes[0].to_string();
            assert!(
                text.contains(expected) && text.contains("--config") && text.contains(path.to_str().unwrap()),
                "{text}"
            );
        }
    }
}
