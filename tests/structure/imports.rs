//! Finds the imports between files of `src`: paths in `use` items and in expressions, followed through re-exports to
//! the file that defines the name.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::tokens::{tokens, without_tests};

/// A path of modules from the crate root; the root itself is empty.
pub(crate) type Module = Vec<String>;

/// A source file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Source {
    /// Its path in the repository.
    pub(crate) file: String,
    /// Its tokens, without tests.
    pub(crate) tokens: Vec<String>,
    /// Its number of lines, including tests.
    pub(crate) lines: usize,
    uses: Vec<Use>,
    /// The names of the items that it defines.
    items: BTreeSet<String>,
}

/// A name that a `use` item imports.
#[derive(Debug, Clone)]
struct Use {
    /// The path from the crate root.
    path: Module,
    /// The local name; `*` for a glob import.
    name: String,
    /// Whether other modules can import it from here.
    public: bool,
}

/// The source files of the crate.
#[derive(Debug, Default)]
pub(crate) struct Crate(pub(crate) BTreeMap<Module, Source>);

impl Crate {
    /// Reads all files of a folder except those for tests only.
    pub(crate) fn read(folder: &Path) -> Self {
        let texts = files(folder).into_iter().map(|file| {
            let name = file.strip_prefix(folder).unwrap_or(&file).to_string_lossy().into_owned();
            (name, fs::read_to_string(&file).unwrap_or_default())
        });
        Self::of(texts)
    }

    /// Creates a crate from files, each given as its path within `src` and its text.
    pub(crate) fn of(files: impl IntoIterator<Item = (String, String)>) -> Self {
        let (mut sources, mut tests) = (BTreeMap::new(), Vec::new());
        for (name, text) in files {
            let module = module(&name);
            let (tokens, for_tests) = without_tests(&tokens(&text));
            tests.extend(for_tests.into_iter().map(|name| [&module[..], &[name]].concat()));
            let (file, lines, items) = (format!("src/{name}"), text.lines().count(), items(&tokens));
            let source = Source { file, tokens, lines, uses: Vec::new(), items };
            sources.insert(module, source);
        }
        sources.retain(|module, _| !tests.iter().any(|test| module.starts_with(test)));
        let mut all = Self(sources);
        let uses: Vec<_> = all.0.iter().map(|(module, source)| (module.clone(), all.uses(module, source))).collect();
        for (module, uses) in uses {
            all.0.entry(module).or_default().uses = uses;
        }
        all
    }

    /// For each file, the files from which it imports names.
    pub(crate) fn edges(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let edges = self.0.iter().map(|(module, source)| {
            let paths = self.paths(module, source);
            let targets = paths.iter().filter_map(|path| self.file(path, 0)).filter(|&file| file != source.file);
            (source.file.as_str(), targets.collect())
        });
        edges.collect()
    }

    /// Every path in a file, from the crate root.
    fn paths(&self, module: &[String], source: &Source) -> Vec<Module> {
        let mut paths = Vec::new();
        let rest = outside_uses(&source.tokens);
        for used in &source.uses {
            // A re-exported name that this file does not use is imported by others, from the file that defines it. An
            // imported module counts only by the names used from it.
            let here = rest.iter().any(|token| **token == used.name);
            let is_module = self.0.contains_key(&used.path);
            if (!used.public || here) && !is_module && used.name != "*" {
                paths.push(used.path.clone());
            }
        }
        for at in 0..rest.len() {
            let follows = at > 0 && matches!(rest[at - 1].as_str(), "::" | ".");
            if follows || !is_name(rest[at]) || rest.get(at + 1).is_none_or(|next| *next != "::") {
                continue;
            }
            let words = rest[at..].chunks(2).take_while(|pair| is_name(pair[0]));
            let mut path = Vec::new();
            for pair in words {
                path.push(pair[0].clone());
                if pair.get(1).is_none_or(|token| *token != "::") {
                    break;
                }
            }
            let named = source.uses.iter().find(|used| used.name == path[0] && self.0.contains_key(&used.path));
            match named {
                Some(used) => paths.push([&used.path[..], &path[1..]].concat()),
                None => paths.extend(self.absolute(module, &path)),
            }
        }
        paths
    }

    /// The names that a file's `use` items import.
    fn uses(&self, module: &[String], source: &Source) -> Vec<Use> {
        let mut uses = Vec::new();
        for (at, token) in source.tokens.iter().enumerate().filter(|(_, token)| *token == "use") {
            debug_assert_eq!(token, "use");
            let public = at > 0 && matches!(source.tokens[at - 1].as_str(), "pub" | ")");
            let end = source.tokens[at..].iter().position(|token| token == ";").map_or(at, |length| at + length);
            let mut leaves = Vec::new();
            leaves_of(&source.tokens[at + 1..end], &[], &mut leaves);
            for (path, name) in leaves {
                uses.extend(self.absolute(module, &path).map(|path| Use { path, name: name.clone(), public }));
            }
        }
        uses
    }

    /// A path from the crate root; `None` if it leads to another crate.
    fn absolute(&self, module: &[String], path: &[String]) -> Option<Module> {
        let (mut base, mut at) = (module.to_vec(), 0);
        match path.first()?.as_str() {
            "crate" | "tlsramp" => (base, at) = (Vec::new(), 1),
            "self" => at = 1,
            "super" => {
                while path.get(at).is_some_and(|step| step == "super") {
                    base.pop();
                    at += 1;
                }
            }
            // A relative path, to a submodule of this one.
            first => {
                base.push(first.to_owned());
                self.0.contains_key(&base).then_some(())?;
                at = 1;
            }
        }
        base.extend_from_slice(&path[at..]);
        Some(base)
    }

    /// The file that defines the name at the end of a path.
    fn file(&self, path: &[String], depth: usize) -> Option<&str> {
        // Circular re-exports do not compile, but a glob import may lead back here.
        (depth < 8).then_some(())?;
        let length = (0..=path.len()).rev().find(|&length| self.0.contains_key(&path[..length]))?;
        let source = self.0.get(&path[..length])?;
        let Some(name) = path.get(length) else { return Some(&source.file) };
        let passed_on = source.uses.iter().filter(|used| used.path != path);
        let (all, named): (Vec<_>, Vec<_>) = passed_on.partition(|used| used.name == "*");
        if let Some(used) = named.iter().find(|used| used.name == *name) {
            return self.file(&[&used.path[..], &path[length + 1..]].concat(), depth + 1);
        }
        if source.items.contains(name) {
            return Some(&source.file);
        }
        let by_glob = all.iter().filter(|used| used.public).find_map(|used| {
            let from = self.0.get(&used.path)?;
            let has = from.items.contains(name) || from.uses.iter().any(|used| used.public && used.name == *name);
            has.then(|| self.file(&[&used.path[..], &path[length..]].concat(), depth + 1)).flatten()
        });
        Some(by_glob.unwrap_or(&source.file))
    }
}

impl Source {
    /// The types that are defined here, without associated types.
    pub(crate) fn types(&self) -> Vec<&str> {
        let (mut found, mut depth) = (Vec::new(), 0_usize);
        for pair in self.tokens.windows(2) {
            match pair[0].as_str() {
                "{" => depth += 1,
                "}" => depth = depth.saturating_sub(1),
                "struct" | "enum" | "trait" | "union" if is_name(&pair[1]) => found.push(pair[1].as_str()),
                "type" if depth == 0 => found.push(pair[1].as_str()),
                _ => {}
            }
        }
        found.retain(|name| name.starts_with(char::is_uppercase));
        found
    }
}

/// The leaves of a `use` tree, each with its path and its local name.
fn leaves_of(tokens: &[String], prefix: &[String], leaves: &mut Vec<(Module, String)>) {
    let (mut path, mut at) = (prefix.to_vec(), 0);
    let mut renamed = None;
    while let Some(token) = tokens.get(at) {
        match token.as_str() {
            "::" => {}
            "{" => {
                let (mut depth, mut start) = (0, at + 1);
                for (place, token) in tokens.iter().enumerate().skip(at) {
                    match token.as_str() {
                        "{" => depth += 1,
                        "}" if depth == 1 => return leaves_of(&tokens[start..place], &path, leaves),
                        "}" => depth -= 1,
                        "," if depth == 1 => {
                            leaves_of(&tokens[start..place], &path, leaves);
                            start = place + 1;
                        }
                        _ => {}
                    }
                }
                return;
            }
            "as" => {
                renamed = tokens.get(at + 1).cloned();
                break;
            }
            "self" if !path.is_empty() => {}
            name => path.push(name.to_owned()),
        }
        at += 1;
    }
    if path.len() > prefix.len() || (!tokens.is_empty() && !prefix.is_empty()) {
        let name = path.last().cloned().unwrap_or_default();
        if name == "*" {
            path.pop();
        }
        leaves.push((path, renamed.unwrap_or(name)));
    }
}

/// The tokens that do not belong to a `use` item.
fn outside_uses(tokens: &[String]) -> Vec<&String> {
    let (mut rest, mut inside) = (Vec::new(), false);
    for token in tokens {
        match token.as_str() {
            "use" => inside = true,
            ";" if inside => inside = false,
            _ if inside => {}
            _ => rest.push(token),
        }
    }
    rest
}

fn items(tokens: &[String]) -> BTreeSet<String> {
    const ITEMS: [&str; 8] = ["struct", "enum", "trait", "type", "fn", "const", "static", "mod"];
    let pairs = tokens.windows(2).filter(|pair| ITEMS.contains(&pair[0].as_str()));
    pairs.map(|pair| pair[1].clone()).collect()
}

fn is_name(token: &str) -> bool {
    token.starts_with(|letter: char| letter.is_alphabetic() || letter == '_')
}

/// The module of a file of `src`. The binary is a module that cannot be imported.
fn module(file: &str) -> Module {
    let path = file.trim_end_matches(".rs").trim_end_matches("/mod");
    if path == "lib" { Vec::new() } else { path.split('/').map(str::to_owned).collect() }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let here = files.into_iter().filter(|path| path.extension().is_some_and(|end| end == "rs"));
    here.chain(folders.iter().flat_map(|folder| self::files(folder))).collect()
}

mod tests {
    use super::Crate;

    #[test]
    fn names_are_followed_to_the_file_that_defines_them() {
        let files = [
            ("lib.rs", "pub mod a; pub mod b;"),
            ("a/mod.rs", "mod one; mod two; pub use one::One; pub(crate) use self::two::*; pub struct Own;"),
            ("a/one.rs", "use super::two::Two; use std::fmt; pub struct One(super::Own);"),
            ("a/two.rs", "pub struct Two; #[cfg(test)] mod tests { use super::super::One; }"),
            ("b.rs", "use crate::a::{self, One as Other}; fn f() { a::Two; std::mem::take(); }"),
            ("main.rs", "use tlsramp::b; fn main() { b::f(); }"),
        ];
        let all = Crate::of(files.map(|(name, text)| (name.to_owned(), text.to_owned())));
        let edges = all.edges();
        let of = |file| edges[file].iter().copied().collect::<Vec<_>>();
        assert_eq!(of("src/a/mod.rs"), [""; 0]);
        assert_eq!(of("src/a/one.rs"), ["src/a/mod.rs", "src/a/two.rs"]);
        assert_eq!(of("src/a/two.rs"), [""; 0]);
        assert_eq!(of("src/b.rs"), ["src/a/one.rs", "src/a/two.rs"]);
        assert_eq!(of("src/main.rs"), ["src/b.rs"]);
    }

    #[test]
    fn an_associated_type_is_no_type_of_its_own() {
        let text = "struct A; type B = A; impl X for A { type C = A; } #[cfg(test)] enum D {}";
        let all = Crate::of([("lib.rs".to_owned(), text.to_owned())]);
        assert_eq!(all.0[&Vec::new()].types(), ["A", "B"]);
    }
}
