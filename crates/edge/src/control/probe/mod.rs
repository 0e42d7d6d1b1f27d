//! Active checks: one local task per endpoint, the first round at once, later rounds spread out. The plan comes from
//! the live snapshot, the gaps from the keeper. A probe never judges: the world does.

mod ask;
mod expect;
mod grpc;

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, sync::Arc, time::Duration};

use thalweg_core::{EndpointId, Event, Place};
use tokio::{
    sync::{Notify, Semaphore, watch},
    time::{Instant, sleep, sleep_until},
};

pub use ask::{Plan, Prober};
pub use expect::body_fits;
pub(crate) use expect::{evidence, printable};

use crate::{
    control::{
        jitter,
        keeper::{KeeperLink, ProbeWakers},
        supervise::Task,
    },
    shared::{Live, Shared},
};

/// Probes in progress at the same time.
const AT_ONCE: usize = 1024;

/// Runs the probes of every endpoint of the live layout, and follows the layout.
pub async fn run(shared: Arc<Shared>, keeper: KeeperLink, wakers: ProbeWakers, file_limit: usize) {
    let mut published = shared.published.subscribe();
    let permits = Rc::new(Semaphore::new(AT_ONCE.min(file_limit / 8).max(1)));
    let mut rounds: BTreeMap<EndpointId, Round> = BTreeMap::new();
    let mut seen = (u64::MAX, std::ptr::null());
    loop {
        let live = shared.live.load_full();
        let now = (live.snapshot.layout.number, Arc::as_ptr(&live.wiring));
        if now != seen {
            seen = now;
            let wanted = plans(&live, file_limit);
            rounds.retain(|id, _| wanted.contains_key(id));
            wakers.retain(|id| wanted.contains_key(&id));
            for (id, plan) in wanted {
                match rounds.get(&id) {
                    Some(round) => round.follow(plan),
                    None => {
                        let round =
                            Round::start(id, plan, keeper.clone(), wakers.of(id), Rc::clone(&permits));
                        rounds.insert(id, round);
                    }
                }
            }
        }
        drop(live);
        if changed(&mut published).await.is_none() {
            return;
        }
    }
}

async fn changed(published: &mut watch::Receiver<u64>) -> Option<()> {
    published.changed().await.ok()
}

/// The plans for all endpoints that are probed.
fn plans(live: &Live, file_limit: usize) -> BTreeMap<EndpointId, Plan> {
    let is_probed = |place: &&Place| live.snapshot.pool(place.pool).is_some_and(|pool| pool.probe.is_some());
    let places: Vec<&Place> = live.snapshot.layout.endpoints.iter().filter(is_probed).collect();
    // Warm connections take descriptors that requests need, so with very many endpoints probes use none.
    let warm = places.len() <= file_limit / 5;
    places.into_iter().filter_map(|place| Some((place.id, Plan::of(live, place, warm)?))).collect()
}

/// One endpoint's task, and its current orders.
struct Round {
    orders: Rc<ProbeOrders>,
    _task: Task,
}

struct ProbeOrders {
    plan: RefCell<Rc<Plan>>,
    waker: Rc<Notify>,
}

impl Round {
    fn start(
        id: EndpointId,
        plan: Plan,
        keeper: KeeperLink,
        waker: Rc<Notify>,
        permits: Rc<Semaphore>,
    ) -> Self {
        let orders = Rc::new(ProbeOrders { plan: RefCell::new(Rc::new(plan)), waker });
        Self { orders: Rc::clone(&orders), _task: Task::spawn(probe_forever(id, orders, keeper, permits)) }
    }

    /// Takes a new plan: from the next probe on, or at once if the plan differs.
    fn follow(&self, plan: Plan) {
        let other = !self.orders.plan.borrow().same_as(&plan);
        self.orders.plan.replace(Rc::new(plan));
        if other {
            self.orders.waker.notify_one();
        }
    }
}

async fn probe_forever(id: EndpointId, orders: Rc<ProbeOrders>, keeper: KeeperLink, permits: Rc<Semaphore>) {
    let mut prober = Prober::default();
    let mut spread = false;
    loop {
        let plan = Rc::clone(&orders.plan.borrow());
        let began = Instant::now();
        let result = {
            // The semaphore is never closed; a dropped task gives its permit back.
            let _permit = permits.acquire().await;
            prober.ask(&plan).await
        };
        if let Some(said) = prober.said.take() {
            keeper.tell(Event::Said { id, said }).await;
        }
        let mut gap = match result {
            Some(result) => match keeper.probed(id, result).await {
                Some(gap) => gap,
                // The endpoint is not probed any more: the layout is about to say so.
                None => Duration::from_secs(1),
            },
            // This machine lacked a resource, which says nothing about the endpoint.
            None => plan.rules.confirm.max(Duration::from_millis(100)),
        };
        if !spread && gap > plan.rules.confirm {
            // Edges that start together must not probe in step for ever.
            gap = gap.mul_f64(jitter::fraction());
            spread = true;
        }
        tokio::select! {
            () = sleep(gap) => {}
            () = orders.waker.notified() => sleep_until(began + plan.rules.confirm).await,
        }
    }
}
