//! Roots and CRLs that are missing in a set of TLS files, so that peers are refused. mongod also starts with such files
//! and refuses the peers.

use std::collections::BTreeSet;

use super::item::{CrlScope, TlsItem, TlsItemKind, UnusableReason};
use crate::limits::VALIDITIES_SHOWN;
use crate::text::printable;
use crate::tls::errors::file_error::FileRole;

/// The first few warnings about missing roots and CRLs.
pub fn coverage_warnings(all: &[TlsItem]) -> Vec<String> {
    let cas = all.iter().filter(|one| one.kind == TlsItemKind::Authority);
    let without_root = cas.clone().filter(|one| one.lacks_root).map(|one| without_root(one, all));
    let is_checked = lists(all).next().is_some();
    let unlisted = cas.filter(|one| is_checked && is_unlisted(one) && !one.is_above);
    let several = unlisted.clone().nth(1).is_some();
    let unlisted = names(unlisted).map(|cas| {
        let (of, those) = if several { ("lists of the CAs", "these CAs") } else { ("list of the CA", "that CA") };
        format!(
            "{}: the file has no revocation {of} {cas}, or the CA's key usage lacks cRLSign, so every certificate of \
             {those} is refused; add the list to the file, and rotate",
            FileRole::Crl
        )
    });
    let useless = all.iter().filter(|one| one.is_useless).map(issues_nothing);
    without_root.chain(useless).chain(unlisted).chain(unmatched(all)).take(VALIDITIES_SHOWN).collect()
}

/// Missing roots and CRLs that cause all peers to be refused: a CA file without a root, a CA file whose CAs must not
/// issue certificates, or CRLs of which none belongs to a CA of a CA file.
pub(crate) fn unusable_by_coverage(all: &[TlsItem], now: i64) -> Vec<UnusableReason> {
    let cas = || all.iter().filter(|one| one.kind == TlsItemKind::Authority);
    let rootless = cas().filter(|one| one.lacks_root);
    let rootless = rootless.filter(|one| !cas().any(|other| other.role == one.role && !other.lacks_root));
    let rootless = rootless.map(|one| UnusableReason {
        part: (TlsItemKind::Authority, one.role, CrlScope::default()),
        line: format!("{} (file {})", without_root(one, all), one.path.display()),
        is_certain: true,
    });
    // A CA file is useless only if all its certificates are. A self-signed client certificate in it is not: it is
    // trusted directly.
    let useless = cas().filter(|one| cas().filter(|other| other.role == one.role).all(|other| other.is_useless));
    let useless = useless.map(|one| UnusableReason {
        part: (TlsItemKind::Authority, one.role, CrlScope::default()),
        line: format!("{} (file {})", issues_nothing(one), one.path.display()),
        is_certain: false,
    });
    rootless.chain(useless).chain(no_list_of_any(all, now)).collect()
}

/// CAs that have a CRL in the running set and none in the set that would replace it.
pub fn lost_crls(running: &[TlsItem], coming: &[TlsItem], now: i64) -> Vec<String> {
    let Some(list) = lists(coming).next().filter(|_| no_list_of_any(coming, now).is_none()) else { return Vec::new() };
    let had = |ca: &&TlsItem| {
        let same = |other: &&TlsItem| {
            other.kind == TlsItemKind::Authority && other.subject == ca.subject && other.key == ca.key
        };
        running.iter().filter(same).any(|other| other.has_crl && other.verifies_at(now))
    };
    let lost =
        coming.iter().filter(|one| one.kind == TlsItemKind::Authority && is_unlisted(one) && one.verifies_at(now));
    let line = |ca: &TlsItem| {
        format!(
            "{}: the revocation list of the CA {}, which the files in force contain, is missing, so every certificate \
             of that CA would be refused; add it to the file or remove the CA, and rotate (file {})",
            FileRole::Crl,
            printable(&ca.subject),
            list.path.display()
        )
    };
    lost.filter(had).map(line).take(VALIDITIES_SHOWN).collect()
}

/// Reports that no CRL belongs to a CA that verifies peers. `None` without CRLs or without such CAs, or if a CRL belongs to
/// such a CA or to one in our own chain, whose certificate clients may send.
fn no_list_of_any(all: &[TlsItem], now: i64) -> Option<UnusableReason> {
    let cas: Vec<_> = all.iter().filter(|one| one.kind == TlsItemKind::Authority && one.verifies_at(now)).collect();
    let of_our_chain =
        |list: &TlsItem| all.iter().any(|one| one.kind == TlsItemKind::Chain && one.subject == list.subject);
    let first = lists(all).next()?;
    if cas.is_empty() || cas.iter().any(|ca| ca.has_crl) || lists(all).any(of_our_chain) {
        return None;
    }
    let is_certain = lists(all).all(|list| cas.iter().any(|ca| ca.subject == list.subject));
    let line = format!(
        "{}: the file has revocation lists of {} only, and none of them is signed by a CA of the CA file that may sign \
         CRLs (cRLSign), so every certificate of {} is refused; add the list of that CA, and rotate (file {})",
        FileRole::Crl,
        names(lists(all))?,
        names(cas.iter().copied())?,
        first.path.display()
    );
    Some(UnusableReason { part: (TlsItemKind::RevocationList, FileRole::Crl, CrlScope::default()), line, is_certain })
}

/// Warnings about CRLs that were signed by none of the CAs in the files.
fn unmatched(all: &[TlsItem]) -> impl Iterator<Item = String> + '_ {
    lists(all).filter(|list| !list.has_crl).map(|list| {
        let has_name = all.iter().any(|one| one.kind == TlsItemKind::Authority && one.subject == list.subject);
        let (subject, role) = (printable(&list.subject), list.role);
        if has_name {
            format!(
                "{role}: the revocation list of {subject} is signed with another key than that of the CA of this name \
                 in the CA file, or with an unsupported algorithm, such as SHA-1; put the list that this CA signed \
                 into the file, and rotate"
            )
        } else {
            format!(
                "{role}: the revocation list of {subject} belongs to no CA in the CA file: it applies only to \
                 certificates that are sent together with the certificate of that CA"
            )
        }
    })
}

fn issues_nothing(ca: &TlsItem) -> String {
    format!(
        "{}: the CA {} must not issue certificates (its key usage lacks keyCertSign, its extended key usage lacks \
         clientAuth and serverAuth, or it has a critical extension that is not supported), so every certificate of \
         that CA is refused; replace it with another CA, and rotate",
        ca.role,
        printable(&ca.subject)
    )
}

fn without_root(ca: &TlsItem, all: &[TlsItem]) -> String {
    let has_root = all.iter().any(|one| one.kind == TlsItemKind::Authority && one.role == ca.role && !one.lacks_root);
    let (role, subject) = (ca.role, printable(&ca.subject));
    let none = if has_root { "" } else { "the file contains no root (self-signed CA certificate): " };
    format!(
        "{role}: {none}the CA {subject} is an intermediate whose root is not in the file, so every certificate of that \
         CA is refused, as by mongod (\"unable to get issuer certificate\"); add the root to the file, and rotate"
    )
}

/// The first few subjects and the number of the others; `None` if there are none.
fn names<'a>(of: impl Iterator<Item = &'a TlsItem>) -> Option<String> {
    let mut seen = BTreeSet::new();
    let mut names: Vec<_> = of.filter(|one| seen.insert(&one.subject)).map(|one| printable(&one.subject)).collect();
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    names.extend((more > 0).then(|| format!("and {more} more")));
    (!names.is_empty()).then(|| names.join("; "))
}

fn lists(all: &[TlsItem]) -> impl Iterator<Item = &TlsItem> {
    all.iter().filter(|one| one.kind == TlsItemKind::RevocationList)
}

/// Whether a CA verifies peers but has no CRL.
fn is_unlisted(ca: &TlsItem) -> bool {
    ca.verifies.is_some() && !ca.has_crl
}

/// Maximum number of names in one line.
const NAMED: usize = 4;

#[cfg(test)]
mod tests {
    use super::{coverage_warnings, lost_crls, unusable_by_coverage};
    use crate::tls::TlsItem;
    use crate::tls::material::item::TlsItemKind;
    use crate::tls::material::tests::item;

    fn one(kind: TlsItemKind, subject: &str, has_crl: bool) -> TlsItem {
        let one = item(kind, subject, 0, Some(100));
        let verifies = one.verifies.filter(|_| kind == TlsItemKind::Authority);
        TlsItem { verifies, has_crl, ..one }
    }

    #[test]
    fn what_is_lacking_is_said_and_compared() {
        let ca = |name, has_crl| one(TlsItemKind::Authority, name, has_crl);
        let list = |name, has_crl| one(TlsItemKind::RevocationList, name, has_crl);
        let without_root = TlsItem { lacks_root: true, verifies: None, ..ca("CN=sub", false) };
        let above = TlsItem { is_above: true, ..ca("CN=above", false) };
        let ours = one(TlsItemKind::Chain, "CN=sub", false);
        let (a, b) = ("the file has no revocation list of the CA CN=a", "belongs to no CA in the CA file");
        // TLS items, the expected warnings, and whether the set is unusable.
        let useless = TlsItem { is_useless: true, verifies: None, ..ca("CN=a", false) };
        let rows: [(&[TlsItem], &[&str], bool); 12] = [
            (std::slice::from_ref(&useless), &["the CA CN=a must not issue certificates"], true),
            (&[useless.clone(), ca("CN=b", false)], &["the CA CN=a must not issue certificates"], false),
            (&[ca("CN=a", false)], &[], false),
            (&[ca("CN=a", true), list("CN=a", true)], &[], false),
            (&[ca("CN=a", false), list("CN=b", false)], &[a, b], true),
            (&[ca("CN=a", false), list("CN=a", false)], &[a, "signed with another key than that of the CA"], true),
            (&[ca("CN=a", false), ca("CN=b", true), list("CN=b", true)], &[a], false),
            (
                &[ca("CN=a", false), ca("CN=c", false), ca("CN=b", true), list("CN=b", true)],
                &["the file has no revocation lists of the CAs CN=a; CN=c"],
                false,
            ),
            (&[above.clone(), ca("CN=b", true), list("CN=b", true)], &[], false),
            // Clients may send the same intermediate CA that is in our chain.
            (&[ours, ca("CN=a", false), list("CN=sub", false)], &[a, b], false),
            (
                std::slice::from_ref(&without_root),
                &["the file contains no root (self-signed CA certificate): the CA CN=sub"],
                true,
            ),
            (&[without_root.clone(), ca("CN=a", false)], &["tlsCAFile: the CA CN=sub is an intermediate"], false),
        ];
        for (all, expected, unusable) in rows {
            let said = coverage_warnings(all);
            assert_eq!(said.len(), expected.len(), "{all:?}: {said:?}");
            assert!(said.iter().zip(expected).all(|(said, part)| said.contains(part)), "{expected:?}: {said:?}");
            assert_eq!(!unusable_by_coverage(all, 50).is_empty(), unusable, "{all:?}");
        }
        let both = [ca("CN=a", true), ca("CN=b", true), list("CN=a", true), list("CN=b", true)];
        let less = [ca("CN=a", true), ca("CN=b", false), list("CN=a", true)];
        assert!(lost_crls(&both, &less, 50).join("").contains("the revocation list of the CA CN=b"));
        assert!(lost_crls(&less, &both, 50).is_empty() && lost_crls(&less, &less, 50).is_empty());
        // A CA of the same name with another key, which had no CRL before or has none yet.
        let of_key = |one| TlsItem { key: vec![1], ..one };
        let one_of_two = [ca("CN=a", true), of_key(ca("CN=a", false)), list("CN=a", true)];
        assert!(lost_crls(&one_of_two, &one_of_two, 50).is_empty());
        assert!(lost_crls(&[ca("CN=a", true), list("CN=a", true)], &one_of_two, 50).is_empty());
        let two = [ca("CN=a", true), of_key(ca("CN=a", true)), list("CN=a", true), of_key(list("CN=a", true))];
        assert_eq!(lost_crls(&two, &one_of_two, 50).len(), 1);
        // The CA of the lost CRL has expired.
        assert!(lost_crls(&both, &less, 200).is_empty());
        // A large bundle of public CAs.
        let mut many: Vec<_> =
            (0..150).map(|number| one(TlsItemKind::Authority, &format!("CN={number}"), false)).collect();
        many.extend([ca("CN=a", true), list("CN=a", true)]);
        let said = coverage_warnings(&many).join("\n");
        assert!(said.contains("CN=3; and 146 more, or") && said.len() < 500, "{said}");
    }
}
