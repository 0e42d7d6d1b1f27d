//! A taste of a bundle before it comes into force: a throw-away process of this binary reads the whole config as this edge
//! would, and probes the endpoints of each route once. The process binds nothing. It ends with the taste.
//!
//! Why a process: what makes a config's reader panic, hang or eat memory ends the process and not the edge.

use std::{collections::BTreeSet, process::Stdio, time::Duration};

use serde_json::{Value, json};
use thalweg_config::ConfigText;
use thalweg_core::{Pool, PoolSlot, Snapshot, SpecSlot, Topology};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpStream, lookup_host},
    process::Command,
    task::LocalSet,
    time::timeout,
};

use crate::control::{
    probe::{Plan, Prober},
    wiring::{self, Prepared},
};

/// Longest taste.
const LONGEST: Duration = Duration::from_secs(20);
/// Longest wait for a connection or for the address of a name.
const CONNECT: Duration = Duration::from_secs(1);
/// Most endpoints of a route that are asked.
const MOST: usize = 32;
/// Longest reason that is kept.
const MAX_REASON: usize = 1_000;

/// Tastes a config. Routes with nothing to serve them now need no endpoint that answers: this bundle may be what they
/// wait for.
///
/// # Errors
/// What is wrong with it.
pub async fn taste(texts: &[ConfigText], live: &Snapshot) -> Result<(), String> {
    let routes = live.layout.topology.routes.iter().zip(&live.routes);
    let dead = routes.filter(|(_, view)| view.shares.segments.is_empty()).map(|(route, _)| &*route.name);
    let text = |one: &ConfigText| json!({ "path": one.path.to_string_lossy(), "text": &*one.text });
    let input = json!({
        "texts": texts.iter().map(text).collect::<Vec<_>>(), "dead": dead.collect::<BTreeSet<_>>(),
    });
    // The binary that runs, also when an upgrade has replaced its file.
    let mut child = Command::new("/proc/self/exe")
        .arg("taste")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("no process to taste with: {error}"))?;
    let mut stdin = child.stdin.take();
    let tasted = timeout(LONGEST, async {
        if let Some(stdin) = &mut stdin {
            // A child that ends early says why on its standard error.
            let _ = stdin.write_all(input.to_string().as_bytes()).await;
        }
        drop(stdin.take());
        child.wait_with_output().await
    });
    let output = match tasted.await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => return Err(format!("the taste broke off: {error}")),
        Err(_) => return Err(format!("the taste took longer than {} s", LONGEST.as_secs())),
    };
    if output.status.success() {
        return Ok(());
    }
    let said: String = String::from_utf8_lossy(&output.stderr).trim().chars().take(MAX_REASON).collect();
    Err(if said.is_empty() { format!("the taste ended with {}", output.status) } else { said })
}

/// The throw-away process: reads the input of [`taste`] and answers with the problems.
#[must_use]
pub fn child(input: &[u8]) -> Vec<String> {
    let input: Value = serde_json::from_slice(input).unwrap_or_default();
    let one = |value: &Value| {
        let path = value.get("path")?.as_str()?.into();
        Some(ConfigText { path, text: value.get("text")?.as_str()?.into() })
    };
    let list = |name: &str| input.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let texts: Vec<ConfigText> = list("texts").iter().filter_map(one).collect();
    let dead: BTreeSet<String> =
        list("dead").iter().filter_map(|name| Some(name.as_str()?.to_owned())).collect();
    let prepared = match wiring::prepare_texts(&texts, &Default::default()) {
        Ok(prepared) => prepared,
        Err(errors) => return errors.0.iter().map(ToString::to_string).collect(),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return vec![error.to_string()],
    };
    LocalSet::new().block_on(&runtime, probe_round(&prepared, &dead))
}

/// The routes, but for the dead ones, of which no endpoint answers as it should.
async fn probe_round(prepared: &Prepared, dead: &BTreeSet<String>) -> Vec<String> {
    let topology = &prepared.wiring.config.topology;
    let mut problems = Vec::new();
    for (slot, route) in topology.written_routes() {
        if dead.contains(&*route.name) {
            continue;
        }
        let pools: BTreeSet<PoolSlot> = topology
            .with_sub_routes(slot)
            .flat_map(|(_, route)| route.pools.iter().map(|member| member.pool))
            .collect();
        let found = endpoints(topology, &pools);
        let asked = found.iter().take(MOST).map(|(pool, spec)| Box::pin(answers(prepared, *pool, *spec)));
        if found.is_empty() || futures_util::future::select_ok(asked).await.is_err() {
            problems.push(format!("route {}: no endpoint answers", route.name));
        }
    }
    problems
}

fn endpoints(topology: &Topology, pools: &BTreeSet<PoolSlot>) -> Vec<(PoolSlot, SpecSlot)> {
    let specs = |pool: &Pool| u32::try_from(pool.endpoints.len()).unwrap_or(u32::MAX);
    let of = |slot: &PoolSlot| {
        let count = topology.pool(*slot).map_or(0, specs);
        (0..count).map(|spec| (*slot, SpecSlot(spec))).collect::<Vec<_>>()
    };
    pools.iter().flat_map(of).collect()
}

/// Whether an endpoint answers its probe; one without a probe, whether it takes a connection.
async fn answers(prepared: &Prepared, pool: PoolSlot, spec: SpecSlot) -> Result<(), ()> {
    let config = &prepared.wiring.config;
    let of_pool = config.topology.pool(pool).ok_or(())?;
    let endpoint = of_pool.endpoints.get(spec.index()).ok_or(())?;
    let found = timeout(CONNECT, lookup_host((&*endpoint.host, endpoint.port))).await.map_err(drop)?;
    let address = found.map_err(drop)?.next().ok_or(())?;
    let Some(plan) = Plan::at(&prepared.wiring, of_pool, (pool, spec), address, false) else {
        let connected = timeout(CONNECT, TcpStream::connect(address)).await.map_err(drop)?;
        return connected.map(drop).map_err(drop);
    };
    // Twice, as one lost packet proves nothing.
    for _ in 0..2 {
        if let Some(Ok(_)) = Prober::default().ask(&plan).await {
            return Ok(());
        }
    }
    Err(())
}
