//! The load generator of the bench rig: `bench-load open …` (open loop, one JSON object at the end) and
//! `bench-load hold …` (silent connections, driven over stdin), `bench-load connects …` (a request per connection) and
//! `bench-load attack …` (floods over HTTP/2). Called by `rig/`, pinned by it to the load core.

use std::time::Duration;

use anyhow::{Result, bail};
use thalweg_bench::args::Args;
use thalweg_bench::lane::Target;
use thalweg_bench::{attack, connects, hold, open_loop};

fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let mode = words.next().unwrap_or_default();
    let args = Args::parse(words)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match mode.as_str() {
        "open" => runtime.block_on(open(args)),
        "hold" => runtime.block_on(held(args)),
        "connects" => runtime.block_on(connections(args)),
        "attack" => runtime.block_on(attacked(args)),
        _ => bail!("usage: bench-load open|hold|connects|attack --key value …"),
    }
}

async fn open(mut args: Args) -> Result<()> {
    let target = Target::new(
        args.need("address")?,
        args.or("host", "bench.example".to_owned())?,
        args.or("path", "/".to_owned())?,
        args.or("tls", false)?,
        args.or("h2", false)?,
    )?;
    let plan = open_loop::Plan {
        rate: args.need("rate")?,
        warmup: Duration::from_secs_f64(args.or("warmup", 1.0)?),
        duration: Duration::from_secs_f64(args.need("duration")?),
        connections: args.or("connections", 64)?,
        streams: args.or("streams", 8)?,
        seed: args.or("seed", 1)?,
    };
    args.done()?;
    say(serde_json::to_string(&open_loop::run(target, plan).await?)?)
}

async fn connections(mut args: Args) -> Result<()> {
    let group: String = args.or("tls", String::new())?;
    let plan = connects::ConnectsPlan {
        address: args.need("address")?,
        host: args.or("host", "bench.example".to_owned())?,
        duration: Duration::from_secs_f64(args.need("duration")?),
        lanes: args.or("lanes", 8)?,
        proxy_header: args.or("proxy-header", false)?,
        tls: (!group.is_empty()).then(|| connects::key_exchange(&group)).transpose()?,
    };
    args.done()?;
    say(serde_json::to_string(&connects::run(plan).await?)?)
}

async fn attacked(mut args: Args) -> Result<()> {
    let plan = attack::AttackPlan {
        address: args.need("address")?,
        kind: args.need::<String>("kind")?.parse()?,
        duration: Duration::from_secs_f64(args.need("duration")?),
        lanes: args.or("lanes", 4)?,
    };
    args.done()?;
    say(serde_json::to_string(&attack::run(plan).await?)?)
}

async fn held(mut args: Args) -> Result<()> {
    let plan = hold::HoldPlan {
        address: args.need("address")?,
        host: args.or("host", "bench.example".to_owned())?,
        connections: args.need("connections")?,
        per_source: args.or("per-source", 1000)?,
    };
    args.done()?;
    hold::run(plan, say).await
}

fn say(line: String) -> Result<()> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
