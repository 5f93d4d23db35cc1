//! Renders the reply of `doctor`: failed checks first, then warnings, then checks that were not made; one line counts
//! the checks that found nothing wrong.

use std::collections::BTreeMap;

use crate::admin::replies::{CheckVerdict, DoctorFinding, DoctorReply};
use crate::screen::words::count;
use crate::screen::{Page, StyledText};
use crate::text::escaped;

pub(super) fn page(DoctorReply { mode, checks, .. }: &DoctorReply) -> Page {
    let of = |verdict| checks.iter().filter(move |finding| finding.verdict == verdict);
    let number = |verdict| of(verdict).count();
    let counted = [
        (number(CheckVerdict::Failed), "failed check"),
        (number(CheckVerdict::Warning), "warning"),
        (number(CheckVerdict::NotChecked), "check not made"),
    ];
    let counted: Vec<_> = counted.into_iter().filter(|(number, _)| *number > 0).map(counts).collect();
    let counted = if counted.is_empty() { "nothing is wrong".to_owned() } else { counted.join(", ") };
    let mut page = Page::saying(format!("Checked by the proxy, in {}: {counted}.", escaped(mode)));
    for verdict in [CheckVerdict::Failed, CheckVerdict::Warning, CheckVerdict::NotChecked] {
        for finding in of(verdict) {
            page.gap();
            page.say(sentence(finding));
            if let Some(remedy) = &finding.remedy {
                page.item("  Remedy:", escaped(remedy));
            }
        }
    }
    let mut fine = BTreeMap::<_, usize>::new();
    for finding in of(CheckVerdict::Ok) {
        *fine.entry(finding.id).or_default() += 1;
    }
    if !fine.is_empty() {
        let fine: Vec<_> = fine.iter().map(|(id, number)| format!("{} ({number})", id.title())).collect();
        page.gap();
        page.say(format!("Fine: {}.", fine.join(", ")));
    }
    page
}

pub(super) fn has_failed(reply: &DoctorReply) -> bool {
    reply.checks.iter().any(|finding| finding.verdict == CheckVerdict::Failed)
}

fn counts((number, noun): (usize, &str)) -> String {
    match noun.strip_suffix(" not made") {
        Some(noun) => format!("{} not made", count(number, noun)),
        None => count(number, noun),
    }
}

fn sentence(finding: &DoctorFinding) -> StyledText {
    let about = format!("{}, {}: {}", finding.id.title(), escaped(&finding.subject), escaped(&finding.text));
    match finding.verdict {
        CheckVerdict::Failed => StyledText::red(format!("FAILED: {about}")),
        CheckVerdict::Warning => StyledText::amber(format!("Warning: {about}")),
        CheckVerdict::NotChecked => format!("Not checked: {about}").into(),
        CheckVerdict::Ok => about.into(),
    }
}
