//! `GET /`: the page that shows a running edge. One document that carries its style and script; it loads nothing else
//! and reads only this server's API. Its parts are in `page/`.

use http::{HeaderValue, Response, StatusCode, header};
use rustls::crypto::aws_lc_rs;

use super::reply::{Body, refuse, reply};

/// The document, with `NONCE` where each answer has a nonce of its own.
const PAGE: &str = concat!(
    include_str!("page/head.html"),
    "<style nonce=\"NONCE\">\n",
    include_str!("page/page.css"),
    "</style>\n",
    include_str!("page/body.html"),
    "<script nonce=\"NONCE\">\n",
    include_str!("page/state.js"),
    include_str!("page/view.js"),
    include_str!("page/fleet.js"),
    include_str!("page/token.js"),
    include_str!("page/page.js"),
    include_str!("page/change.js"),
    "</script>\n</html>\n"
);

/// Only the style and the script of this very answer act; nothing else is loaded, sent or framed.
const POLICY: &str = "default-src 'none'; script-src 'nonce-NONCE'; style-src 'nonce-NONCE'; connect-src 'self'; \
                      img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page.
pub(super) fn page() -> Response<Body> {
    let mut random = [0; 16];
    if aws_lc_rs::default_provider().secure_random.fill(&mut random).is_err() {
        return refuse(StatusCode::INTERNAL_SERVER_ERROR, "no_random", "the system has no random numbers");
    }
    let nonce = format!("{:032x}", u128::from_ne_bytes(random));
    let mut response = reply(StatusCode::OK, "text/html; charset=utf-8", PAGE.replace("NONCE", &nonce));
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::from_str(&POLICY.replace("NONCE", &nonce)) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_small_and_self_contained() {
        assert!(PAGE.len() <= 100_000, "{} bytes", PAGE.len());
        assert_eq!(PAGE.matches("NONCE").count(), 2);
        // The name of the SVG namespace is no address that is loaded.
        let page = PAGE.replace("http://www.w3.org/2000/svg", "");
        for outside in
            ["http://", "https://", "src=", "@import", "url(", "style=\"", " onclick=", "innerHTML"]
        {
            assert!(!page.contains(outside), "{outside}");
        }
    }

    #[test]
    fn every_answer_has_a_nonce_of_its_own_in_its_policy() {
        let policy = |response: &Response<Body>| response.headers()[header::CONTENT_SECURITY_POLICY].clone();
        let (first, second) = (policy(&page()), policy(&page()));
        assert_ne!(first, second);
        assert!(first.to_str().unwrap().starts_with("default-src 'none'; script-src 'nonce-"));
    }
}
