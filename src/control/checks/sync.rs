//! Servers that may be in an initial sync, which would start again if a connection is lost. They cause warnings only:
//! the length of a sync is unknown, and a stop that an operator requests is not delayed.

use crate::control::probe::{ServerState, ServerStatus};
use crate::control::view::View;

/// A warning for each member that was neither primary, secondary nor arbiter when it was last probed.
pub fn sync_warnings(view: &View) -> Vec<String> {
    view.servers().iter().filter_map(warning).collect()
}

/// `hello` does not tell STARTUP2, RECOVERING, ROLLBACK and a member without a set from each other.
fn warning(server: &ServerStatus) -> Option<String> {
    let ServerStatus { upstream, route, up, .. } = server;
    (*up && server.state() == Some(ServerState::Other)).then(|| {
        format!(
            "{upstream} ({route}) is neither PRIMARY, SECONDARY nor ARBITER (for example STARTUP2 or RECOVERING): \
             before MongoDB 4.4, an initial sync that loses its connection starts again from the beginning; wait until \
             the sync is complete"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::warning;
    use crate::control::probe::{HelloReply, ServerState, ServerStatus};
    use crate::route::RouteId;

    #[test]
    fn only_a_server_that_is_up_and_in_between() {
        let server = |up, state: Option<ServerState>| ServerStatus {
            up,
            hello: Some(HelloReply { state, ..HelloReply::default() }),
            ..ServerStatus::new(RouteId::Inbound, "127.0.0.1:27117".into())
        };
        use ServerState::{Arbiter, Mongos, Primary, Secondary, Standalone};
        for state in [Primary, Secondary, Arbiter, Standalone, Mongos] {
            assert_eq!(warning(&server(true, Some(state))), None, "{state:?}");
        }
        assert_eq!(warning(&server(true, None)), None);
        assert_eq!(warning(&server(false, Some(ServerState::Other))), None);
        let text = warning(&server(true, Some(ServerState::Other))).unwrap();
        assert!(text.starts_with("127.0.0.1:27117 (inbound) is neither PRIMARY, SECONDARY nor ARBITER"), "{text}");
    }
}
