//! Renders an error, as text and as JSON.

use serde_json::json;

use super::ready::list;
use crate::admin::replies::ErrorReply;
use crate::admin_client::ClientError;
use crate::screen::Page;
use crate::screen::words::count;
use crate::text::escaped;

pub(super) fn page(error: &ClientError, now: i64) -> Page {
    let mut page = Page::default();
    let text = headline(error);
    let mut lines = text.lines().map(escaped);
    page.say(format!("tlsramp ctl: {}", lines.next().unwrap_or_default()));
    lines.for_each(|line| page.say(line));
    if let ClientError::Refused { reply, .. } = error {
        if let Some(hint) = hint(&reply.code) {
            page.say(hint);
        }
        if !reply.blockers.is_empty() {
            page.say(format!("{}:", count(reply.blockers.len(), "reason")));
        }
        list(&mut page, &reply.blockers, now);
    }
    page
}

/// The error's text, cut before the list of blockers that the table repeats.
fn headline(error: &ClientError) -> String {
    let text = error.to_string();
    let ClientError::Refused { reply, .. } = error else { return text };
    let listed = reply.blockers.first().and_then(|first| text.split_once(&*first.text));
    listed.map_or_else(|| text.clone(), |(before, _)| before.trim_end_matches([' ', ':']).to_owned())
}

/// The admin port's JSON, or an object of the same shape if it did not answer.
pub(super) fn json(error: &ClientError) -> String {
    if let ClientError::Refused { json, .. } = error {
        return json.clone();
    }
    json!({ "error": error.to_string(), "code": error.code() }).to_string()
}

/// The remedy in options of `ctl`. The admin port's own text names no option, because other clients have
/// others.
fn hint(code: &str) -> Option<&'static str> {
    match code {
        "IllegalTransition" => Some(
            "The mode changes one step up at a time: disabled, allowSSL, preferSSL, requireSSL. Any other change, such \
             as a step back, needs --force.",
        ),
        "Unreachable" => Some("Nothing was changed. --force makes the change anyway."),
        ErrorReply::GUARDED => Some("Nothing was changed. --yes makes the change anyway."),
        _ => None,
    }
}
