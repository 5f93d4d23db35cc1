//! The members that a rollout has named, by replica set: `POST /members`. A peer's certificate is accepted for these
//! names, as for names of `--member`, so setting them requires the same permission as a change of mode. They are kept
//! in the state file.

use std::collections::BTreeMap;

use crate::limits::{NAMED_MEMBERS, NAMED_MEMBERS_OF_SET, NAMED_SET_CHARS, NAMED_SETS};
use crate::net::HostPort;
use crate::text::printable;

/// The names of each set, validated and bounded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NamedSets(BTreeMap<String, Vec<HostPort>>);

impl NamedSets {
    /// Parses the sets of a request or of the state file.
    ///
    /// # Errors
    /// Every invalid set and name, in one text; else the bound that all sets together exceed.
    pub fn parse(sets: &BTreeMap<String, Vec<String>>) -> Result<NamedSets, String> {
        let mut wrong = Vec::new();
        let mut named = BTreeMap::new();
        for (set, names) in sets {
            let shown = printable(set);
            if !(1..=NAMED_SET_CHARS).contains(&set.chars().count()) {
                wrong.push(format!("the set name '{shown}' must have 1 to {NAMED_SET_CHARS} characters"));
            }
            if names.len() > NAMED_MEMBERS_OF_SET {
                let count = names.len();
                wrong.push(format!("set '{shown}' has {count} names; MongoDB allows at most {NAMED_MEMBERS_OF_SET}"));
            }
            let mut read: Vec<HostPort> = Vec::new();
            for name in names {
                match name.parse() {
                    Ok(name) if read.contains(&name) => {}
                    Ok(name) => read.push(name),
                    Err(error) => wrong.push(format!("'{}' of set '{shown}': {error}", printable(name))),
                }
            }
            named.insert(set.clone(), read);
        }
        if !wrong.is_empty() {
            return Err(wrong.join("; "));
        }
        let named = NamedSets(named);
        named.bounded().map(|()| named)
    }

    /// Replaces the sets that `newer` has; an empty set in `newer` removes the one of that name.
    ///
    /// # Errors
    /// The bound that would be exceeded.
    pub(super) fn replaced_by(&self, newer: NamedSets) -> Result<NamedSets, String> {
        let mut sets = self.0.clone();
        sets.extend(newer.0);
        sets.retain(|_, names| !names.is_empty());
        let sets = NamedSets(sets);
        sets.bounded().map(|()| sets)
    }

    fn bounded(&self) -> Result<(), String> {
        let (sets, names) = (self.0.len(), self.names().count());
        if sets > NAMED_SETS {
            return Err(format!("the request would make {sets} sets; at most {NAMED_SETS} are kept"));
        }
        if names > NAMED_MEMBERS {
            return Err(format!("the request would make {names} names; at most {NAMED_MEMBERS} are kept"));
        }
        Ok(())
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &HostPort> {
        self.0.values().flatten()
    }

    /// The sets in the format of JSON replies and of the state file.
    pub(crate) fn to_image(&self) -> BTreeMap<String, Vec<String>> {
        let texts = |names: &Vec<HostPort>| names.iter().map(ToString::to_string).collect();
        self.0.iter().map(|(set, names)| (set.clone(), texts(names))).collect()
    }
}

/// The warning that the names are not persisted.
pub(super) const FORGOTTEN: &str = "there is no state file, so a restart drops these names; peers with no other known \
    name are then verified by their IP address. Start with --stateFile";

/// Sets in one line, for the log.
pub(super) fn shown(sets: &BTreeMap<String, Vec<String>>) -> String {
    let sets = sets.iter().map(|(set, names)| format!("{}={}", printable(set), names.join(",")));
    printable(&sets.collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::NamedSets;
    use crate::limits::{NAMED_MEMBERS_OF_SET, NAMED_SETS};

    /// Sets and their names.
    type Rows<'a> = &'a [(&'a str, &'a [&'a str])];

    fn sets(rows: Rows<'_>) -> BTreeMap<String, Vec<String>> {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        rows.iter().map(|(set, all)| ((*set).to_owned(), names(all))).collect()
    }

    #[test]
    fn a_set_replaces_its_own_names_and_no_others() {
        let first = NamedSets::parse(&sets(&[("rs0", &["a:1", "b:1", "a:1"]), ("cfg", &["c:1"])])).unwrap();
        assert_eq!(first.to_image(), sets(&[("rs0", &["a:1", "b:1"]), ("cfg", &["c:1"])]));
        let rows: &[(Rows<'_>, Rows<'_>)] = &[
            (&[("rs0", &["d:1"])], &[("rs0", &["d:1"]), ("cfg", &["c:1"])]),
            (&[("rs0", &[])], &[("cfg", &["c:1"])]),
            (&[("rs1", &["e:1"])], &[("rs0", &["a:1", "b:1"]), ("cfg", &["c:1"]), ("rs1", &["e:1"])]),
            (&[("none", &[])], &[("rs0", &["a:1", "b:1"]), ("cfg", &["c:1"])]),
            (&[], &[("rs0", &["a:1", "b:1"]), ("cfg", &["c:1"])]),
        ];
        for (newer, expected) in rows {
            let after = first.replaced_by(NamedSets::parse(&sets(newer)).unwrap()).unwrap();
            assert_eq!(after.to_image(), sets(expected), "{newer:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = NamedSets::parse(&sets(&[("rs0", &["a:1", "b", "c:0", "x\ny:1"]), ("", &["d:1"])])).unwrap_err();
        for part in ["'b' of set 'rs0'", "'c:0'", "'x\\ny:1'", "set name ''"] {
            assert!(wrong.contains(part), "{part} is not in {wrong}");
        }
        assert!(!wrong.contains("'a:1'"), "{wrong}");
        let many: Vec<_> = (0..=NAMED_MEMBERS_OF_SET).map(|n| format!("h{n}:1")).collect();
        assert!(
            NamedSets::parse(&BTreeMap::from([("rs".into(), many.clone())])).unwrap_err().contains("MongoDB allows")
        );
        let full: BTreeMap<_, _> = (0..NAMED_SETS).map(|n| (format!("rs{n}"), vec![format!("h{n}:1")])).collect();
        let full = NamedSets::parse(&full).unwrap();
        let more = NamedSets::parse(&sets(&[("more", &["a:1"])])).unwrap();
        assert!(full.replaced_by(more).unwrap_err().contains("sets"));
        // A set can be removed even when the bound is reached.
        assert!(full.replaced_by(NamedSets::parse(&sets(&[("rs0", &[])])).unwrap()).is_ok());
        let names = |set: usize| (0..NAMED_MEMBERS_OF_SET).map(|n| format!("h{n}.{set}.net:1")).collect();
        let all: BTreeMap<String, Vec<String>> = (0..6).map(|set| (format!("rs{set}"), names(set))).collect();
        assert!(NamedSets::parse(&all).unwrap_err().contains("300 names"));
    }
}
