//! The command line, generated from the table of options.
//!
//! All values are taken as text, so that every mistake is reported at once; clap itself refuses only unknown arguments
//! and flags without a value (exit code 2).

use std::ffi::OsStr;
use std::path::PathBuf;

use clap::builder::{NonEmptyStringValueParser, PossibleValue, TypedValueParser};
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::options::{Form, OptionKey, OptionSpec, ValueKind};
use super::raw::RawValue;
use super::table::TABLE;
use crate::policy::{Mode, Spelling};

/// Adds `--config` and every option, in all its spellings, to a command.
pub fn with_options(command: Command) -> Command {
    let config = Arg::new(CONFIG)
        .long(CONFIG)
        .value_name("FILE")
        .value_parser(clap::value_parser!(PathBuf))
        .help("Configuration file in the format of mongod.conf: YAML or `key = value` lines. Flags override it.");
    TABLE.iter().fold(command.arg(config), |command, opt| command.args(args(opt)))
}

/// The configuration file on the command line.
pub(super) fn file(matches: &ArgMatches) -> Option<PathBuf> {
    matches.try_get_one::<PathBuf>(CONFIG).ok().flatten().cloned()
}

/// The values given on the command line, in the order of the table.
pub(super) fn entries(matches: &ArgMatches) -> Vec<RawValue> {
    let mut entries = Vec::new();
    for opt in TABLE {
        for (variant, name) in opt.flags.iter().enumerate() {
            let values = matches.try_get_many::<String>(name).ok().flatten().into_iter().flatten();
            entries.extend(values.map(|value| RawValue { opt, form: Form::Flag, variant, value: value.clone() }));
        }
    }
    entries
}

/// One argument for each spelling, so that messages can name the one that was used; the help of the first lists the
/// others.
fn args(opt: &'static OptionSpec) -> impl Iterator<Item = Arg> {
    opt.flags.iter().enumerate().map(move |(variant, name)| {
        let arg = Arg::new(*name).long(*name).help_heading(opt.heading).action(ArgAction::Append).hide(variant > 0);
        let arg = arg.help(short_help(opt)).long_help(long_help(opt));
        match opt.kind {
            ValueKind::Value(placeholder) | ValueKind::Secret(placeholder) | ValueKind::List(placeholder) => {
                let suggested = Suggested(suggestions(opt, variant, placeholder));
                arg.value_name(placeholder)
                    .allow_negative_numbers(true)
                    .value_parser(suggested)
                    .hide_possible_values(true)
            }
            ValueKind::Switch => {
                arg.value_name("true|false").num_args(0..=1).require_equals(true).default_missing_value("true")
            }
        }
    })
}

/// Accepts any text except an empty one, as [`NonEmptyStringValueParser`] does; the values are only for completion in a
/// shell.
#[derive(Debug, Clone)]
struct Suggested(Vec<&'static str>);

impl TypedValueParser for Suggested {
    type Value = String;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<String, clap::Error> {
        NonEmptyStringValueParser::new().parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        (!self.0.is_empty()).then(|| Box::new(self.0.iter().map(PossibleValue::new)) as _)
    }
}

/// The values that a shell completes: the names of the modes, or the words of a placeholder without capitals, such as
/// `wait|close`. Empty for an option that accepts other values.
fn suggestions(opt: &OptionSpec, variant: usize, placeholder: &'static str) -> Vec<&'static str> {
    if opt.key == OptionKey::Mode {
        let spelling = if variant == 0 { Spelling::Ssl } else { Spelling::Tls };
        return Mode::ALL.map(|mode| mode.name(spelling)).into();
    }
    if placeholder.contains(|letter: char| letter.is_ascii_uppercase()) {
        return Vec::new();
    }
    placeholder.split('|').collect()
}

fn short_help(opt: &OptionSpec) -> String {
    let mut help = opt.help.to_owned();
    if !opt.default.is_empty() && opt.kind != ValueKind::Switch {
        help.push_str(&format!(" [default: {}]", opt.default.trim_matches(['(', ')'])));
    }
    if let [_, others @ ..] = opt.flags
        && !others.is_empty()
    {
        help.push_str(&format!(" [also: --{}]", others.join(", --")));
    }
    help
}

fn long_help(opt: &OptionSpec) -> String {
    let reload = if opt.reloadable { "can be changed by a reload" } else { "a change needs a restart" };
    format!("{}\n[in a file: {}; {reload}]", short_help(opt), opt.yaml.join(" or "))
}

const CONFIG: &str = "config";

#[cfg(test)]
mod tests {
    use clap::Command;

    use super::{entries, with_options};
    use crate::config::table::TABLE;

    fn command() -> Command {
        with_options(Command::new("run"))
    }

    #[test]
    fn the_help_has_every_flag_key_and_default() {
        command().debug_assert();
        let help = command().term_width(0).render_long_help().to_string();
        for opt in TABLE {
            for name in opt.flags {
                assert!(help.contains(&format!("--{name}")), "--{name} is not in the help");
            }
            for name in opt.yaml.iter().chain([&opt.help, &opt.heading]) {
                assert!(help.contains(name), "{name} is not in the help");
            }
        }
        assert!(help.contains("[default: 27017]") && help.contains("[default: one for each core]"));
    }

    #[test]
    fn values_are_taken_as_they_are() {
        let matches = command()
            .try_get_matches_from(["run", "--port", "-1", "--tlsMode=on", "--sslAllowInvalidHostnames", "--port=x"])
            .unwrap();
        let written = entries(&matches).iter().map(|entry| format!("{entry:?}")).collect::<Vec<_>>();
        assert_eq!(written, ["--port=-1", "--port=x", "--tlsMode=on", "--sslAllowInvalidHostnames=true"]);
    }

    #[test]
    fn flags_that_do_not_exist_or_lack_a_value_are_refused() {
        for args in [&["run", "--dbpath", "/data"][..], &["run", "--port"], &["run", "--upstream", "--port", "1"]] {
            assert_eq!(command().try_get_matches_from(args).map_err(|error| error.exit_code()).err(), Some(2));
        }
    }
}
