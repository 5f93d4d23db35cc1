//! The checks that `run` makes before it listens, and that `check` makes too: the state file, inherited sockets, the
//! descriptor limit, whether sockets can be made transparent, and a trial bind of every address. The checks have no
//! lasting effect.

use super::listener_specs::{ListenerSpec, lacks_ipv6, listener_specs};
use super::restore::{Restored, restore};
use super::transparency::cannot_be_transparent;
use super::unexpected_sockets::unexpected_sockets;
use crate::config::{Loaded, Mistake, Settings};
use crate::net::{Inherited, descriptors_at_most, descriptors_needed};

/// How an address that is in use is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InUse {
    /// As a mistake, because a start would fail.
    Mistake,
    /// As a warning, because `check` may run beside the instance that is to be replaced.
    Warning,
}

/// The result of the checks.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) restored: Restored,
    /// Warnings of `check`.
    pub(super) warnings: Vec<String>,
}

/// Runs the checks.
///
/// # Errors
/// Every mistake that would keep a proxy from starting.
pub(super) fn prepare(loaded: &Loaded, inherited: &Inherited, in_use: InUse) -> Result<Prepared, Vec<Mistake>> {
    let settings = &loaded.settings;
    let mut warnings = Vec::new();
    let mut mistakes = unexpected_sockets(inherited, settings);
    let restored = restore(loaded).map_err(|found| mistakes.extend(found)).ok();
    mistakes.extend(too_few_descriptors(settings));
    mistakes.extend(cannot_be_transparent(settings, inherited));
    for mistake in unavailable(settings, inherited) {
        match in_use {
            InUse::Warning if mistake.in_use => {
                let shown = mistake.value.as_deref().unwrap_or_default();
                let name = &mistake.name;
                warnings.push(format!(
                    "{name} {shown}: the address is in use, by the instance to be replaced or by another process"
                ));
            }
            InUse::Warning | InUse::Mistake => mistakes.push(mistake),
        }
    }
    let Some(restored) = restored.filter(|_| mistakes.is_empty()) else { return Err(mistakes) };
    if restored.mode != settings.mode {
        let (mode, configured) = (restored.mode.name(settings.spelling), settings.mode.name(settings.spelling));
        warnings.insert(
            0,
            format!(
                "--stateFile: tlsramp would start in the persisted mode {mode}, not in the configured mode {configured}"
            ),
        );
    }
    Ok(Prepared { restored, warnings })
}

/// Returns a mistake for each listener that cannot be opened now.
fn unavailable(settings: &Settings, inherited: &Inherited) -> Vec<Mistake> {
    let tcp = listener_specs(settings).into_iter().filter_map(|ListenerSpec { option, optional, address, .. }| {
        let error = inherited.try_listen(address).err()?;
        let skipped = optional && lacks_ipv6(&error);
        (!skipped).then(|| Mistake::cannot_listen(option, &address.to_string(), &error))
    });
    let unix = settings.admin.unix_binds().filter_map(|path| {
        let error = inherited.try_listen_unix(path).err()?;
        Some(Mistake::cannot_listen_unix("--adminBind", path, &error))
    });
    let takeover = settings.admin.takeover.iter().filter_map(|path| {
        let error = inherited.try_listen_unix(path).err()?;
        Some(Mistake::cannot_listen_unix("--takeover", path, &error))
    });
    tcp.chain(unix).chain(takeover).collect()
}

/// Returns a mistake if the descriptor limit is below what workers and listeners need before the first connection.
fn too_few_descriptors(settings: &Settings) -> Option<Mistake> {
    let routes = listener_specs(settings).iter().filter(|spec| spec.is_route()).count();
    let admin = settings.admin.binds.len() + settings.admin.probes.len();
    let (needed, most) = (descriptors_needed(settings.workers, routes, admin), descriptors_at_most());
    let shown = settings.workers.to_string();
    let problem = format!("workers and listeners need {needed} descriptors, and the limit is {most}");
    (most < needed).then(|| {
        let remedy = "raise the descriptor limit (ulimit -n, LimitNOFILE=), or configure fewer workers";
        Mistake::of("--workers", &shown, problem, remedy)
    })
}
