//! What the command `rollout` shows and says: the bundles, the reports of the edges, and the operator's word. Never runs in
//! an edge.

use std::time::Duration;

use async_nats::jetstream::kv::Store;
use serde_json::{Map, Value, json};
use thalweg_config::{Fleet, Ring};
use tokio::time::timeout;

use super::{
    bundle::{Bundle, VerifyKey},
    engine, key_of,
    steps::{self, Others, RolloutCall},
};

/// Longest wait for a first connection.
const CONNECT: Duration = Duration::from_secs(10);

/// Says something of the rollout, or nothing, and shows it.
///
/// # Errors
/// Why not, in words.
pub fn rollout(fleet: &Fleet, call: RolloutCall, by: (&str, &str)) -> Result<Value, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let done = runtime.block_on(ask(fleet, call, by));
    runtime.shutdown_background();
    done
}

async fn ask(fleet: &Fleet, call: RolloutCall, by: (&str, &str)) -> Result<Value, String> {
    let key = VerifyKey::from_pem(&fleet.verify.value)
        .map_err(|problem| format!("fleet.verify: the file {problem}"))?;
    let connected = timeout(CONNECT, engine::connect(fleet, true)).await;
    let connected = connected.map_err(|_| format!("no server answers within {} s", CONNECT.as_secs()))?;
    let connection = connected.map_err(|error| format!("no server can be reached: {error}"))?;
    let store =
        engine::bucket(&connection.client, fleet).await.map_err(|problem| problem.text().to_owned())?;
    let (newest, bundles) = bundles(&store, &key).await?;
    steps::steer(&store, call, newest, by).await?;
    let others = Others::read(&store).await.map_err(|problem| problem.text().to_owned())?;
    let edges: Vec<Value> = others.reports.iter().map(|dated| dated.report.to_json()).collect();
    Ok(json!({ "bundles": bundles, "order": others.order.to_json(), "edges": edges }))
}

/// The highest number, and the bundle of each ring.
async fn bundles(store: &Store, key: &VerifyKey) -> Result<(Option<u64>, Map<String, Value>), String> {
    let (mut newest, mut shown) = (None, Map::new());
    for ring in Ring::EACH {
        let read = store.get(key_of(ring)).await;
        let read = read.map_err(|error| format!("the bucket cannot be read: {error}"))?;
        let value = match read.map(|bytes| Bundle::verify(&bytes, key)) {
            Some(Ok(bundle)) => {
                newest = newest.max(Some(bundle.number));
                json!({ "number": bundle.number, "owner": bundle.owner, "bake_ms": bundle.bake_ms })
            }
            Some(Err(refusal)) => json!({ "refused": refusal.as_str() }),
            None => Value::Null,
        };
        shown.insert(ring.as_str().to_owned(), value);
    }
    Ok((newest, shown))
}
