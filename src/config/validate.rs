//! Converts raw values to [`Settings`]: parses each part, then checks the parts against each other.

use std::net::SocketAddr;
use std::num::NonZero;
use std::time::Duration;

use tracing::level_filters::LevelFilter;

use super::lookup::Lookup;
use super::mistake::Mistake;
use super::options::OptionKey;
use super::raw::Raw;
use super::reader::OptionReader;
use super::settings::{LogFormat, LogSettings, Settings};
use super::{admin, encryption, routes, values};
use crate::limits::{MEMBER_RESERVE, MOST_CONNECTIONS, MOST_WORKERS, Timeouts};
use crate::policy::RefusalStyle;

/// Returns the settings and all mistakes; the settings may be used only if there are no mistakes. On a reload, `bound`
/// are the inbound addresses that are already open; they are kept, even if their names resolve to other addresses now.
pub(super) fn validate(raw: &Raw, lookup: Lookup, bound: Option<&[SocketAddr]>) -> (Settings, Vec<Mistake>) {
    let mut reader = OptionReader::new(raw);
    let (mode, spelling) = encryption::mode(&mut reader);
    let inbound = routes::inbound(&mut reader, lookup, bound);
    let outbound = routes::outbound(&mut reader, inbound.as_ref());
    let transparent = routes::transparent(&mut reader, inbound.as_ref(), &outbound);
    let none = [OptionKey::Upstream, OptionKey::Outbound, OptionKey::Transparent].iter().all(|key| !reader.given(*key));
    if raw.is_whole() && none {
        let (upstream, outbound) = (reader.option_name(OptionKey::Upstream), reader.option_name(OptionKey::Outbound));
        let remedy = format!(
            "give {upstream} the server that this proxy fronts, or {outbound} a route to another server, or both"
        );
        reader.refuse(
            OptionKey::Upstream,
            "there is no route: neither an upstream nor an outbound route is given",
            &remedy,
        );
    }
    routes::loops(&mut reader, inbound.as_ref(), &outbound, lookup);
    let settings = Settings {
        inbound,
        outbound,
        transparent,
        members: routes::members(&mut reader),
        mode,
        spelling,
        tls: encryption::files(&mut reader),
        timeouts: timeouts(&mut reader),
        max_incoming: reader.read(OptionKey::MaxIncoming, |text| values::count(text, 1, MOST_CONNECTIONS)),
        max_per_ip: reader.read(OptionKey::MaxPerIp, |text| values::count(text, 1, MOST_CONNECTIONS)),
        member_reserve: reader
            .read(OptionKey::MemberReserve, |text| values::count(text, 0, MOST_CONNECTIONS))
            .unwrap_or(MEMBER_RESERVE),
        workers: workers(&mut reader),
        refusal: refusal(&mut reader),
        log: log(&mut reader),
        admin: admin::read(&mut reader, routes::port(raw)),
        file: raw.file().map(ToOwned::to_owned),
    };
    if raw.is_whole() {
        encryption::check(&mut reader, &settings);
        admin::check(&mut reader, &settings);
        routes::upstream_is_own_port(&mut reader, &settings, lookup);
    }
    (settings, reader.finish())
}

fn timeouts(reader: &mut OptionReader<'_>) -> Timeouts {
    let default = Timeouts::default();
    let mut time = |key, least, default| reader.read(key, |text| values::time(text, least)).unwrap_or(default);
    let least = Duration::from_millis(1);
    let (sniff, handshake) = (
        time(OptionKey::SniffTimeout, least, default.sniff),
        time(OptionKey::HandshakeTimeout, least, default.handshake),
    );
    let connect = time(OptionKey::ConnectTimeout, least, default.connect);
    let drain = time(OptionKey::DrainTimeout, Duration::ZERO, default.drain);
    let on_silence =
        reader.read(OptionKey::OnSilence, |text| values::choice(text, &[("wait", false), ("close", true)]));
    Timeouts { sniff, handshake, connect, drain, close_silent: on_silence.unwrap_or(default.close_silent) }
}

fn workers(reader: &mut OptionReader<'_>) -> usize {
    let given = reader.read(OptionKey::Workers, |text| values::count(text, 1, MOST_WORKERS as u64));
    given.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, NonZero::get).min(MOST_WORKERS))
}

fn refusal(reader: &mut OptionReader<'_>) -> RefusalStyle {
    let words = [("reply", RefusalStyle::Reply), ("close", RefusalStyle::Close)];
    reader.read(OptionKey::Refusal, |text| values::choice(text, &words)).unwrap_or(RefusalStyle::Reply)
}

fn log(reader: &mut OptionReader<'_>) -> LogSettings {
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let levels = [
        ("error", LevelFilter::ERROR),
        ("warn", LevelFilter::WARN),
        ("info", LevelFilter::INFO),
        ("debug", LevelFilter::DEBUG),
        ("trace", LevelFilter::TRACE),
    ];
    LogSettings {
        format: reader.read(OptionKey::LogFormat, |text| values::choice(text, &formats)).unwrap_or(LogFormat::Text),
        level: reader.read(OptionKey::LogLevel, |text| values::choice(text, &levels)).unwrap_or(LevelFilter::INFO),
    }
}
