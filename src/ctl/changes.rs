//! Renders the replies to changes.

use super::status_tables::certificates;
use crate::admin::replies::{AcceptReply, ModeReply, RecycleReply, RotateReply};
use crate::screen::Page;
use crate::screen::words::count;
use crate::text::escaped;

/// The reply to a change of mode.
pub(super) fn mode(reply: &ModeReply) -> Page {
    let (was, mode) = (escaped(&reply.was), escaped(&reply.mode));
    let mut page = Page::saying(if was == mode {
        format!("The mode is {mode} already, generation {}.", reply.generation)
    } else {
        format!("The mode is {mode} from now on, generation {}; it was {was}.", reply.generation)
    });
    if reply.persisted {
        page.say("A restart keeps this mode.");
    }
    warn(&mut page, &reply.warnings);
    page
}

/// The reply to `reload`.
pub(super) fn reload(reply: &ModeReply) -> Page {
    let (was, mode) = (escaped(&reply.was), escaped(&reply.mode));
    let change = if was == mode {
        format!("the mode stays {mode}")
    } else {
        format!("the mode is {mode} from now on; it was {was}")
    };
    let mut page =
        Page::saying(format!("The configuration was read again, generation {}: {change}.", reply.generation));
    warn(&mut page, &reply.warnings);
    page
}

/// The reply to `rotate`.
pub(super) fn rotate(reply: &RotateReply) -> Page {
    let mut page = Page::saying(format!(
        "The TLS files were read again, generation {}: new connections use them from now on.",
        reply.generation
    ));
    warn(&mut page, &reply.warnings);
    page.table(certificates(&reply.certificates));
    page
}

/// The reply to `accept`.
pub(super) fn accept(reply: &AcceptReply) -> Page {
    let key = escaped(&reply.key);
    let mut page = Page::saying(if reply.accepted {
        format!("{key} is accepted: it no longer blocks requireSSL, which will refuse it.")
    } else {
        format!("{key} is not accepted: it blocks requireSSL while it connects without TLS.")
    });
    if !reply.known {
        page.warn("no client with that key has been seen yet");
    }
    page
}

/// The reply to `recycle`.
pub(super) fn recycle(reply: &RecycleReply) -> Page {
    let RecycleReply { at_risk, left_alone, moved, cut, ended, waiting, .. } = *reply;
    let mut page = Page::default();
    if moved + cut + ended + waiting + left_alone == 0 {
        page.say("Nothing to recycle: every open connection conforms to the mode in force.");
    } else {
        let mut parts = vec![format!("{} recycled", count(moved, "connection"))];
        let rest = [
            (cut, "cut after the grace time"),
            (ended, "ended by client or server"),
            (waiting, "still waiting for a boundary"),
            (left_alone, "left open (--force recycles them too)"),
        ];
        parts.extend(rest.iter().filter(|(number, _)| *number > 0).map(|(number, what)| format!("{number} {what}")));
        page.say(format!("{}.", parts.join(", ")));
    }
    if at_risk > 0 {
        let may = if left_alone == 0 { "may have seen" } else { "may see" };
        page.warn(format!("{} at risk: the client {may} an error", count(at_risk, "connection")));
    }
    warn(&mut page, &reply.risks);
    warn(&mut page, &reply.warnings);
    page
}

/// Whether `recycle` has left connections.
pub(super) const fn is_left(reply: &RecycleReply) -> bool {
    reply.waiting > 0 || reply.left_alone > 0
}

fn warn(page: &mut Page, warnings: &[String]) {
    for warning in warnings {
        page.warn(escaped(warning));
    }
}
