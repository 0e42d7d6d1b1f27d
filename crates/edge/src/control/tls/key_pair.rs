//! A certificate chain and its private key, from files in every form that OpenSSL writes. What cannot be used is told
//! with the file's name and with what to do about it. Reads no file itself, and judges no trust.
//!
//! A chain whose certificates are in another order is put in order, because the key says which certificate is the leaf
//! and every certificate names its issuer: the intention is clear, and a refusal would help no operator. Version 1 of
//! X.509, which WebPKI does not read, is sent as any other.

use std::{path::PathBuf, sync::Arc};

use rustls::sign::{CertifiedKey, SigningKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use thalweg_config::{Certificate, ConfigError, Placed};

use super::{
    content::Content,
    provider::provider,
    trouble::{trouble, trouble_with},
};
use crate::{
    control::wall_clock,
    shared::calendar::unix_seconds,
    shared::x509::{self, Facts},
};

/// A certificate chain with its key, and the facts of its leaf.
#[derive(Clone, Debug)]
pub(super) struct KeyPair {
    pub(super) key: CertifiedKey,
    pub(super) leaf: Facts,
    /// What is served all the same.
    pub(super) warnings: Vec<ConfigError>,
}

/// Makes a chain and a key of the content of their files.
///
/// # Errors
/// What is wrong with either file, or with the two together.
pub(super) fn read(files: &Certificate, cert: &[u8], key: &[u8]) -> Result<KeyPair, Vec<ConfigError>> {
    let (chain, key) = match (chain_of(&files.cert, cert), key_of(&files.key, key)) {
        (Ok(chain), Ok(key)) => (chain, key),
        (chain, key) => return Err([chain.err(), key.err()].into_iter().flatten().collect()),
    };
    pair(files, chain, key).map_err(|error| vec![error])
}

fn pair(
    files: &Certificate,
    chain: Vec<CertificateDer<'static>>,
    key: Arc<dyn SigningKey>,
) -> Result<KeyPair, ConfigError> {
    let (chain, moved) = in_order(chain, key.as_ref()).ok_or_else(|| {
        let problem = format!(
            "does not fit its certificate: its public key is in none of {}",
            files.cert.value.display()
        );
        let hint = "`openssl pkey -pubout -in KEY` and `openssl x509 -noout -pubkey -in CERT` print the same";
        trouble_with(Some(&files.key), &problem, hint)
    })?;
    let leaf = chain.first().and_then(|leaf| x509::facts(leaf));
    let leaf = leaf.ok_or_else(|| trouble(Some(&files.cert), "holds no PEM certificate"))?;
    let mut warnings = untimely(&files.cert, &chain);
    if moved {
        let hint = "leaf first, then each certificate's issuer";
        let problem = "holds a chain that is not in order: it is sent in order";
        warnings.push(trouble_with(Some(&files.cert), problem, hint));
    }
    Ok(KeyPair { key: CertifiedKey::new(chain, key), leaf, warnings })
}

fn chain_of(place: &Placed<PathBuf>, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let content = Content::of(bytes);
    let mut chain = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(content.pem()) {
        let certificate =
            certificate.map_err(|error| trouble(Some(place), &format!("is damaged PEM: {error}")))?;
        if x509::facts(&certificate).is_none() {
            let problem = format!("holds a certificate that cannot be read, number {}", chain.len() + 1);
            return Err(trouble(Some(place), &problem));
        }
        chain.push(certificate);
    }
    if chain.is_empty() {
        let (problem, hint) = content.instead_of_certificate();
        return Err(trouble_with(Some(place), problem, hint));
    }
    Ok(chain)
}

fn key_of(place: &Placed<PathBuf>, bytes: &[u8]) -> Result<Arc<dyn SigningKey>, ConfigError> {
    let content = Content::of(bytes);
    let key = match PrivateKeyDer::from_pem_slice(content.pem()) {
        Ok(key) if !content.is_encrypted() => key,
        Err(error) if content.is_damaged_key() => {
            return Err(trouble(Some(place), &format!("is damaged PEM: {error}")));
        }
        _ => {
            let (problem, hint) = content.instead_of_key();
            return Err(trouble_with(Some(place), problem, hint));
        }
    };
    provider().key_provider.load_private_key(key).map_err(|error| {
        let problem = format!("holds a key that cannot be used: {error}");
        let hint = "RSA of 2048 to 8192 bits, ECDSA on a named curve (P-256, P-384, P-521), or Ed25519";
        trouble_with(Some(place), &problem, hint)
    })
}

/// The chain with the key's certificate first and each certificate before its issuer, then what belongs to neither; and
/// whether that is another order. `None`: the key belongs to no certificate. A key that does not know its public half
/// belongs to the first.
fn in_order(
    chain: Vec<CertificateDer<'static>>,
    key: &dyn SigningKey,
) -> Option<(Vec<CertificateDer<'static>>, bool)> {
    let leaf = match key.public_key() {
        None => 0,
        Some(public) => chain.iter().position(|one| x509::public_key(one) == Some(&*public))?,
    };
    let mut rest = chain.clone();
    let mut ordered = vec![rest.remove(leaf)];
    while let Some(issuer) =
        ordered.last().and_then(|last| x509::parts(last)).map(|parts| parts.issuer.to_vec())
        && let Some(next) =
            rest.iter().position(|one| x509::parts(one).is_some_and(|parts| parts.subject == issuer))
    {
        ordered.push(rest.remove(next));
    }
    ordered.append(&mut rest);
    let moved = ordered != chain;
    Some((ordered, moved))
}

/// Warnings about certificates that are not in force now: clients refuse them, but the site may have to go on.
fn untimely(place: &Placed<PathBuf>, chain: &[CertificateDer<'_>]) -> Vec<ConfigError> {
    let now = unix_seconds();
    let mut warnings = Vec::new();
    for (nth, Facts { not_before, not_after, .. }) in
        chain.iter().enumerate().filter_map(|(nth, one)| Some((nth, x509::facts(one)?)))
    {
        let which = if nth == 0 {
            "a certificate".to_owned()
        } else {
            format!("a chain whose certificate {}", nth + 1)
        };
        let problem = match () {
            () if now > not_after => {
                format!("holds {which} that ended at {}", wall_clock::of_unix(not_after))
            }
            () if now < not_before => {
                format!("holds {which} that begins at {}", wall_clock::of_unix(not_before))
            }
            () => continue,
        };
        let problem = if nth == 0 { problem } else { problem.replacen(" that ", " ", 1) };
        warnings.push(trouble_with(Some(place), &problem, "it is used all the same, and peers refuse it"));
    }
    warnings
}
