//! The loops of the control plane. Each has its own state.

mod certificate_expiry;
mod config_watch;
mod interception_monitor;
pub(super) mod member_discovery;
pub(super) mod state_saver;
mod ticks;

use std::sync::Arc;

use tokio::task::AbortHandle;

use super::controller::Controller;

/// Starts all tasks on the runtime on which this is called.
pub fn start_tasks(controller: &Arc<Controller>) -> [AbortHandle; 5] {
    let view = controller.view();
    [
        tokio::spawn(Arc::clone(controller.state_saver()).run()).abort_handle(),
        tokio::spawn(certificate_expiry::run(Arc::clone(view))).abort_handle(),
        tokio::spawn(config_watch::run(Arc::clone(controller))).abort_handle(),
        tokio::spawn(Arc::clone(controller.member_discovery()).run()).abort_handle(),
        tokio::spawn(interception_monitor::run(Arc::clone(view))).abort_handle(),
    ]
}
