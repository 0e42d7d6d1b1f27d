//! Who may ask: orders only from this machine or with the token; nothing from another site's page.
//! Pure; never looks at what is asked.

use std::net::IpAddr;

use http::{HeaderMap, StatusCode, header};

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) status: StatusCode,
    pub(crate) error: &'static str,
    pub(crate) detail: &'static str,
}

/// A page of another site must not speak for the operator who looks at it: a browser says whose page asks.
pub(crate) fn check_origin(headers: &HeaderMap) -> Result<(), Refused> {
    let foreign = Refused {
        status: StatusCode::FORBIDDEN,
        error: "foreign_origin",
        detail: "requests from other sites' pages are refused",
    };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let own = |origin: &str| {
        let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        authority.is_some_and(|authority| !host.is_empty() && authority.eq_ignore_ascii_case(host))
    };
    let all_own = headers.get_all(header::ORIGIN).iter().all(|origin| origin.to_str().is_ok_and(own));
    if all_own { Ok(()) } else { Err(foreign) }
}

/// May this client give orders?
pub(crate) fn check_order(headers: &HeaderMap, peer: IpAddr, token: Option<&str>) -> Result<(), Refused> {
    let Some(token) = token else {
        let elsewhere = Refused {
            status: StatusCode::FORBIDDEN,
            error: "not_loopback",
            detail: "without admin.token_file, orders are taken from loopback clients only",
        };
        return if peer.to_canonical().is_loopback() { Ok(()) } else { Err(elsewhere) };
    };
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    if given.is_some_and(|(_, given)| same(given.trim().as_bytes(), token.as_bytes())) {
        return Ok(());
    }
    let detail = "orders need `Authorization: Bearer` with the content of admin.token_file";
    Err(Refused { status: StatusCode::UNAUTHORIZED, error: "unauthorized", detail })
}

/// Equal; takes as long wherever they differ.
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
    fn only_the_admins_own_pages_may_ask() {
        let check = |origin: &'static str| {
            check_origin(&headers(&[("host", "127.0.0.1:9900"), ("origin", origin)])).is_ok()
        };
        assert!(check("http://127.0.0.1:9900"));
        assert!(!check("http://127.0.0.1:1") && !check("http://evil.test") && !check("null"));
        assert!(check_origin(&headers(&[("host", "x")])).is_ok());
        assert!(check_origin(&headers(&[("origin", "http://")])).is_err());
    }

    #[test]
    fn orders_need_loopback_or_the_token() {
        let (here, mapped, there): (IpAddr, IpAddr, IpAddr) =
            ("127.0.0.1".parse().unwrap(), "::ffff:127.0.0.1".parse().unwrap(), "192.0.2.1".parse().unwrap());
        let check = |authorization: &'static str, peer, token| {
            check_order(&headers(&[("authorization", authorization)]), peer, token).is_ok()
        };
        assert!(check("", here, None) && check("", mapped, None) && !check("", there, None));
        assert!(check("Bearer t0ken", there, Some("t0ken")) && check("bearer t0ken", here, Some("t0ken")));
        assert!(!check("Bearer t0ke", here, Some("t0ken")) && !check("Basic t0ken", here, Some("t0ken")));
        assert!(!check("", here, Some("t0ken")));
    }
}
