//! Writes the files of tlsramp's packages that are made from its command line: man pages and shell completions.
//!
//! A program of its own, so that the proxy does not carry a writer of man pages; see `deploy/debian/build`.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;
use tlsramp::command_line;

fn main() -> ExitCode {
    let Some(folder) = env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("packaging: name the folder to write to: packaging FOLDER");
        return ExitCode::from(2);
    };
    match write(&folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("packaging: cannot write to {}: {error}", folder.display());
            ExitCode::FAILURE
        }
    }
}

/// Writes `man/*.1`, one page for each command, and `completions/`, with the names under which shells look for them.
fn write(folder: &Path) -> io::Result<()> {
    let (man, completions) = (folder.join("man"), folder.join("completions"));
    fs::create_dir_all(&man)?;
    fs::create_dir_all(&completions)?;
    let mut root = command_line::command().disable_help_subcommand(true);
    root.build();
    for (name, page) in pages(&root)? {
        fs::write(man.join(format!("{name}.1")), page)?;
    }
    for (name, shell) in [("tlsramp", Shell::Bash), ("_tlsramp", Shell::Zsh), ("tlsramp.fish", Shell::Fish)] {
        fs::write(completions.join(name), command_line::completion_script(shell))?;
    }
    Ok(())
}

/// The pages of a command and of all commands below it, by name.
fn pages(command: &Command) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut all = vec![(page_name(command), page(command)?)];
    for below in command.get_subcommands() {
        all.extend(pages(below)?);
    }
    Ok(all)
}

/// A page with the sections of the help. What the help says at its end (exit codes, examples) is the section NOTES.
fn page(command: &Command) -> io::Result<Vec<u8>> {
    let name = page_name(command);
    let man = Man::new(command.clone())
        .title(name.to_uppercase())
        .date(date())
        .source(format!("tlsramp {}", env!("CARGO_PKG_VERSION")))
        .manual("tlsramp manual");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    // The usage line of the help; clap_mangen would list every option twice.
    let usage = command.clone().render_usage().to_string();
    page.extend(format!(".SH SYNOPSIS\n{}\n", escaped(usage.trim_start_matches("Usage: "))).bytes());
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    let mut related: Vec<_> = command.get_subcommands().map(page_name).collect();
    if !related.is_empty() {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(notes) = command.get_after_long_help().or_else(|| command.get_after_help()) {
        page.extend(format!(".SH NOTES\n{}", unfilled(&notes.to_string())).bytes());
    }
    if let Some((above, _)) = name.rsplit_once('-') {
        related.push(above.to_owned());
    }
    let related: Vec<_> = related.iter().map(|name| format!(".BR {} (1)", escaped(name))).collect();
    page.extend(format!(".SH \"SEE ALSO\"\n{}\n", related.join(" ,\n")).bytes());
    Ok(page)
}

fn page_name(command: &Command) -> String {
    command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned()
}

/// Keeps the line breaks of a text. roff would join the lines, except those that begin with a blank.
fn unfilled(text: &str) -> String {
    let mut page = String::new();
    let mut after_text = false;
    for line in text.lines() {
        if after_text && !line.is_empty() && !line.starts_with(' ') {
            page.push_str(".br\n");
        }
        after_text = !line.is_empty();
        page.push_str(&if after_text { escaped(line) } else { ".sp".to_owned() });
        page.push('\n');
    }
    page
}

/// A line of text in which roff finds no request.
fn escaped(line: &str) -> String {
    let line = line.replace('\\', "\\e").replace('-', "\\-");
    if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line }
}

/// The date of the commit, so that the same commit makes the same pages; none in a debug build.
fn date() -> String {
    let words = command_line::VERSION.split([' ', '(', ')', ',']);
    words.filter(|word| word.len() == 10).find(|word| word.split('-').count() == 3).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
