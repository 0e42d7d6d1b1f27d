//! The table of admin calls: which methods each takes, what a caller must be allowed, and how long its body may be. Pure.

use http::Method;

use super::{auth::Access, orders, requests};

/// Longest body of an order.
const SHORT: usize = 64 << 10;
/// Longest body of a plan: all files of a config, escaped a little.
const LONG: usize = 24 << 20;
/// The question what a change would do.
pub(super) const PLAN: &str = "/api/v1/plan";
/// Starts a successor of this process, and tells what became of it.
pub(super) const UPGRADE: &str = "/api/v1/upgrade";
/// The page for browsers.
const PAGE: &str = "/";
/// Calls that need no token: every client that reaches the server may make them.
const OPEN: [&str; 4] = ["/metrics", "/livez", "/readyz", "/api/v1/whoami"];
/// Calls that look at the edge.
const LOOKS: [&str; 5] =
    ["/api/v1/status", "/api/v1/explain", "/api/v1/events", "/api/v1/stream", "/api/v1/history"];
/// Calls that change something.
const CHANGES: [&str; 6] = [
    "/api/v1/reload",
    "/api/v1/confirm",
    "/api/v1/rollback",
    "/api/v1/drain",
    "/api/v1/undrain",
    "/api/v1/failback",
];

/// What is known of a call before it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CallRules {
    /// The methods, as the header `Allow` lists them.
    pub(crate) allowed: &'static str,
    /// Longest body, bytes.
    pub(crate) max_body: usize,
}

/// The rules of a call; `None` = there is no such call.
pub(crate) fn rules(path: &str) -> Option<CallRules> {
    let allowed = match path {
        _ if path == PAGE || OPEN.contains(&path) || LOOKS.contains(&path) => "GET, HEAD",
        "/api/v1/orders" | UPGRADE => "GET, HEAD, POST",
        _ if path.starts_with(orders::ONE) => "DELETE",
        _ if path.starts_with(requests::ONE) => "GET, HEAD",
        _ if path == PLAN || CHANGES.contains(&path) => "POST",
        _ => return None,
    };
    Some(CallRules { allowed, max_body: if path == PLAN { LONG } else { SHORT } })
}

/// What a caller must be allowed. An unknown call counts as a read, so that a caller without a token learns nothing from it.
pub(crate) fn access(path: &str, method: &Method) -> Access {
    match *method {
        Method::POST if path == PLAN => Access::Ask,
        Method::POST | Method::DELETE => Access::Write,
        _ if path == PAGE => Access::Page,
        _ if OPEN.contains(&path) => Access::Open,
        _ => Access::Read,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_needs_what_it_does() {
        for (method, path, allowed, needed) in [
            (Method::GET, "/", Some("GET, HEAD"), Access::Page),
            (Method::GET, "/metrics", Some("GET, HEAD"), Access::Open),
            (Method::GET, "/api/v1/status", Some("GET, HEAD"), Access::Read),
            (Method::GET, "/api/v1/orders", Some("GET, HEAD, POST"), Access::Read),
            (Method::POST, "/api/v1/orders", Some("GET, HEAD, POST"), Access::Write),
            (Method::DELETE, "/api/v1/orders/7", Some("DELETE"), Access::Write),
            (Method::GET, "/api/v1/requests/x", Some("GET, HEAD"), Access::Read),
            (Method::GET, "/api/v1/upgrade", Some("GET, HEAD, POST"), Access::Read),
            (Method::POST, "/api/v1/upgrade", Some("GET, HEAD, POST"), Access::Write),
            (Method::POST, "/api/v1/reload", Some("POST"), Access::Write),
            (Method::POST, "/api/v1/plan", Some("POST"), Access::Ask),
            (Method::GET, "/nowhere", None, Access::Read),
        ] {
            assert_eq!(rules(path).map(|rules| rules.allowed), allowed, "{path}");
            assert_eq!(access(path, &method), needed, "{method} {path}");
        }
    }
}
