//! The composition root: starts a proxy from its settings and stops it. Only this module uses both the data plane and
//! the control plane.

mod capabilities;
mod command;
mod doctor;
mod listener_specs;
mod listeners;
mod open_routes;
mod prepare;
mod restore;
mod run;
mod service_manager;
mod signals;
mod start;
mod stop;
mod takeover;
mod transparency;
mod unexpected_sockets;

pub use command::{check_command, run_command};
pub use run::{check, run};
pub use signals::Signals;
pub use start::{App, StartError};
pub use takeover::{START_NEXT, start_detached};
