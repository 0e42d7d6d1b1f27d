//! From a config file to everything that serving needs: files read, keys loaded, limits known. Changes nothing in
//! force. The calls block, so they run beside the control thread.

use std::{path::Path, sync::Arc};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use thalweg_config::{
    Config, ConfigError, ConfigErrors, ConfigText, Disk, EndpointTls, Listener, Placed, PoolSettings,
    Rejected, ReportServer, RouteSettings,
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
            let (_, found) = ready_tls(&rejected.listeners, &rejected.pools, &mut tls_cache);
            Err(rejected.with(found.errors))
        }
    }
}

/// Makes a config ready for use.
///
/// # Errors
/// Every named file that is not what it should be.
pub fn wire(mut config: Config, mut tls_cache: TlsCache) -> Result<Prepared, ConfigErrors> {
    let (made, mut found) = ready_tls(&config.listeners, &config.pools, &mut tls_cache);
    let webhook = report_target(config.notify.webhook.as_ref(), &mut tls_cache, &mut found);
    let otlp = report_target(config.telemetry.otlp.as_ref(), &mut tls_cache, &mut found);
    found.errors.extend(config.fleet.as_ref().and_then(fleet_key));
    let ReadyTls { listener_tls, listener_quic, upstream_tls, certificates } = made;
    if !found.errors.is_empty() {
        return Err(ConfigErrors(found.errors));
    }
    tls_cache.forget();
    config.warnings.extend(found.warnings);
    let max_connections = match config.limits.max_connections {
        0 => file_limit() * 2 / 5,
        given => given,
    };
    let cookies = cookies(&config);
    let sends_proxy = config.pools.iter().any(|pool| pool.send_proxy);
    let wiring = Wiring {
        config: Arc::new(config),
        upstream_tls,
        listener_tls,
        listener_quic,
        cookies,
        max_connections,
        sends_proxy,
        webhook,
        otlp,
    };
    Ok(Prepared { wiring: Arc::new(wiring), certificates, tls_cache })
}

/// TLS in both directions, parallel to listeners, pools and their endpoints.
struct ReadyTls {
    listener_tls: Vec<Option<Arc<rustls::ServerConfig>>>,
    listener_quic: Vec<Option<Arc<rustls::ServerConfig>>>,
    upstream_tls: Vec<Vec<Option<UpstreamTls>>>,
    certificates: Vec<ServingCertificate>,
}

/// What is wrong with the files that a config names, and what is accepted and probably not meant.
#[derive(Default)]
struct Findings {
    errors: Vec<ConfigError>,
    warnings: Vec<ConfigError>,
}

fn ready_tls(
    listeners: &[Listener],
    pools: &[PoolSettings],
    tls_cache: &mut TlsCache,
) -> (ReadyTls, Findings) {
    let (mut found, mut certificates) = (Findings::default(), Vec::new());
    let mut listener_tls = Vec::with_capacity(listeners.len());
    let mut listener_quic = Vec::with_capacity(listeners.len());
    for listener in listeners {
        let made = listener.tls.as_ref().map(|tls| tls_cache.server(listener, tls));
        let ready = made.as_ref().and_then(|made| made.as_ref().ok());
        listener_quic.push(ready.and_then(|made| made.quic.clone()));
        listener_tls.push(match made {
            None => None,
            Some(Ok(made)) => {
                certificates.extend(made.certificates);
                found.warnings.extend(made.warnings);
                Some(made.config)
            }
            Some(Err(problems)) => {
                found.errors.extend(problems);
                None
            }
        });
    }
    let upstream_tls = pools.iter().map(|settings| upstreams(settings, tls_cache, &mut found)).collect();
    (ReadyTls { listener_tls, listener_quic, upstream_tls, certificates }, found)
}

/// What is wrong with the key that bundles are verified with.
fn fleet_key(fleet: &thalweg_config::Fleet) -> Option<thalweg_config::ConfigError> {
    let Placed { span, path, value } = fleet.verify.clone();
    let problem = VerifyKey::from_pem(&value).err()?.into();
    let hint = Some("`openssl pkey -in KEY -pubout` prints it".into());
    Some(thalweg_config::ConfigError { span, path, problem, hint })
}

/// Who makes and checks the cookies of each route; parallel to the routes of the topology.
pub fn cookies(config: &Config) -> Vec<Option<Arc<CookieSigner>>> {
    let signer = |(route, settings): (&Route, &RouteSettings)| {
        let (rules, cookie) = (route.affinity?, settings.cookie.as_ref()?);
        Some(Arc::new(CookieSigner::new(cookie, rules.on_failure, &route.path_prefix)))
    };
    config.topology.routes.iter().zip(&config.routes).map(signer).collect()
}

fn upstreams(
    settings: &PoolSettings,
    tls_cache: &mut TlsCache,
    found: &mut Findings,
) -> Vec<Option<UpstreamTls>> {
    settings.tls.iter().map(|tls| tls.as_ref().and_then(|tls| upstream(tls, tls_cache, found))).collect()
}

fn upstream(tls: &EndpointTls, tls_cache: &mut TlsCache, found: &mut Findings) -> Option<UpstreamTls> {
    let made = tls_cache.client(tls).and_then(|made| {
        let name = tls::server_name(&tls.sni).map_err(|error| vec![error])?;
        Ok((UpstreamTls { config: made.config, name }, made.warnings))
    });
    match made {
        Ok((made, warnings)) => {
            add(&mut found.warnings, warnings);
            Some(made)
        }
        Err(errors) => {
            add(&mut found.errors, errors);
            None
        }
    }
}

/// Adds what is not known yet: the endpoints of one pool share their files, and what is wrong with them.
fn add(known: &mut Vec<ConfigError>, more: Vec<ConfigError>) {
    if !known.ends_with(&more) {
        known.extend(more);
    }
}

/// A server that the edge reports to, with its TLS settings.
fn report_target(
    server: Option<&ReportServer>,
    tls_cache: &mut TlsCache,
    found: &mut Findings,
) -> Option<ReportTarget> {
    let server = server?.clone();
    let Some(tls) = &server.tls else { return Some(ReportTarget { server, tls: None }) };
    let tls = upstream(tls, tls_cache, found)?;
    Some(ReportTarget { server, tls: Some(tls) })
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
