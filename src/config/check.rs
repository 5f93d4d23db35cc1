//! Loads a configuration at start, for `check`, and for a reload: reads and validates the options, loads the TLS files,
//! and reports all mistakes at once. A load that fails has no effect.

use std::sync::Arc;
use std::time::SystemTime;

use clap::ArgMatches;
use rustix::io::Errno;
use rustix::process::geteuid;

use super::lookup::{self, Lookup};
use super::mistake::Mistake;
use super::options::{OptionKey, OptionSpec};
use super::raw::Raw;
use super::reader::OptionReader;
use super::settings::Settings;
use super::table::TABLE;
use super::{cli, encryption, file, validate, warnings};
use crate::policy::{Mode, Spelling};
use crate::tls::{FileError, FileRole, Material};

/// A configuration that can be run.
#[derive(Debug)]
pub struct Loaded {
    /// The validated settings.
    pub settings: Settings,
    /// The loaded TLS files.
    pub material: Arc<Material>,
    /// Warnings, one line each.
    pub warnings: Vec<String>,
    /// The time at which reading began. Files may have changed since then.
    pub read_at: SystemTime,
    /// The options as written, for comparison on a reload.
    raw: Raw,
}

/// The result of a reload.
#[derive(Debug)]
pub struct Reload {
    /// The new configuration.
    pub loaded: Loaded,
    /// The new mode, if flags and file name another one than at the last load. Otherwise the mode in force stays, even
    /// if it was changed at run time.
    pub mode_changed_to: Option<Mode>,
}

/// Reads file and flags, validates them and loads the TLS files. The TLS files are loaded in mode `disabled` too, so
/// that an unusable file is found before a mode needs it. May block on DNS: it resolves names to listen on, and targets
/// that have the port of an own listener.
///
/// # Errors
/// Every mistake, in the order of the file, the options and the TLS files.
pub fn load(matches: &ArgMatches) -> Result<Loaded, Vec<Mistake>> {
    load_with(matches, lookup::system)
}

/// As [`load`], without DNS: no name resolves.
///
/// # Errors
/// As [`load`].
#[cfg(any(test, fuzzing))]
pub fn load_offline(matches: &ArgMatches) -> Result<Loaded, Vec<Mistake>> {
    load_with(matches, |host| host.parse().into_iter().collect())
}

/// Reads everything again. The inbound listeners stay open; their names are not resolved again.
///
/// # Errors
/// Every mistake, and every option whose change or removal needs a restart. The caller keeps `previous`.
pub fn reload(matches: &ArgMatches, previous: &Loaded) -> Result<Reload, Vec<Mistake>> {
    reload_with(matches, previous, lookup::system)
}

pub(super) fn load_with(matches: &ArgMatches, lookup: Lookup) -> Result<Loaded, Vec<Mistake>> {
    let read_at = SystemTime::now();
    let (raw, mistakes) = read(matches);
    let (settings, wrong) = validate::validate(&raw, lookup, None);
    let material = Material::load(&settings.tls);
    finish(read_at, raw, settings, material, mistakes.into_iter().chain(wrong).collect())
}

pub(super) fn reload_with(matches: &ArgMatches, previous: &Loaded, lookup: Lookup) -> Result<Reload, Vec<Mistake>> {
    let read_at = SystemTime::now();
    let (raw, mut mistakes) = read(matches);
    if raw.is_whole() {
        mistakes.extend(changed_restart_only(&raw, &previous.raw));
        mistakes.extend(dropped_verification(&raw, &previous.raw));
    }
    let bound = previous.settings.inbound.as_ref().map(|inbound| inbound.binds.as_slice());
    let (settings, wrong) = validate::validate(&raw, lookup, bound);
    mistakes.extend(wrong);
    let material = Material::load_again(&settings.tls);
    let loaded = finish(read_at, raw, settings, material, mistakes)
        .map_err(|mistakes| without_capabilities(&previous.settings, mistakes))?;
    let mode = loaded.settings.mode;
    let mode_changed_to = (mode != previous.settings.mode).then_some(mode);
    Ok(Reload { loaded, mode_changed_to })
}

/// The mode and its spelling in flags and file now; `None` if these cannot be read. For display only.
pub fn mode_named(matches: &ArgMatches) -> Option<(Mode, Spelling)> {
    let (raw, _) = read(matches);
    let mut reader = OptionReader::new(&raw);
    let mode = encryption::mode(&mut reader);
    (raw.is_whole() && reader.finish().is_empty()).then_some(mode)
}

/// Reads only the TLS files of a configuration again. Returns them with warnings.
///
/// # Errors
/// Every file that cannot be used, under the option name that the operator used.
pub fn material(loaded: &Loaded) -> Result<(Material, Vec<String>), Vec<Mistake>> {
    let material = Material::load_again(&loaded.settings.tls);
    material.map_err(|faults| {
        let mistakes = faults.into_iter().map(|fault| mistake(&loaded.raw, fault)).collect();
        without_capabilities(&loaded.settings, mistakes)
    })
}

/// Reads the configuration file and the TLS files again and drops the result, to find out whether a later rotation or
/// reload can read them. Must be called after the capabilities were dropped.
///
/// # Errors
/// Every file that can no longer be read.
pub fn read_again(matches: &ArgMatches, loaded: &Loaded) -> Result<(), Vec<Mistake>> {
    let (_, mistakes) = read(matches);
    let mut mistakes = without_capabilities(&loaded.settings, mistakes);
    mistakes.extend(material(loaded).err().into_iter().flatten());
    if mistakes.is_empty() { Ok(()) } else { Err(mistakes) }
}

/// With `--inboundTransparent`, no capability is left after the start, so that even root can read only files whose
/// permissions allow it. Replaces the remedy of each "permission denied".
fn without_capabilities(settings: &Settings, mut mistakes: Vec<Mistake>) -> Vec<Mistake> {
    if settings.is_inbound_transparent() {
        let denied = Errno::ACCESS.to_string();
        let denied = |mistake: &&mut Mistake| mistake.problem.contains(&denied);
        for mistake in mistakes.iter_mut().filter(denied) {
            let user = geteuid().as_raw();
            mistake.remedy = format!(
                "make it readable by its owner or group for the user that runs tlsramp (uid {user}): with \
                 --inboundTransparent all capabilities, including root's, are dropped"
            );
        }
    }
    mistakes
}

fn read(matches: &ArgMatches) -> (Raw, Vec<Mistake>) {
    let mut mistakes = Vec::new();
    let path = cli::file(matches);
    let from_file = path.as_ref().map_or_else(|| Some(Vec::new()), |path| file::read(path, &mut mistakes));
    let raw = Raw::merge(path, cli::entries(matches), from_file, &mut mistakes);
    (raw, mistakes)
}

fn finish(
    read_at: SystemTime,
    raw: Raw,
    settings: Settings,
    material: Result<(Material, Vec<String>), Vec<FileError>>,
    mut mistakes: Vec<Mistake>,
) -> Result<Loaded, Vec<Mistake>> {
    match material {
        Ok((material, from_files)) if mistakes.is_empty() => {
            let mut warnings = warnings::warnings(&raw, &settings);
            warnings.extend(from_files);
            warnings.extend(warnings::outgoing(&raw, &settings, &material));
            Ok(Loaded { settings, material: Arc::new(material), warnings, read_at, raw })
        }
        Ok(_) => Err(mistakes),
        Err(faults) => {
            mistakes.extend(faults.into_iter().map(|fault| mistake(&raw, fault)));
            Err(mistakes)
        }
    }
}

/// A fault in a TLS file, under the option name that the operator used.
fn mistake(raw: &Raw, fault: FileError) -> Mistake {
    let key = encryption::key_of(fault.file);
    let path = fault.path.display().to_string();
    let remedy = match (fault.needs_password, fault.file) {
        (true, FileRole::Cluster) => format!("give its password with {}", raw.option_name(OptionKey::ClusterPassword)),
        (true, _) => format!("give its password with {}", raw.option_name(OptionKey::CertificatePassword)),
        (false, _) => fault.remedy,
    };
    match raw.get(key) {
        Some(entry) => raw.mistake(entry, &fault.problem, &remedy).with_value(&path),
        None => Mistake::new(raw.option_name(key), fault.problem, remedy).with_value(&path),
    }
}

/// A mistake for each option that differs from `previous` although only a restart can change it.
fn changed_restart_only(raw: &Raw, previous: &Raw) -> Vec<Mistake> {
    let restart = TABLE.iter().filter(|opt| !opt.reloadable);
    let changed = restart.filter(|opt| raw.effective(opt) != previous.effective(opt));
    changed.map(|opt| changed_mistake(raw, previous, opt)).collect()
}

/// A mistake for each option with a file for verifying peers that was given before and is missing now. The
/// configuration file may have been read while it was being written, and without these options, peers would be accepted
/// that were refused before.
fn dropped_verification(raw: &Raw, previous: &Raw) -> Vec<Mistake> {
    let gone = [OptionKey::Ca, OptionKey::ClusterCa, OptionKey::Crl].into_iter().filter(|key| raw.get(*key).is_none());
    let remedy = "restore the option, or restart tlsramp without it";
    gone.filter_map(|key| previous.get(key))
        .map(|entry| {
            previous.mistake(entry, "the option was removed, and a reload does not reduce verification", remedy)
        })
        .collect()
}

fn changed_mistake(raw: &Raw, previous: &Raw, opt: &OptionSpec) -> Mistake {
    let was = match previous.effective(opt) {
        was if was.is_empty() => "not given".to_owned(),
        was => format!("'{}'", crate::text::printable(&was)),
    };
    let problem = format!("the value was {was} at start, and a reload cannot change it");
    let remedy = "restart tlsramp, or restore the old value";
    match (raw.get(opt.key), previous.get(opt.key)) {
        (Some(entry), _) => raw.mistake(entry, &problem, remedy),
        (None, Some(entry)) => previous.mistake(entry, "the option was removed, and a reload cannot change it", remedy),
        (None, None) => Mistake::new(raw.option_name(opt.key), problem, remedy),
    }
}
