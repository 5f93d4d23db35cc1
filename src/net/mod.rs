//! Sockets: listening, connection slots, dialling, relaying, and the close of a refused connection. This module
//! contains no TLS and decides nothing by policy: a dial takes a [`crate::policy::Permit`].

mod address;
mod canary;
mod connection_limit;
mod descriptors;
mod dial;
mod inherit;
mod linger;
mod listen;
mod netlink;
mod options;
mod own;
mod own_dials;
mod passing;
mod relay;
mod resolve;
mod sockets;
mod transparent;
mod unix;
mod young;

pub use address::{AddressError, HostPort, UpstreamAddress};
pub use canary::canary;
pub use connection_limit::{ConnectionLimit, ConnectionSlot, QueuePlace, SlotLimits, SlotRequest, SlotUsage, TooMany};
pub use descriptors::{
    carried, descriptor_limit, descriptors_at_most, descriptors_needed, open_descriptors, raise_descriptor_limit,
};
pub use dial::{DialError, DialledSocket, dial, dial_unix};
pub use inherit::{Inherited, Passed};
pub use linger::linger;
pub use listen::{Listener, bind};
pub use options::{abort_on_close, detect_dead_peer};
pub use own::is_own;
pub use own_dials::{OwnDial, OwnDials};
pub use passing::{PASSED_AT_ONCE, pass, receive_passed};
pub use relay::{Direction, End, Relay, RelayEnds, RelayStream, RelayTap, Relayed, Stop};
pub use resolve::{Resolver, Resolvers};
pub use sockets::{Established, Listening, established, listening, unacknowledged};
pub use transparent::{TRANSPARENT_IPS, is_transparent, make_transparent, original_destination, try_transparent};
pub use unix::{SocketFile, UnixSocket};
pub use young::{Young, wake_grown};
