//! Applies name constraints that webpki does not: DNS constraints apply to the common name of a certificate without DNS
//! names (OpenSSL's `NAME_CONSTRAINTS_check_CN`).

use x509_parser::extensions::{GeneralName, GeneralSubtree};
use x509_parser::prelude::X509Certificate;

/// Whether the name constraints of a CA permit the common names of a certificate that it issued.
pub(crate) fn allow_common_names(ca: &X509Certificate<'_>, certificate: &X509Certificate<'_>) -> bool {
    let Some(constraints) = ca.name_constraints().ok().flatten().map(|constraints| constraints.value) else {
        return true;
    };
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let is_dns = |name: &GeneralName<'_>| matches!(name, GeneralName::DNSName(_));
    if alternative.is_some_and(|names| names.value.general_names.iter().any(is_dns)) {
        return true;
    }
    let permitted: Vec<_> = bases(constraints.permitted_subtrees.as_deref()).collect();
    let mut hosts =
        certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok()).filter(|name| is_host(name));
    hosts.all(|name| {
        let is_permitted = permitted.is_empty() || permitted.iter().any(|base| is_within(name, base));
        is_permitted && !bases(constraints.excluded_subtrees.as_deref()).any(|base| is_within(name, base))
    })
}

fn bases<'a>(subtrees: Option<&'a [GeneralSubtree<'a>]>) -> impl Iterator<Item = &'a str> {
    subtrees.unwrap_or_default().iter().filter_map(|subtree| {
        let GeneralName::DNSName(name) = &subtree.base else { return None };
        Some(*name)
    })
}

/// Whether a common name looks like a host name: letters, digits and `_`, with `-` or `.` between them, and at least
/// one dot.
fn is_host(name: &str) -> bool {
    let is_label = |label: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        !label.is_empty() && label.bytes().all(fits) && !label.starts_with('-') && !label.ends_with('-')
    };
    name.contains('.') && name.split('.').all(is_label)
}

/// Whether a name equals a base domain or is below it.
fn is_within(name: &str, base: &str) -> bool {
    let (name, base) = (name.to_ascii_lowercase(), base.to_ascii_lowercase());
    match name.strip_suffix(&base) {
        Some(rest) => rest.is_empty() || base.is_empty() || base.starts_with('.') || rest.ends_with('.'),
        None => false,
    }
}
