//! Host and path to route: exact host before wildcard before any; then the longest prefix of whole segments.
//! Never sees raw input: hosts arrive in lower case without port, paths normalised.

use std::collections::BTreeMap;

use crate::{
    slot::{RouteSlot, entries},
    topology::Route,
};

/// The routes as an immutable lookup table.
#[derive(Debug, Default)]
pub struct Matcher {
    exact: BTreeMap<Box<str>, Paths>,
    /// The key is what follows `*.`.
    wildcard: BTreeMap<Box<str>, Paths>,
    any: Paths,
}

/// The path prefixes of one host.
#[derive(Debug, Default)]
struct Paths {
    by_prefix: BTreeMap<Box<str>, RouteSlot>,
    /// Longest prefix in bytes: bounds the lookups that a hostile path can cause.
    longest: usize,
}

impl Matcher {
    /// Builds the table. Of two routes with the same host and prefix, the first wins (the config refuses such a pair).
    /// Sub-routes are not in it.
    #[must_use]
    pub fn new(routes: &[Route]) -> Self {
        let mut matcher = Self::default();
        for (slot, route) in entries(routes).filter(|(_, route): &(RouteSlot, &Route)| route.parent.is_none())
        {
            if route.hosts.is_empty() {
                matcher.any.add(&route.path_prefix, slot);
            }
            for host in &route.hosts {
                let (table, name) = match host.strip_prefix("*.") {
                    Some(parent) => (&mut matcher.wildcard, parent),
                    None => (&mut matcher.exact, &**host),
                };
                table.entry(name.into()).or_default().add(&route.path_prefix, slot);
            }
        }
        matcher
    }

    /// Whether any route names a host: if none does, the host of a request makes no difference.
    #[must_use]
    pub fn has_hosts(&self) -> bool {
        !self.exact.is_empty() || !self.wildcard.is_empty()
    }

    /// The route of a request. A host whose own routes do not match the path falls through to the wider ones.
    #[must_use]
    pub fn find(&self, host: &str, path: &str) -> Option<RouteSlot> {
        if let Some(found) = self.exact.get(host).and_then(|paths| paths.find(path)) {
            return Some(found);
        }
        if !self.wildcard.is_empty() {
            let mut rest = host;
            while let Some((_, parent)) = rest.split_once('.') {
                if let Some(found) = self.wildcard.get(parent).and_then(|paths| paths.find(path)) {
                    return Some(found);
                }
                rest = parent;
            }
        }
        self.any.find(path)
    }
}

impl Paths {
    fn add(&mut self, prefix: &str, slot: RouteSlot) {
        self.longest = self.longest.max(prefix.len());
        self.by_prefix.entry(prefix.into()).or_insert(slot);
    }

    fn find(&self, path: &str) -> Option<RouteSlot> {
        let mut end = path.len();
        while end > 0 && !self.by_prefix.is_empty() {
            if end <= self.longest
                && let Some(found) = path.get(..end).and_then(|prefix| self.by_prefix.get(prefix))
            {
                return Some(*found);
            }
            end = path.as_bytes().get(..end)?.iter().rposition(|byte| *byte == b'/')?;
        }
        self.by_prefix.get("/").copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_world::route;

    fn check(routes: &[(&[&str], &str)], host: &str, path: &str, expected: Option<u32>) {
        let routes: Vec<Route> = routes
            .iter()
            .map(|(hosts, prefix)| Route {
                hosts: hosts.iter().map(|host| (*host).into()).collect(),
                path_prefix: (*prefix).into(),
                ..route("r", &[])
            })
            .collect();
        assert_eq!(Matcher::new(&routes).find(host, path), expected.map(RouteSlot), "{host} {path}");
    }

    #[test]
    fn exact_hosts_come_before_wildcards_before_any() {
        let routes: &[(&[&str], &str)] = &[
            (&[], "/"),
            (&["*.example.com"], "/"),
            (&["*.api.example.com"], "/"),
            (&["www.example.com"], "/"),
        ];
        check(routes, "www.example.com", "/x", Some(3));
        check(routes, "a.b.example.com", "/x", Some(1));
        check(routes, "v1.api.example.com", "/x", Some(2));
        check(routes, "api.example.com", "/x", Some(1));
        check(routes, "example.com", "/x", Some(0));
        check(routes, "", "/", Some(0));
    }

    #[test]
    fn the_longest_prefix_of_whole_segments_wins() {
        let routes: &[(&[&str], &str)] = &[(&[], "/"), (&[], "/api"), (&[], "/api/v1")];
        check(routes, "h", "/api", Some(1));
        check(routes, "h", "/api/", Some(1));
        check(routes, "h", "/api/x", Some(1));
        check(routes, "h", "/apix", Some(0));
        check(routes, "h", "/api/v1/y", Some(2));
        check(routes, "h", "/api/v10", Some(1));
        check(routes, "h", "/", Some(0));
    }

    #[test]
    fn a_path_that_the_host_does_not_serve_falls_through_or_finds_nothing() {
        let routes: &[(&[&str], &str)] = &[(&["a.b"], "/api"), (&["*.b"], "/x")];
        check(routes, "a.b", "/api/1", Some(0));
        check(routes, "a.b", "/x/1", Some(1));
        check(routes, "a.b", "/y", None);
        check(routes, "c", "/api", None);
        check(&[(&[], "/api")], "h", "/", None);
    }
}
