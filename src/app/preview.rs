//! What only a start would find out, for `check`: the state file, and addresses that cannot be listened on.

use std::io;

use super::capabilities::cannot_be_transparent;
use super::restore::{Restored, restore};
use super::strangers::{ADMIN, INBOUND, OUTBOUND, wanted};
use crate::config::{Loaded, Mistake};
use crate::net::{Inherited, try_bind};

/// Does what a start does up to the first lasting effect. Returns what is worth a warning: a persisted mode that wins over
/// the configuration's, an address that no interface has yet.
///
/// # Errors
/// Every mistake that a start would end with, for as long as the host stays as it is. An address in use is none: the
/// instance to be replaced may be listening on it.
pub(super) fn preview(loaded: &Loaded, inherited: &Inherited) -> Result<Vec<String>, Vec<Mistake>> {
    let settings = &loaded.settings;
    let mut warnings = Vec::new();
    let mut mistakes = Vec::new();
    match restore(loaded) {
        Ok(Restored { mode, .. }) if mode != settings.mode => {
            let (mode, configured) = (mode.name(settings.spelling), settings.mode.name(settings.spelling));
            warnings.push(format!("--stateFile: a start takes the persisted mode {mode}, not {configured}"));
        }
        Ok(_) => {}
        Err(found) => mistakes.extend(found),
    }
    mistakes.extend(cannot_be_transparent(settings, inherited));
    for (route, address) in wanted(settings) {
        let option = option(route);
        let Err(error) = try_bind(address) else { continue };
        let mistake = Mistake::cannot_listen(option, &address.to_string(), &error);
        if error.kind() == io::ErrorKind::PermissionDenied {
            mistakes.push(mistake);
        } else if mistake.passing && !address.ip().is_loopback() {
            warnings.push(format!("{option} {address}: no interface of this host has this address now"));
        }
    }
    if mistakes.is_empty() { Ok(warnings) } else { Err(mistakes) }
}

/// The option that names the address of a listener.
pub(super) fn option(route: &str) -> &'static str {
    match route {
        INBOUND => "--port, --bind_ip",
        OUTBOUND => "--outbound",
        ADMIN => "--adminBind",
        _ => "--probeBind",
    }
}
