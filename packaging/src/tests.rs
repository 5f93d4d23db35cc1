//! Checks the man pages and the completions.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

use super::*;

fn built() -> Command {
    let mut root = command_line::command().disable_help_subcommand(true);
    root.build();
    root
}

#[test]
fn every_command_has_a_page_with_all_of_its_options() {
    let root = built();
    let pages = pages(&root).unwrap();
    let page = |name: &str| {
        let found = pages.iter().find(|(page, _)| page == name);
        String::from_utf8(found.unwrap_or_else(|| panic!("no page {name}")).1.clone()).unwrap()
    };
    let mut options = 0;
    let mut commands = vec![&root];
    while let Some(command) = commands.pop() {
        commands.extend(command.get_subcommands());
        let text = page(&page_name(command)).replace("\\-", "-");
        assert!(text.contains(".SH NAME\n") && text.contains(".SH \"SEE ALSO\"\n"), "{text}");
        for long in command.get_arguments().filter(|arg| !arg.is_hide_set()).filter_map(|arg| arg.get_long()) {
            assert!(text.contains(&format!("--{long}")), "{} has no --{long}", page_name(command));
            options += 1;
        }
    }
    assert!(options > 150, "only {options} options");
    assert!(page("tlsramp-ctl-mode").contains("3: refused, since the step has blockers"));
    assert!(page("tlsramp-ctl").contains(".BR tlsramp\\-ctl\\-mode (1)"));
}

/// Every command and option, the newer spellings included, and the values of options that have few.
#[test]
fn completions_know_every_option() {
    for (shell, dash) in [(Shell::Bash, "--"), (Shell::Zsh, "--"), (Shell::Fish, "-l ")] {
        let script = String::from_utf8(command_line::completion_script(shell)).unwrap();
        let mut commands = vec![built()];
        while let Some(command) = commands.pop() {
            assert!(script.contains(command.get_name()), "{shell}: {}", command.get_name());
            for long in command.get_arguments().filter_map(|arg| arg.get_long()) {
                assert!(script.contains(&format!("{dash}{long}")), "{shell}: {} --{long}", command.get_name());
            }
            commands.extend(command.get_subcommands().cloned());
        }
        for value in ["terminate", "passthrough", "requireSSL", "requireTLS", "error", "trace"] {
            assert!(script.contains(value), "{shell}: {value}");
        }
    }
}

#[test]
fn lines_stay_lines() {
    assert_eq!(unfilled("one\ntwo\n  three\nfour\n\nfive"), "one\n.br\ntwo\n  three\n.br\nfour\n.sp\nfive\n");
}

#[test]
fn a_line_is_no_request() {
    assert_eq!(escaped("--to 'x'"), "\\-\\-to 'x'");
    assert_eq!(escaped(".so /etc/passwd"), "\\&.so /etc/passwd");
    assert_eq!(escaped(r"a\b"), r"a\eb");
}
