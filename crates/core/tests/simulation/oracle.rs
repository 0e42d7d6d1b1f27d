//! A second, slower and plainer computation of what the world should be after each event, written from the contract.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use thalweg_core::{
    Admin, Availability, Changes, Ejection, EndpointKey, Event, Fault, Order, PoolSlot, Probe, Publish,
    Snapshot, Stage, Tick, Topology,
};

use crate::flaps::Used;
use crate::records::{
    Checked, ExpectedEndpoint, ExpectedPool, ExpectedStanding, Loss, availability, must, shown as follows,
};

/// An event that the world was given, and the changes that it reported.
#[derive(Clone, Copy)]
pub(crate) struct Heard<'a> {
    pub(crate) event: &'a Event,
    pub(crate) changes: &'a Changes,
    pub(crate) now: Tick,
}

/// The world as it should be.
#[derive(Default)]
pub(crate) struct Oracle {
    pub(crate) topology: Arc<Topology>,
    pub(crate) generation: u64,
    pub(crate) names: BTreeMap<Box<str>, BTreeSet<IpAddr>>,
    /// The config in force, without the orders; `topology` has them.
    pub(crate) configured: Arc<Topology>,
    pub(crate) orders: Vec<Order>,
    /// Drain deadlines up to this tick have passed.
    pub(crate) passed: Tick,
    /// The endpoints in layout order, each with the index of its pool and of its entry, and its weight.
    pub(crate) slots: Vec<(EndpointKey, (usize, usize, u32))>,
    pub(crate) records: Vec<ExpectedEndpoint>,
    pub(crate) tallies: Vec<ExpectedPool>,
    pub(crate) standings: BTreeMap<(Box<str>, Box<str>), ExpectedStanding>,
    /// A lower bound of the penalty of each pool on a route, and when it was that.
    pub(crate) losses: BTreeMap<Used, (f64, Tick)>,
    /// The pools that the last event made flap.
    pub(crate) flapping: Vec<Used>,
    /// Since when routes are frozen.
    pub(crate) frozen: BTreeMap<Box<str>, Tick>,
    /// The pools of each route that had a share at stage Up after the last event.
    pub(crate) served: Vec<BTreeSet<PoolSlot>>,
    /// Since when the nearness of a pool on a route contradicts its latency.
    pub(crate) wrong: BTreeMap<(Box<str>, Box<str>), (Tick, bool)>,
    /// The endpoint of each id, for ever.
    ids: BTreeMap<u32, EndpointKey>,
    pub(crate) rounds: BTreeSet<Box<str>>,
    pub(crate) last: Option<Snapshot>,
    /// Ejections from Clear.
    pub(crate) ejected: Vec<(Tick, EndpointKey)>,
    /// What each pool lost since its last incident.
    pub(crate) lost: BTreeMap<Box<str>, Loss>,
    /// Endpoints that the last event ejected or released.
    pub(crate) moved: usize,
    /// When the last config came.
    pub(crate) adopted: Tick,
    /// The checker is suspected.
    pub(crate) checker_suspected: bool,
}

impl Oracle {
    pub(crate) fn slot_of(&self, key: &EndpointKey) -> Option<usize> {
        self.slots.iter().position(|(slot, _)| slot == key)
    }

    /// Takes in what the world is about to be told. `key` is the endpoint of the event.
    pub(crate) fn hear(&mut self, event: &Event, key: Option<&EndpointKey>, now: Tick) {
        let slot = key.and_then(|key| self.slot_of(key));
        match event {
            Event::Adopted { topology, generation } => {
                (self.generation, self.adopted) = (*generation, now);
                self.served = Vec::new();
                self.carry_standings(topology);
                self.configured = Arc::clone(topology);
                self.expire_orders(now);
                self.drop_orphans();
                self.freeze_routes(now);
                self.lay_out(self.as_ordered());
                self.expect_suspicion(now);
            }
            Event::Resolved { host, addresses } => {
                let used = self
                    .topology
                    .pools
                    .iter()
                    .flat_map(|pool| &pool.endpoints)
                    .any(|spec| spec.host == *host);
                if used {
                    self.names.insert(host.clone(), addresses.iter().copied().collect());
                    self.lay_out(Arc::clone(&self.topology));
                    self.expect_suspicion(now);
                }
            }
            Event::Probed { result, .. } => {
                if let Some(slot) = slot {
                    self.hear_probe(slot, result.as_ref().err().map(|evidence| evidence.fault), now);
                }
            }
            Event::Said { said, .. } => {
                let weighs = |slot: &usize| {
                    let rules = self.topology.pools[self.slots[*slot].1.0].probe.as_ref();
                    rules.is_some_and(|rules| rules.weight_from_body)
                };
                if let Some(slot) = slot.filter(weighs) {
                    self.records[slot].said = Some(said.percent);
                }
            }
            Event::Ordered(_) | Event::Restored(_) | Event::Cancelled(_) => self.hear_order(event, now),
            Event::FailbackOrdered { route } => self.end_waits(route, now),
            Event::Ticked => self.let_orders_pass(now),
            Event::Latched { .. } | Event::Tallied(_) | Event::Suspected { .. } => {}
        }
    }

    fn hear_probe(&mut self, slot: usize, fault: Option<Fault>, now: Tick) {
        let Some(rules) = self.topology.pools[self.slots[slot].1.0].probe.clone() else { return };
        let round = self.round();
        let record = &mut self.records[slot];
        let (before, was) = (record.probe, availability(record));
        let sent = Tick(now.0.saturating_sub(rules.timeout.as_micros() as u64));
        record.probed = true;
        record.heard = record.heard.max(now);
        // While real requests are answered, a timeout says nothing about the endpoint.
        if fault == Some(Fault::Timeout) && record.file.last_good.is_some_and(|good| good >= sent) {
            return;
        }
        record.probe = record.next_probe(fault, &rules, now);
        let after = record.probe;
        if before != after && (before.serves() != after.serves() || after == Probe::Unhealthy) {
            let counts = before.serves() || now.since(self.adopted) <= round;
            record.fell = (after == Probe::Unhealthy && counts).then_some(now);
            if was == Availability::Up && after == Probe::Unhealthy {
                self.lose(slot, now);
            }
            self.expect_suspicion(now);
        }
    }

    pub(crate) fn lay_out(&mut self, topology: Arc<Topology>) {
        let hosts: BTreeSet<&str> =
            topology.pools.iter().flat_map(|pool| &pool.endpoints).map(|spec| &*spec.host).collect();
        self.names.retain(|host, _| hosts.contains(&**host));
        let was_probed: BTreeMap<Box<str>, bool> =
            self.topology.pools.iter().map(|pool| (pool.name.clone(), pool.probe.is_some())).collect();
        let mut before: BTreeMap<EndpointKey, ExpectedEndpoint> =
            self.slots.drain(..).map(|(key, _)| key).zip(self.records.drain(..)).collect();
        for (nth, pool) in topology.pools.iter().enumerate() {
            for (entry, spec) in pool.endpoints.iter().enumerate() {
                let ips: Vec<IpAddr> = match spec.host.parse() {
                    Ok(ip) => vec![ip],
                    Err(_) => self.names.get(&spec.host).into_iter().flatten().copied().collect(),
                };
                for ip in ips {
                    let address = SocketAddr::new(ip, spec.port);
                    let key = EndpointKey { pool: Arc::from(&*pool.name), address };
                    if self.slots.iter().any(|(slot, _)| *slot == key) {
                        continue;
                    }
                    let same = was_probed.get(&pool.name) == Some(&pool.probe.is_some());
                    let fresh = match pool.probe {
                        Some(_) => ExpectedEndpoint::default(),
                        None => ExpectedEndpoint {
                            probe: Probe::Healthy,
                            probed: true,
                            ..ExpectedEndpoint::default()
                        },
                    };
                    // A change of probing does not change what requests showed.
                    let mut record = match before.remove(&key) {
                        Some(old) if same => old,
                        Some(old) => ExpectedEndpoint { ejection: old.ejection, file: old.file, ..fresh },
                        None => fresh,
                    };
                    let weighs = pool.probe.as_ref().is_some_and(|rules| rules.weight_from_body);
                    record.said = record.said.filter(|_| weighs);
                    record.admin = self.admin(&topology.pools[nth], &spec.host, address);
                    self.slots.push((key, (nth, entry, spec.weight)));
                    self.records.push(record);
                }
            }
        }
        let window = self.longest_window();
        self.topology = topology;
        if window != self.longest_window() {
            // Counts over another window cannot be compared: a reload may cost nothing else.
            self.records.iter_mut().for_each(|record| record.file.samples.clear());
        }
        let slots = &self.slots;
        self.ejected.retain(|(_, key)| slots.iter().any(|(slot, _)| slot == key));
    }

    pub(crate) fn tally(&mut self) {
        let mut tallies = vec![ExpectedPool::default(); self.topology.pools.len()];
        for ((_, (pool, ..)), record) in self.slots.iter().zip(&self.records) {
            let tally = &mut tallies[*pool];
            let enabled = record.admin == Admin::Enabled;
            tally.enabled += u32::from(enabled);
            match record.ejection {
                Ejection::Clear => tally.answering += u32::from(enabled && !record.refusing),
                Ejection::Probation => tally.proving += u32::from(enabled && !record.refusing),
                Ejection::Ejected { .. } => {}
            }
            tally.out += u32::from(enabled && record.ejection != Ejection::Clear);
            tally.up += u32::from(availability(record) == Availability::Up);
            tally.unproven += u32::from(availability(record) == Availability::Unproven);
        }
        for (tally, pool) in tallies.iter_mut().zip(&self.topology.pools) {
            let proven = f64::from(tally.enabled - tally.unproven);
            tally.below_threshold = tally.up == 0 || f64::from(tally.up) / proven < pool.panic_threshold;
        }
        self.tallies = tallies;
    }

    /// Compares the world's snapshot with what should be.
    pub(crate) fn judge(&mut self, new: &Snapshot, again: &Snapshot, heard: Heard<'_>) -> Checked {
        let Heard { event, changes, now } = heard;
        self.accept_clear(new, now);
        self.tally();
        self.hear_losses(event, &changes.log, now)?;
        self.judge_endpoints(new)?;
        self.judge_slow_starts(new, now)?;
        self.judge_orders(new, now)?;
        self.judge_twins(new, again)?;
        for route in 0..self.topology.routes.len() {
            self.judge_shares(new, route).map_err(|what| format!("route {route}: {what}"))?;
            self.judge_held(new, route, now).map_err(|what| format!("route {route}: {what}"))?;
            self.judge_damping(new, route, now, matches!(event, Event::Ticked))
                .map_err(|what| format!("route {route}: {what}"))?;
            self.judge_round(new, route).map_err(|what| format!("route {route}: {what}"))?;
            self.judge_near(new, route, now).map_err(|what| format!("route {route}: {what}"))?;
        }
        self.judge_publish(new, changes.publish)?;
        self.served = new
            .routes
            .iter()
            .map(|view| match view.shares.stage {
                Stage::Up => view.shares.segments.iter().map(|s| s.pool).collect(),
                _ => BTreeSet::new(),
            })
            .collect();
        self.last = Some(new.clone());
        Ok(())
    }

    fn judge_endpoints(&mut self, new: &Snapshot) -> Checked {
        must(new.generation == self.generation, || "the generation is another".into())?;
        must(new.checker_suspected == self.checker_suspected, || {
            format!("checker suspected should be {}", self.checker_suspected)
        })?;
        let places = &new.layout.endpoints;
        must(places.len() == self.slots.len() && places.len() == new.endpoints.len(), || {
            format!("{} endpoints instead of {}", places.len(), self.slots.len())
        })?;
        let shown = places.iter().zip(&new.endpoints);
        for ((place, view), ((key, at), record)) in shown.zip(self.slots.iter().zip(&self.records)) {
            let where_to = (place.pool.index(), place.spec.index(), place.weight);
            must(place.address == key.address && where_to == *at, || format!("{key:?} is misplaced"))?;
            must(view.availability == follows(view), || {
                format!("{key:?}: the axes and the availability disagree")
            })?;
            let part = record.part();
            must((view.scale.as_f64() - part).abs() <= 0.001, || format!("{key:?}: {part}, not {view:?}"))?;
            let is = (view.probe, view.admin, view.refusing, view.availability);
            let should = (record.probe, record.admin, record.refusing, availability(record));
            must(view.ejection == record.ejection, || {
                format!("{key:?} is {:?}, should be {:?}", view.ejection, record.ejection)
            })?;
            let since = (record.ejection == Ejection::Probation).then_some(record.file.since);
            must(view.probation_since == since, || format!("{key:?} is tried since {since:?}: {view:?}"))?;
            must(is == should, || format!("{key:?} is {is:?}, should be {should:?}"))?;
            must(view.latency_us.is_some() == record.measured, || format!("{key:?}: latency"))?;
            let owner = self.ids.entry(place.id.0).or_insert_with(|| key.clone());
            must(owner == key, || format!("id {:?} was {owner:?} and is {key:?}", place.id))?;
        }
        for (pool, (view, tally)) in new.pools.iter().zip(&self.tallies).enumerate() {
            let is = ExpectedPool {
                enabled: view.enabled,
                up: view.up,
                unproven: view.unproven,
                answering: view.answering,
                proving: view.proving,
                out: view.out,
                below_threshold: view.below_threshold,
            };
            must(is == *tally, || format!("pool {pool} is {is:?}, should be {tally:?}"))?;
        }
        Ok(())
    }

    /// Only what is Up and may start slowly does, and its part follows its line.
    fn judge_slow_starts(&self, new: &Snapshot, now: Tick) -> Checked {
        for (place, view) in new.layout.endpoints.iter().zip(&new.endpoints) {
            let Some(start) = view.slow_start else { continue };
            let users = self
                .topology
                .routes
                .iter()
                .filter(|route| route.pools.iter().any(|member| member.pool == place.pool));
            let over = users.map(|route| route.failback.slow_start).max().unwrap_or_default();
            let left = start.until.map_or(Duration::ZERO, |until| until.since(now));
            let line = 1.0 - left.as_secs_f64() / over.as_secs_f64();
            let fits = view.availability == Availability::Up && (start.part - line).abs() <= 0.011;
            must(fits, || format!("{place:?} starts slowly: {view:?} instead of {line}"))?;
        }
        Ok(())
    }

    fn judge_twins(&self, new: &Snapshot, again: &Snapshot) -> Checked {
        must(again.revision == new.revision + 1, || "a revision was skipped".into())?;
        let same = new.endpoints == again.endpoints && new.pools == again.pools && new.routes == again.routes;
        must(same && Arc::ptr_eq(&new.layout, &again.layout), || "two snapshots of one world differ".into())
    }

    /// The time in which the probes find every endpoint that fails.
    pub(crate) fn round(&self) -> Duration {
        let rules = self.topology.pools.iter().filter_map(|pool| pool.probe.as_ref());
        let round =
            rules.map(|rules| rules.interval * 11 / 10 + (rules.timeout + rules.confirm) * rules.fall);
        round.max().unwrap_or_default()
    }

    /// Nothing is Up on the route, and some endpoint is unproven.
    pub(crate) fn is_unproven(&self, route: usize) -> bool {
        let tallies =
            || self.topology.routes[route].pools.iter().map(|member| &self.tallies[member.pool.index()]);
        tallies().all(|tally| tally.up == 0) && tallies().any(|tally| tally.unproven > 0)
    }

    /// Health does not count on the route: some endpoint could serve, and every pool is below its threshold.
    pub(crate) fn panics(&self, route: usize) -> bool {
        let tallies =
            || self.topology.routes[route].pools.iter().map(|member| &self.tallies[member.pool.index()]);
        let served = tallies().any(|tally| tally.enabled > 0);
        served && tallies().all(|tally| tally.below_threshold) && !self.is_unproven(route)
    }

    fn judge_shares(&self, new: &Snapshot, nth: usize) -> Checked {
        let route = &self.topology.routes[nth];
        let shares = &new.routes[nth].shares;
        let tallies = || route.pools.iter().map(|member| &self.tallies[member.pool.index()]);
        let served = tallies().any(|tally| tally.enabled > 0);
        let panic = self.panics(nth);
        must((shares.stage == Stage::Panic) == panic, || format!("panic should be {panic}: {shares:?}"))?;
        must((shares.stage == Stage::Unproven) == self.is_unproven(nth), || format!("stage: {shares:?}"))?;
        must(shares.segments.is_empty() != served, || format!("the wrong pools serve: {shares:?}"))?;
        let mut from = 0;
        for segment in &shares.segments {
            must(segment.end > from, || "a segment without width".into())?;
            from = segment.end;
            let member = route.pools[segment.entry.index()];
            must(member.pool == segment.pool, || "a segment of another pool".into())?;
            let tally = self.tallies[member.pool.index()];
            let can = match shares.stage {
                Stage::Up => !tally.below_threshold,
                Stage::Unproven => tally.unproven > 0,
                Stage::Panic => tally.enabled > 0,
            };
            must(can, || format!("a share for a pool that cannot serve: {tally:?}"))?;
        }
        must(!served || from == 1 << 32, || "shares do not add up".into())?;
        for (member, memory) in route.pools.iter().zip(&new.routes[nth].pools) {
            let tally = self.tallies[member.pool.index()];
            must(!memory.near || (!tally.below_threshold && !memory.held && route.band.is_some()), || {
                format!("near, but not there: {tally:?} {memory:?}")
            })?;
        }
        Ok(())
    }

    fn judge_publish(&self, new: &Snapshot, publish: Publish) -> Checked {
        let Some(old) = &self.last else { return Ok(()) };
        if !Arc::ptr_eq(&old.layout, &new.layout) {
            return must(publish > Publish::No, || "a new layout stays unpublished".into());
        }
        let states = |snapshot: &Snapshot| -> Vec<_> {
            snapshot.endpoints.iter().map(|view| (view.availability, view.refusing)).collect()
        };
        let lost =
            old.endpoints.iter().zip(&new.endpoints).any(|(old, new)| {
                old.availability == Availability::Up && new.availability != Availability::Up
            });
        must(!lost || publish == Publish::Now, || "a loss is not published at once".into())?;
        let changed = states(old) != states(new) || old.routes != new.routes || old.orders != new.orders;
        must(!changed || publish > Publish::No, || "a change stays unpublished".into())
    }
}
