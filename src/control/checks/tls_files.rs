//! Checks of TLS files: whether they can serve a mode, whether new ones are out of date while those in force are not,
//! and when they expire.

use crate::config::Settings;
use crate::control::change::ChangeError;
use crate::policy::Mode;
use crate::telemetry::now_millis;
use crate::tls::{Material, UnusableReason, ValidityFinding, coverage_warnings, finding_lines, findings, lost_crls};

/// Checks that the TLS files can serve a mode.
///
/// # Errors
/// [`ChangeError::Unservable`], with the missing file or option.
pub fn servable(mode: Mode, settings: &Settings, material: &Material) -> Result<(), ChangeError> {
    let refuse = |missing| Err(ChangeError::Unservable { mode, missing });
    if settings.needs_certificate(mode) && !material.can_accept() {
        return refuse("no certificate is loaded; set tlsCertificateKeyFile and reload");
    }
    if settings.links_by_tls(mode) && !material.can_dial() {
        return refuse("there is no CA file to verify servers with; set tlsCAFile and reload");
    }
    Ok(())
}

/// Warnings about new TLS files (`coming`) that are out of date, or lack a revocation list that the files in force
/// have.
///
/// # Errors
/// [`ChangeError::Unusable`], unless forced, if the new files have such a fault that those in force do not have. With
/// an expired certificate, no client could connect; with an expired revocation list, no client that presents a
/// certificate could. If peers are certainly refused with the files in force, any files may replace them.
pub(crate) fn outdated(running: &Material, coming: &Material, force: bool) -> Result<Vec<String>, ChangeError> {
    let now = now_secs();
    let (found, before) = (coming.unusable(now), running.unusable(now));
    let lost = lost_crls(running.items(), coming.items(), now);
    let is_new = |one: &UnusableReason| !before.iter().any(|other| other.part == one.part);
    let gets_worse = !before.iter().any(|one| one.is_certain) && (found.iter().any(is_new) || !lost.is_empty());
    let finding_lines = found.into_iter().map(|one| one.line).chain(lost).collect();
    if gets_worse && !force { Err(ChangeError::Unusable(finding_lines)) } else { Ok(finding_lines) }
}

/// A line for each certificate, CA and revocation list that has expired or expires within 30 days. Returns two lists:
/// lines for files that make connections fail now, and all other lines, such as warnings about missing roots and CRLs.
pub(crate) fn expiry_warnings(material: &Material) -> (Vec<String>, Vec<String>) {
    let found = findings(material.items(), now_secs());
    let (critical, others): (Vec<_>, Vec<_>) = found.into_iter().partition(ValidityFinding::is_critical);
    let mut others = finding_lines(&others);
    others.extend(coverage_warnings(material.items()));
    (finding_lines(&critical), others)
}

fn now_secs() -> i64 {
    now_millis() / 1000
}
