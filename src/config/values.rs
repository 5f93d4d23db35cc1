//! Parsers for the values of single options. They are pure functions.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::settings::MemberSettings;
use crate::limits::LONGEST_TIMEOUT_SECS;
use crate::net::HostPort;
use crate::tls::DisabledProtocols;

/// A description of what was expected or is wrong, which follows the name and the value in the message.
pub(super) type ValueError = String;

/// Parses one of the given words, case-sensitive.
pub(super) fn choice<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, ValueError> {
    let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
    found.ok_or_else(|| {
        let words = words.iter().map(|(word, _)| *word).collect::<Vec<_>>();
        match words.split_last() {
            Some((last, rest)) if !rest.is_empty() => format!("expected {} or {last}", rest.join(", ")),
            _ => format!("expected {}", words.join("")),
        }
    })
}

/// Parses a boolean, in the words that mongod accepts.
pub(super) fn switch(text: &str) -> Result<bool, ValueError> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err("expected true or false".to_owned()),
    }
}

/// Parses a whole number from `least` to `most`.
pub(super) fn count(text: &str, least: u64, most: u64) -> Result<usize, ValueError> {
    let number = digits(text).filter(|number| (least..=most).contains(number)).map(usize::try_from);
    match number {
        Some(Ok(number)) => Ok(number),
        Some(Err(_)) | None => Err(format!("expected a whole number from {least} to {most}")),
    }
}

/// Parses a port to listen on; 0 lets the kernel choose one.
pub(super) fn port(text: &str) -> Result<u16, ValueError> {
    let port = digits(text).and_then(|number| u16::try_from(number).ok());
    port.ok_or_else(|| "expected a port, 0 to 65535".to_owned())
}

/// Parses a time from `least` to one day: a number with the unit `ms`, `s`, `m` or `h`, or a number of seconds.
///
/// # Errors
/// A description of what was expected.
pub fn time(text: &str, least: Duration) -> Result<Duration, ValueError> {
    time_within(text, least, Duration::from_secs(LONGEST_TIMEOUT_SECS))
}

/// As [`time`], with the maximum `most`.
pub(super) fn time_within(text: &str, least: Duration, most: Duration) -> Result<Duration, ValueError> {
    let at = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let millis = match unit {
        "ms" => Some(1),
        "" | "s" => Some(1000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    let time = digits(number).zip(millis).and_then(|(number, millis)| number.checked_mul(millis));
    let time = time.map(Duration::from_millis);
    time.filter(|time| (least..=most).contains(time)).ok_or_else(|| {
        let least = if least.is_zero() { "0" } else { "1ms" };
        let (most, days) = (most.as_secs(), most.as_secs() / 86_400);
        let days = if days == 1 { "a day".to_owned() } else { format!("{days} days") };
        format!("expected a time from {least} to {most}s ({days}), as 10s, 500ms, 2m, 1h or seconds")
    })
}

/// Parses an IP address.
pub(super) fn ip(text: &str) -> Result<IpAddr, ValueError> {
    text.parse().map_err(|_| "expected an IP address".to_owned())
}

/// Refuses addresses on which a TCP listener cannot be opened or cannot be reached.
pub(super) fn listenable(address: SocketAddr) -> Result<(), ValueError> {
    let (ip, port) = (address.ip(), address.port());
    match address {
        _ if ip.is_multicast() => Err(format!("{ip} is a multicast address, on which TCP cannot listen")),
        SocketAddr::V4(v4) if v4.ip().is_broadcast() => {
            Err(format!("{ip} is the broadcast address, on which TCP cannot listen"))
        }
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(v4) => Err(format!("{ip} is an IPv4-mapped IPv6 address; write {v4}")),
            None if v6.ip().is_unicast_link_local() && v6.scope_id() == 0 => Err(format!(
                "{ip} is a link-local address, which is ambiguous without an interface: write the interface's number \
                 (ip link shows it), as in [{ip}%2]:{port}, if the option accepts IP:PORT; else use another address"
            )),
            None => Ok(()),
        },
        SocketAddr::V4(_) => Ok(()),
    }
}

/// Parses disabled protocol versions. Also returns whether the text is the single word `none`. The rules are mongod's:
/// tokens separated by commas, empty ones skipped, case-sensitive, an optional `no` before the name.
pub(super) fn protocols(text: &str) -> Result<(DisabledProtocols, bool), ValueError> {
    let mut disabled = DisabledProtocols::default();
    if text.trim() == "none" {
        return Ok((disabled, true));
    }
    for token in text.split(',').map(str::trim).filter(|token| !token.is_empty()) {
        match token.strip_prefix("no").unwrap_or(token) {
            "TLS1_0" | "TLS1_1" => {}
            "TLS1_2" => disabled.tls1_2 = true,
            "TLS1_3" => disabled.tls1_3 = true,
            _ => {
                let token = crate::text::printable(token);
                return Err(format!(
                    "Unrecognized disabledProtocols '{token}'; expected a comma list of TLS1_0, TLS1_1, TLS1_2 and TLS1_3, \
                     or the single word none"
                ));
            }
        }
    }
    Ok((disabled, false))
}

/// Parses an outbound route: `LISTEN=HOST:PORT[,name=NAME]`. LISTEN must be a loopback IP address.
pub(super) fn outbound(text: &str) -> Result<(SocketAddr, HostPort, String), ValueError> {
    let (listen, target) = text.split_once('=').ok_or("expected LISTEN=HOST:PORT, optionally with ,name=NAME")?;
    let listen = loopback(listen.trim())?;
    let (target, extra) = target.split_once(',').map_or((target, None), |(target, extra)| (target, Some(extra)));
    let target = target.trim().parse::<HostPort>().map_err(|error| format!("in HOST:PORT: {error}"))?;
    let name = match extra.map(|extra| extra.trim().strip_prefix("name=")) {
        Some(Some(name)) => host(name).ok_or("name= must be a DNS name or an IP address")?,
        Some(None) => return Err("after HOST:PORT, expected nothing or ,name=NAME".to_owned()),
        None => target.host.trim_end_matches('.').to_owned(),
    };
    Ok((listen, target, name))
}

/// Parses a member of the set: `NAME:PORT[=IP]`.
pub(super) fn member(text: &str) -> Result<MemberSettings, ValueError> {
    let (name, address) = text.split_once('=').map_or((text, None), |(name, address)| (name, Some(address)));
    let name = name.trim().parse::<HostPort>().map_err(|error| format!("in NAME:PORT: {error}"))?;
    let address = address.map(|text| text.trim().parse::<IpAddr>()).transpose();
    let address = address.map_err(|_| "after NAME:PORT, expected nothing or =IP, an IP address".to_owned())?;
    Ok(MemberSettings { name, address: address.map(|ip| ip.to_canonical()) })
}

/// Parses a DNS name or an IP address, as [`HostPort`] accepts it.
pub(super) fn host(text: &str) -> Option<String> {
    let address = if text.contains(':') { format!("[{text}]:1") } else { format!("{text}:1") };
    address.parse::<HostPort>().ok().map(|address| address.host)
}

fn loopback(listen: &str) -> Result<SocketAddr, ValueError> {
    let listen = listen.parse::<SocketAddr>().map_err(|_| {
        "the listener must be an IP address and a port, such as 127.0.0.1:27018 or [::1]:27018; names are not \
         accepted, since they could resolve to an address that other hosts reach"
    })?;
    if listen.ip().is_loopback() {
        Ok(listen)
    } else {
        Err("the listener is not on a loopback address: it accepts plaintext in every mode, so other hosts must not \
            reach it"
            .to_owned())
    }
}

/// Parses digits only: `parse` alone would accept a plus sign.
fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{count, host, member, outbound, port, protocols, switch, time};

    #[test]
    fn times() {
        let rows = [
            ("10s", Some(10_000)),
            ("500ms", Some(500)),
            ("2m", Some(120_000)),
            ("1h", Some(3_600_000)),
            ("10", Some(10_000)),
            ("86400", Some(86_400_000)),
            ("86401", None),
            ("0", None),
            ("0ms", None),
            ("1.5s", None),
            ("-1s", None),
            ("", None),
            ("s", None),
            ("10 s", None),
            ("10S", None),
            ("10sec", None),
            ("99999999999999999999s", None),
            ("18446744073709551615h", None),
            ("+5", None),
            ("٣s", None),
        ];
        for (text, millis) in rows {
            let read = time(text, Duration::from_millis(1));
            assert_eq!(read.ok(), millis.map(Duration::from_millis), "{text}");
        }
        assert_eq!(time("0", Duration::ZERO), Ok(Duration::ZERO));
    }

    #[test]
    fn numbers_and_switches() {
        for (text, expected) in
            [("0", Some(0)), ("65535", Some(65535)), ("65536", None), ("-1", None), ("+1", None), ("", None)]
        {
            assert_eq!(port(text).ok(), expected, "{text}");
        }
        for (text, expected) in [("1", Some(1)), ("256", Some(256)), ("0", None), ("257", None), ("1e2", None)] {
            assert_eq!(count(text, 1, 256).ok(), expected, "{text}");
        }
        for (text, expected) in [("True", Some(true)), ("off", Some(false)), ("", None), ("2", None)] {
            assert_eq!(switch(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn protocol_lists() {
        let rows = [
            ("TLS1_0,TLS1_1", Some((false, false, false))),
            ("TLS1_2", Some((true, false, false))),
            (" noTLS1_3 ,, noTLS1_0,", Some((false, true, false))),
            ("TLS1_2,TLS1_3", Some((true, true, false))),
            ("none", Some((false, false, true))),
            ("none,TLS1_0", None),
            ("tls1_2", None),
            ("TLS1.2", None),
            ("SSLv3", None),
        ];
        for (text, expected) in rows {
            let read = protocols(text).ok().map(|(off, none)| (off.tls1_2, off.tls1_3, none));
            assert_eq!(read, expected, "{text}");
        }
    }

    #[test]
    fn outbound_routes_and_members() {
        let rows = [
            ("127.0.0.1:27018=db2:27017", Ok(("127.0.0.1:27018", "db2:27017", "db2"))),
            ("[::1]:0=[2001:db8::1]:27017", Ok(("[::1]:0", "[2001:db8::1]:27017", "2001:db8::1"))),
            ("127.1.2.3:1 = db2.example.net.:2 , name=db2", Ok(("127.1.2.3:1", "db2.example.net.:2", "db2"))),
            ("127.0.0.1:1=db2.:2", Ok(("127.0.0.1:1", "db2.:2", "db2"))),
            ("127.0.0.1:1=10.0.0.1:2,name=::1", Ok(("127.0.0.1:1", "10.0.0.1:2", "::1"))),
            ("db2:27017", Err("expected LISTEN=HOST:PORT")),
            ("0.0.0.0:27018=db2:27017", Err("not on a loopback address")),
            ("10.0.0.1:27018=db2:27017", Err("not on a loopback address")),
            ("localhost:27018=db2:27017", Err("must be an IP address and a port")),
            ("27018=db2:27017", Err("must be an IP address and a port")),
            ("127.0.0.1:27018=db2", Err("it has no port")),
            ("127.0.0.1:27018=db2:0", Err("port is not a number")),
            ("127.0.0.1:27018=db2:1,name=", Err("name= must be")),
            ("127.0.0.1:27018=db2:1,tls=no", Err("expected nothing or ,name=NAME")),
        ];
        for (text, expected) in rows {
            match (outbound(text), expected) {
                (Ok((listen, target, name)), Ok(parts)) => {
                    assert_eq!((listen.to_string().as_str(), target.to_string().as_str(), name.as_str()), parts);
                }
                (Err(wrong), Err(part)) => assert!(wrong.contains(part), "{text}: {wrong}"),
                (read, _) => panic!("{text}: {read:?}"),
            }
        }
        for (text, expected) in [
            ("db1:27017", Ok(("db1:27017", None))),
            ("db1.example.net:27017=10.0.0.1", Ok(("db1.example.net:27017", Some("10.0.0.1")))),
            ("db1:1 = ::ffff:10.0.0.1", Ok(("db1:1", Some("10.0.0.1")))),
            ("[2001:db8::1]:1=2001:db8::2", Ok(("[2001:db8::1]:1", Some("2001:db8::2")))),
            ("db1", Err("it has no port")),
            ("db1:0", Err("port is not a number")),
            ("a b:1", Err("not a DNS name")),
            ("db1:1=db2", Err("an IP address")),
            ("db1:1=", Err("an IP address")),
            ("", Err("it has no port")),
        ] {
            let read = member(text).map(|member| (member.name.to_string(), member.address.map(|ip| ip.to_string())));
            match (read, expected) {
                (Ok((name, ip)), Ok(parts)) => assert_eq!((name.as_str(), ip.as_deref()), parts, "{text}"),
                (Err(wrong), Err(part)) => assert!(wrong.contains(part), "{text}: {wrong}"),
                (read, _) => panic!("{text}: {read:?}"),
            }
        }
        assert_eq!((host("a b"), host("::1"), host("[::1]")), (None, Some("::1".to_owned()), None));
    }
}
