//! KnownNames to addresses: one local task per name. The TTL is respected within the configured bounds, and each address
//! family keeps its last good answer when a lookup fails. Never on the request path.

mod asker;
mod rotation;

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::Path,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use hickory_resolver::proto::rr::{Name, RecordType};
use thalweg_config::Resolver;
use thalweg_core::{EndpointSpec, Event, Family, Topology};
use tokio::{
    sync::Semaphore,
    time::{Instant, MissedTickBehavior, interval_at, sleep, sleep_until},
};

use asker::{Asker, FAMILIES, SYSTEM, Said, Source};
pub use rotation::Leaving;

use crate::{
    control::{jitter, keeper::KeeperLink, supervise::Task},
    shared::Shared,
};

/// Lookups in progress at the same time.
const AT_ONCE: usize = 64;
/// Shortest life of an answer, whatever TTL is allowed: nothing is left of a cached answer's last second, and a TTL of
/// 0 would be a busy loop.
const SHORTEST: Duration = Duration::from_secs(1);
/// First pause after a failed lookup. It doubles up to [`MAX_PAUSE`].
const PAUSE: Duration = Duration::from_millis(500);
const MAX_PAUSE: Duration = Duration::from_secs(30);
/// How often the system's settings are checked.
const LOOK: Duration = Duration::from_secs(10);

/// A name's addresses, in the order of [`FAMILIES`].
type FamilyAddresses = [Vec<IpAddr>; 2];

/// Whether some endpoint uses a name's addresses of a family, in the order of [`FAMILIES`].
type Wanted = [bool; 2];

/// The last good answer about a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Last {
    known: FamilyAddresses,
    /// The form of the name that the answer is about.
    form: Name,
}

/// The last good answers; they outlive a restart of the task.
pub type Answers = Rc<RefCell<BTreeMap<Box<str>, Last>>>;

/// KnownNames without any address, with the reason. Outlives a restart of the task too.
pub type Unresolved = Rc<RefCell<BTreeMap<Box<str>, String>>>;

/// What is known of all names.
#[derive(Clone, Debug, Default)]
pub struct KnownNames {
    /// The last good answers.
    pub answers: Answers,
    /// The names without any address.
    pub unresolved: Unresolved,
    /// The addresses that have left DNS and still serve.
    pub leaving: Leaving,
}

/// Keeps every name of the live topology resolved.
pub async fn run(shared: Arc<Shared>, keeper: KeeperLink, known: KnownNames) {
    let mut published = shared.published.subscribe();
    let mut looks = interval_at(Instant::now() + LOOK, LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = None;
    let mut wanted = BTreeMap::new();
    let mut source = Source::default();
    let mut names: BTreeMap<Box<str>, Task> = BTreeMap::new();
    let permits = Rc::new(Semaphore::new(AT_ONCE));
    loop {
        let live = shared.live.load_full();
        let generation = live.snapshot.generation;
        let is_new = seen.replace(generation) != Some(generation);
        if is_new {
            let before = std::mem::replace(&mut wanted, names_of(&live.snapshot.layout.topology));
            names.retain(|name, _| wanted.contains_key(name) && wanted.get(name) == before.get(name));
            known.retain(|name| wanted.contains_key(name));
        }
        let settings = live.wiring.config.resolver.clone();
        drop(live);
        let starts_over = !wanted.is_empty() && source.renew(&settings, Path::new(SYSTEM));
        if starts_over {
            // Each task begins anew with the new resolver; the last good answers stay.
            names.clear();
        }
        if is_new || starts_over {
            // The world has forgotten a name that left and came back within one publication, and a task that was ended
            // may have had an answer to report.
            let hosts: Vec<Box<str>> = known.answers.borrow().keys().cloned().collect();
            for host in hosts {
                known.tell(&host, &settings, async |event| keeper.tell(event).await).await;
            }
            for (host, wanted) in &wanted {
                names.entry(host.clone()).or_insert_with(|| {
                    Task::spawn(refresh_forever(Asked {
                        host: host.clone(),
                        wanted: *wanted,
                        settings: settings.clone(),
                        asker: source.asker.clone(),
                        shared: Arc::clone(&shared),
                        keeper: keeper.clone(),
                        permits: Rc::clone(&permits),
                        names: known.clone(),
                    }))
                });
            }
        }
        let is_system = settings.nameservers.is_empty() && !wanted.is_empty();
        while seen == Some(shared.live.load().snapshot.generation) {
            let due = known.leaving.due();
            tokio::select! {
                changed = published.changed() => if changed.is_err() { return },
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
                _ = looks.tick(), if is_system => break,
            }
            known.settle(&shared, &settings, &keeper).await;
        }
    }
}

/// The names of a topology, each with the families that its endpoints use.
fn names_of(topology: &Topology) -> BTreeMap<Box<str>, Wanted> {
    let mut names: BTreeMap<Box<str>, Wanted> = BTreeMap::new();
    for spec in topology.pools.iter().flat_map(|pool| &pool.endpoints) {
        if spec.host.parse::<IpAddr>().is_err() {
            let [four, six] = names.entry(spec.host.clone()).or_default();
            *four |= spec.family != Family::V6;
            *six |= spec.family != Family::V4;
        }
    }
    names
}

struct Asked {
    host: Box<str>,
    wanted: Wanted,
    settings: Resolver,
    asker: Option<Rc<Asker>>,
    shared: Arc<Shared>,
    keeper: KeeperLink,
    permits: Rc<Semaphore>,
    names: KnownNames,
}

async fn refresh_forever(asked: Asked) {
    let mut pause = PAUSE;
    let host = asked.host.clone();
    loop {
        let last = asked.names.answers.borrow().get(&host).map(|last| last.form.clone());
        let answered = Cell::new(None);
        // One family's addresses serve although the other family has not answered yet.
        let early = async |form: &Name, said: [Said; 2]| {
            answered.set(Some(Instant::now()));
            asked.learn(Some(form.clone()), said).await;
        };
        let said = {
            let _permit = asked.permits.acquire().await;
            match &asked.asker {
                Some(asker) => asker.ask(&host, asked.wanted, last.as_ref(), &early).await,
                None => Err("no resolver".into()),
            }
        };
        let (said, form) = said.unwrap_or_else(|error| (FAMILIES.map(|_| Said::Failed(error.clone())), None));
        let Merged { known, life, troubles } = asked.learn(form, said).await;
        let nobody = known.iter().all(Vec::is_empty);
        for FamilyFailure { family, error, kept } in &troubles {
            // A server that never knew anything about one family is no news each time.
            if *kept || nobody || pause == PAUSE {
                tracing::warn!(%host, %family, %error, kept, "name not resolved");
            }
        }
        // The life of an early answer began when it came.
        let waited = answered.get().map_or(Duration::ZERO, |at| at.elapsed());
        let life = life.map(|life| clamp(life, &asked.settings).saturating_sub(waited));
        if troubles.is_empty() {
            pause = PAUSE;
            sleep(life.unwrap_or(pause)).await;
        } else {
            let again = pause.mul_f64(0.75 + jitter::fraction() / 2.0);
            sleep(life.map_or(again, |life| life.min(again))).await;
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }
}

impl Asked {
    /// Takes an answer in, and reports the addresses if they have changed.
    async fn learn(&self, form: Option<Name>, said: [Said; 2]) -> Merged {
        let last = self.names.answers.borrow().get(&self.host).cloned();
        let merged = merge(still_good(last.as_ref(), form.as_ref()), said);
        self.names.note(&self.host, &merged);
        let is_news = last.as_ref().is_none_or(|last| last.known != merged.known);
        if let Some(form) = form.or(last.as_ref().map(|last| last.form.clone())) {
            if let Some(last) = last.filter(|last| is_news && last.form == form) {
                let both = [&last.known, &merged.known].map(|known| addresses(known, &self.settings));
                let live = self.shared.live.load_full();
                self.names.leaving.changed(&self.host, [&both[0], &both[1]], &live.snapshot, Instant::now());
            }
            let known = merged.known.clone();
            self.names.answers.borrow_mut().insert(self.host.clone(), Last { known, form });
        }
        if is_news {
            self.names.tell(&self.host, &self.settings, async |event| self.keeper.tell(event).await).await;
        }
        merged
    }
}

impl KnownNames {
    /// The addresses of a name that may serve: what DNS says, then what has left it and is still needed.
    fn reported(&self, host: &str, settings: &Resolver) -> Vec<IpAddr> {
        let mut all = self.current(host, settings);
        all.extend(self.leaving.of(host));
        all
    }

    /// The addresses of a name by DNS.
    fn current(&self, host: &str, settings: &Resolver) -> Vec<IpAddr> {
        self.answers.borrow().get(host).map(|last| addresses(&last.known, settings)).unwrap_or_default()
    }

    /// Reports the addresses of a name, also if there are none, so that no route waits for a first answer. Reporting
    /// takes time, so what changes meanwhile is reported once more: its own report may have been overtaken by this one.
    async fn tell(&self, host: &str, settings: &Resolver, mut tell: impl AsyncFnMut(Event)) {
        let mut told = None;
        loop {
            let addresses = self.reported(host, settings);
            if told.as_ref() == Some(&addresses) {
                return;
            }
            tell(Event::Resolved { host: host.into(), addresses: addresses.clone() }).await;
            told = Some(addresses);
        }
    }

    /// Lets the addresses go that have left DNS and are not needed any more.
    async fn settle(&self, shared: &Shared, settings: &Resolver, keeper: &KeeperLink) {
        let live = shared.live.load_full();
        let current = |host: &str| self.current(host, settings);
        for host in self.leaving.settle(&live.snapshot, current, Instant::now()) {
            self.tell(&host, settings, async |event| keeper.tell(event).await).await;
        }
    }

    /// Forgets the names for which `keep` is false.
    fn retain(&self, keep: impl Fn(&str) -> bool) {
        self.answers.borrow_mut().retain(|name, _| keep(name));
        self.unresolved.borrow_mut().retain(|name, _| keep(name));
        self.leaving.retain(keep);
    }

    /// Why a configured endpoint stands for no address; `None` if it is an IP address, or has the addresses of another
    /// endpoint of its pool.
    #[must_use]
    pub fn why_without_address(&self, spec: &EndpointSpec) -> Option<String> {
        if spec.host.parse::<IpAddr>().is_ok() {
            return None;
        }
        if let Some(why) = self.unresolved.borrow().get(&spec.host) {
            return Some(why.clone());
        }
        let answers = self.answers.borrow();
        let Some(last) = answers.get(&spec.host) else { return Some("the name is being asked for".into()) };
        let has_any = last.known.iter().flatten().any(|ip| spec.family.accepts(*ip));
        (!has_any).then(|| match spec.family {
            Family::V4 => "the name has no IPv4 address".into(),
            Family::V6 => "the name has no IPv6 address".into(),
            Family::Auto => "the name has no address".into(),
        })
    }

    /// Notes whether a name has an address, and if not, why.
    fn note(&self, host: &str, Merged { known, troubles, .. }: &Merged) {
        let mut unresolved = self.unresolved.borrow_mut();
        if !known.iter().all(Vec::is_empty) {
            unresolved.remove(host);
            return;
        }
        let why: BTreeSet<&str> = troubles.iter().map(|failure| &*failure.error).collect();
        let why = why.into_iter().collect::<Vec<_>>().join("; ");
        unresolved.insert(host.into(), if why.is_empty() { "the name has no address".into() } else { why });
    }
}

/// A failed lookup of one address family.
#[derive(Debug, PartialEq, Eq)]
struct FamilyFailure {
    family: RecordType,
    error: String,
    /// The family's last good addresses stay.
    kept: bool,
}

/// What is known after an answer.
#[derive(Debug)]
struct Merged {
    known: FamilyAddresses,
    /// How long the answer holds.
    life: Option<Duration>,
    troubles: Vec<FamilyFailure>,
}

/// The known addresses that stand beside a new answer: none if the answer is about another form of the name, which is
/// another name.
fn still_good(last: Option<&Last>, form: Option<&Name>) -> FamilyAddresses {
    let same = |last: &&Last| form.is_none_or(|form| *form == last.form);
    last.filter(same).map(|last| last.known.clone()).unwrap_or_default()
}

/// Merges an answer. Only an answer that says so empties a family, and never the last family with addresses: a name
/// without any address is more likely a mistake than intended.
fn merge(last: FamilyAddresses, said: [Said; 2]) -> Merged {
    let (mut known, mut life, mut troubles) = (last.clone(), None::<Duration>, Vec::new());
    let exists = said.iter().any(|said| matches!(said, Said::Found(..)));
    let asked = said.each_ref().map(|said| *said != Said::Unasked);
    for ((family, said), known) in FAMILIES.into_iter().zip(said).zip(&mut known) {
        let kept = !known.is_empty();
        let error = match said {
            Said::Found(addresses, span) => {
                *known = addresses;
                life = Some(life.map_or(span, |life| life.min(span)));
                continue;
            }
            Said::Nothing | Said::Unasked => {
                known.clear();
                continue;
            }
            // Some servers deny the name itself if they only lack records of this type (RFC 4074 section 4.2).
            Said::Unknown if exists && !kept => continue,
            Said::Unknown => "no such name".into(),
            Said::Failed(error) => error,
        };
        troubles.push(FamilyFailure { family, error, kept });
    }
    if known.iter().all(Vec::is_empty) {
        for ((family, last), asked) in FAMILIES.into_iter().zip(&last).zip(asked) {
            if asked && troubles.iter().all(|trouble| trouble.family != family) {
                troubles.push(FamilyFailure { family, error: "no addresses".into(), kept: !last.is_empty() });
            }
        }
        known = last;
    }
    Merged { known, life, troubles }
}

/// All addresses of a name that may serve.
fn addresses(known: &FamilyAddresses, settings: &Resolver) -> Vec<IpAddr> {
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
        let none: FamilyAddresses = Default::default();
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
            // A sleeping task needs to know how long.
            assert!(merged.life.is_some() || troubles > 0, "{what}");
        }
    }

    #[test]
    fn addresses_of_two_forms_of_a_name_are_not_mixed() {
        let [one, two] = ["api.one.test.", "api.two.test."].map(|form| Name::from_utf8(form).unwrap());
        let last = Last { known: [vec![ONE], vec![SIX]], form: one.clone() };
        for (last, form, expected) in [
            (Some(&last), None, last.known.clone()),
            (Some(&last), Some(&one), last.known.clone()),
            (Some(&last), Some(&two), FamilyAddresses::default()),
            (None, Some(&two), FamilyAddresses::default()),
        ] {
            assert_eq!(still_good(last, form), expected, "{form:?}");
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn an_answer_that_changes_while_it_is_reported_is_reported_again() {
        let last = |ip| Last { known: [vec![ip], vec![]], form: Name::root() };
        let known = KnownNames::default();
        known.answers.borrow_mut().insert("b".into(), last(ONE));
        let settings = Resolver {
            nameservers: Vec::new(),
            ttl_min: Duration::ZERO,
            ttl_max: Duration::ZERO,
            max_addresses: 9,
        };
        let mut told = Vec::new();
        known
            .tell("b", &settings, async |event| {
                let Event::Resolved { host, addresses } = event else { panic!() };
                told.push(format!("{host} {}", addresses[0]));
                if told.len() == 1 {
                    known.answers.borrow_mut().insert("b".into(), last(SIX));
                }
            })
            .await;
        assert_eq!(told, ["b 127.0.0.1", "b ::1"]);
    }

    #[test]
    fn a_family_that_no_endpoint_uses_is_not_missed() {
        let merged = merge(Default::default(), [Said::Found(vec![ONE], Duration::ZERO), Said::Unasked]);
        assert_eq!((merged.known, merged.troubles.len()), ([vec![ONE], vec![]], 0));
        let merged = merge([vec![ONE], vec![SIX]], [Said::Failed("servfail".into()), Said::Unasked]);
        assert_eq!((merged.known, merged.troubles.len()), ([vec![ONE], vec![]], 1));
        let merged = merge(Default::default(), [Said::Unasked, Said::Nothing]);
        assert_eq!((merged.known, merged.troubles.len()), (Default::default(), 1));
    }
}
