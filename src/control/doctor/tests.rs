//! Tables of the verdicts.

use super::finding::CheckVerdict::{self, Failed, Ok as Fine, Warning};
use super::rules::{AcceptedKinds, DescriptorFacts, MemberFacts, Spoken, clock, descriptors, members, modes};
use crate::control::probe::ServerState;
use crate::policy::Mode::{Allow, Disabled, Prefer, Require};
use crate::tls::{FileRole, TlsItem, TlsItemKind};

#[test]
fn modes_of_other_nodes_against_ours() {
    use AcceptedKinds::{Both, PlaintextOnly, TlsOnly};
    for (kinds, ours, verdict) in [
        (PlaintextOnly, Disabled, Fine),
        (PlaintextOnly, Allow, Fine),
        (PlaintextOnly, Prefer, Failed),
        (PlaintextOnly, Require, Failed),
        (Both, Disabled, Fine),
        (Both, Allow, Fine),
        (Both, Prefer, Fine),
        (Both, Require, Fine),
        (TlsOnly, Disabled, Failed),
        (TlsOnly, Allow, Failed),
        (TlsOnly, Prefer, Fine),
        (TlsOnly, Require, Fine),
    ] {
        let found = modes("db2:27017", kinds, ours);
        assert_eq!(found.verdict, verdict, "{kinds:?} {ours}: {found:?}");
        assert_eq!(found.remedy.is_some(), verdict != Fine, "{found:?}");
    }
    for (plaintext, tls, kinds) in [
        (Spoken::Yes, Spoken::No, Some(PlaintextOnly)),
        (Spoken::Yes, Spoken::Yes, Some(Both)),
        (Spoken::No, Spoken::Yes, Some(TlsOnly)),
        (Spoken::No, Spoken::No, None),
        (Spoken::Unknown, Spoken::Yes, None),
        (Spoken::Yes, Spoken::Unknown, None),
    ] {
        assert_eq!(AcceptedKinds::of(plaintext, tls), kinds, "{plaintext:?} {tls:?}");
    }
}

#[test]
fn clocks() {
    const NOW: i64 = 1_700_000_000;
    let item = |begins: i64, ends: i64| TlsItem { begins, ends: Some(ends), ..certificate() };
    let (long, fresh) = (item(NOW - 86_400, NOW + 86_400), item(NOW - 10, NOW + 86_400));
    for (offset, item, verdict, text) in [
        (0, &long, Fine, "within 5 s"),
        (4_900, &long, Fine, "within 5 s"),
        (-5_000, &long, Fine, "within 5 s"),
        (5_100, &long, Warning, "5.1 s ahead of"),
        (-600_000, &long, Warning, "600.0 s behind"),
        (-2_000, &fresh, Fine, "within"),
        (-11_000, &fresh, Failed, "not valid there"),
        (86_401_000, &fresh, Failed, "not valid there"),
        (i64::MIN, &long, Failed, "not valid there"),
    ] {
        let found = clock("db2:27017", offset, std::slice::from_ref(item), NOW);
        assert_eq!(found.verdict, verdict, "{offset}: {found:?}");
        assert!(found.text.contains(text), "{offset}: {found:?}");
    }
    // A certificate that is out of date here already is another finding.
    assert_eq!(clock("db2", 0, &[item(NOW + 1, NOW + 2)], NOW).verdict, Fine);
}

fn certificate() -> TlsItem {
    let issued = certs_gen::Authority::new("CA").unwrap().issue(&certs_gen::Request::server("db1")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pem");
    std::fs::write(&path, issued.pem()).unwrap();
    let files = crate::tls::TlsFiles { certificate_key: Some(path), ..crate::tls::TlsFiles::default() };
    let (material, _) = crate::tls::Material::load(&files).unwrap();
    let item = material.items()[0].clone();
    assert!(item.kind == TlsItemKind::Certificate && item.role == FileRole::CertificateKey);
    item
}

#[test]
fn versions_and_states() {
    let one = |name: &str, version: Option<&str>, state| MemberFacts {
        name: name.into(),
        version: version.map(Into::into),
        state: Some(state),
    };
    let verdicts = |all: &[MemberFacts]| members(all).into_iter().map(|found| found.verdict).collect::<Vec<_>>();
    let primary = one("a", Some("6.0.5"), ServerState::Primary);
    for (others, expected) in [
        (vec![one("b", Some("6.0.5"), ServerState::Secondary)], vec![Fine, Fine]),
        (vec![one("b", Some("6.0.14"), ServerState::Secondary)], vec![Fine, Fine]),
        (vec![one("b", None, ServerState::Arbiter)], vec![Fine, Fine]),
        (vec![one("b", Some("5.0.5"), ServerState::Secondary)], vec![Warning, Warning]),
        (vec![one("b", Some("6.0.5"), ServerState::Other)], vec![Fine, Warning]),
        (vec![one("b", Some("strange"), ServerState::Secondary)], vec![Fine, Fine]),
    ] {
        let all: Vec<_> = std::iter::once(primary.clone()).chain(others).collect();
        assert_eq!(verdicts(&all), expected, "{all:?}");
    }
}

/// Limit, open, connections carried, `maxIncomingConnections`; verdict.
type Row = (u64, Option<u64>, u64, Option<u64>, CheckVerdict);

#[test]
fn descriptor_limits() {
    let rows: [Row; 7] = [
        (20_000, Some(100), 9_000, None, Fine),
        (20_000, None, 9_000, None, Fine),
        (1_024, Some(100), 304, None, Warning),
        (1_024, Some(100), 304, Some(300), Fine),
        (20_000, Some(100), 9_000, Some(9_001), Warning),
        (20_000, Some(19_000), 9_000, None, Failed),
        (0, Some(0), 1, None, Warning),
    ];
    for (limit, used, carried, wanted, verdict) in rows {
        let found = descriptors(DescriptorFacts { limit, used, carried, wanted });
        assert_eq!(found.verdict, verdict, "{found:?}");
    }
}
