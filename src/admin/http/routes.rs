//! The paths, each with its methods and query parameters. A trailing slash makes a different path.

use hyper::Method;

use super::page::Asset;
use super::reply::HttpReply;
use crate::limits::{ADMIN_BODY_BYTES, ADMIN_MEMBERS_BYTES};

/// A path.
#[derive(Debug, Clone, Copy)]
pub(super) struct HttpRoute {
    path: &'static str,
    pub(super) action: HttpAction,
    /// The names of its query parameters.
    parameters: &'static [&'static str],
    /// Whether health probes and scrapers use this path: any `Host` is accepted.
    pub(super) is_probe: bool,
}

/// The handler of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HttpAction {
    Query(Query),
    Change(Operation),
    Page(Asset),
    Events,
}

/// The queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Query {
    Live,
    ReadyProbe,
    Metrics,
    Status,
    Clients,
    Connections,
    History,
    Blockers,
    Doctor,
}

/// The changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Mode,
    Rotate,
    Reload,
    Recycle,
    Accept,
    Lease,
    Members,
    Quit,
}

/// All paths but those of the page's files.
const ROUTES: [HttpRoute; 18] = [
    HttpRoute::probe("/livez", Query::Live, &[]),
    HttpRoute::probe("/readyz", Query::ReadyProbe, &["upstream"]),
    HttpRoute::probe("/metrics", Query::Metrics, &[]),
    HttpRoute::query("/status", Query::Status, &[]),
    HttpRoute::query("/clients", Query::Clients, &["plaintext"]),
    HttpRoute::query("/connections", Query::Connections, &["nonConforming"]),
    HttpRoute::query("/history", Query::History, &[]),
    HttpRoute::query("/ready", Query::Blockers, &["to"]),
    HttpRoute::query("/doctor", Query::Doctor, &[]),
    HttpRoute::with("/events", HttpAction::Events),
    HttpRoute::change("/mode", Operation::Mode),
    HttpRoute::change("/rotate", Operation::Rotate),
    HttpRoute::change("/reload", Operation::Reload),
    HttpRoute::change("/recycle", Operation::Recycle),
    HttpRoute::change("/accept", Operation::Accept),
    HttpRoute::change("/lease", Operation::Lease),
    HttpRoute::change("/members", Operation::Members),
    HttpRoute::change("/quit", Operation::Quit),
];

impl HttpRoute {
    const fn query(path: &'static str, query: Query, parameters: &'static [&'static str]) -> HttpRoute {
        HttpRoute { parameters, ..HttpRoute::with(path, HttpAction::Query(query)) }
    }

    const fn probe(path: &'static str, query: Query, parameters: &'static [&'static str]) -> HttpRoute {
        HttpRoute { is_probe: true, ..HttpRoute::query(path, query, parameters) }
    }

    const fn change(path: &'static str, operation: Operation) -> HttpRoute {
        HttpRoute::with(path, HttpAction::Change(operation))
    }

    const fn with(path: &'static str, action: HttpAction) -> HttpRoute {
        HttpRoute { path, action, parameters: &[], is_probe: false }
    }

    pub(super) fn of(path: &str) -> Option<HttpRoute> {
        let asset = || Asset::of(path).map(|asset| HttpRoute::with(asset.path, HttpAction::Page(asset)));
        ROUTES.into_iter().find(|route| route.path == path).or_else(asset)
    }

    /// The path's methods, as listed in the `Allow` header.
    pub(super) const fn allow(self) -> &'static str {
        match self.action {
            HttpAction::Query(_) | HttpAction::Page(_) | HttpAction::Events => "GET, HEAD",
            HttpAction::Change(Operation::Mode) => "PUT",
            HttpAction::Change(_) => "POST",
        }
    }

    pub(super) fn takes(self, method: &Method) -> bool {
        self.allow().split(", ").any(|known| known == method.as_str())
    }

    /// Parses a query string. Every parameter must be known, and given only once.
    ///
    /// # Errors
    /// The reply to an unknown or repeated parameter.
    pub(super) fn parameters(self, query: Option<&str>) -> Result<Parameters<'_>, HttpReply> {
        let mut found: Vec<(&str, &str)> = Vec::new();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if !self.parameters.contains(&name) {
                let name = crate::text::printable(name);
                return Err(HttpReply::bad_request(format!("unknown query parameter '{name}'")));
            }
            if found.iter().any(|(known, _)| *known == name) {
                return Err(HttpReply::bad_request(format!("query parameter '{name}' is given twice")));
            }
            found.push((name, value));
        }
        Ok(Parameters(found))
    }
}

impl Operation {
    /// Largest request body, in bytes.
    pub(super) const fn body_bytes(self) -> usize {
        if matches!(self, Operation::Members) { ADMIN_MEMBERS_BYTES } else { ADMIN_BODY_BYTES }
    }
}

/// The query parameters of a request.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Parameters<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Parameters<'a> {
    /// A parameter's value.
    pub(super) fn value(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    /// The value of a boolean parameter: true without a value or with `true`, false with `false` or if missing.
    ///
    /// # Errors
    /// The reply to any other value, which names the parameter.
    pub(super) fn switch(&self, name: &str) -> Result<bool, HttpReply> {
        match self.value(name) {
            None | Some("false") => Ok(false),
            Some("" | "true") => Ok(true),
            Some(_) => {
                Err(HttpReply::bad_request(format!("query parameter '{name}' accepts only true or false, or no value")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::Method;

    use super::{HttpAction, HttpRoute, ROUTES};

    #[test]
    fn paths_are_exact() {
        for HttpRoute { path, .. } in ROUTES {
            assert!(HttpRoute::of(path).is_some());
            for other in [format!("{path}/"), format!("/{path}"), path.to_uppercase(), path[1..].to_owned()] {
                assert!(HttpRoute::of(&other).is_none(), "{other}");
            }
        }
    }

    #[test]
    fn what_changes_something_is_never_a_get() {
        for route in ROUTES {
            let is_query = !matches!(route.action, HttpAction::Change(_));
            assert_eq!(route.takes(&Method::GET), is_query, "{route:?}");
            assert_eq!(route.takes(&Method::HEAD), is_query, "{route:?}");
            assert!(!route.takes(&Method::DELETE) && !route.takes(&Method::OPTIONS));
        }
    }

    #[test]
    fn query_parameters_are_known_or_refused() {
        let route = |path| HttpRoute::of(path).unwrap();
        let ready = route("/ready");
        assert_eq!(ready.parameters(Some("to=requireSSL")).unwrap().value("to"), Some("requireSSL"));
        for (query, is_on) in
            [("", Ok(false)), ("plaintext", Ok(true)), ("plaintext=", Ok(true)), ("plaintext=x", Err(()))]
        {
            let clients = route("/clients");
            assert_eq!(clients.parameters(Some(query)).unwrap().switch("plaintext").map_err(|_| ()), is_on);
        }
        for query in ["x", "to=a&to=b", "to=a&x=b", "To=a"] {
            assert!(ready.parameters(Some(query)).is_err(), "{query}");
        }
        assert!(route("/status").parameters(Some("to=a")).is_err());
    }
}
