//! Addresses that have left DNS and serve on until the name's new ones are proven. Asks no server and probes nothing.
//!
//! Why they are kept: a new address serves only after its probes have proven it, so a pool that drops the old ones at
//! once has nothing to serve with for that time, and its requests go to the next region although nothing is dead. An
//! address that has left DNS is not dead; Envoy keeps such hosts while their checks succeed, too. Here the time is
//! bounded, because an address may be given to another tenant.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    rc::Rc,
    time::Duration,
};

use thalweg_core::{Availability, EndpointView, Place, PoolSlot, Probe, Slot, Snapshot};
use tokio::time::Instant;

/// Longest time that an address serves after it has left DNS.
const LONGEST: Duration = Duration::from_secs(60);
/// Most such addresses of one name.
const MOST: usize = 64;

/// Addresses, each with the moment at which it must go.
type Until = BTreeMap<IpAddr, Instant>;

/// The addresses that have left DNS and still serve, by name.
#[derive(Clone, Debug, Default)]
pub struct Leaving(Rc<RefCell<BTreeMap<Box<str>, Until>>>);

impl Leaving {
    /// Whether an address of a name serves although it has left DNS.
    #[must_use]
    pub fn has(&self, host: &str, ip: IpAddr) -> bool {
        self.0.borrow().get(host).is_some_and(|leaving| leaving.contains_key(&ip))
    }

    /// The addresses of a name that serve although they have left DNS.
    pub(super) fn of(&self, host: &str) -> Vec<IpAddr> {
        self.0.borrow().get(host).map(|leaving| leaving.keys().copied().collect()).unwrap_or_default()
    }

    /// The name has these addresses `now`, and had others `before`: those that serve stay for a while.
    pub(super) fn changed(
        &self,
        host: &str,
        [before, after]: [&[IpAddr]; 2],
        snapshot: &Snapshot,
        now: Instant,
    ) {
        let mut all = self.0.borrow_mut();
        let leaving = all.entry(host.into()).or_default();
        leaving.retain(|ip, _| !after.contains(ip));
        let up: BTreeSet<IpAddr> =
            members(snapshot, host).filter(is_up).map(|(place, _)| ip_of(place)).collect();
        for ip in before.iter().filter(|ip| !after.contains(ip) && up.contains(ip)) {
            if leaving.len() < MOST {
                leaving.entry(*ip).or_insert(now + LONGEST);
            }
        }
        all.retain(|_, leaving| !leaving.is_empty());
    }

    /// Lets the addresses go that are not needed any more: all of a name whose `current` ones are proven, and each that
    /// does not serve or has served long enough. Returns the names that have lost some.
    pub(super) fn settle(
        &self,
        snapshot: &Snapshot,
        current: impl Fn(&str) -> Vec<IpAddr>,
        now: Instant,
    ) -> Vec<Box<str>> {
        let mut changed = Vec::new();
        self.0.borrow_mut().retain(|host, leaving| {
            let before = leaving.len();
            if is_settled(snapshot, host, &current(host)) {
                leaving.clear();
            } else {
                let up: BTreeSet<IpAddr> =
                    members(snapshot, host).filter(is_up).map(|(place, _)| ip_of(place)).collect();
                leaving.retain(|ip, until| *until > now && up.contains(ip));
            }
            if leaving.len() < before {
                tracing::info!(%host, gone = before - leaving.len(), left = leaving.len(), "old addresses let go");
                changed.push(host.clone());
            }
            !leaving.is_empty()
        });
        changed
    }

    /// When the next address must go.
    pub(super) fn due(&self) -> Option<Instant> {
        self.0.borrow().values().flat_map(BTreeMap::values).min().copied()
    }

    /// Forgets the names for which `keep` is false.
    pub(super) fn retain(&self, keep: impl Fn(&str) -> bool) {
        self.0.borrow_mut().retain(|host, _| keep(host));
    }
}

type Member<'a> = (&'a Place, &'a EndpointView);

/// The endpoints of every pool that come from this name.
fn members<'a>(snapshot: &'a Snapshot, host: &'a str) -> impl Iterator<Item = Member<'a>> {
    let of_host = move |(place, _): &Member<'_>| {
        let spec = snapshot.pool(place.pool).and_then(|pool| pool.endpoints.get(place.spec.index()));
        spec.is_some_and(|spec| *spec.host == *host)
    };
    snapshot.layout.endpoints.iter().zip(snapshot.endpoints.iter()).filter(of_host)
}

fn is_up((_, view): &Member<'_>) -> bool {
    view.availability == Availability::Up
}

fn ip_of(place: &Place) -> IpAddr {
    place.address.ip()
}

/// Whether each pool of the name knows what its present addresses are worth, and has one of them that serves.
fn is_settled(snapshot: &Snapshot, host: &str, current: &[IpAddr]) -> bool {
    let pools = snapshot.layout.topology.pools.iter().enumerate();
    pools.filter(|(_, pool)| pool.endpoints.iter().any(|spec| *spec.host == *host)).all(|(nth, pool)| {
        let views: BTreeMap<SocketAddr, &EndpointView> = snapshot
            .endpoints_of(PoolSlot::at(nth))
            .map(|member| (member.place.address, member.view))
            .collect();
        let specs = pool.endpoints.iter().filter(|spec| *spec.host == *host);
        let wanted = specs.flat_map(|spec| {
            let ips = current.iter().filter(|ip| spec.family.accepts(**ip));
            ips.map(|ip| SocketAddr::new(*ip, spec.port))
        });
        let found: Option<Vec<&EndpointView>> = wanted.map(|address| views.get(&address).copied()).collect();
        // An address that the snapshot does not have yet is not proven.
        found.is_some_and(|found| {
            let is_known = |view: &&&EndpointView| view.probe != Probe::Unknown;
            let serves = found.iter().any(|view| view.availability == Availability::Up);
            serves && found.iter().filter(is_known).count() == found.len()
        })
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use thalweg_core::{EndpointSpec, Event, Evidence, Fault, Pool, ProbeRules, Tick, Topology, World};

    const HOST: &str = "n.test";

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    /// One pool of the name, with these addresses.
    fn world(ips: &[IpAddr], probed: bool) -> World {
        let endpoints =
            vec![EndpointSpec { host: HOST.into(), port: 80, weight: 1, family: Default::default() }];
        let probe = probed.then(|| ProbeRules { rise: 1, fall: 1, ..ProbeRules::default() });
        let pool = Pool { name: "p".into(), endpoints, probe, ..Pool::default() };
        let topology = Arc::new(Topology { pools: vec![pool], routes: Vec::new() });
        let mut world = World::default();
        world.apply(Event::Adopted { topology, generation: 1 }, Tick(0));
        resolve(&mut world, ips);
        world
    }

    fn resolve(world: &mut World, ips: &[IpAddr]) {
        world.apply(Event::Resolved { host: HOST.into(), addresses: ips.to_vec() }, Tick(0));
    }

    fn probe(world: &mut World, ip: IpAddr, ok: bool) {
        let place = world.layout().endpoints.iter().find(|place| place.address.ip() == ip);
        let id = place.expect("an endpoint").id;
        let failed = || Evidence { fault: Fault::Refused, detail: "".into() };
        let result = if ok { Ok(Duration::from_millis(1)) } else { Err(failed()) };
        world.apply(Event::Probed { id, result }, Tick(1));
    }

    /// Addresses 1 and 2 serve; then DNS names `after`, and each of `probes` ends. What still serves of 1 and 2?
    fn check(what: &str, after: &[u8], probes: &[(u8, bool)], expected: &[u8]) {
        let now = Instant::now();
        let [before, after] =
            [[1, 2].map(ip).to_vec(), after.iter().map(|last| ip(*last)).collect::<Vec<_>>()];
        let mut world = world(&before, true);
        before.iter().for_each(|ip| probe(&mut world, *ip, true));
        let leaving = Leaving::default();
        leaving.changed(HOST, [&before, &after], &world.snapshot(), now);
        let all: Vec<IpAddr> = after.iter().copied().chain(leaving.of(HOST)).collect();
        // The rotation is not settled before the world knows the new addresses.
        let _ = leaving.settle(&world.snapshot(), |_| after.clone(), now);
        resolve(&mut world, &all);
        for (last, ok) in probes {
            probe(&mut world, ip(*last), *ok);
        }
        let _ = leaving.settle(&world.snapshot(), |_| after.clone(), now);
        let expected: Vec<IpAddr> = expected.iter().map(|last| ip(*last)).collect();
        assert_eq!(leaving.of(HOST), expected, "{what}");
        leaving.settle(&world.snapshot(), |_| after.clone(), now + LONGEST);
        assert!(leaving.of(HOST).is_empty(), "{what}: not for ever");
    }

    #[test]
    fn old_addresses_serve_until_the_new_ones_are_proven() {
        check("new ones are not probed yet", &[3, 4], &[], &[1, 2]);
        check("one of two is proven", &[3, 4], &[(3, true)], &[1, 2]);
        check("both are proven", &[3, 4], &[(3, true), (4, true)], &[]);
        check("one is proven, one is dead", &[3, 4], &[(3, true), (4, false)], &[]);
        check("both are dead", &[3, 4], &[(3, false), (4, false)], &[1, 2]);
        check("a part stays", &[2, 3], &[], &[1]);
        check("a part stays, the new one is proven", &[2, 3], &[(3, true)], &[]);
        check("fewer than before", &[2], &[], &[]);
        check("an old one dies", &[3, 4], &[(1, false)], &[2]);
    }

    #[test]
    fn an_address_that_never_served_is_not_kept() {
        let leaving = Leaving::default();
        let mut unproven = world(&[ip(1)], true);
        leaving.changed(HOST, [&[ip(1)], &[ip(2)]], &unproven.snapshot(), Instant::now());
        assert_eq!(leaving.due(), None);
        // Without a probe every address serves at once, so the old ones are not needed.
        let mut trusted = world(&[ip(1)], false);
        leaving.changed(HOST, [&[ip(1)], &[ip(2)]], &trusted.snapshot(), Instant::now());
        assert!(leaving.has(HOST, ip(1)));
        resolve(&mut trusted, &[ip(2), ip(1)]);
        let gone = leaving.settle(&trusted.snapshot(), |_| vec![ip(2)], Instant::now());
        assert_eq!((gone.len(), leaving.due()), (1, None));
        // What DNS names again does not leave.
        leaving.changed(HOST, [&[ip(2)], &[ip(1)]], &trusted.snapshot(), Instant::now());
        leaving.changed(HOST, [&[ip(1)], &[ip(2)]], &trusted.snapshot(), Instant::now());
        assert!(!leaving.has(HOST, ip(2)));
    }
}
