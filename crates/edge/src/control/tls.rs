//! Certificates, keys and roots from files to rustls configs, towards clients and towards endpoints. Equal files give
//! the same config object again, so session tickets and resumption survive a reload.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    server::{ClientHello, ProducesTickets, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use thalweg_config::{ConfigError, Disk, EndpointTls, Files, Listener, ListenerTls, Placed, TlsVersion};

use crate::control::{
    trust::EndpointVerifier,
    x509::{self, Ders},
};

/// Largest certificate, key or CA file in bytes.
const MAX_FILE: usize = 4 << 20;

/// Contents of the files that were read, by path. Equal contents make equal configs.
pub type Material = BTreeMap<PathBuf, Arc<[u8]>>;

/// A server certificate in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServingCertificate {
    /// The listener's configured name.
    pub listener: String,
    /// The certificate's first DNS name, else its file name.
    pub name: String,
    /// The begin of its validity in Unix seconds.
    pub not_before: i64,
    /// The end of its validity in Unix seconds.
    pub not_after: i64,
}

/// Makes TLS configs and reuses the config of an earlier round if nothing that it depends on has changed.
#[derive(Clone, Debug, Default)]
pub struct TlsCache {
    servers: BTreeMap<ServerRecipe, (Arc<ServerConfig>, Vec<ServingCertificate>)>,
    clients: BTreeMap<ClientRecipe, Arc<ClientConfig>>,
    tickets: Option<Arc<dyn ProducesTickets>>,
    /// The files that this round has read.
    material: Material,
    /// The system's root certificates, if this round has needed them.
    system: Option<Ders>,
}

/// A certificate chain and its key, as their files contain them.
type Pair = (Arc<[u8]>, Arc<[u8]>);

/// Everything that distinguishes one listener's TLS config from another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ServerRecipe {
    listener: String,
    pairs: Vec<Pair>,
    min_version: TlsVersion,
    alpn: Vec<Vec<u8>>,
}

/// Everything that distinguishes one client TLS config from another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ClientRecipe {
    verify: bool,
    ca: Option<Arc<[u8]>>,
    /// The system's root certificates, if they are trusted.
    system: Option<Ders>,
}

impl TlsCache {
    /// A cache for the next round: it keeps the configs of this round but reads every file anew.
    #[must_use]
    pub fn next(&self) -> Self {
        Self { material: Material::new(), system: None, ..self.clone() }
    }

    /// Whether this round has read the same as `other`: the files, and the system's roots if they were needed.
    #[must_use]
    pub fn has_read_as(&self, other: &Self) -> bool {
        self.material == other.material && self.system == other.system
    }

    /// The files that this round has read.
    #[must_use]
    pub fn material(&self) -> &Material {
        &self.material
    }

    /// Drops configs that this round did not use.
    pub fn forget(&mut self, servers: &[Option<Arc<ServerConfig>>], clients: &[Arc<ClientConfig>]) {
        self.servers.retain(|_, (made, _)| servers.iter().flatten().any(|used| Arc::ptr_eq(used, made)));
        self.clients.retain(|_, made| clients.iter().any(|used| Arc::ptr_eq(used, made)));
    }

    /// TLS towards clients of a listener, and the certificates in it.
    ///
    /// # Errors
    /// Every file that is not what it should be.
    pub fn server(
        &mut self,
        listener: &Listener,
        tls: &ListenerTls,
    ) -> Result<(Arc<ServerConfig>, Vec<ServingCertificate>), Vec<ConfigError>> {
        let mut errors = Vec::new();
        let mut pairs = Vec::new();
        for certificate in &tls.certificates {
            match (self.read(&certificate.cert), self.read(&certificate.key)) {
                (Ok(cert), Ok(key)) => pairs.push((cert, key)),
                (cert, key) => errors.extend([cert.err(), key.err()].into_iter().flatten()),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let mut alpn = Vec::new();
        alpn.extend(listener.http2.then(|| b"h2".to_vec()));
        alpn.extend(listener.http1.then(|| b"http/1.1".to_vec()));
        let recipe =
            ServerRecipe { listener: listener.name.clone(), pairs, min_version: tls.min_version, alpn };
        if let Some(made) = self.servers.get(&recipe) {
            return Ok(made.clone());
        }
        let (keys, in_use) = certified(&recipe, tls)?;
        let made = self.server_config(&recipe, keys).map_err(|error| {
            let first = tls.certificates.first().map(|certificate| &certificate.cert);
            vec![trouble(first, &format!("cannot be used: {error}"))]
        })?;
        self.servers.insert(recipe, (Arc::clone(&made), in_use.clone()));
        Ok((made, in_use))
    }

    fn server_config(
        &mut self,
        recipe: &ServerRecipe,
        keys: Vec<(Arc<CertifiedKey>, x509::Facts)>,
    ) -> Result<Arc<ServerConfig>, rustls::Error> {
        let versions: &[_] = match recipe.min_version {
            TlsVersion::V1_2 => &[&rustls::version::TLS13, &rustls::version::TLS12],
            TlsVersion::V1_3 => &[&rustls::version::TLS13],
        };
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(BySni::new(keys)));
        config.alpn_protocols.clone_from(&recipe.alpn);
        let tickets = match &self.tickets {
            Some(tickets) => Arc::clone(tickets),
            None => aws_lc_rs::Ticketer::new()?,
        };
        self.tickets = Some(Arc::clone(&tickets));
        config.ticketer = tickets;
        Ok(Arc::new(config))
    }

    /// TLS towards an endpoint.
    ///
    /// # Errors
    /// When the CA file is not what it should be.
    pub fn client(&mut self, tls: &EndpointTls) -> Result<Arc<ClientConfig>, ConfigError> {
        let ca = tls.ca.as_ref().map(|ca| self.read(ca)).transpose()?;
        let system = (tls.verify && ca.is_none()).then(|| self.system());
        let recipe = ClientRecipe { verify: tls.verify, ca, system };
        if let Some(made) = self.clients.get(&recipe) {
            return Ok(Arc::clone(made));
        }
        let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| trouble(tls.ca.as_ref(), &error.to_string()))?;
        let algorithms = provider().signature_verification_algorithms;
        let verifier = if tls.verify {
            let (anchors, certificates) = roots(tls.ca.as_ref(), &recipe)?;
            EndpointVerifier::listed(anchors, certificates, algorithms)
        } else {
            EndpointVerifier::any(algorithms)
        };
        let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let made = Arc::new(config);
        self.clients.insert(recipe, Arc::clone(&made));
        Ok(made)
    }

    /// The system's root certificates, read once per round: a new root needs a reload, not a restart.
    fn system(&mut self) -> Ders {
        let before = || self.clients.keys().find_map(|recipe| recipe.system.clone());
        let read = self.system.take().unwrap_or_else(|| {
            let found = rustls_native_certs::load_native_certs();
            taken_in(&found.certs, !found.errors.is_empty(), before())
        });
        Arc::clone(self.system.insert(read))
    }

    fn read(&mut self, file: &Placed<PathBuf>) -> Result<Arc<[u8]>, ConfigError> {
        if let Some(known) = self.material.get(&file.value) {
            return Ok(Arc::clone(known));
        }
        let content = Disk.read(&file.value, MAX_FILE).map_err(|error| {
            trouble(Some(file), &format!("cannot read {}: {error}", file.value.display()))
        })?;
        let content: Arc<[u8]> = content.into();
        self.material.insert(file.value.clone(), Arc::clone(&content));
        Ok(content)
    }
}

/// The content of the system's store. If the store cannot be read at all (for want of descriptors, say), its content of
/// `before` stays, because no certificate was removed from it.
fn taken_in(found: &[CertificateDer<'_>], failed: bool, before: Option<Ders>) -> Ders {
    if found.is_empty()
        && failed
        && let Some(before) = before
    {
        tracing::warn!("the system's root certificates cannot be read: the known ones stay");
        return before;
    }
    let mut ders: Vec<Vec<u8>> = found.iter().map(|certificate| certificate.to_vec()).collect();
    ders.sort_unstable();
    ders.into()
}

/// The trust anchors of a client config, and the certificates that they were made of.
fn roots(
    place: Option<&Placed<PathBuf>>,
    recipe: &ClientRecipe,
) -> Result<(RootCertStore, Ders), ConfigError> {
    let mut roots = RootCertStore::empty();
    let Some(pem) = &recipe.ca else {
        let system = recipe.system.clone().unwrap_or_default();
        roots.add_parsable_certificates(system.iter().map(|der| CertificateDer::from(der.as_slice())));
        if roots.is_empty() {
            tracing::warn!("this system has no root certificates: TLS endpoints without `ca` will fail");
        }
        return Ok((roots, system));
    };
    let mut certificates = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| trouble(place, &format!("is no PEM: {error}")))?;
        certificates.push(certificate.to_vec());
        let added = roots.add(certificate);
        added.map_err(|error| trouble(place, &format!("holds a CA certificate that is none: {error}")))?;
    }
    if roots.is_empty() {
        return Err(trouble(place, "holds no CA certificate"));
    }
    Ok((roots, certificates.into()))
}

/// Keys with their chains; each pair is checked.
#[expect(clippy::type_complexity, reason = "two parallel results of one walk")]
fn certified(
    recipe: &ServerRecipe,
    tls: &ListenerTls,
) -> Result<(Vec<(Arc<CertifiedKey>, x509::Facts)>, Vec<ServingCertificate>), Vec<ConfigError>> {
    let (mut keys, mut in_use, mut errors) = (Vec::new(), Vec::new(), Vec::new());
    for ((chain_pem, key_pem), certificate) in recipe.pairs.iter().zip(&tls.certificates) {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain_pem).collect();
        let chain = chain.ok().filter(|chain| !chain.is_empty());
        let leaf = chain.as_ref().and_then(|chain| chain.first()).and_then(|leaf| x509::facts(leaf));
        let key = PrivateKeyDer::from_pem_slice(key_pem);
        let (chain, facts, key) = match (chain, leaf, key) {
            (Some(chain), Some(facts), Ok(key)) => (chain, facts, key),
            (chain, facts, key) => {
                if chain.is_none() || facts.is_none() {
                    errors.push(trouble(Some(&certificate.cert), "holds no PEM certificate"));
                }
                if key.is_err() {
                    errors.push(trouble(Some(&certificate.key), "holds no PEM private key"));
                }
                continue;
            }
        };
        match CertifiedKey::from_der(chain, key, &provider()) {
            Ok(key) => {
                // The content decides, not the file name: in Kubernetes every certificate file is called tls.crt.
                let file = || certificate.cert.value.file_name().unwrap_or_default().to_string_lossy().into();
                let name: String = facts.names.first().cloned().unwrap_or_else(file);
                let (not_before, not_after) = (facts.not_before, facts.not_after);
                in_use.push(ServingCertificate {
                    listener: recipe.listener.clone(),
                    name,
                    not_before,
                    not_after,
                });
                keys.push((Arc::new(key), facts));
            }
            Err(error) => {
                let problem = format!("does not fit its certificate: {error}");
                errors.push(trouble(Some(&certificate.key), &problem));
            }
        }
    }
    if errors.is_empty() { Ok((keys, in_use)) } else { Err(errors) }
}

fn trouble(place: Option<&Placed<PathBuf>>, problem: &str) -> ConfigError {
    let (span, path) = place.map(|place| (place.span.clone(), place.path.clone())).unwrap_or_default();
    let file = place.filter(|place| !problem.contains(&*place.value.to_string_lossy()));
    let problem = match file {
        Some(place) => format!("{} {problem}", place.value.display()),
        None => problem.to_owned(),
    };
    ConfigError { span, path, problem, hint: None }
}

/// The only crypto provider, for both directions.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// The name that is sent to an endpoint and verified in its certificate.
///
/// # Errors
/// When the text is neither a DNS name nor an address.
pub fn server_name(sni: &str) -> Result<ServerName<'static>, ConfigError> {
    let problem = |_| trouble(None, &format!("`{sni}` is no server name"));
    ServerName::try_from(sni.to_owned()).map_err(problem)
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
    fn new(keys: Vec<(Arc<CertifiedKey>, x509::Facts)>) -> Self {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unreadable_root_store_keeps_its_last_content() {
        let known: Ders = [b"a".to_vec()].into();
        let check = |found: &[&'static [u8]], failed, before: Option<&Ders>, expected: &[&[u8]]| {
            let found: Vec<CertificateDer<'_>> = found.iter().map(|der| CertificateDer::from(*der)).collect();
            let roots = taken_in(&found, failed, before.cloned());
            assert!(roots.iter().map(Vec::as_slice).eq(expected.iter().copied()), "{roots:?}");
        };
        check(&[], true, Some(&known), &[b"a"]);
        check(&[], true, None, &[]);
        check(&[], false, Some(&known), &[]);
        check(&[b"c", b"b"], true, Some(&known), &[b"b", b"c"]);
    }

    #[test]
    fn equal_roots_of_the_system_make_the_same_config_again_and_others_another() {
        let settings = EndpointTls { sni: "a.test".into(), ca: None, verify: true };
        let blind = EndpointTls { verify: false, ..settings.clone() };
        let round = |before: &TlsCache, roots: &[&'static [u8]]| {
            let mut tls_cache = before.next();
            assert!(tls_cache.client(&blind).is_ok() && tls_cache.system.is_none(), "read without need");
            tls_cache.system = Some(roots.iter().map(|der| der.to_vec()).collect());
            let made = tls_cache.client(&settings).unwrap();
            (tls_cache, made)
        };
        let (first, before) = round(&TlsCache::default(), &[b"a"]);
        let (same, again) = round(&first, &[b"a"]);
        assert!(same.has_read_as(&first) && Arc::ptr_eq(&before, &again));
        let (other, after) = round(&same, &[b"a", b"b"]);
        assert!(!other.has_read_as(&same) && !Arc::ptr_eq(&before, &after));
    }
}
