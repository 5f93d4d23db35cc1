//! The pages, their blocks of code, and their links.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use crate::support::run_to_end;

/// A page of Markdown.
pub(super) struct Page {
    /// Its path from the root of the repository.
    pub(super) name: String,
    pub(super) text: String,
}

pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The README and all pages of the book, by name.
pub(super) fn all() -> Vec<Page> {
    let mut names = vec!["README.md".to_owned()];
    names.extend(files("docs/src", "md"));
    names.sort();
    names.iter().map(|name| read(name)).collect()
}

pub(super) fn read(name: &str) -> Page {
    let text = fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    Page { name: name.to_owned(), text }
}

/// The files of a folder with this extension, as paths from the root of the repository.
pub(super) fn files(folder: &str, extension: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root().join(folder)).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            found.extend(files(&name, extension));
        } else if path.extension().is_some_and(|its| its == extension) {
            found.push(name);
        }
    }
    found
}

/// A fenced block: the words after the fence, and the lines without its indentation.
pub(super) struct Block {
    pub(super) words: Vec<String>,
    pub(super) text: String,
}

impl Block {
    pub(super) fn is_console(&self) -> bool {
        self.words[0] == "console"
    }

    pub(super) fn is_run(&self) -> bool {
        self.is_console() && !self.words.iter().any(|word| word == "norun")
    }

    /// The commands, each on one line.
    pub(super) fn commands(&self) -> Vec<String> {
        let joined = self.text.replace("\\\n", " ");
        joined.lines().filter_map(|line| line.strip_prefix("$ ")).map(str::to_owned).collect()
    }
}

pub(super) fn blocks(text: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut open: Option<(usize, Block)> = None;
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        match (line.trim_start().strip_prefix("```"), &mut open) {
            (Some(info), None) => {
                let words = info.split([',', ' ']).map(str::to_owned).collect();
                open = Some((indent, Block { words, text: String::new() }));
            }
            (Some(_), Some(_)) => found.extend(open.take().map(|(_, block)| block)),
            (None, Some((indent, block))) => {
                block.text.push_str(line.get(*indent..).unwrap_or_default());
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block has no end");
    found
}

/// The text without blocks of code.
fn prose(text: &str) -> String {
    let outside = text.split("```").step_by(2);
    outside.collect()
}

/// Pages beside the book whose links are checked too.
const OTHERS: [&str; 7] = [
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "benches/README.md",
    "deploy/README.md",
    "deploy/examples/README.md",
    "deploy/netfilter.md",
];

#[test]
fn links_lead_to_pages_and_headings() {
    let mut pages = all();
    pages.extend(OTHERS.iter().map(|name| read(name)));
    let mut known: HashMap<PathBuf, Vec<String>> = HashMap::new();
    let mut count = 0;
    for page in &pages {
        let prose = prose(&page.text);
        let folder = root().join(&page.name).parent().unwrap().to_owned();
        for target in links(&prose) {
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let to = if path.is_empty() { root().join(&page.name) } else { folder.join(path) };
            assert!(to.exists(), "{}: there is no {target}", page.name);
            if !anchor.is_empty() {
                let headings = known.entry(to.clone()).or_insert_with(|| headings(&fs::read_to_string(&to).unwrap()));
                assert!(headings.iter().any(|heading| heading == anchor), "{}: no heading {target}", page.name);
            }
            // mdBook copies no files from outside of its folder.
            let inside = to.canonicalize().unwrap().starts_with(root().join("docs/src"));
            assert!(inside || !page.name.starts_with("docs/"), "{}: {target} is not in the book", page.name);
            count += 1;
        }
    }
    assert!(count > 150, "{count} links");
}

#[test]
fn every_page_is_in_the_summary() {
    let summary = read("docs/src/SUMMARY.md").text;
    for page in all() {
        let Some(name) = page.name.strip_prefix("docs/src/") else { continue };
        assert!(name == "SUMMARY.md" || summary.contains(&format!("({name})")), "{name} is not in SUMMARY.md");
    }
}

/// The targets of links and images, except for those in the web.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
    targets.filter(|target| !target.starts_with("https://"))
}

/// The anchors of headings, as mdBook and GitHub make them.
fn headings(text: &str) -> Vec<String> {
    let prose = prose(text);
    let headings = prose.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let anchor = |heading: &str| {
        let kept = heading.chars().filter(|&letter| letter.is_alphanumeric() || "_- ".contains(letter));
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    };
    headings.map(anchor).collect()
}

/// The options of commands that are not run. Those that are run would fail.
#[test]
fn options_of_commands_that_are_not_run_exist() {
    let reference = read("docs/src/reference/options.md").text + &read("docs/src/reference/commands.md").text;
    let mut count = 0;
    for page in all() {
        for block in blocks(&page.text).iter().filter(|block| block.is_console() && !block.is_run()) {
            for command in block.commands() {
                let commands =
                    ["run ", "check ", "ctl ", "rollout ", "netfilter "].map(|name| format!("tlsramp {name}"));
                let Some(at) = commands.iter().find_map(|name| command.find(name)) else { continue };
                let options = &command[at..];
                for option in options.split([' ', '=']).filter(|word| word.starts_with("--") && word.len() > 2) {
                    let known = reference.split(|letter: char| !letter.is_alphanumeric() && letter != '-');
                    assert!(known.into_iter().any(|word| word == option), "{}: {option} in {command}", page.name);
                    count += 1;
                }
            }
        }
    }
    assert!(count > 20, "{count} options");
}

/// Configurations of the reference and of deploy/, which name files and addresses of other hosts. Those that a page
/// writes to a file are checked by its commands.
#[test]
fn configurations_pass_the_check() {
    let mut count = 0;
    for page in all() {
        for block in blocks(&page.text) {
            let is_file = block.words.iter().any(|word| word.starts_with("file="));
            if is_file || !["yaml", "ini"].contains(&block.words[0].as_str()) {
                continue;
            }
            let scratch = crate::support::Scratch::new("book-configuration");
            let config = scratch.join("tlsramp.conf");
            fs::write(&config, crate::examples::usable(&block.text, &scratch)).unwrap();
            let mut args = vec!["check", "--config", config.to_str().unwrap()];
            if !block.text.contains("upstream") {
                // A part of a configuration.
                args.extend(["--upstream", "127.0.0.1:27018", "--upstreamTLS", "never"]);
            }
            let output = run_to_end(args);
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{}: {said}\n{}", page.name, block.text);
            count += 1;
        }
    }
    assert!(count >= 2, "{count} configurations");
}
