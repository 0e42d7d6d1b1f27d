//! Orders of the operator: which are given in the simulation, and a plain computation of what they should do.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use thalweg_core::{
    Action, Admin, DrainTarget, Event, Moment, Order, OrderId, OrderProblem, Pool, Snapshot, Tick, Topology,
};

use crate::{
    oracle::Oracle,
    records::{Checked, must},
    story::Story,
};

impl Story {
    /// Gives an order, if it may be given, or takes one back.
    pub(crate) fn order(&mut self) -> Result<(), String> {
        let standing: Vec<OrderId> = self.oracle.orders.iter().map(|order| order.id).collect();
        if !standing.is_empty() && self.rng.percent(45) {
            let id = self.rng.pick(&standing);
            return self.apply(Event::Cancelled(id), None);
        }
        let Some(action) = self.action() else { return Ok(()) };
        let forced = self.rng.percent(30);
        let before = self.oracle.well_off();
        match self.subject.judge_order(&action, forced, self.now) {
            Ok(()) => {}
            Err(OrderProblem::LastToServe { .. }) => return Ok(()),
            Err(OrderProblem::TooLittleCapacity { .. })
                if !forced && matches!(action, Action::Evacuate { .. }) =>
            {
                return Ok(());
            }
            Err(problem) => return Err(format!("an order is refused: {problem:?}")),
        }
        self.last_order += 1;
        let mut order = Order::new(OrderId(self.last_order), action, self.moment(Duration::ZERO));
        order.forced = forced;
        let seconds = self.rng.pick(&[0, 0, 1, 5, 60]);
        order.until = (seconds > 0).then(|| self.moment(Duration::from_secs(seconds)));
        self.apply(Event::Ordered(order), None)?;
        self.oracle.tally();
        let worse = self.oracle.well_off().iter().zip(&before).any(|(after, before)| after < before);
        must(forced || !worse, || "an order took out the last that serves".into())
    }

    fn action(&mut self) -> Option<Action> {
        let (_, key) = self.any_endpoint()?;
        let route = self.rng.below(self.oracle.configured.routes.len());
        let route = &self.oracle.configured.routes[route];
        let member = route.pools[self.rng.below(route.pools.len())];
        let (route, used) =
            (route.name.clone(), self.oracle.configured.pools[member.pool.index()].name.clone());
        let pool: Box<str> = key.pool.as_ref().into();
        let region = self.oracle.configured.pools.iter().find(|one| one.name == pool)?.region.clone();
        let deadline = self.rng.pick(&[None, None, Some(1), Some(20)]);
        let deadline = deadline.map(|seconds| self.moment(Duration::from_secs(seconds)));
        let (host, port) = (key.address.ip().to_string().into(), key.address.port());
        Some(match self.rng.below(9) {
            0 | 1 => Action::Drain { target: DrainTarget::Endpoint { pool, host, port }, deadline },
            2 => Action::Drain { target: DrainTarget::Pool(pool), deadline },
            3 => Action::Drain { target: DrainTarget::Region(region), deadline },
            4 => Action::Dial { pool, percent: self.rng.pick(&[0, 30, 100]) },
            5 => Action::Weight { route, pool: used, weight: self.rng.pick(&[0, 1, 4]) },
            6 => Action::Evacuate { region },
            _ => Action::Freeze { route: self.rng.percent(50).then_some(route) },
        })
    }

    fn moment(&self, span: Duration) -> Moment {
        let at = self.now.after(span);
        Moment { at, unix_ms: at.0 / 1000 }
    }
}

impl Oracle {
    /// Takes in an order, or its end.
    pub(crate) fn hear_order(&mut self, event: &Event, now: Tick) {
        match event {
            Event::Ordered(order) => self.orders.push(order.clone()),
            Event::Restored(orders) => self.orders.extend(orders.iter().cloned()),
            Event::Cancelled(id) => self.orders.retain(|order| order.id != *id),
            _ => return,
        }
        if !matches!(event, Event::Cancelled(_)) {
            self.expire_orders(now);
        }
        self.follow_orders(now);
    }

    /// Time has passed for the orders.
    pub(crate) fn let_orders_pass(&mut self, now: Tick) {
        let deadline = |order: &Order| match order.action {
            Action::Drain { deadline, .. } => deadline.map(|deadline| deadline.at),
            _ => None,
        };
        let due = |order: &Order| {
            let late = deadline(order).is_some_and(|at| at > self.passed && at <= now);
            late || order.until.is_some_and(|until| until.at <= now)
        };
        if self.orders.iter().any(due) {
            self.expire_orders(now);
            self.follow_orders(now);
        }
    }

    pub(crate) fn expire_orders(&mut self, now: Tick) {
        self.passed = now;
        self.orders.retain(|order| order.until.is_none_or(|until| until.at > now));
    }

    /// Drops the orders whose target is not in the config.
    pub(crate) fn drop_orphans(&mut self) {
        let config = Arc::clone(&self.configured);
        self.orders.retain(|order| has_target(&config, &order.action));
    }

    fn follow_orders(&mut self, now: Tick) {
        self.freeze_routes(now);
        let topology = self.as_ordered();
        if topology != self.topology {
            self.lay_out(topology);
            self.expect_suspicion(now);
            return;
        }
        for slot in 0..self.slots.len() {
            let (key, (pool, entry, _)) = &self.slots[slot];
            let pool = &topology.pools[*pool];
            self.records[slot].admin = self.admin(pool, &pool.endpoints[*entry].host, key.address);
        }
    }

    /// The config with the orders in it.
    pub(crate) fn as_ordered(&self) -> Arc<Topology> {
        let mut topology = (*self.configured).clone();
        for route in &mut topology.routes {
            for member in &mut route.pools {
                let pool = &self.configured.pools[member.pool.index()];
                for Order { action, .. } in &self.orders {
                    match action {
                        Action::Dial { pool: name, percent } if *name == pool.name => member.dial = *percent,
                        Action::Weight { route: on, pool: name, weight }
                            if *on == route.name && *name == pool.name =>
                        {
                            member.weight = *weight;
                        }
                        _ => {}
                    }
                }
                let gone = |order: &Order| matches!(&order.action, Action::Evacuate { region } if *region == pool.region);
                if self.orders.iter().any(gone) {
                    member.dial = 0;
                }
            }
        }
        Arc::new(topology)
    }

    /// What is ordered for one endpoint.
    pub(crate) fn admin(&self, pool: &Pool, spec: &str, address: SocketAddr) -> Admin {
        let mut admin = Admin::Enabled;
        for order in &self.orders {
            let Action::Drain { target, deadline } = &order.action else { continue };
            let covered = match target {
                DrainTarget::Pool(name) => *name == pool.name,
                DrainTarget::Region(region) => *region == pool.region,
                DrainTarget::Endpoint { pool: name, host, port } => {
                    let here = **host == *address.ip().to_string() || **host == *spec;
                    *name == pool.name && *port == address.port() && here
                }
            };
            if covered && deadline.is_some_and(|deadline| deadline.at <= self.passed) {
                return Admin::Disabled;
            }
            if covered {
                admin = Admin::Draining;
            }
        }
        admin
    }

    pub(crate) fn judge_orders(&self, new: &Snapshot, now: Tick) -> Checked {
        must(*new.orders == self.orders, || {
            format!("these orders stand: {:?}, these should: {:?}", new.orders, self.orders)
        })?;
        let overdue = |order: &&Order| order.until.is_some_and(|until| until.at <= self.passed.min(now));
        let late = new.orders.iter().find(overdue);
        must(late.is_none(), || format!("an order stands after its time: {late:?}"))
    }

    /// For each route: 3 = a pool that no order has taken out is Up, 2 = one is unproven, 1 = one is enabled, 0 = none.
    fn well_off(&self) -> Vec<u8> {
        let level = |nth: usize| {
            let (is, was) = (&self.topology.routes[nth], &self.configured.routes[nth]);
            let given = is
                .pools
                .iter()
                .zip(&was.pools)
                .filter(|(is, was)| !(is.dial == 0 && was.dial > 0 || is.weight == 0 && was.weight > 0));
            let tallies: Vec<_> = given.map(|(is, _)| self.tallies[is.pool.index()]).collect();
            let any_up = tallies.iter().any(|tally| tally.up > 0);
            match () {
                () if tallies.iter().any(|tally| !tally.below_threshold) => 3,
                () if !any_up && tallies.iter().any(|tally| tally.unproven > 0) => 2,
                () if tallies.iter().any(|tally| tally.enabled > 0) => 1,
                () => 0,
            }
        };
        (0..self.configured.routes.len()).map(level).collect()
    }
}

fn has_target(config: &Topology, action: &Action) -> bool {
    let pool = |name: &str| config.pools.iter().find(|pool| *pool.name == *name);
    let route = |name: &str| config.routes.iter().find(|route| *route.name == *name);
    match action {
        Action::Drain { target: DrainTarget::Pool(name), .. } | Action::Dial { pool: name, .. } => {
            pool(name).is_some()
        }
        Action::Drain { target: DrainTarget::Region(region), .. } | Action::Evacuate { region } => {
            config.pools.iter().any(|pool| pool.region == *region)
        }
        Action::Drain { target: DrainTarget::Endpoint { pool: name, host, port }, .. } => {
            let is_ip = |host: &str| host.parse::<IpAddr>().is_ok();
            pool(name).is_some_and(|pool| {
                pool.endpoints.iter().any(|spec| {
                    spec.port == *port && (spec.host == *host || (is_ip(host) && !is_ip(&spec.host)))
                })
            })
        }
        Action::Weight { route: on, pool: name, .. } => route(on)
            .is_some_and(|on| on.pools.iter().any(|member| config.pools[member.pool.index()].name == *name)),
        Action::Freeze { route: on } => on.as_ref().is_none_or(|on| route(on).is_some()),
    }
}
