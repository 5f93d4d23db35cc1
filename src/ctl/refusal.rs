//! What a failure looks like, for people and for programs. PURE.

use serde_json::json;

use super::page::Page;
use super::ready::list;
use super::words::count;
use crate::admin_client::ClientError;
use crate::text::escaped;

/// For people.
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

/// The error in words; of one that lists what the table below it has, what comes before the list.
fn headline(error: &ClientError) -> String {
    let text = error.to_string();
    let ClientError::Refused { reply, .. } = error else { return text };
    let listed = reply.blockers.first().and_then(|first| text.split_once(&*first.text));
    listed.map_or_else(|| text.clone(), |(before, _)| before.trim_end_matches([' ', ':']).to_owned())
}

/// For programs: what the admin port has answered; where it has not, an object of the same shape.
pub(super) fn json(error: &ClientError) -> String {
    if let ClientError::Refused { json, .. } = error {
        return json.clone();
    }
    json!({ "error": error.to_string(), "code": error.code() }).to_string()
}

/// What to do about it, where the admin port's own words leave that open: they are the same by every door.
fn hint(code: &str) -> Option<&'static str> {
    match code {
        "IllegalTransition" => {
            Some("One step up at a time: disabled, allowSSL, preferSSL, requireSSL; --force takes any.")
        }
        "Unreachable" => Some("--force takes it all the same."),
        "Guarded" => Some("`tlsramp ctl ready --to MODE` says more; without --guard they are warnings."),
        _ => None,
    }
}
