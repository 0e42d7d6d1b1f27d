//! One request's cookie on a route with cookie affinity: what it says, and which cookie the answer sets. Steers nothing.

use std::{sync::Arc, time::SystemTime};

use thalweg_core::{Binding, EndpointHash, OnFailure};
use thalweg_wire::{FieldName, Fields};

use crate::shared::client_cookie::{CookieSigner, Genuine, values};

/// The field of an answer that sets a cookie.
pub const SET_COOKIE: &[u8] = b"Set-Cookie";

/// A request's cookie.
#[derive(Debug)]
pub struct ClientCookie {
    signer: Arc<CookieSigner>,
    found: Option<Genuine>,
}

impl ClientCookie {
    /// Reads the cookie of a request. One that is not genuine does not count, nor does one that names an endpoint of no
    /// use on the route (`is_known`); of several the first that counts does.
    #[must_use]
    pub fn read(
        signer: &Arc<CookieSigner>,
        fields: &Fields,
        is_known: impl Fn(EndpointHash) -> bool,
    ) -> Self {
        let mut found = None;
        if fields.has(FieldName::Cookie) {
            let now = SystemTime::now();
            found = fields
                .all(FieldName::Cookie)
                .flat_map(|field| values(field, &signer.name))
                .filter_map(|value| signer.open(value, now))
                .find(|genuine| is_known(genuine.binding.endpoint));
        }
        Self { signer: Arc::clone(signer), found }
    }

    /// The name, which stays out of requests to endpoints.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.signer.name
    }

    /// What steering reads.
    #[must_use]
    pub fn bound(&self) -> Option<Binding> {
        self.found.map(|found| found.binding)
    }

    /// The value of `Set-Cookie` for an answer of this endpoint; `None` = the client keeps what it has. `fresh` is the
    /// number of a client that has none.
    #[must_use]
    pub fn answer(&self, endpoint: EndpointHash, fresh: u64, secure: bool) -> Option<String> {
        let binding = match self.found {
            None => Binding { client: fresh, endpoint },
            Some(Genuine { binding, half_over }) if binding.endpoint == endpoint => {
                half_over.then_some(binding)?
            }
            // Another endpoint has stood in.
            Some(Genuine { binding, .. }) if self.signer.on_failure == OnFailure::Stick => {
                Binding { endpoint, ..binding }
            }
            Some(_) => return None,
        };
        Some(self.signer.field(binding, secure, SystemTime::now()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use thalweg_config::{CookieKey, CookieSettings};

    use super::*;

    fn signer(on_failure: OnFailure) -> Arc<CookieSigner> {
        let keys = vec![CookieKey(vec![1; 32].into())];
        let settings = CookieSettings { name: "t".into(), ttl: Duration::from_secs(3600), keys };
        Arc::new(CookieSigner::new(&settings, on_failure, "/"))
    }

    const OWN: EndpointHash = EndpointHash(5);
    const OTHER: EndpointHash = EndpointHash(6);

    /// The endpoint that the client's cookie names, out of a request with these `Cookie` fields.
    fn read(signer: &Arc<CookieSigner>, cookies: &[&str]) -> ClientCookie {
        let mut fields = Fields::default();
        for cookie in cookies {
            fields.push(b"Cookie", cookie.as_bytes()).unwrap();
        }
        ClientCookie::read(signer, &fields, |endpoint| endpoint != EndpointHash(404))
    }

    fn cookie(signer: &Arc<CookieSigner>, endpoint: EndpointHash) -> String {
        let field = signer.field(Binding { client: 3, endpoint }, false, SystemTime::now());
        field.split(';').next().unwrap_or_default().to_owned()
    }

    #[test]
    fn the_first_cookie_that_counts_does() {
        let signer = signer(OnFailure::Return);
        let (own, gone) = (cookie(&signer, OWN), cookie(&signer, EndpointHash(404)));
        for (cookies, expected) in [
            (vec![], None),
            (vec!["t=forged"], None),
            (vec![&*gone], None),
            (vec!["a=b", &own], Some(OWN)),
            (vec!["t=forged", &gone, &own], Some(OWN)),
        ] {
            let bound = read(&signer, &cookies).bound();
            assert_eq!(bound.map(|bound| bound.endpoint), expected, "{cookies:?}");
        }
    }

    #[test]
    fn a_cookie_is_set_when_it_is_missing_and_when_the_endpoint_changed_for_good() {
        for (on_failure, bound, served, sets) in [
            (OnFailure::Return, None, OWN, true),
            (OnFailure::Refuse, None, OWN, true),
            (OnFailure::Return, Some(OWN), OWN, false),
            (OnFailure::Return, Some(OWN), OTHER, false),
            (OnFailure::Stick, Some(OWN), OTHER, true),
            (OnFailure::Stick, Some(OWN), OWN, false),
        ] {
            let signer = signer(on_failure);
            let own = bound.map(|endpoint| cookie(&signer, endpoint));
            let cookies: Vec<&str> = own.iter().map(String::as_str).collect();
            let answer = read(&signer, &cookies).answer(served, 8, true);
            assert_eq!(answer.is_some(), sets, "{on_failure:?} {bound:?}");
            if let Some(answer) = answer {
                let again = read(&signer, &[answer.split(';').next().unwrap_or_default()]).bound();
                let client = if bound.is_some() { 3 } else { 8 };
                assert_eq!(again, Some(Binding { client, endpoint: served }));
            }
        }
    }
}
