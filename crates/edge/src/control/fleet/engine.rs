//! The way to the NATS servers: connect, find the bucket, refuse servers and buckets that would lose what was promised.
//! Knows no bundle and decides nothing.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use async_nats::{
    Auth, Client, ConnectOptions, Event,
    jetstream::{
        self, ErrorCode,
        kv::{Config, Store},
        stream::{DiscardPolicy, PersistenceMode, StorageType},
    },
};
use aws_lc_rs::signature::Ed25519KeyPair;
use thalweg_config::{AccountUser, Fleet, FleetCredentials};
use tokio::sync::watch;

use super::bundle::MAX_BYTES;
use crate::control::wall_clock;

/// Between two signs of life of a connection: a frozen server is noticed after three of them.
const PING: Duration = Duration::from_secs(1);
/// Longest wait for an answer of the engine.
pub const ANSWER: Duration = Duration::from_secs(2);
/// Longest pause between two attempts to connect.
const PAUSE_MS: u64 = 500;
/// Earlier values kept of each key.
const HISTORY: i64 = 5;

/// A connection that repairs itself.
#[derive(Debug)]
pub struct FleetConnection {
    /// The client. It may not be connected yet.
    pub client: Client,
    /// Whether it is.
    pub connected: watch::Receiver<bool>,
    /// What a server, or the way to it, said last; `None` while it is connected.
    pub refusal: Arc<Mutex<Option<String>>>,
}

/// A connection that repairs itself.
///
/// # Errors
/// What is wrong with the settings.
pub async fn connect(fleet: &Fleet, wait: bool) -> Result<FleetConnection, String> {
    let (up, connected) = watch::channel(false);
    let (up, refusal) = (Arc::new(up), Arc::new(Mutex::new(None)));
    let said = Arc::clone(&refusal);
    let mut options = options(fleet)?
        .name(format!("thalweg {}", fleet.name))
        .ping_interval(PING)
        .request_timeout(Some(ANSWER))
        .connection_timeout(ANSWER)
        .reconnect_delay_callback(|attempt| {
            Duration::from_millis(
                u64::try_from(attempt).unwrap_or(PAUSE_MS).saturating_mul(100).min(PAUSE_MS),
            )
        })
        .event_callback(move |event| {
            let (up, said) = (Arc::clone(&up), Arc::clone(&said));
            async move {
                let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
                match event {
                    Event::Connected => {
                        *said = None;
                        up.send_replace(true);
                    }
                    Event::Disconnected | Event::Closed => drop(up.send_replace(false)),
                    Event::ServerError(error) => *said = Some(error.to_string()),
                    Event::ClientError(error) => *said = Some(error.to_string()),
                    _ => {}
                }
            }
        });
    if let Some(ca) = &fleet.ca {
        options = options.add_root_certificates(ca.value.clone());
    }
    if !wait {
        options = options.retry_on_initial_connect();
    }
    let client = options.connect(&fleet.servers).await.map_err(|error| format!("{error}"))?;
    Ok(FleetConnection { client, connected, refusal })
}

/// Options that say who this edge is.
fn options(fleet: &Fleet) -> Result<ConnectOptions, String> {
    Ok(match &fleet.credentials {
        Some(FleetCredentials::User(user, password)) => {
            ConnectOptions::with_user_and_password(user.clone(), password.clone())
        }
        Some(FleetCredentials::Token(token)) => ConnectOptions::with_token(token.clone()),
        Some(FleetCredentials::Account(user)) => {
            // The one cryptographic provider signs, not the client's own.
            let key = Ed25519KeyPair::from_seed_unchecked(&user.seed);
            let key = key.map_err(|error| format!("the seed in the credentials is unfit: {error}"))?;
            let (key, jwt) = (Arc::new(key), user.jwt.clone());
            ConnectOptions::with_auth_callback(move |nonce| {
                let (key, jwt) = (Arc::clone(&key), jwt.clone());
                async move {
                    let mut auth = Auth::new();
                    auth.signature = Some(key.sign(&nonce).as_ref().to_vec());
                    auth.jwt = Some(jwt);
                    Ok(auth)
                }
            })
        }
        None => ConnectOptions::new(),
    })
}

impl FleetConnection {
    /// What is known of a trouble, beside the trouble itself.
    #[must_use]
    pub fn explain(&self, problem: &str, fleet: &Fleet) -> String {
        if let Some(FleetCredentials::Account(AccountUser { expires: Some(end), .. })) = &fleet.credentials
            && *end <= wall_clock::unix(SystemTime::now()).as_secs()
        {
            let end = wall_clock::of_unix(i64::try_from(*end).unwrap_or(i64::MAX));
            return format!("{problem}: the credentials have expired at {end}");
        }
        let said = self.refusal.lock().unwrap_or_else(PoisonError::into_inner);
        said.as_ref().map_or_else(|| problem.to_owned(), |said| format!("{problem}: {said}"))
    }
}

/// Why a bucket cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BucketProblem {
    /// The engine does not answer, or has no such bucket.
    Away(String),
    /// The bucket, or its server, would lose what was written.
    Unfit(String),
}

impl BucketProblem {
    /// In words.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Away(text) | Self::Unfit(text) => text,
        }
    }
}

/// The bucket of the fleet, if it can be used.
///
/// # Errors
/// Why not.
pub async fn bucket(client: &Client, fleet: &Fleet) -> Result<Store, BucketProblem> {
    fit_server(client)?;
    let name = &fleet.bucket;
    let away = |error: String| BucketProblem::Away(format!("the bucket {name:?} cannot be read: {error}"));
    let store =
        jetstream(client, fleet).get_key_value(name).await.map_err(|error| away(error.to_string()))?;
    fit_bucket(&store)?;
    Ok(store)
}

/// The bucket of the fleet, made when it is missing.
///
/// # Errors
/// Why it cannot be used.
pub async fn make_bucket(client: &Client, fleet: &Fleet, replicas: usize) -> Result<Store, BucketProblem> {
    fit_server(client)?;
    let (context, name) = (jetstream(client, fleet), &fleet.bucket);
    let stream = context.get_stream(format!("KV_{name}")).await;
    let missing = stream.is_err_and(|error| match error.kind() {
        jetstream::context::GetStreamErrorKind::JetStream(said) => {
            said.error_code() == ErrorCode::STREAM_NOT_FOUND
        }
        _ => false,
    });
    if missing {
        let config = Config {
            bucket: name.clone(),
            description: "thalweg: bundles of config".to_owned(),
            history: HISTORY,
            storage: StorageType::File,
            num_replicas: replicas,
            ..Config::default()
        };
        let made = context.create_key_value(config).await;
        made.map_err(|error| BucketProblem::Away(format!("the bucket {name:?} cannot be made: {error}")))?;
    }
    bucket(client, fleet).await
}

/// A context whose requests end after [`ANSWER`]. With a domain, they go to its servers also through a leaf that has
/// JetStream of its own.
pub fn jetstream(client: &Client, fleet: &Fleet) -> jetstream::Context {
    let mut context = match &fleet.domain {
        Some(domain) => jetstream::with_domain(client.clone(), domain),
        None => jetstream::new(client.clone()),
    };
    context.set_timeout(ANSWER);
    context
}

/// Releases before 2.10 lose streams when the process is killed, and know no settings by which that shows.
fn fit_server(client: &Client) -> Result<(), BucketProblem> {
    let version = client.server_info().version;
    if version.is_empty() {
        return Err(BucketProblem::Away("no server answers".to_owned()));
    }
    if client.is_server_compatible(2, 10, 0) {
        return Ok(());
    }
    Err(BucketProblem::Unfit(format!("the NATS server is {version}, at least 2.10 is needed")))
}

fn fit_bucket(store: &Store) -> Result<(), BucketProblem> {
    let config = &store.stream.cached_info().config;
    let small = config.max_message_size > 0
        && usize::try_from(config.max_message_size).is_ok_and(|most| most < MAX_BYTES);
    let wrong = if config.persist_mode == Some(PersistenceMode::Async) {
        "acknowledges what it has not written (`persist_mode: async`)".to_owned()
    } else if config.storage != StorageType::File {
        "is kept in memory, and not in files".to_owned()
    } else if !config.max_age.is_zero() {
        "forgets values by their age (`max_age`)".to_owned()
    } else if small {
        format!("takes values of {} bytes, and bundles have up to {MAX_BYTES}", config.max_message_size)
    } else if config.discard == DiscardPolicy::Old && config.max_bytes > 0 {
        "drops old values when it is full".to_owned()
    } else {
        return Ok(());
    };
    Err(BucketProblem::Unfit(format!("the bucket {:?} {wrong}", store.name)))
}
