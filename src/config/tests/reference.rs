//! The page of options in the documentation, which is generated from the table.

use std::fmt::Write as _;

use crate::config::options::{Form, OptionSpec, ValueKind};
use crate::config::table::TABLE;

#[path = "../../../tests/it/support/generated.rs"]
mod generated;

#[test]
fn the_page_of_options_is_that_of_the_table() {
    let mut page = String::new();
    let mut heading = "";
    for opt in TABLE {
        if opt.heading != heading {
            heading = opt.heading;
            let _ = writeln!(page, "## {heading}\n");
        }
        let _ = writeln!(page, "{}", section(opt));
    }
    generated::check("options.md", "options", &page);
}

fn section(opt: &OptionSpec) -> String {
    let placeholder = match opt.kind {
        ValueKind::Value(placeholder) | ValueKind::Secret(placeholder) | ValueKind::List(placeholder) => {
            format!(" {placeholder}")
        }
        ValueKind::Switch => "true|false".to_owned(),
    };
    let quoted = |names: Vec<String>| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let written = |form| quoted((0..opt.flags.len()).map(|variant| opt.written(form, variant)).collect());
    let default = match opt.default {
        "" => "none".to_owned(),
        text if text.starts_with('(') => text.trim_matches(['(', ')']).to_owned(),
        text => format!("`{text}`"),
    };
    let reload = if opt.reloadable { "by a reload" } else { "by a restart" };
    let help = opt.help.replace('*', "\\*").replace('_', "\\_").replace('<', "\\<");
    let first = opt.flags.first().copied().unwrap_or_default();
    format!(
        "### {first}\n\n{help}\n\n| | |\n|---|---|\n| flag | {flags}, value `{value}` |\n| in a file | {yaml} |\n\
         | default | {default} |\n| changed | {reload} |\n",
        flags = written(Form::Flag),
        value = placeholder.trim().replace('|', "\\|"),
        yaml = written(Form::Yaml),
    )
}
