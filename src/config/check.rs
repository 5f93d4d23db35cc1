//! Loads a configuration, at start, for `check`, and again on a reload: read, validate, load the TLS files, and
//! report every mistake of all three at once. All or nothing: what fails leaves no trace.

use std::sync::Arc;
use std::time::SystemTime;

use clap::ArgMatches;
use rustix::io::Errno;
use rustix::process::geteuid;

use super::lookup::{self, Lookup};
use super::mistake::Mistake;
use super::options::{Change, Key, Opt};
use super::raw::Raw;
use super::reader::Reader;
use super::settings::Settings;
use super::table::TABLE;
use super::{cli, encryption, file, validate, warnings};
use crate::policy::{Mode, Spelling};
use crate::tls::{FileError, FileRole, Material};

/// A configuration that can be run.
#[derive(Debug)]
pub struct Loaded {
    /// What was asked for.
    pub settings: Settings,
    /// The TLS files, read.
    pub material: Arc<Material>,
    /// What is legal and yet worth a word, one line each.
    pub warnings: Vec<String>,
    /// When the reading of all this began: what changes later is not in it.
    pub read_at: SystemTime,
    /// What was written, for the comparison on a reload.
    raw: Raw,
}

/// A configuration read again.
#[derive(Debug)]
pub struct Reload {
    /// The new configuration.
    pub loaded: Loaded,
    /// The mode, if flags and file now name another than at the last load. A mode that they did not change stays as
    /// the operator set it.
    pub mode_changed_to: Option<Mode>,
}

/// Reads file and flags, validates them and loads the TLS files: under `disabled` too, so that the day of the change
/// brings no surprise. May block on DNS, for names to listen on and outbound targets.
///
/// # Errors
/// Every mistake, in the order of the file, the options and the TLS files.
pub fn load(matches: &ArgMatches) -> Result<Loaded, Vec<Mistake>> {
    load_with(matches, lookup::system)
}

/// Reads everything again. The inbound listeners stay: their names are not resolved anew.
///
/// # Errors
/// Every mistake, and every option that has changed and needs a restart. The caller keeps `previous`.
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
        mistakes.extend(fixed(&raw, &previous.raw));
        mistakes.extend(unverified(&raw, &previous.raw));
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

/// The mode that flags and file name now, and its spelling; none where they cannot be read. For showing, not for use.
#[must_use]
pub fn mode_named(matches: &ArgMatches) -> Option<(Mode, Spelling)> {
    let (raw, _) = read(matches);
    let mut reader = Reader::new(&raw);
    let mode = encryption::mode(&mut reader);
    (raw.is_whole() && reader.finish().is_empty()).then_some(mode)
}

/// Reads the TLS files of a configuration again, and nothing else. With them come warnings.
///
/// # Errors
/// Every file that cannot be used, under the name that the operator wrote.
pub fn material(loaded: &Loaded) -> Result<(Material, Vec<String>), Vec<Mistake>> {
    let material = Material::load_again(&loaded.settings.tls);
    material.map_err(|faults| {
        let mistakes = faults.into_iter().map(|fault| mistake(&loaded.raw, fault)).collect();
        without_capabilities(&loaded.settings, mistakes)
    })
}

/// Reads the configuration file and the TLS files once more, to learn whether a rotation or reload can: to be called after
/// the capabilities were dropped. What is in them is not used.
///
/// # Errors
/// Every file that cannot be read any more.
pub fn read_again(matches: &ArgMatches, loaded: &Loaded) -> Result<(), Vec<Mistake>> {
    let (_, mistakes) = read(matches);
    let mut mistakes = without_capabilities(&loaded.settings, mistakes);
    mistakes.extend(material(loaded).err().into_iter().flatten());
    if mistakes.is_empty() { Ok(()) } else { Err(mistakes) }
}

/// With `--inboundTransparent` no capability is left after the start, so that root too reads only what the rights of a file
/// allow its user. Mistakes about that get this remedy.
fn without_capabilities(settings: &Settings, mut mistakes: Vec<Mistake>) -> Vec<Mistake> {
    if settings.inbound.as_ref().is_some_and(|inbound| inbound.transparent) {
        let denied = Errno::ACCESS.to_string();
        let denied = |mistake: &&mut Mistake| mistake.problem.contains(&denied);
        for mistake in mistakes.iter_mut().filter(denied) {
            let user = geteuid().as_raw();
            mistake.remedy = format!(
                "make it readable for the user that tlsramp runs as (uid {user}) by its owner's or group's rights: all \
                 capabilities, root's included, are dropped with --inboundTransparent"
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

/// A fault of a TLS file, under the name that the operator wrote it by.
fn mistake(raw: &Raw, fault: FileError) -> Mistake {
    let key = encryption::key_of(fault.file);
    let path = fault.path.display().to_string();
    let remedy = match (fault.needs_password, fault.file) {
        (true, FileRole::Cluster) => format!("give its password with {}", raw.say(Key::ClusterPassword)),
        (true, _) => format!("give its password with {}", raw.say(Key::CertificatePassword)),
        (false, _) => fault.remedy,
    };
    match raw.get(key) {
        Some(entry) => raw.mistake(entry, &fault.problem, &remedy).with_value(&path),
        None => Mistake::new(raw.say(key), fault.problem, remedy).with_value(&path),
    }
}

/// The options that a reload cannot change, and that have changed.
fn fixed(raw: &Raw, previous: &Raw) -> Vec<Mistake> {
    let restart = TABLE.iter().filter(|opt| opt.change == Change::Restart);
    let changed = restart.filter(|opt| raw.holds(opt) != previous.holds(opt));
    changed.map(|opt| changed_mistake(raw, previous, opt)).collect()
}

/// The files that verify peers and are no longer named: a configuration that was read while it was being written, or
/// an accident. Either would let in whom the one before kept out.
fn unverified(raw: &Raw, previous: &Raw) -> Vec<Mistake> {
    let gone = [Key::Ca, Key::ClusterCa, Key::Crl].into_iter().filter(|key| raw.get(*key).is_none());
    let remedy = "put it back, or restart tlsramp to go without it";
    gone.filter_map(|key| previous.get(key))
        .map(|entry| previous.mistake(entry, "it is not given any more, and a reload does not verify less", remedy))
        .collect()
}

fn changed_mistake(raw: &Raw, previous: &Raw, opt: &Opt) -> Mistake {
    let was = match previous.holds(opt) {
        was if was.is_empty() => "not given".to_owned(),
        was => format!("'{}'", crate::text::printable(&was)),
    };
    let problem = format!("it was {was} at start, and a reload cannot change it");
    let remedy = "restart tlsramp, or take the change back";
    match (raw.get(opt.key), previous.get(opt.key)) {
        (Some(entry), _) => raw.mistake(entry, &problem, remedy),
        (None, Some(entry)) => {
            previous.mistake(entry, "it is not given any more, and a reload cannot change it", remedy)
        }
        (None, None) => Mistake::new(raw.say(opt.key), problem, remedy),
    }
}
