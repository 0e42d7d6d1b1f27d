//! The closed list of what may become of a query: the label of a metric. Counts them.

use std::{cell::RefCell, collections::HashMap, sync::Arc};

use crate::shared::{
    meters::{Cell, Meters, Series},
    telemetry::{DNS_ANSWERS, DNS_QUERIES},
};

/// How a query came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum DnsTransport {
    /// In a datagram: its source address may be forged.
    Udp,
    /// On a connection.
    Tcp,
}

impl DnsTransport {
    fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

/// What became of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum DnsResult {
    /// Records were given.
    Answer,
    /// The name exists and has no records of this type.
    NoData,
    /// There is no such name in the zone.
    NxDomain,
    /// The name is outside of the zone, or a transfer was asked for.
    Refused,
    /// The answer did not fit: the client is told to ask over TCP.
    Truncated,
    /// The message is none that can be understood (FORMERR), or no message at all (no answer).
    Malformed,
    /// The operation is not known here.
    NotImplemented,
    /// The version of EDNS is not known here.
    BadVersion,
    /// The route's first probe round has not ended.
    NotReady,
    /// The client's network has asked for too much.
    RateLimited,
    /// The message is itself an answer: never answered.
    Unasked,
}

impl DnsResult {
    fn as_str(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::NoData => "no_data",
            Self::NxDomain => "nx_domain",
            Self::Refused => "refused",
            Self::Truncated => "truncated",
            Self::Malformed => "malformed",
            Self::NotImplemented => "not_implemented",
            Self::BadVersion => "bad_version",
            Self::NotReady => "not_ready",
            Self::RateLimited => "rate_limited",
            Self::Unasked => "unasked",
        }
    }
}

/// The name of a query and the pool of its answer.
type NameAndPool = (Arc<str>, Arc<str>);

/// The counters of the DNS thread: their only writer.
#[derive(Debug)]
pub(super) struct DnsCounters {
    meters: Arc<Meters>,
    queries: RefCell<HashMap<(DnsTransport, DnsResult), Arc<Cell>>>,
    answers: RefCell<HashMap<NameAndPool, Arc<Cell>>>,
}

impl DnsCounters {
    pub(super) fn new(meters: Arc<Meters>) -> Self {
        Self { meters, queries: RefCell::default(), answers: RefCell::default() }
    }

    pub(super) fn query(&self, transport: DnsTransport, result: DnsResult) {
        let mut cells = self.queries.borrow_mut();
        let cell = cells.entry((transport, result)).or_insert_with(|| {
            let labels = [Arc::from(transport.as_str()), Arc::from(result.as_str())];
            self.meters.cell(Series::new(&DNS_QUERIES, &labels.each_ref()))
        });
        cell.bump();
    }

    /// An answer for a name that named this pool; `-` = every pool, or the name's own addresses.
    pub(super) fn answer(&self, name: &Arc<str>, pool: &Arc<str>) {
        let mut cells = self.answers.borrow_mut();
        let key = (Arc::clone(name), Arc::clone(pool));
        cells.entry(key).or_insert_with(|| self.meters.cell(Series::new(&DNS_ANSWERS, &[name, pool]))).bump();
    }

    /// Forgets what has left the config.
    pub(super) fn keep(&self, exists: impl Fn(&str, &str) -> bool) {
        self.answers.borrow_mut().retain(|(name, pool), _| exists(name, pool));
        self.meters.retire(|series| match series.labels.as_slice() {
            [name, pool] if *series.metric == DNS_ANSWERS => exists(name, pool),
            _ => true,
        });
    }
}
