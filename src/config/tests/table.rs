//! Tests that the table of options is complete and agrees with the limits.

use crate::config::options::{Form, OptionKey, ValueKind};
use crate::config::table::{TABLE, find, option};
use crate::limits::{
    GUARD_WINDOW_MOST, LONGEST_TIMEOUT_SECS, MOST_ADMIN_BINDS, MOST_CONNECTIONS, MOST_OUTBOUND, MOST_PATTERNS,
    MOST_WORKERS,
};

#[test]
fn every_option_is_complete_and_has_one_row() {
    for opt in TABLE {
        assert!(std::ptr::eq(option(opt.key), opt), "{:?} has two rows", opt.key);
        assert!(opt.help.ends_with('.') && !opt.help.contains("  "), "{:?}: {}", opt.key, opt.help);
        assert_eq!(opt.flags.len(), opt.yaml.len(), "{:?} has a name in one form that it lacks in another", opt.key);
        assert!(matches!(opt.flags.len(), 1 | 2 | 4), "{:?}: spellings come in pairs", opt.key);
        assert!(opt.kind != ValueKind::Switch || opt.default == "false");
        for (at, name) in opt.flags.iter().enumerate() {
            assert_eq!(find(Form::Flag, name).map(|found| (found.0.key, found.1)), Some((opt.key, at)));
            let prefix = if opt.flags.len() == 1 { "" } else { ["ssl", "tls"][at % 2] };
            assert!(name.starts_with(prefix), "{name}: ssl first, then tls");
        }
        for (at, name) in opt.yaml.iter().enumerate() {
            assert_eq!(find(Form::Yaml, name).map(|found| (found.0.key, found.1)), Some((opt.key, at)));
            assert!(["net.", "proxy.", "admin."].iter().any(|place| name.starts_with(place)), "{name}");
        }
    }
    assert_eq!(TABLE.last().map(|opt| opt.key as usize + 1), Some(TABLE.len()), "a key without a row");
}

/// The bounds are written both in the help and in the limits.
#[test]
fn the_help_names_the_bounds_in_force() {
    let rows = [
        (OptionKey::MaxIncoming, MOST_CONNECTIONS.to_string()),
        (OptionKey::Workers, MOST_WORKERS.to_string()),
        (OptionKey::Outbound, MOST_OUTBOUND.to_string()),
        (OptionKey::SniffTimeout, format!("{LONGEST_TIMEOUT_SECS}s")),
        (OptionKey::DrainTimeout, format!("{LONGEST_TIMEOUT_SECS}s")),
        (OptionKey::AdminBind, MOST_ADMIN_BINDS.to_string()),
        (OptionKey::AdminAllow, MOST_PATTERNS.to_string()),
        (OptionKey::GuardWindow, format!("{}h", GUARD_WINDOW_MOST.as_secs() / 3600)),
    ];
    for (key, bound) in rows {
        assert!(option(key).help.contains(&bound), "{key:?} should name {bound}");
    }
}
