//! Who may call the admin server: POST only from this machine or with the token, and nothing from another site's page.
//! Pure; never looks at what is asked.

use std::net::IpAddr;

use http::{HeaderMap, StatusCode, header};

use crate::shared::host;

/// Why a call is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) status: StatusCode,
    pub(crate) error: &'static str,
    pub(crate) detail: &'static str,
}

/// What the rules depend on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AuthRules<'a> {
    /// The address that the admin server is bound to.
    pub(crate) bind: IpAddr,
    /// The configured token.
    pub(crate) token: Option<&'a str>,
}

/// Refuses calls that a page of another site makes in the operator's browser. The browser says which page asks, but a
/// name whose owner lets it point here makes that page look like the admin server's own (DNS rebinding), so a name is
/// accepted only with the token. Reading under any name is allowed where other machines may read, because scrapers and
/// balancers use names.
pub(crate) fn check_origin(headers: &HeaderMap, order: bool, rules: AuthRules<'_>) -> Result<(), Refused> {
    let forbidden = |error, detail| Err(Refused { status: StatusCode::FORBIDDEN, error, detail });
    let known = rules.token.is_some_and(|token| bears(headers, token));
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let named = rules.named(host);
    let own = |origin: &str| {
        let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        authority.is_some_and(|authority| !host.is_empty() && authority.eq_ignore_ascii_case(host))
            && (known || named == HostOwner::Own)
    };
    if !headers.get_all(header::ORIGIN).iter().all(|origin| origin.to_str().is_ok_and(own)) {
        return forbidden("foreign_origin", "requests from other sites' pages are refused");
    }
    if named == HostOwner::Foreign && !known && (order || rules.bind.to_canonical().is_loopback()) {
        let detail =
            "the Host is a name that is not this server's: ask by address or localhost, or give the token";
        return forbidden("foreign_host", detail);
    }
    Ok(())
}

/// Whose host a Host field names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HostOwner {
    /// This machine, or the bound address.
    Own,
    /// Another address, or none: a browser cannot be made to send the address of a server that is elsewhere.
    Address,
    /// A name: its owner can let it point here.
    Foreign,
}

impl AuthRules<'_> {
    fn named(&self, authority: &str) -> HostOwner {
        if authority.is_empty() {
            return HostOwner::Address;
        }
        let Some(host) = host::steering_host(authority) else { return HostOwner::Foreign };
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&host);
        match bare.parse::<IpAddr>().map(|address| address.to_canonical()) {
            Ok(address) => {
                let bind = self.bind.to_canonical();
                let own = address.is_loopback() || address == bind || bind.is_unspecified();
                if own { HostOwner::Own } else { HostOwner::Address }
            }
            Err(_) if bare == "localhost" => HostOwner::Own,
            Err(_) => HostOwner::Foreign,
        }
    }
}

/// Whether this client may give orders.
pub(crate) fn check_order(headers: &HeaderMap, client: IpAddr, token: Option<&str>) -> Result<(), Refused> {
    let Some(token) = token else {
        let elsewhere = Refused {
            status: StatusCode::FORBIDDEN,
            error: "not_loopback",
            detail: "without admin.token_file, orders are taken from loopback clients only",
        };
        return if client.to_canonical().is_loopback() { Ok(()) } else { Err(elsewhere) };
    };
    if bears(headers, token) {
        return Ok(());
    }
    let detail = "orders need `Authorization: Bearer` with the content of admin.token_file";
    Err(Refused { status: StatusCode::UNAUTHORIZED, error: "unauthorized", detail })
}

/// Whether the token is given.
fn bears(headers: &HeaderMap, token: &str) -> bool {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    given.is_some_and(|(_, given)| same(given.trim().as_bytes(), token.as_bytes()))
}

/// Equality that takes the same time wherever the difference is.
fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_pages_of_the_admin_server_may_call_it() {
        let check = |bind: &str, host: &'static str, origin: &'static str| {
            let rules = AuthRules { bind: bind.parse().unwrap(), token: None };
            check_origin(&headers(&[("host", host), ("origin", origin)]), false, rules).is_ok()
        };
        for (bind, host, origin, expected) in [
            ("127.0.0.1", "127.0.0.1:9900", "http://127.0.0.1:9900", true),
            ("127.0.0.1", "LOCALHOST:9900", "http://localhost:9900", true),
            ("::1", "[::1]:9900", "http://[::1]:9900", true),
            ("127.0.0.1", "127.0.0.1:9900", "http://127.0.0.1:1", false),
            ("127.0.0.1", "127.0.0.1:9900", "http://evil.test", false),
            ("127.0.0.1", "127.0.0.1:9900", "null", false),
            ("127.0.0.1", "evil.test:9900", "http://evil.test:9900", false),
            ("127.0.0.1", "10.0.0.1:9900", "http://10.0.0.1:9900", false),
            ("10.0.0.1", "10.0.0.1:9900", "http://10.0.0.1:9900", true),
            ("0.0.0.0", "10.0.0.1:9900", "http://10.0.0.1:9900", true),
            ("::", "evil.test:9900", "http://evil.test:9900", false),
        ] {
            assert_eq!(check(bind, host, origin), expected, "{bind} {host} {origin}");
        }
        let rules = AuthRules { bind: "127.0.0.1".parse().unwrap(), token: None };
        assert!(check_origin(&headers(&[("origin", "http://")]), false, rules).is_err());
    }

    #[test]
    fn a_foreign_host_name_needs_the_token() {
        for (bind, order, host, authorization, expected) in [
            ("127.0.0.1", true, "evil.test", "", false),
            ("127.0.0.1", false, "evil.test", "", false),
            ("127.0.0.1", false, "a b", "", false),
            ("0.0.0.0", true, "edge.test", "", false),
            ("0.0.0.0", false, "edge.test", "", true),
            ("127.0.0.1", true, "evil.test", "Bearer t0ken", true),
            ("127.0.0.1", true, "evil.test", "Bearer t0ke", false),
            ("127.0.0.1", true, "10.0.0.1:80", "", true),
            ("127.0.0.1", true, "localhost", "", true),
        ] {
            let rules = AuthRules { bind: bind.parse().unwrap(), token: Some("t0ken") };
            let given = headers(&[("host", host), ("authorization", authorization)]);
            assert_eq!(check_origin(&given, order, rules).is_ok(), expected, "{bind} {order} {host}");
        }
        let rules = AuthRules { bind: "127.0.0.1".parse().unwrap(), token: None };
        assert!(check_origin(&HeaderMap::new(), true, rules).is_ok(), "HTTP/1.0 names no host");
    }

    #[test]
    fn orders_need_loopback_or_the_token() {
        let (here, mapped, there): (IpAddr, IpAddr, IpAddr) =
            ("127.0.0.1".parse().unwrap(), "::ffff:127.0.0.1".parse().unwrap(), "192.0.2.1".parse().unwrap());
        let check = |authorization: &'static str, client, token| {
            check_order(&headers(&[("authorization", authorization)]), client, token).is_ok()
        };
        assert!(check("", here, None) && check("", mapped, None) && !check("", there, None));
        assert!(check("Bearer t0ken", there, Some("t0ken")) && check("bearer t0ken", here, Some("t0ken")));
        assert!(!check("Bearer t0ke", here, Some("t0ken")) && !check("Basic t0ken", here, Some("t0ken")));
        assert!(!check("", here, Some("t0ken")));
    }
}
