//! What the control plane needs of the data plane's listeners, without knowing them.

use std::fmt::Debug;
use std::net::SocketAddr;

use crate::config::{Mistake, Settings};
use crate::net::SlotUsage;
use crate::route::{RouteId, Routes};

/// Listeners and connection slots that follow the settings.
pub trait ListenerControl: Debug + Send + Sync {
    /// Does all that can fail to bring the listeners to these settings, and changes nothing yet.
    ///
    /// # Errors
    /// A mistake for every listener that cannot be opened.
    fn stage(&self, settings: &Settings, routes: &Routes) -> Result<Staged, Vec<Mistake>>;

    /// The list of members has changed.
    fn members_changed(&self, settings: &Settings);

    /// The addresses listened on.
    fn addresses(&self) -> Vec<(RouteId, SocketAddr)>;

    /// The use of the connection slots, by direction.
    fn slots(&self) -> [(&'static str, SlotUsage); 2];
}

/// The rest of a staged change, which cannot fail.
pub type Staged = Box<dyn FnOnce() + Send>;
