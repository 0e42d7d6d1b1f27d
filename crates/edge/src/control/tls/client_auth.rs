//! Which certificates of clients a listener accepts. WebPKI judges, with one addition: a certificate that `client_ca`
//! lists itself is accepted while it is in force, as for endpoints (`trust`).

use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    server::{
        VerifierBuilderError, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime, pem::PemObject};
use thalweg_config::{ClientAuth, ConfigError};

use super::{
    authorities::authorities,
    content::Content,
    provider::provider,
    trouble::{trouble, trouble_with},
};
use crate::{control::trust::is_in_force, shared::x509::Ders};

/// Everything that distinguishes the demands of one listener on its clients from those of another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ClientAuthRecipe {
    pub(super) ca: Arc<[u8]>,
    pub(super) crl: Option<Arc<[u8]>>,
    pub(super) required: bool,
}

/// Who may resume a session: only clients of listeners with the same demands.
pub(super) type Policy = [u8; 32];

impl ClientAuthRecipe {
    /// The digest of the demands. Without demands it is zero.
    pub(super) fn policy(&self) -> Policy {
        let mut digest = Context::new(&SHA256);
        digest.update(&[u8::from(self.required)]);
        for part in [Some(&self.ca), self.crl.as_ref()] {
            let part: &[u8] = part.map_or(&[], |part| part);
            digest.update(&(part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        digest.finish().as_ref().try_into().unwrap_or_default()
    }

    /// Judges certificates of clients.
    ///
    /// # Errors
    /// What is wrong with the files.
    pub(super) fn verifier(&self, places: &ClientAuth) -> Result<Arc<dyn ClientCertVerifier>, ConfigError> {
        let (roots, listed) = authorities(&self.ca, Some(&places.ca))?;
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
        let builder = if self.required { builder } else { builder.allow_unauthenticated() };
        // Authorities without a list here revoke nothing: a list for each of them would be asked for otherwise.
        let builder = builder.with_crls(self.lists(places)?).allow_unknown_revocation_status();
        let verifier = builder.build().map_err(|error| match error {
            VerifierBuilderError::InvalidCrl(error) => trouble(
                places.crl.as_ref(),
                &format!("holds a revocation list that cannot be used: {error:?}"),
            ),
            error => trouble(Some(&places.ca), &format!("cannot be used: {error}")),
        })?;
        Ok(Arc::new(ClientVerifier { verifier, listed }))
    }

    fn lists(&self, places: &ClientAuth) -> Result<Vec<CertificateRevocationListDer<'static>>, ConfigError> {
        let Some(crl) = &self.crl else { return Ok(Vec::new()) };
        let place = places.crl.as_ref();
        let lists: Result<Vec<_>, _> =
            CertificateRevocationListDer::pem_slice_iter(Content::of(crl).pem()).collect();
        let lists = lists.map_err(|error| trouble(place, &format!("is damaged PEM: {error}")))?;
        if lists.is_empty() {
            let hint = "openssl crl -inform DER -in FILE -out FILE.pem";
            return Err(trouble_with(place, "holds no PEM revocation list", hint));
        }
        Ok(lists)
    }
}

#[derive(Debug)]
struct ClientVerifier {
    verifier: Arc<dyn ClientCertVerifier>,
    /// The certificates in `client_ca`.
    listed: Ders,
}

impl ClientCertVerifier for ClientVerifier {
    fn offer_client_auth(&self) -> bool {
        self.verifier.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.verifier.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.verifier.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if self.listed.iter().any(|der| **der == **leaf) {
            is_in_force(leaf, now)?;
            return Ok(ClientCertVerified::assertion());
        }
        self.verifier.verify_client_cert(leaf, chain, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, leaf, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, leaf, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}
