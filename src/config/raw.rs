//! The options as the operator wrote them, before validation: name, source and text.
//!
//! Flags override the file. In one source, an option that is not a list may be given once, or once in each of several
//! spellings, with the same value.

use std::fmt;
use std::path::{Path, PathBuf};

use super::mistake::Mistake;
use super::options::{Form, OptionKey, OptionSpec, ValueKind};
use super::table::{self, TABLE};
use crate::policy::{Mode, Spelling};
use crate::text::printable;

/// One value, as written.
#[derive(Clone)]
pub(super) struct RawValue {
    pub(super) opt: &'static OptionSpec,
    pub(super) form: Form,
    /// Which of the option's names was used: the index in [`OptionSpec::names`].
    pub(super) variant: usize,
    pub(super) value: String,
}

/// All values, flags and file merged.
#[derive(Debug, Clone)]
pub(super) struct Raw {
    file: Option<PathBuf>,
    entries: Vec<RawValue>,
    /// False if the file could not be read; options that seem to be missing may be in it.
    is_whole: bool,
}

impl RawValue {
    /// The option's name as it was written.
    pub(super) fn name(&self) -> String {
        self.opt.written(self.form, self.variant)
    }

    /// The spelling that was used; `Ssl` for an option with only one name.
    pub(super) const fn spelling(&self) -> Spelling {
        if self.variant % 2 == 1 { Spelling::Tls } else { Spelling::Ssl }
    }
}

impl Raw {
    /// Merges flags and file; `from_file` is `None` if the file could not be read. Options given twice in one source
    /// are added to `mistakes`.
    pub(super) fn merge(
        file: Option<PathBuf>,
        flags: Vec<RawValue>,
        from_file: Option<Vec<RawValue>>,
        mistakes: &mut Vec<Mistake>,
    ) -> Raw {
        let mut raw = Raw { file, entries: Vec::new(), is_whole: from_file.is_some() };
        let from_file = from_file.unwrap_or_default();
        for opt in TABLE {
            let flags = raw.values_of_source(opt, &flags, mistakes);
            let from_file = raw.values_of_source(opt, &from_file, mistakes);
            raw.entries.extend(if flags.is_empty() { from_file } else { flags });
        }
        raw
    }

    /// The file that was read.
    pub(super) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Whether the file could be read. If not, options that seem to be missing may be in it.
    pub(super) const fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// The value of an option that takes one.
    pub(super) fn get(&self, key: OptionKey) -> Option<&RawValue> {
        self.all(key).next()
    }

    /// The values of an option that takes many.
    pub(super) fn all(&self, key: OptionKey) -> impl Iterator<Item = &RawValue> {
        self.entries.iter().filter(move |entry| entry.opt.key == key)
    }

    /// A mistake in a value: the name as written, the file, and the value unless it is a password.
    pub(super) fn mistake(&self, entry: &RawValue, problem: &str, remedy: &str) -> Mistake {
        let mistake = Mistake::new(entry.name(), problem, remedy);
        let mistake = if entry.opt.is_secret() { mistake } else { mistake.with_value(&entry.value) };
        match &self.file {
            Some(file) if entry.form != Form::Flag => mistake.within(file),
            _ => mistake,
        }
    }

    /// The name by which messages call an option: the one that was used. For an option that was not given, it is the
    /// key in the file's syntax, or the flag if the file gives no option, in the spelling in use.
    pub(super) fn option_name(&self, key: OptionKey) -> String {
        let form = self.entries.iter().map(|entry| entry.form).find(|form| *form != Form::Flag).unwrap_or(Form::Flag);
        self.get(key).map_or_else(|| table::option(key).written(form, self.spelling() as usize), RawValue::name)
    }

    /// The spelling in use: that of the mode, else that of the first given option that has two.
    pub(super) fn spelling(&self) -> Spelling {
        let other = || self.entries.iter().find(|entry| entry.opt.has_two_spellings());
        self.get(OptionKey::Mode).or_else(other).map_or(Spelling::Ssl, RawValue::spelling)
    }

    /// The effective value of an option, normalized for comparison: spaces at the ends and around commas are dropped.
    pub(super) fn effective(&self, opt: &OptionSpec) -> String {
        let mut values = self.all(opt.key).map(|entry| normalized(&entry.value)).collect::<Vec<_>>();
        if values.is_empty() {
            values.push(normalized(opt.default));
        }
        values.join("\n")
    }

    /// The values of one option from one source; a conflict between them is added to `mistakes`.
    fn values_of_source(&self, opt: &OptionSpec, source: &[RawValue], mistakes: &mut Vec<Mistake>) -> Vec<RawValue> {
        let mut given = source.iter().filter(|entry| entry.opt.key == opt.key).cloned().collect::<Vec<_>>();
        if matches!(opt.kind, ValueKind::List(_)) {
            return given;
        }
        let repeated = given.split_first().and_then(|(first, rest)| {
            let other = rest.iter().find(|entry| entry.variant == first.variant || !first.same_value(entry))?;
            Some(self.conflict(first, other))
        });
        mistakes.extend(repeated);
        given.truncate(1);
        given
    }

    fn conflict(&self, first: &RawValue, other: &RawValue) -> Mistake {
        if first.variant == other.variant {
            return self.mistake(other, "the option is given more than once", "keep one of them");
        }
        let value = if first.opt.is_secret() { String::new() } else { format!(" '{}'", printable(&other.value)) };
        let problem = format!("this is the same option as {}{value}, which has another value", other.name());
        self.mistake(first, &problem, "keep one of the two")
    }
}

impl RawValue {
    /// Whether two spellings of an option give the same value.
    fn same_value(&self, other: &RawValue) -> bool {
        let mode = |entry: &RawValue| Mode::parse(&entry.value, entry.spelling()).ok();
        self.value == other.value
            || (self.opt.key == OptionKey::Mode && mode(self).is_some() && mode(self) == mode(other))
    }
}

impl fmt::Debug for RawValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = if self.opt.is_secret() { "<password>" } else { &self.value };
        write!(f, "{}={value}", self.name())
    }
}

fn normalized(value: &str) -> String {
    value.split(',').map(str::trim).collect::<Vec<_>>().join(",")
}
