//! Names to addresses: one local task per name, TTL respected between the configured bounds, each family's last good
//! answer kept when asking for it fails. Never on the request path.

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
    config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts},
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
    proto::{
        op::ResponseCode,
        rr::{Name, RecordType},
    },
    system_conf::read_system_conf,
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

/// In this order everywhere.
const FAMILIES: [RecordType; 2] = [RecordType::A, RecordType::AAAA];

/// A name's addresses, by [`FAMILIES`].
type Known = [Vec<IpAddr>; 2];

/// The last good answers; they outlive a restart of the task.
pub type Answers = Rc<RefCell<BTreeMap<Box<str>, Known>>>;

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
            for (host, known) in known {
                let addresses = addresses(&known, now);
                keeper.tell(Event::Resolved { host, addresses }).await;
            }
            let asker = asker_for(now, wanted.is_empty());
            for host in wanted {
                names.entry(host.clone()).or_insert_with(|| {
                    Task::spawn(refresh_forever(Asked {
                        host,
                        settings: now.clone(),
                        asker: asker.clone(),
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

/// Asks for both families of a name.
#[derive(Debug)]
struct Asker {
    resolver: TokioResolver,
    /// Appended to names that are not whole.
    search: Vec<Name>,
    /// A name of more labels is tried as it stands first.
    ndots: usize,
}

/// An asker by the settings; none if nobody needs one, or if the system's settings cannot be read (an edge whose
/// endpoints are all addresses must start without them).
fn asker_for(settings: &Resolver, idle: bool) -> Option<Rc<Asker>> {
    if idle {
        return None;
    }
    let read = if settings.nameservers.is_empty() {
        read_system_conf()
    } else {
        let server = |address: &std::net::SocketAddr| {
            let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
            for connection in &mut connections {
                connection.port = address.port();
            }
            NameServerConfig::new(address.ip(), true, connections)
        };
        let servers = settings.nameservers.iter().map(server).collect();
        Ok((ResolverConfig::from_parts(None, Vec::new(), servers), ResolverOpts::default()))
    };
    let made = read.and_then(|(config, mut options)| {
        // The answers' lives are ours to watch: a cache below us would hide their end.
        options.cache_size = 0;
        options.timeout = Duration::from_secs(2);
        options.attempts = 2;
        let mut search: Vec<Name> = config.domain().cloned().into_iter().collect();
        search.extend(config.search().iter().filter(|suffix| config.domain() != Some(suffix)).cloned());
        let ndots = options.ndots;
        let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        Ok(Asker { resolver: builder.with_options(options).build()?, search, ndots })
    });
    match made {
        Ok(asker) => Some(Rc::new(asker)),
        Err(error) => {
            tracing::error!(%error, "no resolver: names stay unresolved");
            None
        }
    }
}

/// What is said about one family of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    /// These addresses, for so long.
    Found(Vec<IpAddr>, Duration),
    /// The name exists, without addresses of this family.
    Nothing,
    /// There is no such name.
    Unknown,
    /// Nobody could say.
    Failed(String),
}

impl Asker {
    /// Both families of the first form of the name that has an address. Each form is asked for both before the next:
    /// the families of two different names must not be mixed, so the resolver's own search is of no use here; nor is
    /// its `lookup_ip`, which drops the failure of one family when the other answers.
    async fn ask(&self, host: &str) -> Result<[Said; 2], String> {
        let mut said = [Said::Unknown, Said::Unknown];
        for name in self.forms(Name::from_utf8(host).map_err(|error| error.to_string())?) {
            let [a, aaaa] = FAMILIES.map(|family| self.ask_one(name.clone(), family));
            said = tokio::join!(a, aaaa).into();
            if said.iter().any(|said| matches!(said, Said::Found(..))) {
                break;
            }
        }
        Ok(said)
    }

    async fn ask_one(&self, name: Name, family: RecordType) -> Said {
        match self.resolver.lookup(name, family).await {
            Ok(found) => {
                let life = found.valid_until().saturating_duration_since(Instant::now());
                let mut addresses: Vec<IpAddr> =
                    found.answers().iter().filter_map(|record| record.data.ip_addr()).collect();
                addresses.sort_unstable();
                addresses.dedup();
                if addresses.is_empty() { Said::Nothing } else { Said::Found(addresses, life) }
            }
            Err(NetError::Dns(DnsError::NoRecordsFound(none))) => match none.response_code {
                ResponseCode::NXDomain => Said::Unknown,
                // A server that only names others has not answered (RFC 2308 section 2.2).
                _ if none.ns.is_some() && none.soa.is_none() => Said::Failed("referred elsewhere".into()),
                _ => Said::Nothing,
            },
            Err(error) => Said::Failed(error.to_string()),
        }
    }

    /// The names that this one may stand for, most likely first (resolv.conf(5): search, ndots).
    fn forms(&self, name: Name) -> Vec<Name> {
        if name.is_fqdn() {
            return vec![name];
        }
        let whole_first = usize::from(name.num_labels()) > self.ndots || name.is_localhost();
        let mut forms: Vec<Name> =
            self.search.iter().filter_map(|suffix| name.clone().append_domain(suffix).ok()).collect();
        let mut whole = name;
        whole.set_fqdn(true);
        forms.insert(if whole_first { 0 } else { forms.len() }, whole);
        forms
    }
}

struct Asked {
    host: Box<str>,
    settings: Resolver,
    asker: Option<Rc<Asker>>,
    keeper: KeeperLink,
    permits: Rc<Semaphore>,
    answers: Answers,
}

async fn refresh_forever(asked: Asked) {
    let mut pause = PAUSE;
    loop {
        let said = {
            let _permit = asked.permits.acquire().await;
            match &asked.asker {
                Some(asker) => asker.ask(&asked.host).await,
                None => Err("no resolver".into()),
            }
        };
        let said = said.unwrap_or_else(|error| FAMILIES.map(|_| Said::Failed(error.clone())));
        let host = asked.host.clone();
        let last = asked.answers.borrow().get(&host).cloned();
        let Merged { known, life, troubles } = merge(last.clone().unwrap_or_default(), said);
        let nobody = known.iter().all(Vec::is_empty);
        for Trouble { family, error, kept } in &troubles {
            // A server that never could say anything about one family is no news each time.
            if *kept || nobody || pause == PAUSE {
                tracing::warn!(%host, %family, %error, kept, "name not resolved");
            }
        }
        if last.as_ref() != Some(&known) {
            let addresses = addresses(&known, &asked.settings);
            if !nobody {
                asked.answers.borrow_mut().insert(host.clone(), known);
            }
            // Also when there is none: so that nobody waits for a first answer.
            asked.keeper.tell(Event::Resolved { host, addresses }).await;
        }
        let life = life.map(|life| clamp(life, &asked.settings));
        if troubles.is_empty() {
            pause = PAUSE;
            sleep(life.unwrap_or(pause)).await;
        } else {
            let again = pause.mul_f64(0.75 + dice::fraction() / 2.0);
            sleep(life.map_or(again, |life| life.min(again))).await;
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }
}

/// A family about which nothing could be learnt.
#[derive(Debug, PartialEq, Eq)]
struct Trouble {
    family: RecordType,
    error: String,
    /// Its last good addresses stay.
    kept: bool,
}

/// What is known after an answer.
#[derive(Debug)]
struct Merged {
    known: Known,
    /// How long what was found holds.
    life: Option<Duration>,
    troubles: Vec<Trouble>,
}

/// Takes an answer in. A family is emptied only by an answer that says so, and never the last one that has addresses:
/// a name without any is more likely a mistake than a wish.
fn merge(last: Known, said: [Said; 2]) -> Merged {
    let (mut known, mut life, mut troubles) = (last.clone(), None::<Duration>, Vec::new());
    let exists = said.iter().any(|said| matches!(said, Said::Found(..)));
    for ((family, said), known) in FAMILIES.into_iter().zip(said).zip(&mut known) {
        let kept = !known.is_empty();
        let error = match said {
            Said::Found(addresses, span) => {
                *known = addresses;
                life = Some(life.map_or(span, |life| life.min(span)));
                continue;
            }
            Said::Nothing => {
                known.clear();
                continue;
            }
            // Some servers deny the name itself where they have only no such records (RFC 4074 section 4.2).
            Said::Unknown if exists && !kept => continue,
            Said::Unknown => "no such name".into(),
            Said::Failed(error) => error,
        };
        troubles.push(Trouble { family, error, kept });
    }
    if known.iter().all(Vec::is_empty) {
        for (family, last) in FAMILIES.into_iter().zip(&last) {
            if troubles.iter().all(|trouble| trouble.family != family) {
                troubles.push(Trouble { family, error: "no addresses".into(), kept: !last.is_empty() });
            }
        }
        known = last;
    }
    Merged { known, life, troubles }
}

/// All of a name's addresses that may serve.
fn addresses(known: &Known, settings: &Resolver) -> Vec<IpAddr> {
    known.iter().flatten().copied().take(settings.max_addresses).collect()
}

fn clamp(life: Duration, settings: &Resolver) -> Duration {
    life.max(settings.ttl_min).min(settings.ttl_max.max(settings.ttl_min)).max(SHORTEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const SIX: IpAddr = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);

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

    #[test]
    fn only_an_answer_without_records_empties_a_family() {
        let found = |ip| Said::Found(vec![ip], Duration::from_secs(9));
        let failed = || Said::Failed("servfail".into());
        let (both, four, six) = ([vec![ONE], vec![SIX]], [vec![ONE], vec![]], [vec![], vec![SIX]]);
        let none: Known = Default::default();
        for (what, last, said, expected, troubles) in [
            ("both found", &none, [found(ONE), found(SIX)], &both, 0),
            ("one found, one empty", &both, [found(ONE), Said::Nothing], &four, 0),
            ("one failed", &both, [failed(), found(SIX)], &both, 1),
            ("the other failed", &both, [found(ONE), failed()], &both, 1),
            ("one empty, one failed", &both, [Said::Nothing, failed()], &six, 1),
            ("one denies the name", &both, [found(ONE), Said::Unknown], &both, 1),
            ("one always denied the name", &four, [found(ONE), Said::Unknown], &four, 0),
            ("one never answered", &four, [found(ONE), failed()], &four, 1),
            ("the last address would go", &four, [Said::Nothing, failed()], &four, 2),
            ("both empty", &both, [Said::Nothing, Said::Nothing], &both, 2),
            ("no such name", &both, [Said::Unknown, Said::Unknown], &both, 2),
            ("both failed", &both, [failed(), failed()], &both, 2),
            ("nothing was ever known", &none, [failed(), Said::Unknown], &none, 2),
        ] {
            let merged = merge(last.clone(), said);
            assert_eq!(&merged.known, expected, "{what}");
            assert_eq!(merged.troubles.len(), troubles, "{what}: {:?}", merged.troubles);
            // Whoever sleeps needs to know how long.
            assert!(merged.life.is_some() || troubles > 0, "{what}");
        }
    }

    #[test]
    fn a_name_stands_for_what_the_search_list_makes_of_it() {
        let suffixes = ["a.test.", "b.test."].map(|suffix| Name::from_utf8(suffix).unwrap());
        let settings = Resolver {
            nameservers: vec!["127.0.0.1:53".parse().unwrap()],
            ttl_min: Duration::ZERO,
            ttl_max: Duration::ZERO,
            max_addresses: 1,
        };
        for (host, ndots, expected) in [
            ("api", 1, "api.a.test. api.b.test. api."),
            ("api.test", 1, "api.test. api.test.a.test. api.test.b.test."),
            ("api.test", 5, "api.test.a.test. api.test.b.test. api.test."),
            ("api.test.", 5, "api.test."),
        ] {
            let asker = Rc::into_inner(asker_for(&settings, false).unwrap()).unwrap();
            let asker = Asker { search: suffixes.to_vec(), ndots, ..asker };
            let forms: Vec<String> =
                asker.forms(Name::from_utf8(host).unwrap()).iter().map(Name::to_string).collect();
            assert_eq!(forms.join(" "), expected);
        }
    }
}
