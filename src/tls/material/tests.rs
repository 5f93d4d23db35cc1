//! Tests of the findings about certificates and CRLs at a given time.

use certs_gen::{Authority, Request, Validity as Dates};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};

use super::findings::{finding_lines, findings};
use super::item::{TlsItem, TlsItemKind, ValidityState, in_force};
use super::unusable::unusable_reasons;
use crate::limits::VALIDITIES_SHOWN;
use crate::tls::FileRole;

const DAY: i64 = 86_400;
const NOW: i64 = 1_700_000_000;

pub(super) fn item(kind: TlsItemKind, subject: &str, begins: i64, ends: Option<i64>) -> TlsItem {
    let role = match kind {
        TlsItemKind::Certificate | TlsItemKind::Chain => FileRole::CertificateKey,
        TlsItemKind::Authority => FileRole::Ca,
        TlsItemKind::RevocationList => FileRole::Crl,
    };
    TlsItem {
        role,
        path: "/f.pem".into(),
        kind,
        subject: subject.into(),
        serial: String::new(),
        begins,
        ends,
        group: 0,
        key: Vec::new(),
        is_partial: false,
        verifies: Some((begins, ends.unwrap_or(i64::MAX))),
        is_useless: false,
        has_crl: true,
        lacks_root: false,
        is_above: false,
    }
}

#[test]
fn what_is_said_at_a_moment() {
    let from = |ends| item(TlsItemKind::Certificate, "CN=a", NOW - DAY, ends);
    for (one, state) in [
        (from(Some(NOW + 31 * DAY)), None),
        (from(Some(NOW + 30 * DAY)), None),
        (from(Some(NOW + 30 * DAY - 1)), Some(ValidityState::Soon { days: 29 })),
        (from(Some(NOW)), Some(ValidityState::Soon { days: 0 })),
        (from(Some(NOW - 1)), Some(ValidityState::Over)),
        (from(Some(i64::MIN)), Some(ValidityState::Over)),
        (from(Some(i64::MAX)), None),
        (from(None), None),
        (item(TlsItemKind::Authority, "CN=a", NOW + 1, Some(NOW + 2)), Some(ValidityState::NotYet)),
        (item(TlsItemKind::Authority, "CN=a", NOW, Some(NOW + 90 * DAY)), None),
    ] {
        let all = [one];
        assert_eq!(findings(&all, NOW).first().map(|finding| finding.state), state, "{all:?}");
    }
}

#[test]
fn lines_name_what_ends_and_what_to_do() {
    let rows = [
        (
            TlsItemKind::Authority,
            "CN=root",
            NOW - DAY,
            "tlsCAFile: the CA CN=root has expired on 2023-11-13T22:13:20Z; add the CA",
        ),
        (
            TlsItemKind::Certificate,
            "CN=db1",
            NOW + DAY,
            "tlsCertificateKeyFile: the certificate CN=db1 expires in 1 day, on 2023-",
        ),
        (TlsItemKind::Chain, "CN=mid\n", NOW + 2 * DAY, "the intermediate certificate CN=mid\\n expires in 2 days, on"),
        (TlsItemKind::RevocationList, "CN=root", NOW - 1, "tlsCRLFile: the revocation list of CN=root has expired on"),
    ];
    let all = rows.map(|(kind, subject, ends, _)| item(kind, subject, 0, Some(ends)));
    let found = findings(&all, NOW);
    // The CRL comes first, because all peers are refused while it is expired.
    let order: Vec<_> = found.iter().map(|finding| (finding.item.kind, finding.is_critical())).collect();
    assert_eq!(
        order,
        [
            (TlsItemKind::RevocationList, true),
            (TlsItemKind::Authority, false),
            (TlsItemKind::Certificate, false),
            (TlsItemKind::Chain, false)
        ]
    );
    let text = finding_lines(&found).join("\n");
    for (.., expected) in rows {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let many = vec![item(TlsItemKind::Authority, &"x".repeat(5000), 0, Some(1)); VALIDITIES_SHOWN + 140];
    let shown = finding_lines(&findings(&many, NOW));
    assert_eq!((shown.len(), shown.iter().map(String::len).max() < Some(500)), (VALIDITIES_SHOWN + 1, true));
    assert!(shown.last().unwrap().starts_with("and 140 more"), "{shown:?}");
}

#[test]
fn of_several_lists_of_an_issuer_the_newest_counts() {
    let old = item(TlsItemKind::RevocationList, "CN=a", 0, Some(NOW - DAY));
    let new = item(TlsItemKind::RevocationList, "CN=a", NOW - DAY, Some(NOW + 300 * DAY));
    let other = TlsItem { group: 1, ..item(TlsItemKind::RevocationList, "CN=b", 5, Some(NOW - DAY)) };
    // A CRL with the same issuer name that another key signed.
    let other_key = TlsItem { group: 2, ..item(TlsItemKind::RevocationList, "CN=a", 6, Some(NOW - DAY)) };
    // A CRL that is not in force yet.
    let future = TlsItem { ends: Some(NOW + 400 * DAY), begins: NOW + DAY, ..new.clone() };
    let all = [old, new, other, other_key, future];
    let found: Vec<_> = findings(&all, NOW).iter().map(|finding| finding.item.group).collect();
    assert_eq!(found, [1, 2]);
    assert_eq!(in_force(&all, NOW).count(), 3);
}

#[test]
fn a_set_is_of_no_use_if_ours_or_all_cas_or_a_list_is_out_of_date() {
    let over = Some(NOW - 1);
    let good = Some(NOW + 90 * DAY);
    let certificate = |begins, ends| item(TlsItemKind::Certificate, "CN=db1", begins, ends);
    let ca = |subject, ends| item(TlsItemKind::Authority, subject, 0, ends);
    let other_file = |one| TlsItem { role: FileRole::ClusterCa, ..one };
    let list = |begins, ends| item(TlsItemKind::RevocationList, "CN=root", begins, ends);
    let of_key = |one| TlsItem { key: vec![1], group: 1, ..one };
    let partial = |one| TlsItem { is_partial: true, group: 2, ..one };
    let rows = [
        (vec![], ""),
        (vec![certificate(0, good), ca("CN=root", good), list(0, good)], ""),
        (vec![certificate(0, over), ca("CN=root", good)], "CN=db1 has expired"),
        (vec![certificate(NOW + 1, good)], "CN=db1 is not valid before"),
        (vec![item(TlsItemKind::Chain, "CN=mid", 0, over), certificate(0, good)], ""),
        (vec![ca("CN=root", over), ca("CN=next", good)], ""),
        (vec![ca("CN=root", over), ca("CN=next", over)], "the CA CN=root has expired"),
        // A CA that must not issue certificates, and a CA whose issuer has expired.
        (vec![ca("CN=root", over), TlsItem { verifies: None, ..ca("CN=leaf", good) }], "the CA CN=root has expired"),
        (vec![ca("CN=root", over), TlsItem { verifies: Some((0, NOW - 1)), ..ca("CN=sub", good) }], "CN=root has"),
        (vec![ca("CN=root", good), other_file(ca("CN=next", over))], "the CA CN=next has expired"),
        (vec![ca("CN=root", good), list(0, over)], "revocation list of CN=root has expired"),
        (vec![ca("CN=root", good), list(NOW + 1, good)], "revocation list of CN=root is not valid before"),
        (vec![ca("CN=root", good), list(0, over), list(1, good)], ""),
        (vec![ca("CN=root", good), list(NOW + 1, good), list(0, good)], ""),
        (vec![ca("CN=root", over), ca("CN=next", good), list(0, over)], ""),
        // CRLs signed by a former key of the CA, whose certificate is no longer in the file or has expired; CRLs of
        // some distribution points.
        (vec![ca("CN=root", good), list(0, good), of_key(list(0, over))], ""),
        (vec![ca("CN=root", good), of_key(ca("CN=root", over)), list(0, good), of_key(list(0, over))], ""),
        (vec![ca("CN=root", good), list(0, good), partial(list(0, over))], ""),
        (vec![of_key(ca("CN=root", good)), of_key(list(0, over))], "revocation list of CN=root has expired"),
        (vec![ca("CN=root", good), partial(list(0, over))], "revocation list of CN=root has expired"),
        (vec![ca("CN=root", good), list(0, over), partial(list(0, good))], "revocation list of CN=root has expired"),
        // The CRL of an intermediate CA that is in none of the files.
        (vec![ca("CN=next", good), list(0, over)], "revocation list of CN=root has expired"),
    ];
    for (all, expected) in rows {
        let said = unusable_reasons(&all, NOW).into_iter().map(|one| one.line).collect::<Vec<_>>().join("\n");
        assert!(said.is_empty() == expected.is_empty() && said.contains(expected), "{expected}: {said}: {all:?}");
        let is_list = |one: &&TlsItem| one.kind == TlsItemKind::RevocationList;
        let critical = findings(&all, NOW).iter().any(|one| is_list(&one.item) && one.is_critical());
        // The CRL of an expired CA is also reported as expired.
        let is_over = all.contains(&ca("CN=root", over));
        assert!(critical == said.contains("list of CN=root has expired") || is_over, "{all:?}");
    }
}

#[test]
fn what_files_hold_is_read() {
    let ca = Authority::new("root").unwrap();
    let issued = ca.issue(&Request::client("late").valid(Dates::Expired)).unwrap();
    let der = CertificateDer::from_pem_slice(issued.cert_pem().as_bytes()).unwrap();
    let path = "/a.pem".as_ref();
    let one = TlsItem::of_certificate(FileRole::Cluster, path, TlsItemKind::Certificate, &der).unwrap();
    assert_eq!((&*one.subject, one.ends.unwrap() - one.begins, one.serial.is_empty()), ("CN=late", DAY, false));
    let crl = ca.revoke(&[], Dates::Expired).unwrap();
    let der = CertificateRevocationListDer::from_pem_slice(crl.as_bytes()).unwrap();
    let list = TlsItem::of_list(FileRole::Crl, path, &der, 0, None).unwrap();
    assert_eq!((&*list.subject, list.ends.unwrap() - list.begins), ("CN=root", DAY));
    assert_eq!(TlsItem::of_list(FileRole::Crl, path, b"no list", 0, None), None);
    assert_eq!(TlsItem::of_certificate(FileRole::Ca, path, TlsItemKind::Authority, b""), None);
}
