//! From a config file to everything that serving needs: files read, keys loaded, limits known. Changes nothing in
//! force. The calls block, so they run beside the control thread.

use std::{path::Path, sync::Arc};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use thalweg_config::{
    Config, ConfigErrors, ConfigText, Disk, Listener, Placed, PoolSettings, Rejected, ReportServer,
    RouteSettings,
};
use thalweg_core::Route;

use crate::{
    control::{
        fleet::bundle::VerifyKey,
        tls::{self, ServingCertificate, TlsCache},
    },
    shared::{ReportTarget, UpstreamTls, Wiring, client_cookie::CookieSigner},
};

/// A config that can come into force.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The part that the workers need.
    pub wiring: Arc<Wiring>,
    /// The server certificates of the config.
    pub certificates: Vec<ServingCertificate>,
    /// The cache for the next reading; it holds the files' contents.
    pub tls_cache: TlsCache,
}

impl Prepared {
    /// Whether this config says the same as `other`, certificates included, and comes from the same files, which are
    /// the files to watch.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        let (ours, theirs) = (&self.wiring.config, &other.wiring.config);
        ours.hash == theirs.hash && ours.files == theirs.files && self.tls_cache.has_read_as(&other.tls_cache)
    }
}

/// Reads the config at `path` and every file that it names.
///
/// # Errors
/// All problems of the config and of its files.
pub fn prepare(path: &Path, before: &TlsCache) -> Result<Prepared, ConfigErrors> {
    prepare_with_bundle(path, before, &[])
}

/// As [`prepare`], with the fleet's bundle, if the config still belongs to a fleet.
///
/// # Errors
/// All problems of the config and of its files.
pub fn prepare_with_bundle(
    path: &Path,
    before: &TlsCache,
    bundle: &[ConfigText],
) -> Result<Prepared, ConfigErrors> {
    let mut read = thalweg_config::check_with_bundle(path, &Disk, bundle).0;
    if !bundle.is_empty() && read.as_ref().is_ok_and(|config| config.fleet.is_none()) {
        read = thalweg_config::check(path, &Disk).0;
    }
    judge(read, before.next())
}

/// As [`prepare`], from the texts of files that were read before.
///
/// # Errors
/// All problems of the config and of the files that it names.
pub fn prepare_texts(texts: &[ConfigText], before: &TlsCache) -> Result<Prepared, ConfigErrors> {
    judge(thalweg_config::check_texts(texts).0, before.next())
}

/// Makes a read config ready for use, or reports all its problems, also those inside the files that it names.
///
/// # Errors
/// All problems.
pub fn judge(read: Result<Config, Rejected>, mut tls_cache: TlsCache) -> Result<Prepared, ConfigErrors> {
    match read {
        Ok(config) => wire(config, tls_cache),
        Err(rejected) => {
            let (_, errors) = ready_tls(&rejected.listeners, &rejected.pools, &mut tls_cache);
            Err(rejected.with(errors))
        }
    }
}

/// Makes a config ready for use.
///
/// # Errors
/// Every named file that is not what it should be.
pub fn wire(config: Config, mut tls_cache: TlsCache) -> Result<Prepared, ConfigErrors> {
    let (made, mut errors) = ready_tls(&config.listeners, &config.pools, &mut tls_cache);
    let webhook = report_target(config.notify.webhook.as_ref(), &mut tls_cache, &mut errors);
    let otlp = report_target(config.telemetry.otlp.as_ref(), &mut tls_cache, &mut errors);
    errors.extend(config.fleet.as_ref().and_then(fleet_key));
    let ReadyTls { listener_tls, upstream_tls, certificates } = made;
    if !errors.is_empty() {
        return Err(ConfigErrors(errors));
    }
    let reporting = webhook.iter().chain(&otlp).filter_map(|target| target.tls.as_ref());
    let upstream = upstream_tls.iter().flatten().flatten().chain(reporting);
    let clients: Vec<_> = upstream.map(|tls: &UpstreamTls| Arc::clone(&tls.config)).collect();
    tls_cache.forget(&listener_tls, &distinct(clients));
    let max_connections = match config.limits.max_connections {
        0 => file_limit() * 2 / 5,
        given => given,
    };
    let cookies = cookies(&config);
    let wiring = Wiring {
        config: Arc::new(config),
        upstream_tls,
        listener_tls,
        cookies,
        max_connections,
        webhook,
        otlp,
    };
    Ok(Prepared { wiring: Arc::new(wiring), certificates, tls_cache })
}

/// TLS in both directions, parallel to listeners, pools and their endpoints.
struct ReadyTls {
    listener_tls: Vec<Option<Arc<rustls::ServerConfig>>>,
    upstream_tls: Vec<Vec<Option<UpstreamTls>>>,
    certificates: Vec<ServingCertificate>,
}

fn ready_tls(
    listeners: &[Listener],
    pools: &[PoolSettings],
    tls_cache: &mut TlsCache,
) -> (ReadyTls, Vec<thalweg_config::ConfigError>) {
    let (mut errors, mut certificates) = (Vec::new(), Vec::new());
    let mut listener_tls = Vec::with_capacity(listeners.len());
    for listener in listeners {
        let made = match &listener.tls {
            None => None,
            Some(tls) => match tls_cache.server(listener, tls) {
                Ok((made, in_use)) => {
                    certificates.extend(in_use);
                    Some(made)
                }
                Err(problems) => {
                    errors.extend(problems);
                    None
                }
            },
        };
        listener_tls.push(made);
    }
    let upstream_tls = pools.iter().map(|settings| upstreams(settings, tls_cache, &mut errors)).collect();
    (ReadyTls { listener_tls, upstream_tls, certificates }, errors)
}

/// What is wrong with the key that bundles are verified with.
fn fleet_key(fleet: &thalweg_config::Fleet) -> Option<thalweg_config::ConfigError> {
    let Placed { span, path, value } = fleet.verify.clone();
    let problem = VerifyKey::from_pem(&value).err()?.into();
    let hint = Some("`openssl pkey -in KEY -pubout` prints it".into());
    Some(thalweg_config::ConfigError { span, path, problem, hint })
}

fn cookies(config: &Config) -> Vec<Option<Arc<CookieSigner>>> {
    let signer = |(route, settings): (&Route, &RouteSettings)| {
        let (rules, cookie) = (route.affinity?, settings.cookie.as_ref()?);
        Some(Arc::new(CookieSigner::new(cookie, rules.on_failure, &route.path_prefix)))
    };
    config.topology.routes.iter().zip(&config.routes).map(signer).collect()
}

fn upstreams(
    settings: &PoolSettings,
    tls_cache: &mut TlsCache,
    errors: &mut Vec<thalweg_config::ConfigError>,
) -> Vec<Option<UpstreamTls>> {
    let mut one = |tls: &thalweg_config::EndpointTls| {
        let made = tls_cache
            .client(tls)
            .and_then(|config| Ok(UpstreamTls { config, name: tls::server_name(&tls.sni)? }));
        made.map_err(|error| errors.push(error)).ok()
    };
    settings.tls.iter().map(|tls| tls.as_ref().and_then(&mut one)).collect()
}

/// A server that the edge reports to, with its TLS settings.
fn report_target(
    server: Option<&ReportServer>,
    tls_cache: &mut TlsCache,
    errors: &mut Vec<thalweg_config::ConfigError>,
) -> Option<ReportTarget> {
    let server = server?.clone();
    let Some(tls) = &server.tls else { return Some(ReportTarget { server, tls: None }) };
    let made = tls_cache
        .client(tls)
        .and_then(|config| Ok(UpstreamTls { config, name: tls::server_name(&tls.sni)? }));
    let tls = made.map_err(|error| errors.push(error)).ok()?;
    Some(ReportTarget { server, tls: Some(tls) })
}

fn distinct(mut clients: Vec<Arc<rustls::ClientConfig>>) -> Vec<Arc<rustls::ClientConfig>> {
    clients.sort_by_key(Arc::as_ptr);
    clients.dedup_by(|one, other| Arc::ptr_eq(one, other));
    clients
}

/// The number of files that this process may open.
#[must_use]
pub fn file_limit() -> usize {
    let soft = getrlimit(Resource::Nofile).current.unwrap_or(1 << 20);
    usize::try_from(soft).unwrap_or(usize::MAX).min(1 << 24)
}

/// Raises the soft file limit to the hard one: every proxied request may need two descriptors.
pub fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "file limit not raised");
    }
}
