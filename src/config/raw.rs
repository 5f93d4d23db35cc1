//! What the operator wrote: option, place, spelling and text, not yet judged.
//!
//! A flag wins over the file. Within one place an option is given once, or in both its spellings with the same
//! value, as nothing tells which of two values was meant.

use std::fmt;
use std::path::{Path, PathBuf};

use super::mistake::Mistake;
use super::options::{Form, Key, Kind, Opt};
use super::table::TABLE;
use crate::policy::{Mode, Spelling};
use crate::text::printable;

/// One value, as written in one place.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) opt: &'static Opt,
    pub(super) form: Form,
    /// Which of the option's names was used.
    pub(super) variant: usize,
    pub(super) value: String,
}

/// All values that count.
#[derive(Debug, Clone)]
pub(super) struct Raw {
    file: Option<PathBuf>,
    entries: Vec<Entry>,
    /// Whether the file could be read, if one was named: else nothing can be said about what is not given.
    is_whole: bool,
}

impl Entry {
    /// The option's name as it was written.
    pub(super) fn name(&self) -> String {
        self.opt.written(self.form, self.variant)
    }

    /// The spelling that was used; for an option that has but one, the older.
    pub(super) const fn spelling(&self) -> Spelling {
        if self.variant % 2 == 1 { Spelling::Tls } else { Spelling::Ssl }
    }
}

impl Raw {
    /// Puts flags and file together; `None` for a file that could not be read. What is given twice in one place is
    /// added to the mistakes.
    pub(super) fn merge(
        file: Option<PathBuf>,
        flags: Vec<Entry>,
        from_file: Option<Vec<Entry>>,
        mistakes: &mut Vec<Mistake>,
    ) -> Raw {
        let mut raw = Raw { file, entries: Vec::new(), is_whole: from_file.is_some() };
        let from_file = from_file.unwrap_or_default();
        for opt in TABLE {
            let flags = raw.agreed(opt, &flags, mistakes);
            let from_file = raw.agreed(opt, &from_file, mistakes);
            raw.entries.extend(if flags.is_empty() { from_file } else { flags });
        }
        raw
    }

    /// The file that was read.
    pub(super) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Whether all that was written could be read: else what seems to be missing may be there.
    pub(super) const fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// The value of an option that takes one.
    pub(super) fn get(&self, key: Key) -> Option<&Entry> {
        self.all(key).next()
    }

    /// The values of an option that takes many.
    pub(super) fn all(&self, key: Key) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.opt.key == key)
    }

    /// A mistake at a value: the name as written, the file, and the value unless it is a password.
    pub(super) fn mistake(&self, entry: &Entry, problem: &str, remedy: &str) -> Mistake {
        let mistake = Mistake::new(entry.name(), problem, remedy);
        let mistake = if entry.opt.is_secret() { mistake } else { mistake.with_value(&entry.value) };
        match &self.file {
            Some(file) if entry.form != Form::Flag => mistake.within(file),
            _ => mistake,
        }
    }

    /// How the operator would write an option: as they did, else as they wrote the others.
    pub(super) fn say(&self, key: Key) -> String {
        let form = self.entries.iter().map(|entry| entry.form).find(|form| *form != Form::Flag).unwrap_or(Form::Flag);
        self.get(key).map_or_else(|| Opt::of(key).written(form, self.spelling() as usize), Entry::name)
    }

    /// The spelling in use: the mode's, else that of any option which has two.
    pub(super) fn spelling(&self) -> Spelling {
        let other = || self.entries.iter().find(|entry| entry.opt.has_two_spellings());
        self.get(Key::Mode).or_else(other).map_or(Spelling::Ssl, Entry::spelling)
    }

    /// What holds for an option, as text to compare with another run's: spaces around commas do not count.
    pub(super) fn holds(&self, opt: &Opt) -> String {
        let mut values = self.all(opt.key).map(|entry| tidy(&entry.value)).collect::<Vec<_>>();
        if values.is_empty() {
            values.push(tidy(opt.default));
        }
        values.join("\n")
    }

    /// The values of one option from one place, if they can all be meant.
    fn agreed(&self, opt: &Opt, place: &[Entry], mistakes: &mut Vec<Mistake>) -> Vec<Entry> {
        let mut given = place.iter().filter(|entry| entry.opt.key == opt.key).cloned().collect::<Vec<_>>();
        if matches!(opt.kind, Kind::List(_)) {
            return given;
        }
        let repeated = given.split_first().and_then(|(first, rest)| {
            let other = rest.iter().find(|entry| entry.variant == first.variant || !first.means(entry))?;
            Some(self.conflict(first, other))
        });
        mistakes.extend(repeated);
        given.truncate(1);
        given
    }

    fn conflict(&self, first: &Entry, other: &Entry) -> Mistake {
        if first.variant == other.variant {
            return self.mistake(other, "it is given more than once", "keep the one that is meant");
        }
        let value = if first.opt.is_secret() { String::new() } else { format!(" '{}'", printable(&other.value)) };
        let problem = format!("it is the same option as {}{value}, which has another value", other.name());
        self.mistake(first, &problem, "keep one of the two")
    }
}

impl Entry {
    /// Whether two spellings of an option have the same value.
    fn means(&self, other: &Entry) -> bool {
        let mode = |entry: &Entry| Mode::parse(&entry.value, entry.spelling()).ok();
        self.value == other.value || (self.opt.key == Key::Mode && mode(self).is_some() && mode(self) == mode(other))
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = if self.opt.is_secret() { "<password>" } else { &self.value };
        write!(f, "{}={value}", self.name())
    }
}

fn tidy(value: &str) -> String {
    value.split(',').map(str::trim).collect::<Vec<_>>().join(",")
}
