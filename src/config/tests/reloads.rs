//! Tests of reloads: options that may change, options that may not, and what counts as a change of mode.

use std::path::PathBuf;

use super::{ArgMatches, Loaded, Mode, load_with, matches, names, reload_with};

struct Case {
    dir: tempfile::TempDir,
    matches: ArgMatches,
}

impl Case {
    fn new(text: &str, args: &[&str]) -> Case {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("t.conf");
        let matches = matches(&[&["--config", file.to_str().unwrap()], args].concat());
        let case = Case { dir, matches };
        case.write(text);
        case
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("t.conf")
    }

    fn write(&self, text: &str) {
        std::fs::write(self.file(), text).unwrap();
    }

    fn load(&self) -> Loaded {
        load_with(&self.matches, names).map_err(|mistakes| format!("{mistakes:?}")).unwrap()
    }

    fn mistakes(&self, previous: &Loaded) -> Vec<String> {
        let mistakes = reload_with(&self.matches, previous, names).err().unwrap();
        mistakes.iter().map(ToString::to_string).collect()
    }
}

const BASE: &str = "outbound = 127.0.0.1:5=db1:1\n";

#[test]
fn the_mode_counts_as_changed_when_the_text_names_another() {
    let case = Case::new(BASE, &[]);
    let first = case.load();
    for (text, changed) in [("", None), ("sslMode = disabled\n", None), ("sslMode = allowSSL\n", Some(Mode::Allow))] {
        case.write(&format!("{BASE}{text}"));
        let reload = reload_with(&case.matches, &first, names).map_err(|mistakes| format!("{mistakes:?}")).unwrap();
        assert_eq!(reload.mode_changed_to, changed, "{text}");
        if changed.is_some() {
            case.write(&format!("{BASE}tlsMode = allowTLS\n"));
            let again =
                reload_with(&case.matches, &reload.loaded, names).map_err(|mistakes| format!("{mistakes:?}")).unwrap();
            assert_eq!(again.mode_changed_to, None, "the same mode in the other spelling");
        }
    }
}

#[test]
fn what_may_change_changes() {
    let case = Case::new(BASE, &[]);
    let first = case.load();
    case.write(
        "outbound = 127.0.0.1:6=db1:1\nsniffTimeout=1s\nlogLevel=debug\nrefusal=close\nmaxIncomingConnections=9\n",
    );
    let settings =
        reload_with(&case.matches, &first, names).map_err(|mistakes| format!("{mistakes:?}")).unwrap().loaded.settings;
    assert_eq!((settings.outbound[0].listen.port(), settings.max_incoming), (6, Some(9)));
}

#[test]
fn what_needs_a_restart_fails_the_whole_and_is_named() {
    let case = Case::new("upstream = db1:1\nworkers = 2\n", &[]);
    let first = case.load();
    case.write("upstream = db1:2\nport = 27018\nlogLevel = debug\nrefusal = none\n");
    let mistakes = case.mistakes(&first);
    let parts = [
        "port '27018' in FILE: the value was '27017' at start, and a reload cannot change it\n  restart tlsramp",
        "upstream 'db1:2' in",
        "workers '2' in FILE: the option was removed",
        "refusal 'none' in",
    ];
    assert_eq!(mistakes.len(), parts.len(), "{mistakes:#?}");
    for (mistake, part) in mistakes.iter().zip(parts) {
        let mistake = mistake.replace(case.file().to_str().unwrap(), "FILE");
        assert!(mistake.contains(part), "{mistake}");
    }
    case.write("upstream = db1:1\nworkers = 2\nport = 27017\nbind_ip = 127.0.0.1\n");
    assert!(reload_with(&case.matches, &first, names).is_ok(), "a default written out is no change");
}

#[test]
fn listeners_stay_though_their_names_move() {
    let case = Case::new("upstream = db1:1\nbind_ip = db2\n", &[]);
    let first = case.load();
    let nothing = |_: &str| Vec::new();
    let settings = reload_with(&case.matches, &first, nothing)
        .map_err(|mistakes| format!("{mistakes:?}"))
        .unwrap()
        .loaded
        .settings;
    assert_eq!(settings.inbound, first.settings.inbound);
}

#[test]
fn a_file_that_went_bad_is_an_error() {
    let case = Case::new(BASE, &[]);
    let first = case.load();
    case.write("outbound: [");
    let mistakes = case.mistakes(&first);
    assert!(
        mistakes.len() == 1 && mistakes[0].contains("invalid YAML"),
        "nothing follows from what was not read: {mistakes:#?}"
    );
}
