//! Parses the raw values and collects the mistakes. A value that cannot be parsed is then treated as not given, so that
//! each mistake is reported once.

use super::mistake::Mistake;
use super::options::{OptionKey, OptionSpec, ValueKind};
use super::raw::{Raw, RawValue};
use super::values::ValueError;

pub(super) struct OptionReader<'a> {
    pub(super) raw: &'a Raw,
    mistakes: Vec<Mistake>,
}

impl<'a> OptionReader<'a> {
    pub(super) const fn new(raw: &'a Raw) -> OptionReader<'a> {
        OptionReader { raw, mistakes: Vec::new() }
    }

    pub(super) fn finish(self) -> Vec<Mistake> {
        self.mistakes
    }

    /// Whether an option was given, valid or not.
    pub(super) fn given(&self, key: OptionKey) -> bool {
        self.raw.get(key).is_some()
    }

    /// The value of an option, if it was given and can be parsed.
    pub(super) fn read<T>(&mut self, key: OptionKey, parse: impl FnOnce(&str) -> Result<T, ValueError>) -> Option<T> {
        self.read_entry(self.raw.get(key)?, parse)
    }

    /// Parses one value; `None` if it cannot be parsed.
    pub(super) fn read_entry<T>(
        &mut self,
        entry: &RawValue,
        parse: impl FnOnce(&str) -> Result<T, ValueError>,
    ) -> Option<T> {
        match parse(&entry.value) {
            Ok(value) => Some(value),
            Err(wrong) => {
                self.refuse_entry(entry, &wrong, &default_remedy(entry.opt));
                None
            }
        }
    }

    /// Records a mistake in an option, even if the option was not given.
    pub(super) fn refuse(&mut self, key: OptionKey, problem: &str, remedy: &str) {
        match self.raw.get(key) {
            Some(entry) => self.refuse_entry(entry, problem, remedy),
            None => self.mistakes.push(Mistake::new(self.raw.option_name(key), problem, remedy)),
        }
    }

    /// Records a mistake that may go away without a change of the configuration.
    pub(super) fn refuse_for_now(&mut self, key: OptionKey, problem: &str, remedy: &str) {
        let before = self.mistakes.len();
        self.refuse(key, problem, remedy);
        let new = self.mistakes.drain(before..).map(Mistake::passing).collect::<Vec<_>>();
        self.mistakes.extend(new);
    }

    /// Records a mistake in a value.
    pub(super) fn refuse_entry(&mut self, entry: &RawValue, problem: &str, remedy: &str) {
        self.mistakes.push(self.raw.mistake(entry, problem, remedy));
    }

    /// The name by which messages call an option: see [`Raw::option_name`].
    pub(super) fn option_name(&self, key: OptionKey) -> String {
        self.raw.option_name(key)
    }
}

/// The remedy for a value that cannot be parsed.
fn default_remedy(opt: &OptionSpec) -> String {
    match (opt.kind, opt.default) {
        (ValueKind::List(_), _) => "correct the value, or remove this one".to_owned(),
        (_, "") => "correct the value, or remove the option".to_owned(),
        (_, default) => {
            format!("correct the value, or remove the option to use the default, {}", default.trim_matches(['(', ')']))
        }
    }
}
