//! Certificates for tests: one authority, and leaves for names. aws-lc-rs is the only provider.

use std::{path::PathBuf, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion,
    sign::{CertifiedKey, SingleCertAndKey},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use crate::Scratch;

/// A certificate authority of this scenario alone.
#[derive(Debug)]
pub struct Authority {
    pub(crate) issuer: Issuer<'static, KeyPair>,
    /// Its certificate.
    pub pem: String,
}

/// A certificate for some names, and its key.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// The certificate, then its authority's.
    pub cert_pem: String,
    /// The private key.
    pub key_pem: String,
}

impl Authority {
    /// Creates one.
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key can be made");
        let mut params = CertificateParams::new(Vec::new()).expect("no names are valid names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let pem = params.self_signed(&key).expect("a root signs itself").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Signs a certificate for these names (or addresses).
    pub fn leaf(&self, names: &[&str]) -> Leaf {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let key = KeyPair::generate().expect("a key can be made");
        let mut params = CertificateParams::new(names.clone()).expect("the names are valid");
        params.distinguished_name.push(DnType::CommonName, names.first().cloned().unwrap_or_default());
        let cert = params.signed_by(&key, &self.issuer).expect("the authority signs");
        Leaf { cert_pem: format!("{}{}", cert.pem(), self.pem), key_pem: key.serialize_pem() }
    }
}

impl Leaf {
    /// Writes `NAME.crt` and `NAME.key`; returns both paths.
    pub fn write(&self, scratch: &Scratch, name: &str) -> (PathBuf, PathBuf) {
        (
            scratch.write(format!("{name}.crt"), &self.cert_pem),
            scratch.write(format!("{name}.key"), &self.key_pem),
        )
    }
}

/// What a TLS endpoint listens with.
pub fn server_config(leaf: &Leaf) -> Arc<ServerConfig> {
    server_config_with(leaf, &[])
}

/// The same, offering these ALPN protocols.
pub fn server_config_with(leaf: &Leaf, alpn: &[&str]) -> Arc<ServerConfig> {
    server_config_of(leaf, alpn, &[])
}

/// The same, with these versions (none = all). The certificate is not checked: odd ones are presented as well.
pub fn server_config_of(
    leaf: &Leaf,
    alpn: &[&str],
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ServerConfig> {
    let versions = if versions.is_empty() { rustls::ALL_VERSIONS } else { versions };
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .expect("the provider has these versions")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified_key(leaf))));
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// What a TLS client connects with: trusts this authority alone, offers these protocols and these versions (none = all).
pub fn client_config(
    authority: &Authority,
    alpn: &[&str],
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    let mut config = trusting(authority, versions, provider()).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// A client's config that trusts this authority alone, before the client's own certificate.
pub(crate) fn trusting(
    authority: &Authority,
    versions: &[&'static SupportedProtocolVersion],
    provider: Arc<rustls::crypto::CryptoProvider>,
) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(authority.pem.as_bytes()).expect("our own root parses");
    roots.add(root).expect("our own root is a root");
    let versions = if versions.is_empty() { rustls::ALL_VERSIONS } else { versions };
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("the provider has these versions")
        .with_root_certificates(roots)
}

/// A certificate and its key, unchecked.
pub(crate) fn certified_key(leaf: &Leaf) -> CertifiedKey {
    let certs: Vec<_> = CertificateDer::pem_slice_iter(leaf.cert_pem.as_bytes())
        .collect::<Result<_, _>>()
        .expect("our own certificate parses");
    let key = PrivateKeyDer::from_pem_slice(leaf.key_pem.as_bytes()).expect("our own key parses");
    CertifiedKey::new(certs, provider().key_provider.load_private_key(key).expect("our own key can sign"))
}

pub(crate) fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
