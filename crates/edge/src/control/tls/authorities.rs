//! A file of authorities: whose certificates are accepted, of endpoints and of clients alike.

use std::path::PathBuf;

use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, pem::PemObject};
use thalweg_config::{ConfigError, Placed};

use super::{
    content::Content,
    trouble::{trouble, trouble_with},
};
use crate::shared::x509::Ders;

/// The trust anchors in a file, and the certificates that they were made of.
///
/// # Errors
/// What is wrong with the file.
pub(super) fn authorities(
    file: &[u8],
    place: Option<&Placed<PathBuf>>,
) -> Result<(RootCertStore, Ders), ConfigError> {
    let (mut roots, mut certificates) = (RootCertStore::empty(), Vec::new());
    let content = Content::of(file);
    for certificate in CertificateDer::pem_slice_iter(content.pem()) {
        let certificate = certificate.map_err(|error| trouble(place, &format!("is damaged PEM: {error}")))?;
        certificates.push(certificate.to_vec());
        let added = roots.add(certificate);
        added.map_err(|error| trouble(place, &format!("holds a CA certificate that is none: {error}")))?;
    }
    if roots.is_empty() {
        let (problem, hint) = content.instead_of_certificate();
        return Err(trouble_with(place, problem, hint));
    }
    Ok((roots, certificates.into()))
}
