//! The keys of the bucket as edges agree over them: read as the leader has them, written, and written only at a revision.
//! A trait, so that the simulation can lose, delay and double what is written.

use async_nats::jetstream::{kv::Store, stream::LastRawMessageErrorKind};
use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::Value;

use super::{order_state::BucketLink, server_time};

/// A value with its revision, and the time at which the server took it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Posted {
    pub(super) value: Value,
    pub(super) revision: u64,
    /// Milliseconds since 1970, by the server's clock.
    pub(super) at_ms: u64,
}

/// What edges write for each other. `None` and `false` say that no answer came: what was written may be written or not.
pub(super) trait Board {
    /// A value; `Some(None)` = there is none.
    async fn read(&self, key: &str) -> Option<Option<Posted>>;
    /// The keys that begin with this.
    async fn keys(&self, prefix: &str) -> Option<Vec<String>>;
    /// Writes a value.
    async fn put(&self, key: &str, value: &Value) -> bool;
    /// Writes a value if the last one has this revision; 0 = if there is none.
    async fn update(&self, key: &str, value: &Value, revision: u64) -> bool;
    /// Milliseconds since 1970, by the server's clock.
    async fn now_ms(&self) -> Option<u64>;
}

/// The keys that begin with this, which ends with a dot. The stream is asked: the listing of the key-value interface makes
/// a consumer for each call, and all servers of a cluster must agree on one.
///
/// # Errors
/// Why they cannot be listed.
pub(super) async fn keys(store: &Store, prefix: &str) -> Result<Vec<String>, String> {
    let subjects = format!("{}{prefix}>", store.prefix);
    let listed = store.stream.info_with_subjects(subjects).await;
    let mut listed = listed.map_err(|error| error.to_string())?;
    let mut found = Vec::new();
    while let Some(one) = listed.next().await {
        let (subject, _) = one.map_err(|error| error.to_string())?;
        found.extend(subject.strip_prefix(&store.prefix).map(str::to_owned));
    }
    found.sort();
    Ok(found)
}

impl Board for BucketLink {
    async fn read(&self, key: &str) -> Option<Option<Posted>> {
        let subject = format!("{}{key}", self.store.prefix);
        match self.store.stream.get_last_raw_message_by_subject(&subject).await {
            Ok(message) => {
                let value = serde_json::from_slice(&message.payload).unwrap_or_default();
                let at_ms = u64::try_from(message.time.unix_timestamp_nanos() / 1_000_000);
                Some(Some(Posted { value, revision: message.sequence, at_ms: at_ms.unwrap_or_default() }))
            }
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Some(None),
            Err(_) => None,
        }
    }

    async fn keys(&self, prefix: &str) -> Option<Vec<String>> {
        keys(&self.store, prefix).await.ok()
    }

    async fn put(&self, key: &str, value: &Value) -> bool {
        self.store.put(key, Bytes::from(value.to_string())).await.is_ok()
    }

    async fn update(&self, key: &str, value: &Value, revision: u64) -> bool {
        self.store.update(key, Bytes::from(value.to_string()), revision).await.is_ok()
    }

    async fn now_ms(&self) -> Option<u64> {
        server_time::now_ms(&self.context, &self.store).await
    }
}
