//! The queue in simulation: seeded arrivals, answers and hang-ups over several workers, in virtual time. After each step it
//! is bounded, nobody passes those who wait, and no free place lies idle; at the end nothing is lost and nothing was served
//! after its time. `THALWEG_SEEDS` changes how many seeds are played; a failure names its seed.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test: workers are counted here, and a failure ends it"
)]

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use thalweg_core::{Tick, mix};
use thalweg_edge::{
    data::queue::{PoolQueue, QueuePlace, QueueResult},
    shared::{meters::Meters, queue::QueueState, room::PoolRoom},
};
use tokio::{
    task::LocalSet,
    time::{Instant, sleep, sleep_until, timeout},
};

const REQUESTS: u64 = 60;
/// The pause after which the first in a queue asks again, and one step of a timer.
const IDLE: Duration = Duration::from_millis(22);

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Served,
    TimedOut,
    Full,
}

/// One pool and its workers.
struct Pool {
    queues: Vec<Rc<PoolQueue>>,
    states: Vec<Arc<QueueState>>,
    began: Instant,
    size: u64,
    timeout: Duration,
    /// Free places; in a pool with a capacity there are enough.
    free: Cell<usize>,
    room: Option<Arc<PoolRoom>>,
    ends: RefCell<Vec<End>>,
    hung_up: Cell<u64>,
    /// The requests that have their answer, or are at an endpoint: their clients stay.
    decided: RefCell<BTreeSet<u64>>,
    /// Those that waited and were served, by worker: the numbers of their arrivals.
    order: RefCell<Vec<Vec<u64>>>,
    /// When requests were served, in microseconds.
    served: RefCell<Vec<u64>>,
}

impl Pool {
    fn new(seed: &mut u64) -> Rc<Self> {
        let workers = pick(seed, 3) + 1;
        let (size, timeout) = (pick(seed, 8) as u64, Duration::from_millis(30 + pick(seed, 300) as u64));
        let room = (pick(seed, 2) == 0).then(|| {
            let room = PoolRoom::default();
            room.set(20 + pick(seed, 100) as u32);
            Arc::new(room)
        });
        let states: Vec<Arc<QueueState>> = (0..workers).map(|_| Arc::default()).collect();
        let queue = |worker| {
            let queue = PoolQueue::new(&"a".into(), &states, worker, &Meters::default());
            queue.configure(size, timeout, room.clone());
            Rc::new(queue)
        };
        Rc::new(Self {
            queues: (0..workers).map(queue).collect(),
            states: states.clone(),
            began: Instant::now(),
            size,
            timeout,
            free: Cell::new(if room.is_some() { 1000 } else { 1 + pick(seed, 4) }),
            room,
            ends: RefCell::default(),
            hung_up: Cell::new(0),
            decided: RefCell::default(),
            order: RefCell::new(vec![Vec::new(); workers]),
            served: RefCell::default(),
        })
    }

    /// Not 0: the time of an edge that has run for a while.
    fn now(&self) -> Tick {
        Tick(5_000_000).after(self.began.elapsed())
    }

    fn waiting(&self) -> u64 {
        self.states.iter().map(|state| state.waiting.get()).sum()
    }

    fn has_place(&self) -> bool {
        self.free.get() > 0 && self.room.as_ref().is_none_or(|room| room.has_room(self.now()))
    }

    /// A new request takes a place if there is one and nobody waits.
    fn take(&self, worker: usize) -> bool {
        let takes = self.has_place() && !self.queues[worker].keeps_out();
        if takes {
            assert_eq!(self.waiting(), 0, "a request has passed those that wait");
            self.serve();
        }
        takes
    }

    fn serve(&self) {
        self.free.set(self.free.get() - 1);
        if let Some(room) = &self.room {
            room.take(self.now());
        }
        self.served.borrow_mut().push(self.now().0);
    }

    async fn request(self: Rc<Self>, (nth, worker): (u64, usize), takes: Duration) {
        let end = if self.take(worker) { End::Served } else { self.wait(nth, worker).await };
        self.ends.borrow_mut().push(end);
        self.decided.borrow_mut().insert(nth);
        if end == End::Served {
            sleep(takes).await;
            self.free.set(self.free.get() + 1);
            self.queues[worker].freed();
        }
    }

    async fn wait(&self, nth: u64, worker: usize) -> End {
        let Some(place) = self.queues[worker].enter(self.now()) else {
            assert_eq!(self.waiting(), self.size, "refused though there was a place");
            return End::Full;
        };
        assert!(self.waiting() <= self.size, "{} wait in {}", self.waiting(), self.size);
        let since = Instant::now();
        let served = timeout(self.timeout, self.ask(&place)).await.is_ok();
        assert!(since.elapsed() <= self.timeout + Duration::from_millis(1), "waited {:?}", since.elapsed());
        place.end(if served { QueueResult::Served } else { QueueResult::TimedOut }, self.now());
        if served {
            self.order.borrow_mut()[worker].push(nth);
        }
        if served { End::Served } else { End::TimedOut }
    }

    async fn ask(&self, place: &QueuePlace) {
        let turn = place.turn().await;
        loop {
            let now = self.now();
            if turn.ask(|| self.has_place()) {
                self.serve();
                return;
            }
            turn.freed(now).await;
        }
    }

    /// No place stays free while requests wait.
    async fn watch(self: Rc<Self>) {
        let mut idle_since = None;
        loop {
            sleep(Duration::from_millis(1)).await;
            if self.has_place() && self.waiting() > 0 {
                let since = *idle_since.get_or_insert_with(Instant::now);
                assert!(
                    since.elapsed() <= IDLE,
                    "a place was free for {:?} while requests waited",
                    since.elapsed()
                );
            } else {
                idle_since = None;
            }
        }
    }

    fn check_at_the_end(&self, free: usize) {
        let ended = self.ends.borrow().len() as u64 + self.hung_up.get();
        assert_eq!(ended, REQUESTS, "each request ends once");
        assert_eq!((self.waiting(), self.free.get()), (0, free), "nothing is left behind");
        assert!(self.queues.iter().all(|queue| !queue.keeps_out()));
        for served in &*self.order.borrow() {
            assert!(served.is_sorted(), "first come, first served: {served:?}");
        }
    }
}

/// A number below `below`.
fn pick(seed: &mut u64, below: usize) -> usize {
    *seed = mix(*seed);
    (*seed >> 33) as usize % below
}

async fn play(number: u64) {
    let mut seed = mix(number);
    let pool = Pool::new(&mut seed);
    let free = pool.free.get();
    let watching = tokio::task::spawn_local(Rc::clone(&pool).watch());
    let mut requests = Vec::new();
    let mut at = Instant::now();
    for nth in 0..REQUESTS {
        // Bursts and pauses.
        at += Duration::from_millis(if pick(&mut seed, 3) == 0 { pick(&mut seed, 60) as u64 } else { 0 });
        sleep_until(at).await;
        let worker = pick(&mut seed, pool.queues.len());
        let takes = Duration::from_millis(1 + pick(&mut seed, 60) as u64);
        let request = Rc::clone(&pool).request((nth, worker), takes);
        let patience = (pick(&mut seed, 8) == 0).then(|| Duration::from_millis(pick(&mut seed, 100) as u64));
        let pool = Rc::clone(&pool);
        requests.push(tokio::task::spawn_local(async move {
            let Some(patience) = patience else { return request.await };
            let mut request = Box::pin(request);
            // A client that hangs up while it waits; one that is served stays.
            if timeout(patience, &mut request).await.is_err() {
                if pool.decided.borrow().contains(&nth) {
                    request.await;
                } else {
                    drop(request);
                    pool.hung_up.set(pool.hung_up.get() + 1);
                }
            }
        }));
    }
    for request in requests {
        request.await.unwrap_or_else(|error| panic!("seed {number}: {error}"));
    }
    assert!(!watching.is_finished(), "seed {number}: the watch has failed");
    watching.abort();
    pool.check_at_the_end(free);
}

#[test]
fn the_queue_keeps_its_invariants_for_every_seed() {
    let given = std::env::var("THALWEG_SEEDS").ok().and_then(|seeds| seeds.parse().ok());
    for number in 0..given.unwrap_or(500) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime");
        let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            LocalSet::new().block_on(&runtime, play(number));
        }));
        assert!(played.is_ok(), "SEED {number}");
    }
}
