//! The rules, and the known violations.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use super::imports::Crate;

/// A module may only import from modules of lower ranks. The longest name that matches a file gives its rank.
const RANKS: [(&str, u8); 32] = [
    ("mongodb_uri", 0),
    ("text", 0),
    ("screen", 2),
    ("files", 0),
    ("policy", 0),
    ("limits", 0),
    ("drain", 0),
    ("mongo", 1),
    ("net", 1),
    ("tls", 1),
    ("sniff", 2),
    ("config", 2),
    ("telemetry", 5),
    ("state", 5),
    ("stream", 2),
    ("upstream", 3),
    ("route", 4),
    ("proxy", 6),
    ("control", 6),
    ("admin", 7),
    ("app", 8),
    ("standin", 7),
    ("admin_client", 8),
    ("ctl", 9),
    ("demo", 9),
    ("fuzzing", 9),
    ("load", 9),
    ("netfilter", 9),
    ("rollout", 9),
    ("command_line", 10),
    ("lib", 11),
    ("main", 11),
];
/// It is hard to find anything in a longer file.
const MOST_LINES: usize = 350;
static CRATE: LazyLock<Crate> = LazyLock::new(|| Crate::read(Path::new(SOURCES)));
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../src");
const TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../it");
const KNOWN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/known.txt");

#[test]
fn files_import_from_lower_ranks_only() {
    let edges = CRATE.edges();
    assert!(edges.values().flatten().count() > 500, "too few imports: are these the right files?");
    judge("rank", wrong_ranks(&edges));
}

#[test]
fn no_files_import_each_other() {
    judge("circle", circles(&CRATE.edges()));
}

#[test]
fn no_two_types_have_one_name() {
    let mut places = BTreeMap::<&str, Vec<&str>>::new();
    for source in CRATE.0.values() {
        source.types().iter().for_each(|name| places.entry(name).or_default().push(&source.file));
    }
    places.retain(|_, files| files.len() > 1);
    judge("type", places.keys().map(|name| (*name).to_owned()).collect());
}

#[test]
fn no_file_is_too_long() {
    let long = CRATE.0.values().filter(|source| source.lines > MOST_LINES);
    judge("long", long.map(|source| source.file.clone()).collect());
}

/// A test file that is not declared as a module is never run.
#[test]
fn every_test_file_is_part_of_the_binary() {
    let main = fs::read_to_string(Path::new(TESTS).join("main.rs")).unwrap_or_default();
    let files = fs::read_dir(TESTS).into_iter().flatten().flatten().map(|file| file.path());
    let names = files.filter(|path| path.extension().is_some_and(|end| end == "rs"));
    let names: Vec<_> = names.filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned())).collect();
    assert!(names.len() > 50, "too few test files: is this the right folder?");
    for name in names.iter().filter(|name| *name != "main") {
        assert!(main.contains(&format!("mod {name};")), "tests/it/main.rs does not declare {name}");
    }
}

#[test]
fn contributing_names_paths_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = fs::read_to_string(root.join("CONTRIBUTING.md")).unwrap_or_default();
    let quoted = text.split('`').skip(1).step_by(2);
    let paths: Vec<_> = quoted.filter(|name| name.ends_with(".rs") && name.contains('/')).collect();
    assert!(paths.len() > 10, "only {} paths found", paths.len());
    for path in paths {
        assert!(root.join("src").join(path).exists(), "CONTRIBUTING.md names {path}");
    }
}

#[test]
fn a_broken_rule_is_seen() {
    let edges = |pairs: &[(&'static str, &'static str)]| {
        let mut edges = BTreeMap::<_, BTreeSet<_>>::new();
        for (from, to) in pairs {
            edges.entry(*from).or_default().insert(*to);
            edges.entry(*to).or_default();
        }
        edges
    };
    let down = edges(&[("src/proxy/leg.rs", "src/net/dial.rs"), ("src/proxy/leg.rs", "src/proxy/route.rs")]);
    assert_eq!((wrong_ranks(&down).len(), circles(&down).len()), (0, 0));
    let up = edges(&[("src/net/dial.rs", "src/proxy/leg.rs"), ("src/ctl/run.rs", "src/demo/walk.rs")]);
    assert_eq!(wrong_ranks(&up).len(), 2);
    let circle = edges(&[("a", "b"), ("b", "c"), ("c", "a"), ("d", "a"), ("c", "e")]);
    assert_eq!(circles(&circle), ["a -> b", "b -> c", "c -> a"].map(str::to_owned).into());
}

/// Imports from a higher rank, or from another module of the same rank.
fn wrong_ranks(edges: &BTreeMap<&str, BTreeSet<&str>>) -> BTreeSet<String> {
    let mut wrong = BTreeSet::new();
    for (from, to) in edges.iter().flat_map(|(from, targets)| targets.iter().map(move |to| (*from, *to))) {
        let ((module, rank), (imported, below)) = (rank(from), rank(to));
        if module != imported && below >= rank {
            wrong.insert(format!("{from} -> {to}"));
        }
    }
    wrong
}

/// Imports between files that can be reached from each other.
fn circles(edges: &BTreeMap<&str, BTreeSet<&str>>) -> BTreeSet<String> {
    let reached: BTreeMap<_, _> = edges.keys().map(|from| (*from, reachable(edges, from))).collect();
    let pairs = edges.iter().flat_map(|(from, targets)| targets.iter().map(move |to| (*from, *to)));
    let back = pairs.filter(|(from, to)| reached.get(to).is_some_and(|further| further.contains(from)));
    back.map(|(from, to)| format!("{from} -> {to}")).collect()
}

fn reachable<'a>(edges: &BTreeMap<&'a str, BTreeSet<&'a str>>, from: &'a str) -> BTreeSet<&'a str> {
    let (mut found, mut left) = (BTreeSet::new(), vec![from]);
    while let Some(next) = left.pop() {
        left.extend(edges.get(next).into_iter().flatten().copied().filter(|target| found.insert(*target)));
    }
    found
}

/// The module that determines a file's rank, and the rank.
fn rank(file: &str) -> (&'static str, u8) {
    let path = file.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
    let fits = |name: &str| path == name || path.strip_prefix(name).is_some_and(|rest| rest.starts_with('/'));
    let found = RANKS.into_iter().filter(|(name, _)| fits(name)).max_by_key(|(name, _)| name.len());
    found.unwrap_or_else(|| panic!("{file} has no rank: give its module one in RANKS"))
}

/// Fails for violations that are not known. Prints known violations that no longer exist.
fn judge(rule: &str, found: BTreeSet<String>) {
    let text = fs::read_to_string(KNOWN).unwrap_or_default();
    if std::env::var("STRUCTURE_WRITE").is_ok_and(|value| value == "1") {
        return write(rule, &found);
    }
    let known: BTreeSet<&str> = text.lines().filter_map(|line| line.strip_prefix(rule)).map(str::trim).collect();
    for gone in known.iter().filter(|known| !found.contains(**known)) {
        println!("tests/structure/known.txt: {rule} {gone} is no more: remove the line");
    }
    let new: Vec<_> = found.iter().filter(|found| !known.contains(found.as_str())).map(String::as_str).collect();
    assert!(new.is_empty(), "the rule `{rule}` is broken (see tests/structure/structure.rs):\n{}", new.join("\n"));
}

/// Replaces the lines of a rule. Only one test at a time may do so, because the tests share the file.
fn write(rule: &str, found: &BTreeSet<String>) {
    static FILE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one = FILE.lock();
    let text = fs::read_to_string(KNOWN).unwrap_or_default();
    let mut lines: BTreeSet<String> =
        text.lines().filter(|line| line.split(' ').next() != Some(rule)).map(str::to_owned).collect();
    lines.extend(found.iter().map(|found| format!("{rule} {found}")));
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    fs::write(KNOWN, text).unwrap_or_else(|error| panic!("cannot write {KNOWN}: {error}"));
}
