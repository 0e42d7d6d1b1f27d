//! Tells the other edges what this one sees, and hears what they see: on one core subject, without storage and without
//! the bucket. News go out at once; everything is said again now and then, and less often the more edges there are.

use std::{collections::BTreeSet, rc::Rc, time::Duration};

use async_nats::{Client, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::{Value, json};
use thalweg_config::Fleet;
use thalweg_core::{Availability, Ejection, EndpointId, PoolSlot, Probe, Snapshot};
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    neighbours::Heard,
    sighting::{PoolSight, SeenEndpoint, Sighting},
};
use crate::{
    control::state::Control,
    shared::{
        meters::Series,
        telemetry::{FLEET_PROBES, FLEET_WORDS},
    },
};

/// Shortest pause between two messages.
const BREATH: Duration = Duration::from_millis(100);
/// Between two messages of an edge that has taken nothing out.
const QUIET: Duration = Duration::from_secs(1);
/// Bytes a second that an edge hears of all others while nothing changes: with a thousand of them, each repeats itself
/// every few minutes.
const HEARD: u64 = 900;
/// What the protocol adds to a message.
const ENVELOPE: usize = 40;
/// Between two attempts to listen.
const AGAIN: Duration = Duration::from_secs(1);
/// Interval of an edge that probes nothing.
const NO_PROBE: Duration = Duration::from_secs(1);

/// Tells and hears for as long as the settings hold.
pub(super) async fn run(control: &Rc<Control>, client: &Client, fleet: &Fleet) {
    for heard in Heard::EACH {
        control.meters.cell(Series::new(&FLEET_WORDS, &[&heard.as_str().into()]));
    }
    let process = control.fleet.process.get();
    // The dot is a separator of subjects; a bucket has none.
    let subject = format!("thalweg.{}.seen", fleet.bucket);
    tokio::join!(
        tell(control, client, (fleet, &subject), process),
        listen(control, client, (fleet, &subject), process)
    );
}

async fn tell(control: &Control, client: &Client, (fleet, subject): (&Fleet, &str), process: u64) {
    let mut published = control.shared.published.subscribe();
    let (mut last, mut number) = (None, 0);
    let mut due = Instant::now();
    loop {
        let snapshot = control.shared.live.load_full();
        let (pools, out) = seen(&snapshot.snapshot);
        let interval = shortest_interval(&snapshot.snapshot);
        drop(snapshot);
        if last.as_ref() != Some(&out) || Instant::now() >= due {
            number += 1;
            let ttl_ms = u64::try_from(interval.as_millis().saturating_mul(3)).unwrap_or(u64::MAX);
            let edge = fleet.name.as_str().into();
            let count = control.fleet.neighbours.borrow().all(control.shared.now()).count();
            let mut said = Sighting { edge, process, number, ttl_ms, next_ms: 0, pools, out: out.clone() };
            let pause = pause(if out.is_empty() { QUIET } else { interval }, count, said.to_bytes().len());
            said.next_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
            if control.fleet.connected.get() {
                // What cannot be sent now is said again soon.
                let _ = client.publish(subject.to_owned(), Bytes::from(said.to_bytes())).await;
            }
            due = Instant::now() + pause;
            last = Some(out);
            sleep(BREATH).await;
        }
        tokio::select! {
            changed = published.changed() => if changed.is_err() { return std::future::pending().await },
            () = sleep_until(due) => {}
        }
    }
}

/// The pause after a message of so many bytes, with so many neighbours that say as much.
#[must_use]
pub fn pause(shortest: Duration, neighbours: usize, bytes: usize) -> Duration {
    let heard = u64::try_from(neighbours.saturating_mul(bytes + ENVELOPE)).unwrap_or(u64::MAX);
    shortest.max(Duration::from_millis(heard.saturating_mul(1_000) / HEARD))
}

/// The pools, and the endpoints that this edge has taken out by what it sees. What an operator took out is no evidence.
fn seen(snapshot: &Snapshot) -> (Vec<PoolSight>, Vec<SeenEndpoint>) {
    let (mut pools, mut out) = (Vec::new(), Vec::new());
    for (slot, pool) in (0..).map(PoolSlot).zip(&snapshot.layout.topology.pools) {
        let mut sight = PoolSight { pool: pool.name.clone(), up: 0, of: 0 };
        for one in snapshot.endpoints_of(slot) {
            sight.of += 1;
            sight.up += u64::from(one.view.availability == Availability::Up);
            let ejected = matches!(one.view.ejection, Ejection::Ejected { .. });
            if one.view.probe == Probe::Unhealthy || ejected {
                out.push((pool.name.clone(), one.place.address.to_string().into()));
            }
        }
        pools.push(sight);
    }
    out.sort();
    (pools, out)
}

fn shortest_interval(snapshot: &Snapshot) -> Duration {
    let rules = snapshot.layout.topology.pools.iter().filter_map(|pool| pool.probe.as_ref());
    rules.map(|rules| rules.interval).min().unwrap_or(NO_PROBE)
}

async fn listen(control: &Control, client: &Client, (fleet, subject): (&Fleet, &str), process: u64) {
    let mut strangers = BTreeSet::new();
    loop {
        let Ok(mut words) = client.subscribe(subject.to_owned()).await else {
            sleep(AGAIN).await;
            continue;
        };
        hear_all(control, &mut words, (&fleet.name, process), &mut strangers).await;
        sleep(AGAIN).await;
    }
}

async fn hear_all(
    control: &Control,
    words: &mut Subscriber,
    (own, process): (&str, u64),
    strangers: &mut BTreeSet<u64>,
) {
    while let Some(word) = words.next().await {
        let now = control.shared.now();
        let (heard, news) = control.fleet.neighbours.borrow_mut().hear(&word.payload, (own, process), now);
        control.meters.cell(Series::new(&FLEET_WORDS, &[&heard.as_str().into()])).bump();
        if heard == Heard::NameTaken {
            name_taken(control, own, &word.payload, strangers);
        }
        for (endpoint, is_out) in news {
            suspect(control, &endpoint, is_out);
        }
    }
}

/// Has an endpoint probed at once of which a neighbour says what this edge does not see.
fn suspect(control: &Control, (pool, address): &SeenEndpoint, is_out: bool) {
    let live = control.shared.live.load();
    let snapshot = &live.snapshot;
    let Some((slot, rules)) = (0..)
        .map(PoolSlot)
        .zip(&snapshot.layout.topology.pools)
        .find_map(|(slot, one)| (one.name == *pool).then_some((slot, one.probe.as_ref()?)))
    else {
        return;
    };
    let found = snapshot.endpoints_of(slot).find(|one| *one.place.address.to_string() == **address);
    let Some(found) = found else { return };
    let agrees = (found.view.probe == Probe::Unhealthy) == is_out;
    let now = control.shared.now();
    let mut neighbours = control.fleet.neighbours.borrow_mut();
    if !agrees && neighbours.may_ask(found.place.id, rules.interval, now) {
        control.fleet.wakers.wake(found.place.id);
        control.meters.cell(Series::new(&FLEET_PROBES, &[])).bump();
    }
    let known: BTreeSet<EndpointId> = snapshot.layout.endpoints.iter().map(|place| place.id).collect();
    neighbours.retain(|id| known.contains(&id));
}

/// Two edges of one name: each of them says so, once for each other process.
fn name_taken(control: &Control, own: &str, bytes: &[u8], strangers: &mut BTreeSet<u64>) {
    let Some(other) = Sighting::read(bytes).map(|said| said.process) else { return };
    if strangers.len() < 100 && strangers.insert(other) {
        tracing::error!(name = own, "fleet: another edge has this name: give each edge its own `fleet.name`");
        control.events.add("fleet_name_taken", json!({ "name": own }));
    }
}

/// What is shown of the fleet, with edges × pools and the endpoints of which the edges do not say the same.
#[must_use]
pub fn with_edges(control: &Control, mut shown: Value) -> Value {
    let live = control.shared.live.load();
    let (pools, out) = seen(&live.snapshot);
    let now = control.shared.now();
    let neighbours = control.fleet.neighbours.borrow();
    let row = |edge: &str, age_ms: Option<u128>, pools: &[PoolSight], out: &[SeenEndpoint]| {
        let pools: serde_json::Map<String, Value> =
            pools.iter().map(|one| (one.pool.to_string(), json!({ "up": one.up, "of": one.of }))).collect();
        let out: Vec<String> = out.iter().map(|(pool, address)| format!("{pool}/{address}")).collect();
        json!({ "edge": edge, "age_ms": age_ms, "pools": pools, "out": out })
    };
    let Some(fields) = shown.as_object_mut() else { return shown };
    let name = fields.get("name").and_then(Value::as_str).unwrap_or_default();
    let own = row(name, None, &pools, &out);
    let others = neighbours.all(now).map(|one| {
        let said = &one.sighting;
        row(&said.edge, Some(now.since(one.at).as_millis()), &said.pools, &said.out)
    });
    let edges: Vec<Value> = std::iter::once(own).chain(others).collect();
    fields.insert("edges".into(), edges.into());
    fields.insert("disagreements".into(), disagreements(control).into());
    shown
}

/// The endpoints about which the edges disagree.
#[must_use]
pub fn disagreements(control: &Control) -> Vec<Value> {
    let live = control.shared.live.load();
    let (_, out) = seen(&live.snapshot);
    let now = control.shared.now();
    let neighbours = control.fleet.neighbours.borrow();
    let mut all: BTreeSet<&SeenEndpoint> = out.iter().collect();
    all.extend(neighbours.all(now).flat_map(|one| &one.sighting.out));
    let ttl = shortest_interval(&live.snapshot) * 3;
    let known: BTreeSet<SeenEndpoint> = (0..)
        .map(PoolSlot)
        .zip(&live.snapshot.layout.topology.pools)
        .flat_map(|(slot, pool)| {
            let address = |one: thalweg_core::PoolEndpoint<'_>| one.place.address.to_string().into();
            live.snapshot.endpoints_of(slot).map(move |one| (pool.name.clone(), address(one)))
        })
        .collect();
    let differences = all.into_iter().filter(|one| known.contains(*one)).filter_map(|one| {
        let (here, against) = (out.contains(one), neighbours.against(one, ttl, now));
        let differs = if here { against.len() < neighbours.all(now).count() } else { !against.is_empty() };
        let endpoint = format!("{}/{}", one.0, one.1);
        differs.then(|| json!({ "endpoint": endpoint, "out_here": here, "out_at": against }))
    });
    differences.collect()
}
