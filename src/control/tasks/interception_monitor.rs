//! Checks every five seconds whether the interception rules are in force and which connections bypass this proxy.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::ticks::ticks;
use crate::config::Settings;
use crate::control::checks::bypass::look_for_bypass;
use crate::control::checks::interception::{is_inbound_transparent, local_server, missing_rules};
use crate::control::view::View;
use crate::limits::{CANARY_ANSWER, REDIRECT_LOOK};
use crate::net::canary;

/// Runs until the task is aborted.
pub(super) async fn run(view: Arc<View>) {
    let mut ticks = ticks(REDIRECT_LOOK);
    loop {
        ticks.tick().await;
        let loaded = view.loaded();
        let settings = &loaded.settings;
        if let Some(port) = canary_target(settings) {
            let expected = settings.transparent.is_some() || is_inbound_transparent(settings);
            if view.interception().set_rules(rules_are_in_force(port).await, expected) {
                log_rules(&view);
            }
        }
        look_for_bypass(&view).await;
    }
}

fn log_rules(view: &View) {
    match missing_rules(view) {
        Some(missing) if missing.critical => tracing::error!("{}", missing.text),
        Some(missing) => tracing::warn!("{}", missing.text),
        None => tracing::info!("the interception rules are in force"),
    }
}

/// The port to which rules would redirect the canary; `None` if these settings use no rules.
fn canary_target(settings: &Settings) -> Option<u16> {
    settings.transparent.or_else(|| {
        if !is_inbound_transparent(settings) {
            local_server(settings)?;
        }
        settings.inbound.as_ref()?.binds.first().map(SocketAddr::port)
    })
}

/// Whether the canary's address accepts a connection, which is possible only through the rules.
async fn rules_are_in_force(port: u16) -> bool {
    let dialled = timeout(CANARY_ANSWER, TcpStream::connect(SocketAddr::V4(canary(port)))).await;
    matches!(dialled, Ok(Ok(_)))
}
