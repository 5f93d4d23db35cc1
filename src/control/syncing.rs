//! Servers behind that are in no state to lose a connection: in initial sync, or recovering. It is said, and nothing is
//! held back for it: how long a sync takes nobody knows, and who stops a proxy has decided to.

use super::controller::Controller;
use super::views::UpstreamStatus;

impl Controller {
    /// A line for each server that the probe last saw in between its set's states.
    #[must_use]
    pub fn sync_warnings(&self) -> Vec<String> {
        self.upstreams().iter().filter_map(warning).collect()
    }
}

/// A server's `hello` does not tell STARTUP2 from RECOVERING, ROLLBACK or a member without a set: it says what it is not.
fn warning(server: &UpstreamStatus) -> Option<String> {
    let UpstreamStatus { upstream, route, state, up, .. } = server;
    (*up && state.as_deref() == Some("OTHER")).then(|| {
        format!(
            "{upstream} ({route}) is neither PRIMARY, SECONDARY nor ARBITER (STARTUP2 or RECOVERING): an initial sync \
             that loses its connection starts again from the beginning (before MongoDB 4.4)"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::warning;
    use crate::control::views::UpstreamStatus;

    #[test]
    fn only_a_server_that_is_up_and_in_between() {
        let server = |up, state: Option<&str>| UpstreamStatus {
            upstream: "127.0.0.1:27117".into(),
            route: "inbound".into(),
            up,
            state: state.map(str::to_owned),
            ..UpstreamStatus::default()
        };
        for state in ["PRIMARY", "SECONDARY", "ARBITER", "STANDALONE", "MONGOS"] {
            assert_eq!(warning(&server(true, Some(state))), None, "{state}");
        }
        assert_eq!(warning(&server(true, None)), None);
        assert_eq!(warning(&server(false, Some("OTHER"))), None);
        let text = warning(&server(true, Some("OTHER"))).unwrap();
        assert!(text.starts_with("127.0.0.1:27117 (inbound) is neither PRIMARY, SECONDARY nor ARBITER"), "{text}");
    }
}
