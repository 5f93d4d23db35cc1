//! Reasons why a set of TLS files cannot be used.

use super::coverage::unusable_by_coverage;
use super::findings::ValidityFinding;
use super::item::{TlsItem, TlsItemKind, UnusableReason, in_force};
use crate::limits::VALIDITIES_SHOWN;

/// Reasons why a set of TLS files cannot be used at `now`: one of our certificates, all CAs of a file, or a CRL that is
/// needed has expired, is not valid yet, or is missing. Empty if the set can be used.
pub(super) fn unusable_reasons(all: &[TlsItem], now: i64) -> Vec<UnusableReason> {
    let out_of_date = |one: &&TlsItem| one.is_out_of_date(now);
    let cas = |role| all.iter().filter(move |one| one.kind == TlsItemKind::Authority && one.role == role);
    let no_ca = |role| cas(role).next().is_some() && !cas(role).any(|one| one.verifies_at(now));
    let found = in_force(all, now).filter(out_of_date).filter(|one| match one.kind {
        TlsItemKind::Certificate => true,
        TlsItemKind::Authority => no_ca(one.role),
        TlsItemKind::RevocationList => one.is_needed(all, now),
        // Peers may find another path to a root.
        TlsItemKind::Chain => false,
    });
    let line = |item: &TlsItem| {
        let finding = ValidityFinding { item, state: item.state(now)?, refuses: true };
        let issuer = if item.kind == TlsItemKind::RevocationList {
            (item.subject.clone(), item.key.clone(), item.is_partial)
        } else {
            Default::default()
        };
        let line = format!("{finding} (file {})", item.path.display());
        let has_ca = || all.iter().any(|one| one.kind == TlsItemKind::Authority && one.subject == item.subject);
        let is_certain = item.kind != TlsItemKind::RevocationList || has_ca();
        Some(UnusableReason { part: (item.kind, item.role, issuer), line, is_certain })
    };
    found.filter_map(line).chain(unusable_by_coverage(all, now)).take(VALIDITIES_SHOWN).collect()
}
