//! Takes values out of what was written, and gathers the mistakes on the way. A value that cannot be read counts
//! as not given from there on, so that one mistake does not show up as three.

use super::mistake::Mistake;
use super::options::{Key, Kind, Opt};
use super::raw::{Entry, Raw};
use super::values::Wrong;

pub(super) struct Reader<'a> {
    pub(super) raw: &'a Raw,
    mistakes: Vec<Mistake>,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(raw: &'a Raw) -> Reader<'a> {
        Reader { raw, mistakes: Vec::new() }
    }

    /// All mistakes found.
    pub(super) fn finish(self) -> Vec<Mistake> {
        self.mistakes
    }

    /// Whether an option was given, rightly or not.
    pub(super) fn given(&self, key: Key) -> bool {
        self.raw.get(key).is_some()
    }

    /// The value of an option, if it was given and can be read.
    pub(super) fn read<T>(&mut self, key: Key, parse: impl FnOnce(&str) -> Result<T, Wrong>) -> Option<T> {
        self.read_entry(self.raw.get(key)?, parse)
    }

    /// One value, if it can be read.
    pub(super) fn read_entry<T>(&mut self, entry: &Entry, parse: impl FnOnce(&str) -> Result<T, Wrong>) -> Option<T> {
        match parse(&entry.value) {
            Ok(value) => Some(value),
            Err(wrong) => {
                self.refuse_entry(entry, &wrong, &otherwise(entry.opt));
                None
            }
        }
    }

    /// A mistake at an option; where it was not given, under the name that the operator would write.
    pub(super) fn refuse(&mut self, key: Key, problem: &str, remedy: &str) {
        match self.raw.get(key) {
            Some(entry) => self.refuse_entry(entry, problem, remedy),
            None => self.mistakes.push(Mistake::new(self.raw.say(key), problem, remedy)),
        }
    }

    /// The same, of a mistake that may end without a change of the configuration.
    pub(super) fn refuse_for_now(&mut self, key: Key, problem: &str, remedy: &str) {
        let before = self.mistakes.len();
        self.refuse(key, problem, remedy);
        let new = self.mistakes.drain(before..).map(Mistake::passing).collect::<Vec<_>>();
        self.mistakes.extend(new);
    }

    /// A mistake at a value.
    pub(super) fn refuse_entry(&mut self, entry: &Entry, problem: &str, remedy: &str) {
        self.mistakes.push(self.raw.mistake(entry, problem, remedy));
    }

    /// How the operator would write an option.
    pub(super) fn say(&self, key: Key) -> String {
        self.raw.say(key)
    }
}

/// What to do about a value that cannot be read, where nothing better is known.
fn otherwise(opt: &Opt) -> String {
    match (opt.kind, opt.default) {
        (Kind::List(_), _) => "correct it, or take this one out".to_owned(),
        (_, "") => "correct it, or leave it out".to_owned(),
        (_, default) => format!("correct it, or leave it out for the default, {}", default.trim_matches(['(', ')'])),
    }
}
