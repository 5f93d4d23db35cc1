//! The paths: each with one method, and the query parameters it knows. A trailing slash is another path.

use hyper::Method;

use super::reply::Reply;
use crate::limits::{ADMIN_BODY_BYTES, ADMIN_MEMBERS_BYTES};

/// A path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    Live,
    ReadyProbe,
    Metrics,
    Status,
    Clients,
    Connections,
    History,
    Blockers,
    Mode,
    Rotate,
    Reload,
    Recycle,
    Accept,
    Lease,
    Members,
    Quit,
}

impl Route {
    const ALL: [(&'static str, Route); 16] = [
        ("/livez", Route::Live),
        ("/readyz", Route::ReadyProbe),
        ("/metrics", Route::Metrics),
        ("/status", Route::Status),
        ("/clients", Route::Clients),
        ("/connections", Route::Connections),
        ("/history", Route::History),
        ("/ready", Route::Blockers),
        ("/mode", Route::Mode),
        ("/rotate", Route::Rotate),
        ("/reload", Route::Reload),
        ("/recycle", Route::Recycle),
        ("/accept", Route::Accept),
        ("/lease", Route::Lease),
        ("/members", Route::Members),
        ("/quit", Route::Quit),
    ];

    pub(super) fn of(path: &str) -> Option<Route> {
        Route::ALL.into_iter().find(|(known, _)| *known == path).map(|(_, route)| route)
    }

    /// The three that probes and scrapers ask for by whatever name they know us.
    pub(super) const fn is_probe(self) -> bool {
        matches!(self, Route::Live | Route::ReadyProbe | Route::Metrics)
    }

    /// Whether it changes something.
    pub(super) const fn changes(self) -> bool {
        !matches!(self.allow().as_bytes(), b"GET, HEAD")
    }

    /// Its methods, as the header `Allow` has them.
    pub(super) const fn allow(self) -> &'static str {
        match self {
            Route::Live
            | Route::ReadyProbe
            | Route::Metrics
            | Route::Status
            | Route::Clients
            | Route::Connections
            | Route::History
            | Route::Blockers => "GET, HEAD",
            Route::Mode => "PUT",
            Route::Rotate
            | Route::Reload
            | Route::Recycle
            | Route::Accept
            | Route::Lease
            | Route::Members
            | Route::Quit => "POST",
        }
    }

    /// Largest body that it takes, in bytes.
    pub(super) const fn body_bytes(self) -> usize {
        if matches!(self, Route::Members) { ADMIN_MEMBERS_BYTES } else { ADMIN_BODY_BYTES }
    }

    pub(super) fn takes(self, method: &Method) -> bool {
        self.allow().split(", ").any(|known| known == method.as_str())
    }

    /// The names of its query parameters.
    const fn parameters(self) -> &'static [&'static str] {
        match self {
            Route::ReadyProbe => &["upstream"],
            Route::Clients => &["plaintext"],
            Route::Connections => &["nonConforming"],
            Route::Blockers => &["to"],
            Route::Live
            | Route::Metrics
            | Route::Status
            | Route::History
            | Route::Mode
            | Route::Rotate
            | Route::Reload
            | Route::Recycle
            | Route::Accept
            | Route::Lease
            | Route::Members
            | Route::Quit => &[],
        }
    }

    /// Reads a query: each parameter known, and none twice.
    ///
    /// # Errors
    /// The answer that names what is wrong.
    pub(super) fn query(self, query: Option<&str>) -> Result<Query<'_>, Reply> {
        let mut found: Vec<(&str, &str)> = Vec::new();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if !self.parameters().contains(&name) {
                let name = crate::text::printable(name);
                return Err(Reply::bad_request(format!("unknown query parameter '{name}'")));
            }
            if found.iter().any(|(known, _)| *known == name) {
                return Err(Reply::bad_request(format!("query parameter '{name}' is given twice")));
            }
            found.push((name, value));
        }
        Ok(Query(found))
    }
}

/// The parameters of a request.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Query<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Query<'a> {
    /// A parameter's value.
    pub(super) fn value(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    /// A parameter that is a switch: there, with no value or `true`, or not there.
    ///
    /// # Errors
    /// The answer that says so, where it has another value.
    pub(super) fn switch(&self, name: &str) -> Result<bool, Reply> {
        match self.value(name) {
            None | Some("false") => Ok(false),
            Some("" | "true") => Ok(true),
            Some(_) => Err(Reply::bad_request(format!("query parameter '{name}' takes no value, or true or false"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::Method;

    use super::Route;

    #[test]
    fn paths_are_exact() {
        for (path, _) in Route::ALL {
            assert!(Route::of(path).is_some());
            for other in [format!("{path}/"), format!("/{path}"), path.to_uppercase(), path[1..].to_owned()] {
                assert_eq!(Route::of(&other), None, "{other}");
            }
        }
    }

    #[test]
    fn what_changes_something_is_never_a_get() {
        for (path, route) in Route::ALL {
            assert_eq!(route.takes(&Method::GET), !route.changes(), "{path}");
            assert_eq!(route.takes(&Method::HEAD), !route.changes(), "{path}");
            assert!(!route.takes(&Method::DELETE) && !route.takes(&Method::OPTIONS));
        }
    }

    #[test]
    fn queries_are_known_or_refused() {
        assert_eq!(Route::Blockers.query(Some("to=requireSSL")).unwrap().value("to"), Some("requireSSL"));
        for (query, is_on) in
            [("", Ok(false)), ("plaintext", Ok(true)), ("plaintext=", Ok(true)), ("plaintext=x", Err(()))]
        {
            let query = Route::Clients.query(Some(query)).unwrap();
            assert_eq!(query.switch("plaintext").map_err(|_| ()), is_on);
        }
        for query in ["x", "to=a&to=b", "to=a&x=b", "To=a"] {
            assert!(Route::Blockers.query(Some(query)).is_err(), "{query}");
        }
        assert!(Route::Status.query(Some("to=a")).is_err());
    }
}
