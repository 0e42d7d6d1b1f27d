//! Everything that belongs to one worker: its view of the published snapshot, its connections, deadlines, clock, random
//! numbers and access log buffer. Never shared with another worker.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    fmt::Display,
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    rc::Rc,
    sync::Arc,
    time::{Duration, SystemTime},
};

use thalweg_config::{Limits, RequestRate};
use thalweg_core::{EndpointId, Fault, Location, Route, Tick, mix};
use thalweg_wire::{AnswerHead, RequestHead};
use tokio::sync::watch;

use crate::{
    data::{
        allowance::Allowances,
        conn::{ClientConn, ConnSignal},
        deadline::{Deadlines, SWEEP},
        decisions::DecisionLog,
        inbox::Buffers,
        leave::Departures,
        request_id::RequestId,
        splice::Pipes,
        view::View,
        worker_base::WorkerBase,
    },
    shared::{
        Live, Shared, Unreached,
        clients::{ClientPlace, network_of},
        meters::{Cell as Count, Meters, Series},
        telemetry,
    },
};

mod log;
mod shed;

/// How long a `Date` is used again.
const DATE_AGE: Duration = Duration::from_millis(500);

/// How many heads, of at most how many bytes, a worker keeps for later.
const HEADS: usize = 64;
const HEAD_BYTES: usize = 16 * 1024;

/// Everything that belongs to one worker.
#[derive(Debug)]
pub struct Local {
    shared: Arc<Shared>,
    index: usize,
    base: Rc<WorkerBase>,
    view: RefCell<Rc<View>>,
    deadlines: Deadlines,
    clock: Rc<Cell<Tick>>,
    entropy: Cell<u64>,
    log: RefCell<Vec<u8>>,
    log_since: Cell<Tick>,
    dropped: Arc<Count>,
    conns: RefCell<HashMap<u64, Rc<ClientConn>>>,
    next_conn: Cell<u64>,
    names: RefCell<Vec<Arc<str>>>,
    ending: Cell<bool>,
    date: RefCell<Option<(Tick, String)>>,
    heads: RefCell<Vec<RequestHead>>,
    answer_heads: RefCell<Vec<AnswerHead>>,
    leaving: Departures,
    decisions: DecisionLog,
    pipes: Rc<Pipes>,
    allowances: Allowances,
    /// When the pace of bodies was last judged.
    swept: Cell<Tick>,
}

impl Local {
    /// The state of worker `index`.
    #[must_use]
    pub fn new(index: usize, shared: Arc<Shared>) -> Self {
        let live = shared.live.load_full();
        let clock = Rc::new(Cell::new(shared.now()));
        let base = Rc::new(WorkerBase::new(&shared, index, &clock));
        let view = Rc::new(View::new(&live, None, &base));
        let dropped = base.meters().cell(Series::new(&telemetry::LOG_DROPPED, &[]));
        Self {
            base,
            view: RefCell::new(view),
            deadlines: Deadlines::default(),
            entropy: Cell::new(RandomState::new().hash_one(index)),
            log: RefCell::default(),
            log_since: Cell::new(clock.get()),
            clock,
            dropped,
            conns: RefCell::default(),
            next_conn: Cell::new(0),
            names: RefCell::default(),
            ending: Cell::new(false),
            date: RefCell::default(),
            heads: RefCell::default(),
            answer_heads: RefCell::default(),
            leaving: Departures::default(),
            decisions: DecisionLog::new(live.wiring.config.decisions.keep, shared.meters.len()),
            pipes: Rc::default(),
            allowances: Allowances::default(),
            swept: Cell::default(),
            index,
            shared,
        }
    }

    /// Reads the clock and sets the coarse clock.
    #[must_use]
    pub fn now(&self) -> Tick {
        self.base.look()
    }

    /// The time of the last clock reading: at most one sweep old.
    #[must_use]
    pub fn clock(&self) -> Rc<Cell<Tick>> {
        Rc::clone(&self.clock)
    }

    /// This worker's counters.
    #[must_use]
    pub fn meters(&self) -> &Meters {
        self.base.meters()
    }

    /// The deadlines of this worker's requests.
    #[must_use]
    pub fn deadlines(&self) -> &Deadlines {
        &self.deadlines
    }

    /// What this worker keeps of requests that have ended.
    #[must_use]
    pub fn decisions(&self) -> &DecisionLog {
        &self.decisions
    }

    /// This worker's view of the published layout.
    #[must_use]
    pub fn view(&self) -> Rc<View> {
        Rc::clone(&self.view.borrow())
    }

    /// The limits in force on clients.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.view.borrow().wiring.config.limits
    }

    /// Runs `read` on the published snapshot and the view that belongs to it. The snapshot's guard ends with `read`, so
    /// it cannot be held across an await.
    pub fn with_live<R>(&self, read: impl FnOnce(&Live, &View) -> R) -> R {
        let live = self.shared.live.load();
        if !self.view.borrow().fits(&live) {
            self.rebuild(&live);
        }
        let view = self.view();
        read(&live, &view)
    }

    /// Where a client is, as far as a route's geo rules ask.
    pub fn locate(&self, route: &Route, client: IpAddr) -> Location {
        self.shared.locate(route, client)
    }

    fn rebuild(&self, live: &Live) {
        let before = self.view();
        self.base.buffers.resize(live.wiring.config.limits.stream_buffer);
        self.decisions.resize(live.wiring.config.decisions.keep);
        let view = View::new(live, Some(&before), &self.base);
        *self.view.borrow_mut() = Rc::new(view);
    }

    /// 64 random bits. Not for secrets.
    #[must_use]
    pub fn random(&self) -> u64 {
        let next = self.entropy.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.entropy.set(next);
        mix(next)
    }

    /// A new request id of 128 random bits.
    #[must_use]
    pub fn fresh_id(&self) -> RequestId {
        RequestId::fresh([0; 4].map(|_: u32| self.random() as u32))
    }

    /// This worker's read buffers.
    #[must_use]
    pub fn buffers(&self) -> &Rc<Buffers> {
        &self.base.buffers
    }

    /// This worker's pipes between sockets.
    #[must_use]
    pub const fn pipes(&self) -> &Rc<Pipes> {
        &self.pipes
    }

    /// Shows the current time as a `Date` field has it (RFC 9110 section 5.6.7), at most `DATE_AGE` late.
    pub fn with_date<R>(&self, read: impl FnOnce(&str) -> R) -> R {
        let (mut date, now) = (self.date.borrow_mut(), self.clock.get());
        if date.as_ref().is_none_or(|(made, _)| now.since(*made) >= DATE_AGE) {
            *date = Some((now, httpdate::fmt_http_date(SystemTime::now())));
        }
        read(date.as_ref().map_or("", |(_, text)| text))
    }

    /// An empty head with the memory of an earlier one.
    #[must_use]
    pub fn lend_head(&self) -> RequestHead {
        self.heads.borrow_mut().pop().unwrap_or_default()
    }

    /// As [`lend_head`](Self::lend_head), for an answer.
    #[must_use]
    pub fn lend_answer_head(&self) -> AnswerHead {
        self.answer_heads.borrow_mut().pop().unwrap_or_default()
    }

    /// As [`take_back`](Self::take_back), for an answer.
    pub fn take_back_answer(&self, head: AnswerHead) {
        let mut heads = self.answer_heads.borrow_mut();
        if heads.len() < HEADS && head.fields().memory() <= HEAD_BYTES {
            heads.push(head);
        }
    }

    /// Keeps the memory of a head for a later one.
    pub fn take_back(&self, head: RequestHead) {
        let mut heads = self.heads.borrow_mut();
        if heads.len() < HEADS && head.fields().memory() <= HEAD_BYTES {
            heads.push(head);
        }
    }

    /// Ends every wait for an endpoint: the worker is about to stop.
    pub fn end(&self) {
        self.ending.set(true);
        self.deadlines.expire_all();
    }

    /// Whether the worker is about to stop.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.ending.get()
    }

    /// Reports why an endpoint could not be connected to.
    pub fn report_unreached(&self, id: EndpointId, fault: Fault, detail: &dyn Display) {
        if self.shared.unreached.receiver_count() > 0 {
            let detail = detail.to_string().into();
            // An error means that nothing listens any more.
            let _ = self.shared.unreached.send(Unreached { id, fault, detail, at: self.clock.get() });
        }
    }

    /// Open client connections of all workers.
    #[must_use]
    pub fn client_connections(&self) -> u64 {
        self.shared.connections.iter().map(|count| count.get()).sum()
    }

    /// Counts a connection of a client; `None` if the client has `cap` already.
    #[must_use]
    pub fn place_of(&self, client: IpAddr, cap: usize) -> Option<ClientPlace> {
        self.shared.clients.enter(client, cap)
    }

    /// Counts a request of a client.
    ///
    /// # Errors
    /// The client makes more requests than it may: the time until the next one.
    pub fn spend(&self, client: IpAddr, rate: RequestRate, now: Tick) -> Result<(), Duration> {
        let buckets = (&self.shared.rates, self.shared.meters.len());
        self.allowances.spend(network_of(client), rate, buckets, now)
    }

    /// Adds a connection to this worker's list; returns its number there.
    pub fn enter(&self, conn: &Rc<ClientConn>) -> u64 {
        let number = self.next_conn.get();
        self.next_conn.set(number + 1);
        self.conns.borrow_mut().insert(number, Rc::clone(conn));
        self.count_conns();
        number
    }

    /// Removes a connection from the list.
    pub fn leave(&self, number: u64) {
        self.conns.borrow_mut().remove(&number);
        self.count_conns();
    }

    fn count_conns(&self) {
        if let Some(count) = self.shared.connections.get(self.index) {
            count.set(self.conns.borrow().len() as u64);
        }
    }

    /// Whether any client connection is open.
    #[must_use]
    pub fn has_connections(&self) -> bool {
        !self.conns.borrow().is_empty()
    }

    /// The number of a listener's name in this worker, given on first use.
    pub fn number_of(&self, name: &Arc<str>) -> u32 {
        let mut names = self.names.borrow_mut();
        let number = names.iter().position(|known| known == name).unwrap_or_else(|| {
            names.push(Arc::clone(name));
            names.len() - 1
        });
        u32::try_from(number).unwrap_or(u32::MAX)
    }

    /// Looks at every deadline. This costs plain loads over two lists.
    pub fn sweep(&self) {
        let now = self.now();
        self.deadlines.sweep(now);
        self.leaving.tell(now);
        let limits = self.limits();
        if limits.body_min_rate > 0 {
            let span = now.since(self.swept.replace(now)).min(SWEEP * 2);
            let ended = |conn: &ClientConn| self.meters().shed(&conn.listener, "body_min_rate", 1);
            self.deadlines.judge_pace(span, limits.body_min_rate, ended);
        }
        for conn in self.conns.borrow().values() {
            if let Some(signal) = conn.due(now, &limits) {
                conn.signal(signal);
            }
        }
        self.hand_over_old(now);
    }

    /// Closes old idle upstream connections and fades what was learnt about latencies. Called once a second.
    pub fn tend_peers(&self) {
        let now = self.clock.get();
        for peer in self.view().peers() {
            peer.expire_idle(now);
            peer.fade();
        }
    }

    /// Wakes when a new snapshot is published.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.shared.published.subscribe()
    }

    /// Takes a newly published snapshot in.
    pub fn follow(&self) {
        let live = self.shared.live.load();
        if self.view.borrow().fits(&live) {
            self.view.borrow().follow(&live);
        } else {
            self.rebuild(&live);
        }
    }

    /// Begins to tell all connections to end gracefully, spread over the time that a drain has.
    pub fn drain(&self) {
        let timeout = self.view.borrow().wiring.config.edge.drain_timeout;
        self.leaving.begin(self.conns.borrow().values(), self.now(), timeout);
    }

    /// Tells the connections of a listener to end gracefully: those over QUIC, or those over TCP.
    pub fn close_connections(&self, listener: &str, quic: bool) {
        for conn in self.conns.borrow().values() {
            if listener == &*conn.listener && conn.quic.get() == quic {
                conn.signal(ConnSignal::Graceful);
            }
        }
    }
}
