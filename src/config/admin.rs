//! The options of the control plane: its addresses, access rules and state file.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::Uri;

use super::options::OptionKey;
use super::pattern::Pattern;
use super::raw::RawValue;
use super::reader::OptionReader;
use super::settings::{Admin, AdminBind, Settings, WatchScope};
use super::values::{self, ValueError};
use crate::limits::{GUARD_WINDOW, GUARD_WINDOW_MOST, MOST_ADMIN_BINDS, MOST_PATTERNS};
use crate::net::UpstreamAddress;

/// Parses each option.
pub(super) fn read(reader: &mut OptionReader<'_>, port: u16) -> Admin {
    let raw = reader.raw;
    let mut binds = Vec::new();
    for entry in bounded(reader, OptionKey::AdminBind, MOST_ADMIN_BINDS) {
        binds.extend(reader.read_entry(entry, bind).flatten());
    }
    if raw.get(OptionKey::AdminBind).is_none() {
        binds.extend(default_bind(reader, port));
    }
    let allow = bounded(reader, OptionKey::AdminAllow, MOST_PATTERNS);
    let allow = allow.into_iter().filter_map(|entry| reader.read_entry(entry, str::parse::<Pattern>)).collect();
    let hosts = bounded(reader, OptionKey::AdminHost, MOST_PATTERNS);
    let hosts = hosts.into_iter().filter_map(|entry| reader.read_entry(entry, host)).collect();
    let links = bounded(reader, OptionKey::AdminLink, MOST_PATTERNS);
    let links = links.into_iter().filter_map(|entry| reader.read_entry(entry, link)).collect();
    let probes = bounded(reader, OptionKey::ProbeBind, MOST_ADMIN_BINDS);
    let probes = probes.into_iter().filter_map(|entry| reader.read_entry(entry, address)).collect();
    let scopes = [("certs", WatchScope::Certs), ("all", WatchScope::All), ("off", WatchScope::Off)];
    let switches = [("on", true), ("off", false)];
    Admin {
        binds,
        allow,
        read_only: reader.read(OptionKey::AdminReadOnly, values::switch).unwrap_or(false),
        hosts,
        links,
        probes,
        guard_window: reader
            .read(OptionKey::GuardWindow, |text| values::time_within(text, Duration::ZERO, GUARD_WINDOW_MOST))
            .unwrap_or(GUARD_WINDOW),
        state_file: reader.read(OptionKey::StateFile, state_file),
        takeover: reader.read(OptionKey::Takeover, takeover),
        watch: reader.read(OptionKey::Watch, |text| values::choice(text, &scopes)).unwrap_or(WatchScope::Certs),
        probe_upstreams: reader.read(OptionKey::UpstreamProbe, |text| values::choice(text, &switches)).unwrap_or(true),
    }
}

/// Checks the options against each other.
pub(super) fn check(reader: &mut OptionReader<'_>, settings: &Settings) {
    if settings.admin.tcp_binds().any(|at| !at.ip().is_loopback()) {
        let rows = [
            (settings.tls.certificate_key.is_none(), OptionKey::Certificate, "a certificate (tlsCertificateKeyFile)"),
            (settings.tls.ca.is_none(), OptionKey::Ca, "a CA file that verifies clients"),
            (settings.admin.allow.is_empty(), OptionKey::AdminAllow, "at least one pattern of permitted clients"),
        ];
        for (_, key, what) in rows.iter().filter(|(missing, ..)| *missing) {
            let problem =
                format!("an address other than loopback requires TLS with client certificates: it needs {what}");
            let remedy =
                format!("give {}, or bind the admin port to 127.0.0.1 or a unix socket", reader.option_name(*key));
            reader.refuse(OptionKey::AdminBind, &problem, &remedy);
        }
    }
    if settings.admin.watch == WatchScope::All && settings.file.is_none() {
        reader.refuse(OptionKey::Watch, "there is no configuration file to watch", "give --config, or watch certs");
    }
    collisions(reader, settings);
}

/// Refuses listeners of the control plane that conflict with other listeners.
fn collisions(reader: &mut OptionReader<'_>, settings: &Settings) {
    let mut taken: Vec<(SocketAddr, String)> = Vec::new();
    let inbound = settings.inbound.iter().flat_map(|inbound| inbound.binds.iter().copied());
    taken.extend(inbound.map(|at| (at, "the inbound route".to_owned())));
    taken.extend(settings.outbound.iter().map(|route| (route.listen, "an outbound route".to_owned())));
    taken.extend(settings.transparent_binds().map(|at| (at, "the route of redirected connections".to_owned())));
    let admin = settings.admin.tcp_binds().map(|at| (OptionKey::AdminBind, at));
    let probes = settings.admin.probes.iter().map(|at| (OptionKey::ProbeBind, *at));
    for (key, at) in admin.chain(probes) {
        if let Some((other, who)) = taken.iter().find(|(other, _)| super::routes::conflicts(*other, at)) {
            let problem = format!("{at}: {who} listens there too, on {other}");
            reader.refuse(key, &problem, "give one of them another address or port");
        }
        taken.push((at, "the admin port or a probe port".to_owned()));
    }
    sockets(reader, settings);
}

/// Refuses Unix sockets of the control plane whose path is also that of the state file or of another socket.
fn sockets(reader: &mut OptionReader<'_>, settings: &Settings) {
    let upstream = settings.inbound.as_ref().and_then(|inbound| match &inbound.upstream {
        UpstreamAddress::Unix(path) => Some(resolved(path)),
        UpstreamAddress::Tcp(_) => None,
    });
    let mut taken = Vec::new();
    if let Some(at) = settings.admin.takeover.as_deref().map(resolved) {
        let others = [settings.admin.state_file.as_deref().map(resolved), upstream.clone()];
        if others.contains(&Some(at.clone())) {
            let problem = format!("{} is also the path of the state file or of the upstream's socket", at.display());
            reader.refuse(OptionKey::Takeover, &problem, "choose a path of its own");
        }
        taken.push(at);
    }
    for path in settings.admin.unix_binds() {
        let at = resolved(path);
        if settings.admin.state_file.as_deref().map(resolved).as_ref() == Some(&at) {
            let problem =
                format!("unix:{} is the path of {}", path.display(), reader.option_name(OptionKey::StateFile));
            reader.refuse(OptionKey::AdminBind, &problem, "give the admin port a socket of its own");
        } else if upstream.as_ref() == Some(&at) {
            let problem = format!("unix:{} is also the socket of the upstream", path.display());
            reader.refuse(OptionKey::AdminBind, &problem, "give the admin port a socket of its own");
        } else if taken.contains(&at) {
            let problem = format!("unix:{} is given twice, here or as --takeover", path.display());
            reader.refuse(OptionKey::AdminBind, &problem, "remove one of them");
        }
        taken.push(at);
    }
}

/// The path with its folder resolved, so that two paths can be compared.
fn resolved(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    folder.join(path.file_name().unwrap_or_default())
}

/// The values of a list option; more than `most` are a mistake.
fn bounded<'a>(reader: &mut OptionReader<'a>, key: OptionKey, most: usize) -> Vec<&'a RawValue> {
    let raw = reader.raw;
    let entries: Vec<_> = raw.all(key).collect();
    if let Some(entry) = entries.get(most) {
        reader.refuse_entry(entry, &format!("more than {most} values are given"), "remove some");
    }
    entries.into_iter().take(most).collect()
}

/// The default address, with the port plus 1000, where mongod's HTTP interface used to be.
fn default_bind(reader: &mut OptionReader<'_>, port: u16) -> Option<AdminBind> {
    let admin = if port == 0 { Some(0) } else { port.checked_add(ADMIN_OFFSET) };
    if admin.is_none() {
        let problem = format!(
            "its default is the port plus {ADMIN_OFFSET}, which is above 65535: there is no port {}",
            u32::from(port) + 1000
        );
        reader.refuse(OptionKey::AdminBind, &problem, "give it an address, such as 127.0.0.1:28017");
    }
    admin.map(|admin| AdminBind::Tcp((Ipv4Addr::LOCALHOST, admin).into()))
}

/// Parses one address of the admin port; `None` for the word `none`.
fn bind(text: &str) -> Result<Option<AdminBind>, ValueError> {
    match (text, text.strip_prefix("unix:")) {
        ("none", _) => Ok(None),
        (_, Some(path)) if path.len() > ".sock".len() && path.ends_with(".sock") => {
            Ok(Some(AdminBind::Unix(PathBuf::from(path))))
        }
        (_, Some(_)) => {
            Err("the name of the socket must end in .sock, since mongosh recognises sockets by that ending".to_owned())
        }
        (_, None) => address(text).map(AdminBind::Tcp).map(Some),
    }
}

fn address(text: &str) -> Result<SocketAddr, ValueError> {
    let address = text.parse().map_err(|_| "expected IP:PORT, such as 127.0.0.1:28017 or [::1]:28017".to_owned())?;
    values::listenable(address)?;
    Ok(address)
}

fn host(text: &str) -> Result<String, ValueError> {
    let host = values::host(text.trim_start_matches('[').trim_end_matches(']'));
    host.map(|host| host.to_ascii_lowercase())
        .ok_or_else(|| "expected a DNS name or an IP address, without a port".into())
}

/// Checks that a URL is of a web page and contains neither a user nor a password, since the admin page shows the URL.
fn link(text: &str) -> Result<String, ValueError> {
    let url = text.parse::<Uri>().ok().filter(|url| matches!(url.scheme_str(), Some("http" | "https")));
    let host = url.as_ref().and_then(Uri::authority).filter(|host| !host.as_str().contains('@'));
    host.map(|_| text.to_owned())
        .ok_or_else(|| "expected a URL without a user, such as https://db2.example.net:28017/".to_owned())
}

/// Parses the path of the state file, whose folder must exist.
fn state_file(text: &str) -> Result<PathBuf, ValueError> {
    let path = PathBuf::from(text);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if path.file_name().is_none() || path.is_dir() {
        return Err("expected the path of a file".to_owned());
    }
    if folder.is_dir() { Ok(path) } else { Err(no_folder(folder)) }
}

/// Parses the path of the takeover socket. The folder is not checked here: it may not exist yet when `check` runs, and
/// if it is missing at start, the bind fails.
fn takeover(text: &str) -> Result<PathBuf, ValueError> {
    let path = text.strip_prefix("unix:").unwrap_or(text);
    if path.len() > ".sock".len() && path.ends_with(".sock") && !path.ends_with("/.sock") {
        Ok(PathBuf::from(path))
    } else {
        Err("expected the path of a Unix socket that ends in .sock, such as /run/tlsramp/takeover.sock".to_owned())
    }
}

/// The error for a missing folder of the state file, with the command that creates the folder.
fn no_folder(folder: &Path) -> ValueError {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let shown = folder.display();
    let unit = folder.strip_prefix("/var/lib").ok().filter(|name| !name.as_os_str().is_empty());
    let unit = unit.map(|name| format!(" (or StateDirectory={} in its systemd unit)", name.display()));
    format!(
        "the folder {shown} does not exist; create it as root, for the user that runs tlsramp: install -d -m 0700 -o \
         {uid} -g {gid} {shown}{}",
        unit.unwrap_or_default()
    )
}

/// Distance from the port to the admin port.
const ADMIN_OFFSET: u16 = 1000;

#[cfg(test)]
mod tests {
    use super::{address, bind, host, link, no_folder, takeover};
    use crate::config::settings::AdminBind;

    #[test]
    fn a_missing_folder_is_told_with_how_to_make_it() {
        let uid = rustix::process::geteuid().as_raw();
        let said = no_folder("/var/lib/tlsramp".as_ref());
        let command = format!("install -d -m 0700 -o {uid} -g ");
        assert!(said.contains(&command) && said.contains(" /var/lib/tlsramp (or StateDirectory=tlsramp in"), "{said}");
        let said = no_folder("/srv/state".as_ref());
        assert!(said.ends_with(" /srv/state") && !said.contains("StateDirectory"), "{said}");
    }

    #[test]
    fn the_path_of_the_takeover_socket() {
        for (text, expected) in [
            ("/run/tlsramp/takeover.sock", Some("/run/tlsramp/takeover.sock")),
            ("unix:/run/tlsramp/takeover.sock", Some("/run/tlsramp/takeover.sock")),
            ("takeover.sock", Some("takeover.sock")),
            ("/run/tlsramp", None),
            ("/run/.sock", None),
            ("true", None),
            ("", None),
        ] {
            assert_eq!(takeover(text).ok().as_deref(), expected.map(std::path::Path::new), "{text}");
        }
    }

    #[test]
    fn addresses_that_no_connection_reaches() {
        for (text, part) in [
            ("224.0.0.1:1", "multicast"),
            ("[ff02::1]:1", "multicast"),
            ("255.255.255.255:1", "broadcast"),
            ("[::ffff:127.0.0.1]:1", "write 127.0.0.1"),
            ("[fe80::1]:1", "[fe80::1%2]:1"),
        ] {
            assert!(address(text).is_err_and(|wrong| wrong.contains(part)), "{text}");
        }
        for text in ["[fe80::1%2]:1", "[::]:1", "0.0.0.0:1", "[fd00::1]:1"] {
            assert!(address(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn links_are_urls_of_pages() {
        for text in ["https://db2.example.net:28017/", "http://127.0.0.1:28018", "https://[fd00::1]:28017/"] {
            assert_eq!(link(text), Ok(text.to_owned()));
        }
        for text in ["db2.example.net:28017", "javascript:alert(1)", "ftp://a/", "https://", "https://a:b@c/", "/x", ""]
        {
            assert!(link(text).is_err(), "{text}");
        }
    }

    #[test]
    fn addresses_of_the_admin_port() {
        let rows = [
            ("127.0.0.1:28017", Ok("tcp 127.0.0.1:28017")),
            ("[::]:1", Ok("tcp [::]:1")),
            ("none", Ok("none")),
            ("unix:/run/tlsramp.sock", Ok("unix /run/tlsramp.sock")),
            ("unix:/run/tlsramp", Err(".sock")),
            ("unix:.sock", Err(".sock")),
            ("localhost:28017", Err("IP:PORT")),
            ("28017", Err("IP:PORT")),
        ];
        for (text, expected) in rows {
            let read = bind(text).map(|bind| match bind {
                None => "none".to_owned(),
                Some(AdminBind::Tcp(at)) => format!("tcp {at}"),
                Some(AdminBind::Unix(path)) => format!("unix {}", path.display()),
            });
            match (read, expected) {
                (Ok(read), Ok(expected)) => assert_eq!(read, expected),
                (Err(wrong), Err(part)) => assert!(wrong.contains(part), "{wrong}"),
                (read, _) => panic!("{text}: {read:?}"),
            }
        }
        assert!(address("0.0.0.0:9").is_ok());
        assert_eq!((host("Ops.Example"), host("[::1]")), (Ok("ops.example".into()), Ok("::1".into())));
        assert!(host("a b").is_err() && host("a:1").is_err());
    }
}
