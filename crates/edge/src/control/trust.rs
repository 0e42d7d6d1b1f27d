//! Which certificates of endpoints are accepted, and the proof that an endpoint holds the key of its certificate. Reads
//! no file and knows no endpoint.
//!
//! WebPKI alone accepts too little for endpoints: it demands that a certificate was issued by another one, so a
//! self-signed certificate that the operator lists in `ca` is refused, and it cannot read X.509 version 1 at all, so
//! `verify = false` would refuse what old tools and appliances present. OpenSSL, and with it curl, nginx and HAProxy,
//! accepts both.

use std::time::Duration;

use rustls::{
    CertificateError, DigitallySignedStruct, Error, PeerMisbehaved, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{self, WebPkiSupportedAlgorithms},
    server::ParsedCertificate,
};
use rustls_pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};

use crate::shared::x509::{self, Ders};

/// Accepts certificates of endpoints.
#[derive(Debug)]
pub struct EndpointVerifier {
    trust: Trust,
    algorithms: WebPkiSupportedAlgorithms,
}

#[derive(Debug)]
enum Trust {
    /// `verify = false`: any certificate.
    Any,
    Listed {
        anchors: RootCertStore,
        /// The certificates behind the anchors. One of them is trusted itself, whatever it may sign.
        certificates: Ders,
    },
}

impl EndpointVerifier {
    /// Accepts any certificate; the endpoint must still prove that it holds the key.
    #[must_use]
    pub fn any(algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { trust: Trust::Any, algorithms }
    }

    /// Accepts these `certificates`, and what the `anchors` made of them have issued.
    #[must_use]
    pub fn listed(anchors: RootCertStore, certificates: Ders, algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { trust: Trust::Listed { anchors, certificates }, algorithms }
    }
}

impl ServerCertVerifier for EndpointVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.trust {
            Trust::Any => {}
            Trust::Listed { certificates, .. } if certificates.iter().any(|der| **der == **leaf) => {
                is_in_force(leaf, now)?;
                is_named(leaf, name)?;
            }
            Trust::Listed { anchors, .. } => {
                let parsed = ParsedCertificate::try_from(leaf)?;
                verify_server_cert_signed_by_trust_anchor(&parsed, anchors, chain, now, self.algorithms.all)?;
                verify_server_name(&parsed, name)?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match key_of_unreadable(leaf)? {
            None => crypto::verify_tls12_signature(message, leaf, signed, &self.algorithms),
            Some(key) => verify_by_key(message, &key, signed, &self.algorithms),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match key_of_unreadable(leaf)? {
            None => crypto::verify_tls13_signature(message, leaf, signed, &self.algorithms),
            Some(key) => crypto::verify_tls13_signature_with_raw_key(message, &key, signed, &self.algorithms),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Whether `now` lies in the validity of a listed certificate.
pub(super) fn is_in_force(leaf: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let facts = x509::facts(leaf).ok_or(CertificateError::BadEncoding)?;
    let at = |seconds: i64| {
        UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(seconds).unwrap_or_default()))
    };
    let (not_before, not_after) = (at(facts.not_before), at(facts.not_after));
    if now < not_before {
        return Err(CertificateError::NotValidYetContext { time: now, not_before }.into());
    }
    match now > not_after {
        true => Err(CertificateError::ExpiredContext { time: now, not_after }.into()),
        false => Ok(()),
    }
}

/// Whether a listed certificate has this name. Without any `subjectAltName`, which is usual in certificates made by
/// hand, its common name counts: the operator has listed this very certificate. WebPKI reads no common name.
fn is_named(leaf: &CertificateDer<'_>, name: &ServerName<'_>) -> Result<(), Error> {
    let facts = x509::facts(leaf).ok_or(CertificateError::BadEncoding)?;
    if !facts.names.is_empty() || !facts.addresses.is_empty() {
        return verify_server_name(&ParsedCertificate::try_from(leaf)?, name);
    }
    match &facts.common_name {
        Some(common) if common.eq_ignore_ascii_case(&name.to_str()) => Ok(()),
        common => {
            let presented = common.iter().map(|common| format!("CN={common}")).collect();
            Err(CertificateError::NotValidForNameContext { expected: name.to_owned(), presented }.into())
        }
    }
}

/// The public key of a certificate that WebPKI cannot read; `None` if WebPKI can.
fn key_of_unreadable<'a>(leaf: &'a CertificateDer<'_>) -> Result<Option<SubjectPublicKeyInfoDer<'a>>, Error> {
    match ParsedCertificate::try_from(leaf) {
        Ok(_) => Ok(None),
        Err(error) => x509::public_key(leaf).map(|key| Some(key.into())).ok_or(error),
    }
}

/// The signature of a TLS 1.2 handshake by this key (RFC 5246 section 7.4.1.4.1): the scheme does not fix the curve, so
/// each algorithm of the scheme that is for this kind of key is tried.
fn verify_by_key(
    message: &[u8],
    key: &[u8],
    signed: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    let of_scheme = algorithms.mapping.iter().find(|(scheme, _)| *scheme == signed.scheme);
    let (_, of_scheme) = of_scheme.ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
    let (algorithm, key) = x509::split_key(key).ok_or(CertificateError::BadEncoding)?;
    let mut fitting = of_scheme.iter().filter(|known| *known.public_key_alg_id() == *algorithm);
    match fitting.any(|known| known.verify_signature(key, message, signed.signature()).is_ok()) {
        true => Ok(HandshakeSignatureValid::assertion()),
        false => Err(CertificateError::BadSignature.into()),
    }
}
