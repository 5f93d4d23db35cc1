//! What a set of TLS files lacks, so that peers are refused: the root above a CA, the revocation list of a CA. mongod starts with
//! such files, and refuses the peers.

use super::fault::FileRole;
use super::validity::{Kind, ListOf, Unusable, Validity, shown};
use crate::limits::VALIDITIES_SHOWN;

/// What is lacking, a line each: the first few.
#[must_use]
pub fn gaps(all: &[Validity]) -> Vec<String> {
    let cas = all.iter().filter(|one| one.kind == Kind::Authority);
    let without_root = cas.clone().filter(|one| one.lacks_root).map(|one| without_root(one, all));
    let is_checked = lists(all).next().is_some();
    let unlisted = cas.filter(|one| is_checked && is_unlisted(one) && !one.is_above);
    let several = unlisted.clone().nth(1).is_some();
    let unlisted = names(unlisted).map(|cas| {
        let (of, those) = if several { ("lists of the CAs", "these CAs") } else { ("list of the CA", "that CA") };
        format!(
            "{}: no revocation {of} {cas} in it, or the CA's key usage lacks cRLSign, so every certificate of {those} is refused; \
             put the list into the file, and rotate",
            FileRole::Crl
        )
    });
    let useless = all.iter().filter(|one| one.is_useless).map(issues_nothing);
    without_root.chain(useless).chain(unlisted).chain(unmatched(all)).take(VALIDITIES_SHOWN).collect()
}

/// The same as reasons for which a set is of no use to anyone: no root in a CA file, or no revocation list of any of its CAs.
pub(super) fn unusable_by_gaps(all: &[Validity], now: i64) -> Vec<Unusable> {
    let cas = || all.iter().filter(|one| one.kind == Kind::Authority);
    let rootless = cas().filter(|one| one.lacks_root);
    let rootless = rootless.filter(|one| !cas().any(|other| other.role == one.role && !other.lacks_root));
    let rootless = rootless.map(|one| Unusable {
        part: (Kind::Authority, one.role, ListOf::default()),
        line: format!("{} (file {})", without_root(one, all), one.path.display()),
        is_certain: true,
    });
    // A self-signed certificate of a client's own is none of these.
    let useless = cas().filter(|one| cas().filter(|other| other.role == one.role).all(|other| other.is_useless));
    let useless = useless.map(|one| Unusable {
        part: (Kind::Authority, one.role, ListOf::default()),
        line: format!("{} (file {})", issues_nothing(one), one.path.display()),
        is_certain: false,
    });
    rootless.chain(useless).chain(no_list_of_any(all, now)).collect()
}

/// CAs whose revocation lists are in one set and no longer in the one that is to replace it.
#[must_use]
pub fn lists_lost(running: &[Validity], coming: &[Validity], now: i64) -> Vec<String> {
    let Some(list) = lists(coming).next().filter(|_| no_list_of_any(coming, now).is_none()) else { return Vec::new() };
    let had = |ca: &&Validity| {
        let same =
            |other: &&Validity| other.kind == Kind::Authority && other.subject == ca.subject && other.key == ca.key;
        running.iter().filter(same).any(|other| other.listed && other.verifies_at(now))
    };
    let lost = coming.iter().filter(|one| one.kind == Kind::Authority && is_unlisted(one) && one.verifies_at(now));
    let line = |ca: &Validity| {
        format!(
            "{}: the revocation list of the CA {}, which the files in force have, is not in it, so every certificate of that CA \
             is refused; put it into the file, or take the CA out, and rotate (file {})",
            FileRole::Crl,
            shown(&ca.subject),
            list.path.display()
        )
    };
    lost.filter(had).map(line).take(VALIDITIES_SHOWN).collect()
}

/// Lists that are of none of the CAs that peers are verified by. A list of a CA above our own certificate may be one of a CA
/// that clients send with their certificates.
fn no_list_of_any(all: &[Validity], now: i64) -> Option<Unusable> {
    let cas: Vec<_> = all.iter().filter(|one| one.kind == Kind::Authority && one.verifies_at(now)).collect();
    let of_our_chain = |list: &Validity| all.iter().any(|one| one.kind == Kind::Chain && one.subject == list.subject);
    let first = lists(all).next()?;
    if cas.is_empty() || cas.iter().any(|ca| ca.listed) || lists(all).any(of_our_chain) {
        return None;
    }
    let is_certain = lists(all).all(|list| cas.iter().any(|ca| ca.subject == list.subject));
    let line = format!(
        "{}: no revocation list in it is of a CA of the CA file (it has lists of {}) that may sign one (cRLSign), so every \
         certificate of {} is refused; put the list of that CA into it, and rotate (file {})",
        FileRole::Crl,
        names(lists(all))?,
        names(cas.iter().copied())?,
        first.path.display()
    );
    Some(Unusable { part: (Kind::RevocationList, FileRole::Crl, ListOf::default()), line, is_certain })
}

/// Lists that no CA of the files has signed.
fn unmatched(all: &[Validity]) -> impl Iterator<Item = String> + '_ {
    lists(all).filter(|list| !list.listed).map(|list| {
        let has_name = all.iter().any(|one| one.kind == Kind::Authority && one.subject == list.subject);
        let (subject, role) = (shown(&list.subject), list.role);
        if has_name {
            format!(
                "{role}: the revocation list of {subject} is not signed by the key of the CA of that name in the CA file (or by an \
                 algorithm that is not supported here, such as SHA-1); put the list that this CA has signed into the file, and \
                 rotate"
            )
        } else {
            format!(
                "{role}: the revocation list of {subject} is of no CA of the CA file: it counts only for certificates that come \
                 with that CA's certificate"
            )
        }
    })
}

fn issues_nothing(ca: &Validity) -> String {
    format!(
        "{}: the CA {} may issue nothing (its key usage lacks keyCertSign, its extended key usage lacks clientAuth and serverAuth, or \
         it has a critical extension that is not supported), so every certificate of that CA is refused; put another CA into the \
         file, and rotate",
        ca.role,
        shown(&ca.subject)
    )
}

fn without_root(ca: &Validity, all: &[Validity]) -> String {
    let has_root = all.iter().any(|one| one.kind == Kind::Authority && one.role == ca.role && !one.lacks_root);
    let (role, subject) = (ca.role, shown(&ca.subject));
    let none = if has_root { "" } else { "no root (self-signed CA certificate) in it: " };
    format!(
        "{role}: {none}the CA {subject} is an intermediate, and the root above it is not in the file, so every certificate of that \
         CA is refused, as by mongod (\"unable to get issuer certificate\"); put the root beside it, and rotate"
    )
}

/// The names of some of these, and how many more there are; none if there are none.
fn names<'a>(of: impl Iterator<Item = &'a Validity>) -> Option<String> {
    let mut names: Vec<_> = of.map(|one| shown(&one.subject)).collect();
    names.dedup();
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    names.extend((more > 0).then(|| format!("and {more} more")));
    (!names.is_empty()).then(|| names.join("; "))
}

fn lists(all: &[Validity]) -> impl Iterator<Item = &Validity> {
    all.iter().filter(|one| one.kind == Kind::RevocationList)
}

/// Whether a CA verifies peers, and has no revocation list.
fn is_unlisted(ca: &Validity) -> bool {
    ca.verifies.is_some() && !ca.listed
}

/// Names that one line has of each kind.
const NAMED: usize = 4;

#[cfg(test)]
mod tests {
    use super::{gaps, lists_lost, unusable_by_gaps};
    use crate::tls::Validity;
    use crate::tls::validity::Kind;
    use crate::tls::validity::tests::validity;

    fn one(kind: Kind, subject: &str, listed: bool) -> Validity {
        let one = validity(kind, subject, 0, Some(100));
        let verifies = one.verifies.filter(|_| kind == Kind::Authority);
        Validity { verifies, listed, ..one }
    }

    #[test]
    fn what_is_lacking_is_said_and_compared() {
        let ca = |name, listed| one(Kind::Authority, name, listed);
        let list = |name, listed| one(Kind::RevocationList, name, listed);
        let without_root = Validity { lacks_root: true, verifies: None, ..ca("CN=sub", false) };
        let above = Validity { is_above: true, ..ca("CN=above", false) };
        let ours = one(Kind::Chain, "CN=sub", false);
        let (a, b) = ("no revocation list of the CA CN=a in it", "is of no CA of the CA file");
        // What is said, and whether the set is of no use.
        let useless = Validity { is_useless: true, verifies: None, ..ca("CN=a", false) };
        let rows: [(&[Validity], &[&str], bool); 12] = [
            (std::slice::from_ref(&useless), &["the CA CN=a may issue nothing"], true),
            (&[useless.clone(), ca("CN=b", false)], &["the CA CN=a may issue nothing"], false),
            (&[ca("CN=a", false)], &[], false),
            (&[ca("CN=a", true), list("CN=a", true)], &[], false),
            (&[ca("CN=a", false), list("CN=b", false)], &[a, b], true),
            (&[ca("CN=a", false), list("CN=a", false)], &[a, "not signed by the key of the CA of that name"], true),
            (&[ca("CN=a", false), ca("CN=b", true), list("CN=b", true)], &[a], false),
            (
                &[ca("CN=a", false), ca("CN=c", false), ca("CN=b", true), list("CN=b", true)],
                &["no revocation lists of the CAs CN=a; CN=c in it"],
                false,
            ),
            (&[above.clone(), ca("CN=b", true), list("CN=b", true)], &[], false),
            // Clients may send the same intermediate as we do.
            (&[ours, ca("CN=a", false), list("CN=sub", false)], &[a, b], false),
            (std::slice::from_ref(&without_root), &["no root (self-signed CA certificate) in it: the CA CN=sub"], true),
            (&[without_root.clone(), ca("CN=a", false)], &["tlsCAFile: the CA CN=sub is an intermediate"], false),
        ];
        for (all, expected, unusable) in rows {
            let said = gaps(all);
            assert_eq!(said.len(), expected.len(), "{all:?}: {said:?}");
            assert!(said.iter().zip(expected).all(|(said, part)| said.contains(part)), "{expected:?}: {said:?}");
            assert_eq!(!unusable_by_gaps(all, 50).is_empty(), unusable, "{all:?}");
        }
        let both = [ca("CN=a", true), ca("CN=b", true), list("CN=a", true), list("CN=b", true)];
        let less = [ca("CN=a", true), ca("CN=b", false), list("CN=a", true)];
        assert!(lists_lost(&both, &less, 50).join("").contains("the revocation list of the CA CN=b"));
        assert!(lists_lost(&less, &both, 50).is_empty() && lists_lost(&less, &less, 50).is_empty());
        // Another key of the same name, of which there was no list or is none yet.
        let of_key = |one| Validity { key: vec![1], ..one };
        let one_of_two = [ca("CN=a", true), of_key(ca("CN=a", false)), list("CN=a", true)];
        assert!(lists_lost(&one_of_two, &one_of_two, 50).is_empty());
        assert!(lists_lost(&[ca("CN=a", true), list("CN=a", true)], &one_of_two, 50).is_empty());
        let two = [ca("CN=a", true), of_key(ca("CN=a", true)), list("CN=a", true), of_key(list("CN=a", true))];
        assert_eq!(lists_lost(&two, &one_of_two, 50).len(), 1);
        // It has ended.
        assert!(lists_lost(&both, &less, 200).is_empty());
        // A bundle of public CAs.
        let mut many: Vec<_> = (0..150).map(|number| one(Kind::Authority, &format!("CN={number}"), false)).collect();
        many.extend([ca("CN=a", true), list("CN=a", true)]);
        let said = gaps(&many).join("\n");
        assert!(said.contains("CN=3; and 146 more in it") && said.len() < 500, "{said}");
    }
}
