//! Who may call the admin server, and what: a change only from this machine or with a token of the role that it needs,
//! and nothing from another site's page. Pure; never looks at what is asked.

use std::{borrow::Cow, net::IpAddr};

use http::{HeaderMap, StatusCode, header};
use thalweg_config::{AdminRole, AdminToken};

use crate::shared::host;

/// Why a call is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) status: StatusCode,
    pub(crate) error: &'static str,
    pub(crate) detail: Cow<'static, str>,
    /// The role that the call needs, if that is what is missing.
    pub(crate) needs: Option<AdminRole>,
}

/// What the rules depend on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AuthRules<'a> {
    /// The address that the admin server is bound to.
    pub(crate) bind: IpAddr,
    /// The configured tokens.
    pub(crate) tokens: &'a [AdminToken],
    /// Whether the API may be read without a token.
    pub(crate) anonymous_read: bool,
}

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// The bare page, which says nothing about the edge: a browser loads it before it can send a token.
    Page,
    /// Something that scrapers and balancers read without a token: metrics, readiness.
    Open,
    /// A look at the edge.
    Read,
    /// A question about a change, which changes nothing.
    Ask,
    /// A change.
    Write,
}

/// The caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller<'a> {
    /// The client's address.
    pub(crate) client: IpAddr,
    /// The token that the call bears.
    pub(crate) token: Option<&'a AdminToken>,
}

impl Caller<'_> {
    /// The name of the caller's token.
    pub(crate) fn name(&self) -> Option<&str> {
        self.token.map(|token| &*token.name)
    }
}

/// The caller of a request, or why its call is refused.
pub(crate) fn check<'a>(
    headers: &HeaderMap,
    client: IpAddr,
    access: Access,
    rules: AuthRules<'a>,
) -> Result<Caller<'a>, Refused> {
    let caller = Caller { client, token: bearer(headers, rules.tokens) };
    check_origin(headers, access, &caller, rules)?;
    check_role(&caller, access, rules)?;
    Ok(caller)
}

/// Refuses calls that a page of another site makes in the operator's browser. The browser says which page asks, but a
/// name whose owner lets it point here makes that page look like the admin server's own (DNS rebinding), so a name is
/// accepted only with the token. Reading under any name is allowed where other machines may read, because scrapers and
/// balancers use names.
fn check_origin(
    headers: &HeaderMap,
    access: Access,
    caller: &Caller<'_>,
    rules: AuthRules<'_>,
) -> Result<(), Refused> {
    let forbidden = |error, detail: &'static str| {
        Err(Refused { status: StatusCode::FORBIDDEN, error, detail: detail.into(), needs: None })
    };
    let known = caller.token.is_some();
    let changes = matches!(access, Access::Ask | Access::Write);
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
    let shows = access != Access::Page;
    if named == HostOwner::Foreign && !known && shows && (changes || rules.bind.to_canonical().is_loopback())
    {
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

/// Refuses what the caller's role, or a caller without a token, may not do.
fn check_role(caller: &Caller<'_>, access: Access, rules: AuthRules<'_>) -> Result<(), Refused> {
    let needed = match access {
        Access::Page | Access::Open => return Ok(()),
        Access::Read if rules.anonymous_read || rules.tokens.is_empty() => return Ok(()),
        Access::Read | Access::Ask => AdminRole::Read,
        Access::Write => AdminRole::Write,
    };
    let refused = |status, error, detail| Err(Refused { status, error, detail, needs: Some(needed) });
    if rules.tokens.is_empty() {
        let detail = "without admin.token_file, orders are taken from loopback clients only";
        let here = caller.client.to_canonical().is_loopback();
        return if here { Ok(()) } else { refused(StatusCode::FORBIDDEN, "not_loopback", detail.into()) };
    }
    let role = needed.as_str();
    match caller.token {
        None => {
            let detail = format!("this call needs `Authorization: Bearer` with a token of the role {role}");
            refused(StatusCode::UNAUTHORIZED, "unauthorized", detail.into())
        }
        Some(token) if token.role < needed => {
            let (name, has) = (&token.name, token.role.as_str());
            let detail = format!("this call needs the role {role}, and {name} has {has}");
            refused(StatusCode::FORBIDDEN, "wrong_role", detail.into())
        }
        Some(_) => Ok(()),
    }
}

/// Whether the call names a token, known or not.
pub(crate) fn names_a_token(headers: &HeaderMap) -> bool {
    headers.contains_key(header::AUTHORIZATION)
}

/// The token that a call bears. Every token is compared, so that the time says nothing about which one it was.
fn bearer<'a>(headers: &HeaderMap, tokens: &'a [AdminToken]) -> Option<&'a AdminToken> {
    let given = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (_, given) = given.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))?;
    let given = given.trim().as_bytes();
    tokens.iter().fold(None, |found, token| {
        let equal = same(given, token.secret.as_bytes());
        if equal { Some(token) } else { found }
    })
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

    fn tokens() -> Vec<AdminToken> {
        let token =
            |name: &str, role, secret: &str| AdminToken { name: name.into(), role, secret: secret.into() };
        vec![token("ada", AdminRole::Write, "t0ken"), token("bob", AdminRole::Read, "l00k")]
    }

    fn here() -> IpAddr {
        "127.0.0.1".parse().unwrap()
    }

    #[test]
    fn only_pages_of_the_admin_server_may_call_it() {
        let check = |bind: &str, host: &'static str, origin: &'static str| {
            let rules = AuthRules { bind: bind.parse().unwrap(), tokens: &[], anonymous_read: true };
            check(&headers(&[("host", host), ("origin", origin)]), here(), Access::Read, rules).is_ok()
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
            ("127.0.0.1", "", "http://", false),
        ] {
            assert_eq!(check(bind, host, origin), expected, "{bind} {host} {origin}");
        }
    }

    #[test]
    fn a_foreign_host_name_needs_a_token() {
        use Access::{Open, Page, Read, Write};
        let tokens = tokens();
        for (bind, access, host, authorization, expected) in [
            ("127.0.0.1", Write, "evil.test", "", false),
            ("127.0.0.1", Read, "evil.test", "", false),
            ("127.0.0.1", Open, "evil.test", "", false),
            ("127.0.0.1", Page, "evil.test", "", true),
            ("127.0.0.1", Read, "a b", "", false),
            ("0.0.0.0", Write, "edge.test", "", false),
            ("0.0.0.0", Read, "edge.test", "", true),
            ("127.0.0.1", Write, "evil.test", "Bearer t0ken", true),
            ("127.0.0.1", Write, "evil.test", "Bearer t0ke", false),
            ("127.0.0.1", Read, "evil.test", "Bearer l00k", true),
            ("127.0.0.1", Write, "10.0.0.1:80", "Bearer t0ken", true),
            ("127.0.0.1", Write, "localhost", "Bearer t0ken", true),
        ] {
            let rules = AuthRules { bind: bind.parse().unwrap(), tokens: &tokens, anonymous_read: true };
            let given = headers(&[("host", host), ("authorization", authorization)]);
            assert_eq!(check(&given, here(), access, rules).is_ok(), expected, "{bind} {access:?} {host}");
        }
        let rules = AuthRules { bind: here(), tokens: &[], anonymous_read: true };
        assert!(check(&HeaderMap::new(), here(), Write, rules).is_ok(), "HTTP/1.0 names no host");
    }

    #[test]
    fn a_call_needs_loopback_or_a_token_of_its_role() {
        use Access::{Ask, Open, Read, Write};
        let tokens = tokens();
        let check = |access, authorization: &'static str, client: &str, with: bool, anonymous_read| {
            let tokens: &[AdminToken] = if with { &tokens } else { &[] };
            let rules = AuthRules { bind: here(), tokens, anonymous_read };
            let given = headers(&[("authorization", authorization)]);
            match super::check(&given, client.parse().unwrap(), access, rules) {
                Ok(caller) => Ok(caller.name().map(str::to_owned)),
                Err(refused) => Err((refused.error, refused.needs.map(AdminRole::as_str))),
            }
        };
        let (home, far) = ("127.0.0.1", "192.0.2.1");
        let (ada, bob) = (Ok(Some("ada".to_owned())), Ok(Some("bob".to_owned())));
        for (access, authorization, client, with, anonymous_read, expected) in [
            (Write, "", home, false, true, Ok(None)),
            (Write, "", "::ffff:127.0.0.1", false, true, Ok(None)),
            (Write, "", far, false, true, Err(("not_loopback", Some("write")))),
            (Ask, "", far, false, true, Err(("not_loopback", Some("read")))),
            (Read, "", far, false, true, Ok(None)),
            (Write, "Bearer t0ken", far, true, true, ada.clone()),
            (Write, "bearer t0ken", home, true, true, ada.clone()),
            (Write, "Bearer t0ke", home, true, true, Err(("unauthorized", Some("write")))),
            (Write, "Basic t0ken", home, true, true, Err(("unauthorized", Some("write")))),
            (Write, "", home, true, true, Err(("unauthorized", Some("write")))),
            (Write, "Bearer l00k", home, true, true, Err(("wrong_role", Some("write")))),
            (Ask, "Bearer l00k", far, true, true, bob.clone()),
            (Ask, "", home, true, true, Err(("unauthorized", Some("read")))),
            (Read, "", home, true, false, Err(("unauthorized", Some("read")))),
            (Read, "Bearer l00k", far, true, false, bob),
            (Read, "Bearer t0ken", far, true, false, ada),
            (Open, "", far, true, false, Ok(None)),
        ] {
            let got = check(access, authorization, client, with, anonymous_read);
            assert_eq!(got, expected, "{access:?} {authorization:?} {client} {with} {anonymous_read}");
        }
    }
}
