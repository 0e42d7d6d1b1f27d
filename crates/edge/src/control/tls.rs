//! Certificates, keys and roots from files to rustls configs, towards clients (`serving`) and towards endpoints. Equal
//! files give the same config object again, so session tickets and resumption survive a reload.
//!
//! `key_pair` makes chains and keys of files, `content` says what a file holds instead of them, `authorities` reads
//! whose certificates are accepted, `client_auth` judges
//! certificates of clients, `tickets` keeps sessions of one listener out of another. `provider` is what TLS computes with,
//! `trouble` an error about a file.

mod serving;
mod authorities;
mod key_pair;
mod content;
mod client_auth;
mod tickets;
mod provider;
mod trouble;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore, client::Resumption, crypto::aws_lc_rs, server::ProducesTickets,
    sign::SingleCertAndKey,
};
use rustls_pki_types::{CertificateDer, ServerName};
use thalweg_config::{ConfigError, Disk, EndpointTls, Files, Placed};

use crate::{control::trust::EndpointVerifier, shared::x509::Ders};

pub use provider::provider;
pub use serving::{ServingCertificate, ServingTls};

use authorities::authorities;
use serving::{PairRecipe, ServerRecipe};
use trouble::trouble;

/// Largest certificate, key or CA file in bytes.
const MAX_FILE: usize = 4 << 20;

/// Sessions that are kept for each endpoint: as many TLS 1.3 tickets as rustls keeps for one server.
const SESSIONS: usize = 8;

/// Contents of the files that were read, by path. Equal contents make equal configs.
pub type Material = BTreeMap<PathBuf, Arc<[u8]>>;

/// Makes TLS configs and reuses the config of an earlier round if nothing that it depends on has changed.
#[derive(Clone, Debug, Default)]
pub struct TlsCache {
    /// The configs of this round.
    made: Made,
    /// Those of the round before.
    before: Made,
    tickets: Option<Arc<dyn ProducesTickets>>,
    /// The files that this round has read.
    material: Material,
    /// The system's root certificates, if this round has needed them.
    system: Option<Ders>,
}

/// The configs of one round.
#[derive(Clone, Debug, Default)]
struct Made {
    servers: BTreeMap<ServerRecipe, ServingTls>,
    clients: BTreeMap<ClientRecipe, ClientTls>,
    endpoints: BTreeMap<String, EndpointConfig>,
}

/// Everything that distinguishes one client TLS config from another, but for the endpoint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ClientRecipe {
    verify: bool,
    ca: Option<Arc<[u8]>>,
    /// The system's root certificates, if they are trusted.
    system: Option<Ders>,
    /// The certificate that is shown.
    shown: Option<PairRecipe>,
}

/// TLS towards endpoints with the same recipe.
#[derive(Clone, Debug)]
pub struct ClientTls {
    /// The config.
    pub config: Arc<ClientConfig>,
    /// What is accepted and probably not meant.
    pub warnings: Vec<ConfigError>,
}

/// The config of one endpoint: as others with its recipe, with sessions of its own. Tickets of one server are worth
/// nothing at another, and would push the other's out.
#[derive(Clone, Debug)]
struct EndpointConfig {
    common: Arc<ClientConfig>,
    own: Arc<ClientConfig>,
}

impl TlsCache {
    /// A cache for the next round: it keeps the configs of this round but reads every file anew.
    #[must_use]
    pub fn next(&self) -> Self {
        Self { before: self.made.clone(), tickets: self.tickets.clone(), ..Self::default() }
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
    pub fn forget(&mut self) {
        self.before = Made::default();
    }

    /// The keys of session tickets, made once per process.
    fn tickets(&mut self) -> Result<Arc<dyn ProducesTickets>, rustls::Error> {
        let tickets = match self.tickets.take() {
            Some(tickets) => tickets,
            None => aws_lc_rs::Ticketer::new()?,
        };
        Ok(Arc::clone(self.tickets.insert(tickets)))
    }

    /// TLS towards an endpoint.
    ///
    /// # Errors
    /// When a file is not what it should be.
    pub fn client(&mut self, tls: &EndpointTls) -> Result<ClientTls, Vec<ConfigError>> {
        let common = self.common_client(tls)?;
        let known = self.made.endpoints.get(&tls.owner).or_else(|| self.before.endpoints.get(&tls.owner));
        let made = match known.filter(|known| Arc::ptr_eq(&known.common, &common.config)) {
            Some(known) => known.clone(),
            None => {
                let mut own = ClientConfig::clone(&common.config);
                own.resumption = Resumption::in_memory_sessions(SESSIONS);
                EndpointConfig { common: common.config, own: Arc::new(own) }
            }
        };
        let config = Arc::clone(&made.own);
        self.made.endpoints.insert(tls.owner.clone(), made);
        Ok(ClientTls { config, warnings: common.warnings })
    }

    fn common_client(&mut self, tls: &EndpointTls) -> Result<ClientTls, Vec<ConfigError>> {
        let one = |error| vec![error];
        let ca = tls.ca.as_ref().map(|ca| self.read(ca)).transpose().map_err(one)?;
        let shown = tls.certificate.as_ref().map(|files| self.pair(files)).transpose()?;
        let system = (tls.verify && ca.is_none()).then(|| self.system());
        let recipe = ClientRecipe { verify: tls.verify, ca, system, shown };
        let known = self.made.clients.get(&recipe).or_else(|| self.before.clients.get(&recipe));
        let made = match known {
            Some(known) => known.clone(),
            None => make_client(&recipe, tls)?,
        };
        self.made.clients.insert(recipe, made.clone());
        Ok(made)
    }

    /// The system's root certificates, read once per round: a new root needs a reload, not a restart.
    fn system(&mut self) -> Ders {
        let before = || self.before.clients.keys().find_map(|recipe| recipe.system.clone());
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

fn make_client(recipe: &ClientRecipe, tls: &EndpointTls) -> Result<ClientTls, Vec<ConfigError>> {
    let one = |error| vec![error];
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| one(trouble(tls.ca.as_ref(), &error.to_string())))?;
    let algorithms = provider().signature_verification_algorithms;
    let verifier = if tls.verify {
        let (anchors, certificates) = roots(tls.ca.as_ref(), recipe).map_err(one)?;
        EndpointVerifier::listed(anchors, certificates, algorithms)
    } else {
        EndpointVerifier::any(algorithms)
    };
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    let mut warnings = Vec::new();
    let mut config = match recipe.shown.as_ref().zip(tls.certificate.as_ref()) {
        None => builder.with_no_client_auth(),
        Some((shown, files)) => {
            let read = key_pair::read(files, &shown.cert, &shown.key)?;
            warnings.extend(read.warnings);
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(read.key)))
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(ClientTls { config: Arc::new(config), warnings })
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
    if let Some(ca) = &recipe.ca {
        return authorities(ca, place);
    }
    let mut roots = RootCertStore::empty();
    let system = recipe.system.clone().unwrap_or_default();
    roots.add_parsable_certificates(system.iter().map(|der| CertificateDer::from(der.as_slice())));
    if roots.is_empty() {
        tracing::warn!("this system has no root certificates: TLS endpoints without `ca` will fail");
    }
    Ok((roots, system))
}

/// The name that is sent to an endpoint and verified in its certificate.
///
/// # Errors
/// When the text is neither a DNS name nor an address.
pub fn server_name(sni: &str) -> Result<ServerName<'static>, ConfigError> {
    let problem = |_| trouble(None, &format!("`{sni}` is no server name"));
    ServerName::try_from(sni.to_owned()).map_err(problem)
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
        let settings = EndpointTls {
            owner: "a".into(),
            sni: "a.test".into(),
            ca: None,
            verify: true,
            certificate: None,
        };
        let blind = EndpointTls { owner: "b".into(), verify: false, ..settings.clone() };
        let round = |before: &TlsCache, roots: &[&'static [u8]]| {
            let mut tls_cache = before.next();
            assert!(tls_cache.client(&blind).is_ok() && tls_cache.system.is_none(), "read without need");
            tls_cache.system = Some(roots.iter().map(|der| der.to_vec()).collect());
            let made = tls_cache.client(&settings).unwrap().config;
            (tls_cache, made)
        };
        let (first, before) = round(&TlsCache::default(), &[b"a"]);
        let (same, again) = round(&first, &[b"a"]);
        assert!(same.has_read_as(&first) && Arc::ptr_eq(&before, &again));
        let (other, after) = round(&same, &[b"a", b"b"]);
        assert!(!other.has_read_as(&same) && !Arc::ptr_eq(&before, &after));
    }
}
