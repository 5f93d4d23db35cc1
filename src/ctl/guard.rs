//! A guarded change of mode: a step up with blockers is made only if the operator confirms it.

use std::io::{self, BufRead, IsTerminal, Read, Write};

use serde_json::json;

use super::output::{CtlOutput, GUARDED};
use super::{changes, ready};
use crate::admin::replies::ErrorReply;
use crate::admin::requests::ModeRequest;
use crate::admin_client::{AdminClient, ClientError};
use crate::screen::{OutputStyle, Page};
use crate::text::escaped;

/// A change of mode, and what to do if there are blockers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GuardedChange {
    pub(super) request: ModeRequest,
    pub(super) on_blockers: OnBlockers,
}

/// What to do if blockers are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnBlockers {
    /// Ask on a terminal, else refuse.
    Ask,
    Refuse,
    /// Make the change, and print the blockers as warnings.
    Proceed,
}

/// Requests the change. `now` is in milliseconds since 1970.
pub(super) async fn change(
    client: &AdminClient,
    change: &GuardedChange,
    called: &str,
    wide: bool,
    now: i64,
) -> Result<CtlOutput, ClientError> {
    let reply = match client.set_mode(&change.request).await {
        Err(ClientError::Refused { reply, .. }) if reply.is_guarded() && asks(change.on_blockers) => reply,
        answer => return Ok(CtlOutput::new(answer?, changes::mode)),
    };
    let mode = escaped(&change.request.mode);
    if !agreed(&question(&reply, &mode, called, now).render(OutputStyle::of(&io::stdout(), wide))) {
        let page = Page::saying("Nothing was changed.");
        return Ok(CtlOutput { page, json: json!({ "changed": false }).to_string(), exit: GUARDED, notice: None });
    }
    // Blockers that have appeared since are among the warnings of the answer.
    let unguarded = ModeRequest { guard: false, ..change.request.clone() };
    let answer = client.set_mode(&unguarded).await?;
    Ok(CtlOutput::new(answer, changes::mode))
}

/// Whether the question can be asked: standard input and output are a terminal.
fn asks(on_blockers: OnBlockers) -> bool {
    on_blockers == OnBlockers::Ask && io::stdin().is_terminal() && io::stdout().is_terminal()
}

fn question(reply: &ErrorReply, mode: &str, called: &str, now: i64) -> Page {
    let mut page = Page::saying(format!("{mode} would refuse or cut off the following:"));
    ready::list(&mut page, &reply.blockers, now);
    ready::accept_commands(&mut page, &reply.blockers, mode, called);
    page.gap();
    page
}

/// Prints the page and the question, and reads the answer. The end of the input is a no.
fn agreed(page: &str) -> bool {
    let mut stdout = io::stdout();
    let asked = write!(stdout, "{page}{QUESTION}").and_then(|()| stdout.flush());
    let mut answer = String::new();
    let read = io::stdin().lock().take(ANSWER_BYTES).read_line(&mut answer);
    if !answer.ends_with('\n') {
        let _ = writeln!(stdout);
    }
    asked.is_ok() && read.is_ok() && is_yes(&answer)
}

fn is_yes(answer: &str) -> bool {
    ["y", "yes"].iter().any(|yes| answer.trim().eq_ignore_ascii_case(yes))
}

const QUESTION: &str = "Change the mode anyway? [y/N] ";
/// The maximum length of an answer; a longer one is not a yes.
const ANSWER_BYTES: u64 = 64;

#[cfg(test)]
mod tests {
    use super::is_yes;

    #[test]
    fn only_a_yes_is_a_yes() {
        for (answer, yes) in [
            ("y\n", true),
            ("YES\r\n", true),
            (" y \n", true),
            ("yes", true),
            ("", false),
            ("\n", false),
            ("n\n", false),
            ("yy\n", false),
            ("yes please\n", false),
            ("1\n", false),
        ] {
            assert_eq!(is_yes(answer), yes, "{answer:?}");
        }
    }
}
