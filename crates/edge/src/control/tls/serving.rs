//! TLS towards clients: the config of one listener, and which of its certificates a client gets.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use quinn::crypto::rustls::QuicServerConfig;
use rustls::{
    ServerConfig,
    server::{ClientHello, ResolvesServerCert, WantsServerCert},
    sign::CertifiedKey,
};
use thalweg_config::{Certificate, ConfigError, Listener, ListenerTls, Placed, TlsVersion};

use super::{
    TlsCache,
    client_auth::ClientAuthRecipe,
    key_pair,
    provider::provider,
    tickets,
    trouble::{trouble, trouble_with},
};
use crate::shared::x509::Facts;

/// A server certificate in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServingCertificate {
    /// The listener's configured name.
    pub listener: String,
    /// The certificate's first DNS name, else its file name.
    pub name: String,
    /// All its DNS names and addresses.
    pub names: Vec<String>,
    /// The begin of its validity in Unix seconds.
    pub not_before: i64,
    /// The end of its validity in Unix seconds.
    pub not_after: i64,
    /// An OCSP response is stapled.
    pub ocsp: bool,
}

/// The content of a certificate's files.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PairRecipe {
    pub(super) cert: Arc<[u8]>,
    pub(super) key: Arc<[u8]>,
    pub(super) ocsp: Option<Arc<[u8]>>,
}

/// Everything that distinguishes one listener's TLS config from another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ServerRecipe {
    listener: String,
    pairs: Vec<PairRecipe>,
    min_version: TlsVersion,
    alpn: Vec<Vec<u8>>,
    http3: bool,
    client_auth: Option<ClientAuthRecipe>,
}

/// TLS towards the clients of one listener.
#[derive(Clone, Debug)]
pub struct ServingTls {
    /// The config.
    pub config: Arc<ServerConfig>,
    /// The same for QUIC; `None` = the listener does not speak HTTP/3.
    pub quic: Option<Arc<ServerConfig>>,
    /// The certificates in it.
    pub certificates: Vec<ServingCertificate>,
    /// What is accepted and probably not meant.
    pub warnings: Vec<ConfigError>,
}

impl TlsCache {
    /// TLS towards clients of a listener.
    ///
    /// # Errors
    /// Every file that is not what it should be.
    pub fn server(&mut self, listener: &Listener, tls: &ListenerTls) -> Result<ServingTls, Vec<ConfigError>> {
        let (mut errors, mut pairs) = (Vec::new(), Vec::new());
        for certificate in &tls.certificates {
            match self.pair(certificate) {
                Ok(pair) => pairs.push(pair),
                Err(problems) => errors.extend(problems),
            }
        }
        let client_auth = tls.client_auth.as_ref().map(|auth| {
            let crl = auth.crl.as_ref().map(|crl| self.read(crl)).transpose();
            Ok(ClientAuthRecipe { ca: self.read(&auth.ca)?, crl: crl?, required: auth.required })
        });
        let client_auth = client_auth.transpose().map_err(|error| errors.push(error)).ok().flatten();
        if !errors.is_empty() {
            return Err(errors);
        }
        let mut alpn = Vec::new();
        alpn.extend(listener.http2.then(|| b"h2".to_vec()));
        alpn.extend(listener.http1.then(|| b"http/1.1".to_vec()));
        let recipe = ServerRecipe {
            listener: listener.name.clone(),
            pairs,
            min_version: tls.min_version,
            alpn,
            http3: listener.http3,
            client_auth,
        };
        if let Some(made) =
            self.made.servers.get(&recipe).or_else(|| self.before.servers.get(&recipe)).cloned()
        {
            self.made.servers.insert(recipe, made.clone());
            return Ok(made);
        }
        let made = self.make_server(&recipe, tls)?;
        self.made.servers.insert(recipe, made.clone());
        Ok(made)
    }

    /// The content of a certificate's files.
    pub(super) fn pair(&mut self, files: &Certificate) -> Result<PairRecipe, Vec<ConfigError>> {
        let ocsp = files.ocsp.as_ref().map(|ocsp| self.read(ocsp)).transpose();
        match (self.read(&files.cert), self.read(&files.key), ocsp) {
            (Ok(cert), Ok(key), Ok(ocsp)) => Ok(PairRecipe { cert, key, ocsp }),
            (cert, key, ocsp) => Err([cert.err(), key.err(), ocsp.err()].into_iter().flatten().collect()),
        }
    }

    fn make_server(
        &mut self,
        recipe: &ServerRecipe,
        tls: &ListenerTls,
    ) -> Result<ServingTls, Vec<ConfigError>> {
        let Certified { keys, certificates, warnings } = certified(recipe, tls)?;
        let first = tls.certificates.first().map(|certificate| &certificate.cert);
        let unusable = |error: rustls::Error| vec![trouble(first, &format!("cannot be used: {error}"))];
        let builder = authenticating(recipe, tls)?;
        let mut config = builder.with_cert_resolver(Arc::new(BySni::new(keys)));
        config.alpn_protocols.clone_from(&recipe.alpn);
        let policy = recipe.client_auth.as_ref().map(ClientAuthRecipe::policy).unwrap_or_default();
        config.ticketer = tickets::bound_to(policy, self.tickets().map_err(unusable)?);
        let quic = if recipe.http3 { Some(for_quic(&config, first)?) } else { None };
        Ok(ServingTls { config: Arc::new(config), quic, certificates, warnings })
    }
}

/// The same config for QUIC: the same certificates, tickets and demands on clients, and always TLS 1.3. Early data stays
/// off: it could be replayed.
fn for_quic(
    config: &ServerConfig,
    first: Option<&Placed<PathBuf>>,
) -> Result<Arc<ServerConfig>, Vec<ConfigError>> {
    let mut config = config.clone();
    config.alpn_protocols = vec![b"h3".to_vec()];
    let config = Arc::new(config);
    match QuicServerConfig::try_from(Arc::clone(&config)) {
        Ok(_) => Ok(config),
        Err(error) => Err(vec![trouble(first, &format!("cannot be used for QUIC: {error}"))]),
    }
}

/// A config with versions and the rules for clients' certificates.
fn authenticating(
    recipe: &ServerRecipe,
    tls: &ListenerTls,
) -> Result<rustls::ConfigBuilder<ServerConfig, WantsServerCert>, Vec<ConfigError>> {
    let versions: &[_] = match recipe.min_version {
        TlsVersion::V1_2 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        TlsVersion::V1_3 => &[&rustls::version::TLS13],
    };
    let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(versions);
    let builder = builder.map_err(|error| vec![trouble(None, &error.to_string())])?;
    Ok(match recipe.client_auth.as_ref().zip(tls.client_auth.as_ref()) {
        None => builder.with_no_client_auth(),
        Some((auth, places)) => {
            builder.with_client_cert_verifier(auth.verifier(places).map_err(|error| vec![error])?)
        }
    })
}

/// Keys with their chains, parallel to the certificates.
#[derive(Default)]
struct Certified {
    keys: Vec<(Arc<CertifiedKey>, Facts)>,
    certificates: Vec<ServingCertificate>,
    warnings: Vec<ConfigError>,
}

/// Keys with their chains; each pair is checked.
fn certified(recipe: &ServerRecipe, tls: &ListenerTls) -> Result<Certified, Vec<ConfigError>> {
    let (mut made, mut errors) = (Certified::default(), Vec::new());
    for (pair, files) in recipe.pairs.iter().zip(&tls.certificates) {
        let mut read = match key_pair::read(files, &pair.cert, &pair.key) {
            Ok(read) => read,
            Err(problems) => {
                errors.extend(problems);
                continue;
            }
        };
        if let Some((ocsp, place)) = pair.ocsp.as_ref().zip(files.ocsp.as_ref()) {
            match stapled(place, ocsp) {
                Ok(response) => read.key.ocsp = Some(response),
                Err(error) => errors.push(error),
            }
        }
        made.certificates.push(serving(&recipe.listener, files, &read));
        made.keys.push((Arc::new(read.key), read.leaf));
        made.warnings.extend(read.warnings);
    }
    if errors.is_empty() { Ok(made) } else { Err(errors) }
}

fn serving(listener: &str, files: &Certificate, read: &key_pair::KeyPair) -> ServingCertificate {
    // The content decides, not the file name: in Kubernetes every certificate file is called tls.crt.
    let file = || files.cert.value.file_name().unwrap_or_default().to_string_lossy().into();
    let addresses = read.leaf.addresses.iter().map(ToString::to_string);
    ServingCertificate {
        listener: listener.to_owned(),
        name: read.leaf.names.first().cloned().unwrap_or_else(file),
        names: read.leaf.names.iter().cloned().chain(addresses).collect(),
        not_before: read.leaf.not_before,
        not_after: read.leaf.not_after,
        ocsp: read.key.ocsp.is_some(),
    }
}

/// An OCSP response that can be stapled: a SEQUENCE that begins with the status `successful` (RFC 6960 section 4.2.1).
/// Whether it is for this certificate and still in time is for clients to judge.
fn stapled(place: &Placed<PathBuf>, response: &[u8]) -> Result<Vec<u8>, ConfigError> {
    let body =
        response.get(1..).and_then(|rest| rest.iter().position(|byte| *byte == 0x0a).map(|at| (rest, at)));
    match (response.first(), body) {
        (None, _) => Err(trouble_with(Some(place), "is empty", "leave `ocsp` out if there is no response")),
        (Some(0x30), Some((rest, at @ 0..5))) if rest.get(at..at + 3) == Some(&[0x0a, 1, 0]) => {
            Ok(response.to_vec())
        }
        (Some(0x30), Some((_, 0..5))) => {
            Err(trouble(Some(place), "is an OCSP response that only says that there is none"))
        }
        _ => {
            let hint = "openssl ocsp -respout FILE writes one";
            Err(trouble_with(Some(place), "is no OCSP response in DER", hint))
        }
    }
}

/// Certificates by the name that the client asks for (SNI).
#[derive(Debug)]
struct BySni {
    exact: BTreeMap<String, Arc<CertifiedKey>>,
    /// Keyed by what follows `*.`; a wildcard matches exactly one label.
    wildcard: BTreeMap<String, Arc<CertifiedKey>>,
    default: Option<Arc<CertifiedKey>>,
}

impl BySni {
    fn new(keys: Vec<(Arc<CertifiedKey>, Facts)>) -> Self {
        let default = keys.first().map(|(key, _)| Arc::clone(key));
        let mut by_sni = Self { exact: BTreeMap::new(), wildcard: BTreeMap::new(), default };
        for (key, facts) in keys {
            for name in facts.names {
                let (table, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut by_sni.wildcard, parent.to_owned()),
                    None => (&mut by_sni.exact, name),
                };
                // If two certificates have a name in common, the first in the config serves it.
                table.entry(name).or_insert_with(|| Arc::clone(&key));
            }
        }
        by_sni
    }

    fn find(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let name = name.map(str::to_ascii_lowercase);
        let exact = name.as_ref().and_then(|name| self.exact.get(name));
        let parent = || name.as_ref().and_then(|name| self.wildcard.get(name.split_once('.')?.1));
        exact.or_else(parent).or(self.default.as_ref()).cloned()
    }
}

impl ResolvesServerCert for BySni {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(hello.server_name())
    }
}
