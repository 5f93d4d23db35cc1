//! The interface through which the control plane controls the data plane's listeners without depending on them.

use std::fmt::Debug;
use std::net::SocketAddr;

use crate::config::{Mistake, Settings};
use crate::net::SlotUsage;
use crate::route::{RouteId, Routes};

/// Listeners and connection slots, which follow the settings.
pub trait ListenerControl: Debug + Send + Sync {
    /// Prepares the listeners for these settings: does everything that can fail, and changes nothing yet.
    ///
    /// # Errors
    /// A mistake for every listener that cannot be opened.
    fn stage(&self, settings: &Settings, routes: &Routes) -> Result<Staged, Vec<Mistake>>;

    /// Applies a change of the member list.
    fn members_changed(&self, settings: &Settings);

    /// The addresses of all listeners.
    fn addresses(&self) -> Vec<(RouteId, SocketAddr)>;

    /// The use of the connection slots, by direction.
    fn slots(&self) -> [(&'static str, SlotUsage); 2];
}

/// The rest of a staged change; it cannot fail.
pub type Staged = Box<dyn FnOnce() + Send>;
