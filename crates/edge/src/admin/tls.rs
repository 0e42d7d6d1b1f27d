//! What listeners offer in TLS handshakes, and their certificates, for `status`.

use serde_json::{Value, json};
use thalweg_config::{ListenerTls, TlsVersion};

use crate::{
    control::{
        tls::{ServingCertificate, provider},
        wall_clock,
    },
    shared::calendar::unix_seconds,
};

/// Versions, key exchanges and cipher suites in the order of preference, and what is demanded of clients.
pub(super) fn offers(tls: &ListenerTls) -> Value {
    let provider = provider();
    let versions: &[&str] = match tls.min_version {
        TlsVersion::V1_2 => &["TLSv1.3", "TLSv1.2"],
        TlsVersion::V1_3 => &["TLSv1.3"],
    };
    let is_offered = |suite: &&rustls::SupportedCipherSuite| {
        suite.tls13().is_some() || tls.min_version == TlsVersion::V1_2
    };
    let suites = provider.cipher_suites.iter().filter(is_offered);
    let demanded = tls.client_auth.as_ref().map(|auth| if auth.required { "required" } else { "optional" });
    json!({
        "versions": versions,
        "key_exchanges": provider.kx_groups.iter().map(|group| format!("{:?}", group.name())).collect::<Vec<_>>(),
        "cipher_suites": suites.map(|suite| format!("{:?}", suite.suite())).collect::<Vec<_>>(),
        "client_auth": demanded,
    })
}

/// The certificates of a listener, with their state now.
pub(super) fn certificates(listener: &str, all: &[ServingCertificate]) -> Vec<Value> {
    let now = unix_seconds();
    let of_listener = all.iter().filter(|certificate| certificate.listener == listener);
    let shown = of_listener.map(|certificate| {
        let state = match () {
            () if now > certificate.not_after => "expired",
            () if now < certificate.not_before => "not_yet_valid",
            () => "valid",
        };
        json!({
            "name": certificate.name, "names": certificate.names, "state": state,
            "not_before": wall_clock::of_unix(certificate.not_before),
            "not_after": wall_clock::of_unix(certificate.not_after), "ocsp": certificate.ocsp,
        })
    });
    shown.collect()
}
