//! A bundle on its way into the bucket: numbered, signed, written with a check that no other publication came between.
//! Runs in the command `publish`, never in an edge.

use std::time::{Duration, SystemTime};

use async_nats::jetstream::kv::{Store, UpdateErrorKind};
use aws_lc_rs::signature::Ed25519KeyPair;
use bytes::Bytes;
use thalweg_config::{Config, Ring};
use tokio::time::timeout;

use super::{
    bundle::{Bundle, BundleFile, VerifyKey},
    engine, key_of,
};
use crate::control::wall_clock;

/// Longest wait for a first connection.
const CONNECT: Duration = Duration::from_secs(10);

/// What is to be published.
#[derive(Debug)]
pub struct Publication {
    /// The config, checked.
    pub config: Config,
    /// Its files, with paths as seen from the main file's folder.
    pub files: Vec<BundleFile>,
    /// The key that signs it.
    pub key: Ed25519KeyPair,
    /// The last ring that it goes to.
    pub ring: Ring,
    /// How long the guard watches it on each edge.
    pub bake: Duration,
    /// Who publishes it.
    pub owner: String,
    /// Copies that a new bucket keeps.
    pub replicas: usize,
}

/// Publishes it. Returns its number.
///
/// # Errors
/// Why not, in words.
pub fn publish(what: &Publication) -> Result<u64, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let done = runtime.block_on(put(what));
    runtime.shutdown_background();
    done
}

async fn put(what: &Publication) -> Result<u64, String> {
    let fleet =
        what.config.fleet.as_ref().ok_or("the config has no [fleet]: it names the servers and the bucket")?;
    let key = VerifyKey::from_pem(&fleet.verify.value)
        .map_err(|problem| format!("fleet.verify: the file {problem}"))?;
    // A wrong pair of keys shall be seen before any server is asked.
    Bundle::verify(&bundle(what, 0).sign(&what.key)?, &key)
        .map_err(|_| "the key is not the other half of `fleet.verify`: no edge would take the bundle")?;
    let connected = timeout(CONNECT, engine::connect(fleet, true)).await;
    let connected = connected.map_err(|_| format!("no server answers within {} s", CONNECT.as_secs()))?;
    let connection = connected.map_err(|error| format!("no server can be reached: {error}"))?;
    let store = engine::make_bucket(&connection.client, fleet, what.replicas).await;
    let store = store.map_err(|problem| problem.text().to_owned())?;
    let (newest, revision) = newest(&store, &key, what.ring).await?;
    let number = now_ms().max(newest + 1);
    let bytes = bundle(what, number).sign(&what.key)?;
    match store.update(key_of(what.ring), Bytes::from(bytes), revision).await {
        Ok(_) => Ok(number),
        Err(error) => Err(match error.kind() {
            UpdateErrorKind::WrongLastRevision => {
                "another bundle was published at the same time: publish again".into()
            }
            UpdateErrorKind::TimedOut => {
                format!(
                    "no answer: bundle {number} may be published or not; `thalweg status` of an edge tells"
                )
            }
            _ => format!("not published: {error}"),
        }),
    }
}

fn bundle(what: &Publication, number: u64) -> Bundle {
    Bundle {
        number,
        ring: what.ring,
        bake_ms: u64::try_from(what.bake.as_millis()).unwrap_or(u64::MAX),
        unix_ms: now_ms(),
        owner: what.owner.clone(),
        files: what.files.clone(),
    }
}

fn now_ms() -> u64 {
    u64::try_from(wall_clock::unix(SystemTime::now()).as_millis()).unwrap_or_default()
}

/// The highest number in the bucket, and the revision of this ring's key. What this key did not sign has no number.
async fn newest(store: &Store, key: &VerifyKey, ring: Ring) -> Result<(u64, u64), String> {
    let (mut newest, mut revision) = (0, 0);
    for one in Ring::EACH {
        let read = store.entry(key_of(one)).await;
        let Some(entry) = read.map_err(|error| format!("the bucket cannot be read: {error}"))? else {
            continue;
        };
        if let Ok(bundle) = Bundle::verify(&entry.value, key) {
            newest = newest.max(bundle.number);
        }
        if one == ring {
            revision = entry.revision;
        }
    }
    Ok((newest, revision))
}
