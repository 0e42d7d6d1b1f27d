//! Edges that become degraded, die, lose their sessions and lose the bucket, and withdraw by the rule of the fleet.
//!
//! What holds: an edge that withdraws because it is degraded leaves another one announcing. What a report's twenty seconds
//! allow, and nothing else: that other one has died, lost its session or begun to end since it said that it announces.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use thalweg_core::Tick;
use tokio::{
    task::{JoinHandle, LocalSet, spawn_local},
    time::{Instant, sleep},
};

use super::{
    Prng,
    bucket::{Bucket, WAY, Way},
    check, search,
};
use crate::control::{
    announce::intent::{Intent, IntentReason},
    fleet::{
        announcers::{self, FRESH},
        withdrawal::Announcers,
    },
};

const EDGES: u64 = 4;
const STORY: Duration = Duration::from_secs(180);
/// `[announce] after`.
const AFTER: Duration = Duration::from_secs(5);
/// A session counts after this long.
const SETTLED: Duration = Duration::from_secs(10);
/// How often readiness is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// From the reading of a report to the withdrawal: three messages there and back, and a look of each task.
const AGREEING: Duration = Duration::from_millis(WAY.as_millis() as u64 * 8 + 1_000);
/// The longest wait of an edge that returns.
const LONGEST_WAIT: Duration = Duration::from_secs(AFTER.as_secs() * 16 + 1);

/// One edge, as its neighbours in the network see it.
struct SimEdge {
    name: String,
    announcers: Announcers,
    way: Way,
    ready: Cell<bool>,
    wanted: Cell<bool>,
    session: Cell<Option<Instant>>,
    /// When it last stopped announcing for another reason than a withdrawal that the fleet granted.
    lost: Cell<Option<Instant>>,
    /// Since when it could announce without a break.
    healthy: Cell<Option<Instant>>,
    tasks: RefCell<Vec<JoinHandle<()>>>,
}

impl SimEdge {
    /// Routers have its route.
    fn routed(&self) -> bool {
        self.wanted.get() && self.session.get().is_some()
    }

    /// It counts its address as announced.
    fn announced(&self) -> bool {
        self.routed() && self.session.get().is_some_and(|since| since.elapsed() >= SETTLED)
    }

    fn loses(&self) {
        if self.routed() {
            self.lost.set(Some(Instant::now()));
        }
    }

    fn die(&self) {
        self.loses();
        self.tasks.borrow_mut().drain(..).for_each(|task| task.abort());
        self.wanted.set(false);
        self.healthy.set(None);
    }

    fn lives(&self) -> bool {
        !self.tasks.borrow().is_empty()
    }
}

struct Scene {
    edges: Vec<Rc<SimEdge>>,
    began: Instant,
    wrong: RefCell<Option<String>>,
}

impl Scene {
    fn now(&self) -> Tick {
        Tick(u64::try_from(self.began.elapsed().as_micros()).unwrap() + 1)
    }

    /// Starts an edge: its two tasks, as the edge runs them.
    fn begin(self: &Rc<Self>, edge: &Rc<SimEdge>) {
        edge.announcers.withdraw_no_more();
        let follows = {
            let edge = Rc::clone(edge);
            spawn_local(async move {
                let announces = || Some(edge.announced());
                announcers::follow(&edge.announcers, &edge.way, &edge.name, announces).await;
            })
        };
        let (scene, intends) = (Rc::clone(self), Rc::clone(edge));
        let announces = spawn_local(async move { scene.intend(&intends).await });
        edge.tasks.borrow_mut().extend([follows, announces]);
    }

    async fn intend(&self, edge: &SimEdge) {
        let mut intent = Intent::default();
        loop {
            let (ready, was_routed) = (edge.ready.get(), edge.routed());
            if ready {
                edge.announcers.withdraw_no_more();
            }
            let may = || edge.announcers.may_withdraw(true);
            let reason = intent.step(ready, AFTER, may, self.now());
            edge.wanted.set(intent.wanted());
            if was_routed && !intent.wanted() {
                assert_eq!(reason, IntentReason::NotReady);
                self.judge_withdrawal(edge);
            }
            self.judge_health(edge);
            sleep(LOOK).await;
        }
    }

    fn judge_withdrawal(&self, edge: &SimEdge) {
        let excuse = |other: &SimEdge| other.lost.get().is_some_and(|at| at.elapsed() < FRESH + AGREEING);
        let others = || self.edges.iter().filter(|other| other.name != edge.name);
        if !others().any(|other| other.routed()) && !others().any(|other| excuse(other)) {
            self.says(format!("{} withdrew, and no other edge announces", edge.name));
        }
    }

    /// An edge that could announce for longer than the longest wait does.
    fn judge_health(&self, edge: &SimEdge) {
        let healthy = edge.ready.get() && edge.session.get().is_some();
        let since = if healthy { edge.healthy.get().or(Some(Instant::now())) } else { None };
        edge.healthy.set(since);
        if since.is_some_and(|since| since.elapsed() > LONGEST_WAIT) && !edge.routed() {
            self.says(format!("{} is healthy and does not announce", edge.name));
        }
    }

    fn says(&self, what: String) {
        let at = self.began.elapsed();
        self.wrong.borrow_mut().get_or_insert(format!("after {at:?}: {what}"));
    }
}

/// One thing happens.
fn happen(scene: &Rc<Scene>, bucket: &Bucket, rng: &mut Prng) {
    let nth = usize::try_from(rng.below(EDGES)).unwrap();
    let edge = &scene.edges[nth];
    match rng.below(20) {
        0..=6 => edge.ready.set(rng.percent(40)),
        // All of them at once: what a dead region does.
        7 | 8 => scene.edges.iter().for_each(|edge| edge.ready.set(false)),
        9 => scene.edges.iter().for_each(|edge| edge.ready.set(true)),
        10 | 11 if edge.session.get().is_some() => {
            edge.loses();
            edge.session.set(None);
        }
        10..=12 => edge.session.set(edge.session.get().or(Some(Instant::now()))),
        13 if edge.lives() => edge.die(),
        13..=15 if !edge.lives() => scene.begin(edge),
        16 => edge.way.cut.set(!edge.way.cut.get()),
        17 => edge.way.bad.set(rng.pick(&[0, 5, 30, 60])),
        18 if rng.percent(30) => bucket.wipe(),
        _ => {}
    }
}

fn play(seed: u64, blind: bool) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    LocalSet::new().block_on(&runtime.unwrap(), async {
        let bucket = Rc::new(Bucket::new(blind));
        let edge = |nth: u64| {
            Rc::new(SimEdge {
                name: format!("edge.{nth}"),
                announcers: Announcers::default(),
                way: Way::new(&bucket, seed.wrapping_mul(31).wrapping_add(nth)),
                ready: Cell::new(true),
                wanted: Cell::new(false),
                session: Cell::new(Some(Instant::now())),
                lost: Cell::new(None),
                healthy: Cell::new(None),
                tasks: RefCell::default(),
            })
        };
        let edges: Vec<Rc<SimEdge>> = (0..EDGES).map(edge).collect();
        let scene = Rc::new(Scene { edges, began: Instant::now(), wrong: RefCell::default() });
        scene.edges.iter().for_each(|edge| scene.begin(edge));
        sleep(AFTER + SETTLED * 2).await;
        let mut rng = Prng(seed);
        while scene.began.elapsed() < STORY && scene.wrong.borrow().is_none() {
            happen(&scene, &bucket, &mut rng);
            sleep(Duration::from_millis(rng.pick(&[0, 20, 200, 1_500, 4_000]))).await;
        }
        scene.edges.iter().for_each(|edge| edge.die());
        let wrong = scene.wrong.take();
        wrong.map_or(Ok(()), Err)
    })
}

#[test]
fn an_edge_that_withdraws_leaves_another_one_announcing() {
    check(120, |seed| play(seed, false));
}

#[test]
fn a_bucket_that_ignores_revisions_is_found() {
    let found = search(300, |seed| play(seed, true));
    assert!(found.is_some(), "two edges that withdraw at once were not found");
}
