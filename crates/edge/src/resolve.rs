//! Names to addresses: one local task per name, TTL respected between the configured bounds, the last good answer
//! kept when asking fails. Never on the request path.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig},
    net::runtime::TokioRuntimeProvider,
};
use thalweg_config::Resolver;
use thalweg_core::{Event, Topology};
use tokio::{sync::Semaphore, time::sleep};

use crate::{dice, keeper::KeeperLink, shared::Shared, supervise::Task};

/// Lookups under way at the same time.
const AT_ONCE: usize = 64;
/// Shortest life of an answer, whatever TTL is allowed: of a cached one's last second nothing is
/// left, and a TTL of 0 would be a loop.
const SHORTEST: Duration = Duration::from_secs(1);
/// First pause after a failed lookup; doubles up to [`MAX_PAUSE`].
const PAUSE: Duration = Duration::from_millis(500);
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// The last good answers; they outlive a restart of the task.
pub type Answers = Rc<RefCell<BTreeMap<Box<str>, Vec<IpAddr>>>>;

/// Keeps every name of the live topology resolved.
pub async fn run(shared: Arc<Shared>, keeper: KeeperLink, answers: Answers) {
    let mut published = shared.published.subscribe();
    let mut seen = None;
    let mut settings: Option<Resolver> = None;
    let mut names: BTreeMap<Box<str>, Task> = BTreeMap::new();
    let permits = Rc::new(Semaphore::new(AT_ONCE));
    loop {
        let live = shared.live.load_full();
        let generation = live.snapshot.generation;
        if seen != Some(generation) {
            seen = Some(generation);
            let now = &live.wiring.config.resolver;
            if settings.as_ref() != Some(now) {
                settings = Some(now.clone());
                // Each task starts over with the new settings; the last good answers stay.
                names.clear();
            }
            let wanted = names_of(&live.snapshot.layout.topology);
            names.retain(|name, _| wanted.contains(name));
            answers.borrow_mut().retain(|name, _| wanted.contains(name));
            // A name that left and came back within one publication has been forgotten by the world.
            let known = answers.borrow().clone();
            for (host, addresses) in known {
                keeper.tell(Event::Resolved { host, addresses }).await;
            }
            let resolver = resolver_for(now, wanted.is_empty());
            for host in wanted {
                names.entry(host.clone()).or_insert_with(|| {
                    Task::spawn(refresh_forever(Asked {
                        host,
                        settings: now.clone(),
                        resolver: resolver.clone(),
                        keeper: keeper.clone(),
                        permits: Rc::clone(&permits),
                        answers: Rc::clone(&answers),
                    }))
                });
            }
        }
        drop(live);
        if published.changed().await.is_err() {
            return;
        }
    }
}

fn names_of(topology: &Topology) -> BTreeSet<Box<str>> {
    let specs = topology.pools.iter().flat_map(|pool| &pool.endpoints);
    let names = specs.map(|spec| &spec.host).filter(|host| host.parse::<IpAddr>().is_err());
    names.cloned().collect()
}

/// A resolver by the settings; none if nobody needs one, or if the system's settings cannot be read (an edge whose
/// endpoints are all addresses must start without them).
fn resolver_for(settings: &Resolver, idle: bool) -> Option<Rc<TokioResolver>> {
    if idle {
        return None;
    }
    let provider = TokioRuntimeProvider::default();
    let builder = if settings.nameservers.is_empty() {
        TokioResolver::builder(provider)
    } else {
        let server = |address: &std::net::SocketAddr| {
            let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
            for connection in &mut connections {
                connection.port = address.port();
            }
            NameServerConfig::new(address.ip(), true, connections)
        };
        let servers = settings.nameservers.iter().map(server).collect();
        let config = ResolverConfig::from_parts(None, Vec::new(), servers);
        Ok(TokioResolver::builder_with_config(config, provider))
    };
    let made = builder.and_then(|mut builder| {
        let options = builder.options_mut();
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        // The answers' lives are ours to watch: a cache below us would hide their end.
        options.cache_size = 0;
        options.timeout = Duration::from_secs(2);
        options.attempts = 2;
        builder.build()
    });
    match made {
        Ok(resolver) => Some(Rc::new(resolver)),
        Err(error) => {
            tracing::error!(%error, "no resolver: names stay unresolved");
            None
        }
    }
}

struct Asked {
    host: Box<str>,
    settings: Resolver,
    resolver: Option<Rc<TokioResolver>>,
    keeper: KeeperLink,
    permits: Rc<Semaphore>,
    answers: Answers,
}

async fn refresh_forever(asked: Asked) {
    let mut pause = PAUSE;
    loop {
        let looked_up = {
            let _permit = asked.permits.acquire().await;
            look_up(&asked).await
        };
        let host = asked.host.clone();
        match looked_up {
            Ok((addresses, life)) => {
                pause = PAUSE;
                let known = asked.answers.borrow_mut().insert(host.clone(), addresses.clone());
                if known.as_ref() != Some(&addresses) {
                    asked.keeper.tell(Event::Resolved { host, addresses }).await;
                }
                sleep(life).await;
            }
            Err(error) => {
                let never = !asked.answers.borrow().contains_key(&host);
                tracing::warn!(%host, %error, kept = !never, "name not resolved");
                if never {
                    // So that nobody waits for a first answer.
                    asked.keeper.tell(Event::Resolved { host, addresses: Vec::new() }).await;
                }
                sleep(pause.mul_f64(0.75 + dice::fraction() / 2.0)).await;
                pause = (pause * 2).min(MAX_PAUSE);
            }
        }
    }
}

/// Addresses and how long they hold.
async fn look_up(asked: &Asked) -> Result<(Vec<IpAddr>, Duration), String> {
    let resolver = asked.resolver.as_ref().ok_or("no resolver")?;
    let found = resolver.lookup_ip(&*asked.host).await.map_err(|error| error.to_string())?;
    let life = found.valid_until().saturating_duration_since(Instant::now());
    let mut addresses: Vec<IpAddr> = found.iter().collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses.truncate(asked.settings.max_addresses);
    if addresses.is_empty() {
        return Err("no addresses".into());
    }
    Ok((addresses, clamp(life, &asked.settings)))
}

fn clamp(life: Duration, settings: &Resolver) -> Duration {
    life.max(settings.ttl_min).min(settings.ttl_max.max(settings.ttl_min)).max(SHORTEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_holds_within_its_bounds_and_never_for_less_than_a_second() {
        let check = |life: u64, (ttl_min, ttl_max): (u64, u64), expected: u64| {
            let [life, ttl_min, ttl_max] = [life, ttl_min, ttl_max].map(Duration::from_millis);
            let settings = Resolver { nameservers: Vec::new(), ttl_min, ttl_max, max_addresses: 64 };
            assert_eq!(clamp(life, &settings), Duration::from_millis(expected), "{life:?} {settings:?}");
        };
        check(60_000, (1_000, 300_000), 60_000);
        check(1, (5_000, 300_000), 5_000);
        check(600_000, (1_000, 300_000), 300_000);
        check(0, (0, 300_000), 1_000);
        check(999, (0, 300_000), 1_000);
        check(60_000, (0, 1), 1_000);
    }
}
