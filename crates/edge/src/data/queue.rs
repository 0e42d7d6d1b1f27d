//! The requests of one worker that wait because their pool is at its `capacity`, or every endpoint of it at
//! `max_in_flight`. Bounded in number and in time; first in, first out. Chooses no endpoint: the first in the queue asks steering again.
//!
//! # Why a queue for each worker and not one for all
//!
//! A shared queue is written by every request that waits, and its lock is taken by every request that ends. Here each
//! worker queues its own requests. A request that ends looks whether any worker's queue has a request in it (plain reads
//! of numbers that change only while requests wait) and then wakes the worker whose first request has waited longest.
//! So the order holds within a worker, and nearly so between them.
//!
//! # Why new requests wait behind the queue
//!
//! A slot that becomes free would go to whichever request comes first, and that is a new one: under overload the queue
//! would stand still while new requests pass. So a pool with a queue counts as full for all but the first in it
//! ([`PoolQueue::keeps_out`]).

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use thalweg_core::Tick;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::sleep,
};

use crate::shared::{
    meters::{Cell as Count, Histogram, Meters, Series},
    queue::QueueState,
    room::PoolRoom,
    telemetry,
};

/// How often the first in a queue asks again without being woken. Workers read each other's numbers a moment late, and
/// an endpoint that comes up wakes no queue.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// The shortest of these pauses: timers count milliseconds.
const SHORTEST: Duration = Duration::from_millis(1);

/// One worker's queue for one pool.
#[derive(Debug)]
pub struct PoolQueue {
    /// Most requests that wait, over all workers; 0 = none does.
    size: Cell<u64>,
    timeout: Cell<Duration>,
    /// What the pool's capacity allows; `None` = it declares none.
    room: RefCell<Option<Arc<PoolRoom>>>,
    own: Arc<QueueState>,
    /// The other workers' queues for the pool.
    elsewhere: Box<[Arc<QueueState>]>,
    /// Whose turn it is to ask for an endpoint. Tokio's semaphore is fair: first come, first served.
    turn: Semaphore,
    /// The first in the queue is asking.
    asking: Cell<bool>,
    meters: QueueMeters,
}

/// The series of one queue.
#[derive(Debug)]
struct QueueMeters {
    length: Arc<Count>,
    seconds: Arc<Histogram>,
    results: [Arc<Count>; QueueResult::ALL.len()],
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueResult {
    /// The request got an endpoint.
    Served,
    /// The time was over.
    TimedOut,
    /// The client went away, or the edge stops.
    Left,
    /// Steering refused the request for another reason.
    Refused,
    /// There was no place in the queue.
    Full,
}

impl QueueResult {
    const ALL: [Self; 5] = [Self::Served, Self::TimedOut, Self::Left, Self::Refused, Self::Full];

    fn as_str(self) -> &'static str {
        match self {
            Self::Served => "served",
            Self::TimedOut => "timeout",
            Self::Left => "left",
            Self::Refused => "refused",
            Self::Full => "full",
        }
    }
}

impl PoolQueue {
    /// An empty queue. `all` are the queues of all workers for the pool, `worker` is this one's number.
    #[must_use]
    pub fn new(pool: &Arc<str>, all: &[Arc<QueueState>], worker: usize, meters: &Meters) -> Self {
        let others = all.iter().enumerate().filter(|(nth, _)| *nth != worker);
        Self {
            size: Cell::default(),
            timeout: Cell::default(),
            room: RefCell::default(),
            own: all.get(worker).cloned().unwrap_or_default(),
            elsewhere: others.map(|(_, queue)| Arc::clone(queue)).collect(),
            turn: Semaphore::new(1),
            asking: Cell::new(false),
            meters: QueueMeters::new(pool, meters),
        }
    }

    /// Takes the settings in force. Requests that wait keep their place.
    pub fn configure(&self, size: u64, timeout: Duration, room: Option<Arc<PoolRoom>>) {
        self.size.set(size);
        self.timeout.set(timeout);
        self.room.replace(room);
    }

    /// The longest wait.
    pub fn timeout(&self) -> Duration {
        self.timeout.get()
    }

    /// Is there a place left?
    pub fn has_place(&self) -> bool {
        self.waiting() < self.size.get()
    }

    /// Must a request wait behind others, whatever room there is?
    pub fn keeps_out(&self) -> bool {
        !self.asking.get() && self.waiting() > 0
    }

    /// A request has left an endpoint of the pool: wakes the request that has waited longest, if one waits.
    pub fn freed(&self) {
        let all = self.elsewhere.iter().chain([&self.own]);
        let waiting = all.filter(|queue| queue.waiting.get() > 0);
        let since = |queue: &&Arc<QueueState>| match queue.first_since.get() {
            0 => u64::MAX,
            since => since,
        };
        if let Some(first) = waiting.min_by_key(since) {
            first.freed.notify_one();
        }
    }

    /// Takes a place at the end of the queue; `None` = it is full. Workers that ask at the same moment may exceed the
    /// size by one each.
    pub fn enter(self: &Rc<Self>, now: Tick) -> Option<QueuePlace> {
        if !self.has_place() {
            if self.size.get() > 0 {
                self.meters.count(QueueResult::Full);
            }
            return None;
        }
        self.own.waiting.bump();
        self.meters.length.set(self.own.waiting.get());
        Some(QueuePlace {
            queue: Rc::clone(self),
            since: now,
            until: Cell::new(now),
            result: Cell::new(QueueResult::Left),
        })
    }

    /// Requests that wait, over all workers.
    fn waiting(&self) -> u64 {
        self.own.waiting.get() + self.elsewhere.iter().map(|queue| queue.waiting.get()).sum::<u64>()
    }
}

impl QueueMeters {
    fn new(pool: &Arc<str>, meters: &Meters) -> Self {
        let result = |result: QueueResult| {
            meters.cell(Series::new(&telemetry::QUEUE_WAITS, &[pool, &result.as_str().into()]))
        };
        Self {
            length: meters.cell(Series::new(&telemetry::QUEUE_LENGTH, &[pool])),
            seconds: meters.histogram(Series::new(&telemetry::QUEUE_SECONDS, &[pool])),
            results: QueueResult::ALL.map(result),
        }
    }

    fn count(&self, result: QueueResult) {
        if let Some(count) = self.results.get(result as usize) {
            count.bump();
        }
    }
}

/// A request's place in a queue; it leaves when dropped.
#[derive(Debug)]
pub struct QueuePlace {
    queue: Rc<PoolQueue>,
    since: Tick,
    until: Cell<Tick>,
    result: Cell<QueueResult>,
}

impl QueuePlace {
    /// Waits until all that came before have left. The turn ends when what is returned is dropped.
    pub async fn turn(&self) -> Turn<'_> {
        let permit = self.queue.turn.acquire().await.ok();
        self.queue.own.first_since.set(self.since.0.max(1));
        Turn { queue: &self.queue, _permit: permit }
    }

    /// Notes how the wait ended, and when.
    pub fn end(&self, result: QueueResult, now: Tick) {
        self.result.set(result);
        self.until.set(now);
    }
}

impl Drop for QueuePlace {
    fn drop(&mut self) {
        let QueuePlace { queue, since, until, result } = self;
        queue.own.waiting.drop_one();
        queue.meters.length.set(queue.own.waiting.get());
        queue.meters.count(result.get());
        if result.get() == QueueResult::Served {
            queue.meters.seconds.record(until.get().since(*since));
        }
    }
}

/// The first in a queue.
#[derive(Debug)]
pub struct Turn<'q> {
    queue: &'q PoolQueue,
    _permit: Option<SemaphorePermit<'q>>,
}

impl Turn<'_> {
    /// Asks steering: the pool does not count as full because of its queue.
    pub fn ask<R>(&self, steer: impl FnOnce() -> R) -> R {
        self.queue.asking.set(true);
        let answer = steer();
        self.queue.asking.set(false);
        answer
    }

    /// Waits until it is worth asking again.
    pub async fn freed(&self, now: Tick) {
        let room = self.queue.room.borrow().as_ref().map_or(Duration::ZERO, |room| room.wait(now));
        // With room by its capacity, the pool waits for an endpoint, which says so.
        let pause = if room.is_zero() { ASK_AGAIN } else { room.clamp(SHORTEST, ASK_AGAIN) };
        tokio::select! {
            () = self.queue.own.freed.notified() => {}
            () = sleep(pause) => {}
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.queue.own.first_since.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queues(workers: usize, size: u64) -> Vec<Rc<PoolQueue>> {
        let all: Vec<Arc<QueueState>> = (0..workers).map(|_| Arc::default()).collect();
        let queue = |worker| {
            let queue = PoolQueue::new(&"a".into(), &all, worker, &Meters::default());
            queue.configure(size, Duration::from_secs(1), None);
            Rc::new(queue)
        };
        (0..workers).map(queue).collect()
    }

    #[test]
    fn a_queue_is_bounded_over_all_workers_and_keeps_new_requests_out() {
        let queues = queues(2, 3);
        assert!(queues.iter().all(|queue| !queue.keeps_out()));
        let first = queues[0].enter(Tick(1)).unwrap();
        assert!(queues.iter().all(|queue| queue.keeps_out()));
        let others = [queues[1].enter(Tick(2)), queues[0].enter(Tick(3))];
        assert!(others.iter().all(Option::is_some));
        assert!(queues[0].enter(Tick(4)).is_none() && queues[1].enter(Tick(4)).is_none());
        drop(first);
        assert!(queues[1].enter(Tick(5)).is_some());
        drop(others);
        assert!(queues.iter().all(|queue| !queue.keeps_out()));
        assert!(self::queues(1, 0)[0].enter(Tick(1)).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn the_order_is_that_of_arrival_and_one_that_leaves_loses_no_turn() {
        let queue = queues(1, 9).remove(0);
        let served = Rc::new(std::cell::RefCell::new(Vec::new()));
        let local = tokio::task::LocalSet::new();
        local
            .run_until(async {
                let mut waits = Vec::new();
                for nth in 0..4_u64 {
                    let (queue, served) = (Rc::clone(&queue), Rc::clone(&served));
                    waits.push(tokio::task::spawn_local(async move {
                        let place = queue.enter(Tick(nth)).unwrap();
                        let turn = place.turn().await;
                        turn.freed(Tick(nth)).await;
                        served.borrow_mut().push(nth);
                    }));
                    tokio::task::yield_now().await;
                }
                waits[1].abort();
                for wait in waits {
                    queue.freed();
                    let _ = wait.await;
                }
            })
            .await;
        assert_eq!(*served.borrow(), [0, 2, 3]);
        assert!(!queue.keeps_out());
    }

    #[tokio::test]
    async fn a_free_slot_wakes_the_worker_whose_first_request_waits_longest() {
        let queues = queues(3, 9);
        let places = [queues[0].enter(Tick(20)).unwrap(), queues[1].enter(Tick(10)).unwrap()];
        let _turns = [places[0].turn().await, places[1].turn().await];
        queues[2].freed();
        let woken = |queue: &Rc<PoolQueue>| {
            let state = Arc::clone(&queue.own);
            async move { tokio::time::timeout(Duration::ZERO, state.freed.notified()).await.is_ok() }
        };
        assert!(!woken(&queues[0]).await && woken(&queues[1]).await && !woken(&queues[2]).await);
    }
}
