//! The ranks of the house, read from the `use` lines: a module imports only from strictly lower ranks.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// As in the documentation of the crate.
const RANKS: [(&str, u8); 26] = [
    ("text", 1),
    ("files", 0),
    ("policy", 0),
    ("limits", 0),
    ("drain", 0),
    ("mongo", 1),
    ("net", 1),
    ("tls", 1),
    ("sniff", 2),
    ("config", 2),
    ("telemetry", 2),
    ("state", 2),
    ("upstream", 2),
    ("proxy", 3),
    ("control", 3),
    ("admin", 4),
    ("app", 5),
    ("standin", 4),
    ("admin_client", 4),
    ("ctl", 6),
    ("demo", 6),
    ("load", 6),
    ("netfilter", 6),
    ("rollout", 6),
    ("lib", 7),
    ("main", 7),
];

#[test]
fn imports_go_down_only() {
    let ranks: BTreeMap<_, _> = RANKS.into_iter().collect();
    let mut seen = 0;
    let mut broken = Vec::new();
    for file in sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))) {
        let module = module_of(&file);
        let text = fs::read_to_string(&file).unwrap();
        seen += imports(&text).len();
        broken.extend(wrong(&module, &text, &ranks).into_iter().map(|what| format!("{}: {what}", file.display())));
    }
    assert!(seen > 50, "only {seen} imports found: is this test reading the right files?");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn a_broken_rank_is_seen() {
    let text = "use crate::{limits, net::{Slots, self}};\nuse crate::proxy::Route; // crate::app::App\n let x = crate::telemetry::y();";
    assert_eq!(imports(text), ["limits", "net", "proxy", "telemetry"]);
    assert_eq!(imports("use tlsramp::{app, config::{self, a}};"), ["app", "config"]);
    let ranks = RANKS.into_iter().collect();
    assert_eq!(wrong("proxy", "use crate::net::Slots; use crate::proxy::Leg;", &ranks), [""; 0]);
    for upwards in
        ["use crate::app::App;", "use crate::control::Controller;", "use crate::{limits, demo};", "use crate::Thing;"]
    {
        assert_eq!(wrong("proxy", upwards, &ranks).len(), 1, "{upwards}");
    }
    assert_eq!(wrong("proxy", "use super::super::app::App;", &ranks).len(), 1, "the root by another way");
}

/// A test file that nobody declares is a test that never runs.
#[test]
fn every_test_file_is_part_of_the_binary() {
    let main = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/main.rs")).unwrap();
    for file in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it")).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if path.extension().is_some_and(|end| end == "rs") && name != "main" {
            assert!(main.contains(&format!("mod {name};")), "tests/it/main.rs does not declare {name}");
        }
    }
}

/// What a module may not import: its own rank and above, and what is no module at all.
fn wrong(module: &str, text: &str, ranks: &BTreeMap<&str, u8>) -> Vec<String> {
    let rank = ranks.get(module).unwrap_or_else(|| panic!("{module} has no rank: give it one here"));
    let judged = imports(text).into_iter().filter(|imported| imported != module).filter_map(|imported| {
        match ranks.get(imported.as_str()) {
            Some(below) if below < rank => None,
            Some(below) => Some(format!("{module} ({rank}) uses {imported} ({below})")),
            None => Some(format!("{module} uses {imported}, which is no module")),
        }
    });
    // From a submodule, two steps up are the root of the crate: a way around what is checked here.
    let around = text.contains("super::super::").then(|| format!("{module} goes up by super::super"));
    judged.chain(around).collect()
}

/// The top-level modules named in a file by `crate::` or `tlsramp::`, comments left out.
fn imports(text: &str) -> Vec<String> {
    let code: String =
        text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
    let mut names = Vec::new();
    for prefix in ["crate::", "tlsramp::"] {
        for (at, _) in code.match_indices(prefix) {
            let rest = &code[at + prefix.len()..];
            match rest.strip_prefix('{') {
                Some(group) => names.extend(first_names(group)),
                None => names.push(identifier(rest)),
            }
        }
    }
    names.sort();
    names.dedup();
    names
}

/// The first name of each element of a `{...}` group, nested ones skipped.
fn first_names(group: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut depth = 0;
    let mut start = true;
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => start = true,
            letter if start && (letter.is_alphanumeric() || letter == '_') => {
                names.push(identifier(&group[at..]));
                start = false;
            }
            _ => {}
        }
    }
    names
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let here = files.into_iter().filter(|path| path.extension().is_some_and(|end| end == "rs"));
    here.chain(folders.iter().flat_map(|folder| sources(folder))).collect()
}

/// The top-level module that a file belongs to.
fn module_of(file: &Path) -> String {
    let relative = file.strip_prefix(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).unwrap();
    let first = relative.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}
