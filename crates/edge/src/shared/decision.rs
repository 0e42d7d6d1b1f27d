//! The decision record of one request, as the admin server gets it from the worker that served the request, and the
//! question for one. Never touched on the request path: workers keep records in a form of their own.

use std::sync::Arc;

use thalweg_core::{Reason, Tick};
use tokio::sync::oneshot;

/// What is known of one request that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionRecord {
    /// The request id, as sent to the endpoint and back to the client.
    pub request_id: String,
    /// When the request's head ended.
    pub started: Tick,
    /// The client's address.
    pub client: String,
    /// The method.
    pub method: String,
    /// The host, as routes are matched by it.
    pub host: String,
    /// The normalised path without query.
    pub path: String,
    /// A text was too long and has lost its end.
    pub cut: bool,
    /// The route's name; `-` = none.
    pub route: String,
    /// The roll of the first attempt.
    pub roll: u64,
    /// The generation of the config that decided last.
    pub generation: u64,
    /// The revision of the snapshot that decided last.
    pub revision: u64,
    /// The status sent to the client; 0 = the client left before.
    pub status: u16,
    /// From the request's head to the end of the answer.
    pub duration_us: u64,
    /// From the request's head to the answer's head.
    pub first_byte_us: Option<u64>,
    /// This edge's spelling of the refusal, if it answered itself and no endpoint failed.
    pub refusal: Option<String>,
    /// This edge's spelling of the failure at an endpoint.
    pub error: Option<String>,
    /// The attempts, in order.
    pub attempts: Vec<AttemptRecord>,
    /// Further attempts, which were not noted.
    pub more_attempts: u32,
}

/// One attempt of a request that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRecord {
    /// The pool's name.
    pub pool: String,
    /// The endpoint's address.
    pub endpoint: String,
    /// Why the pool was chosen.
    pub reason: Reason,
    /// Why the attempt was made.
    pub kind: AttemptKind,
    /// How the attempt ended.
    pub outcome: &'static str,
    /// From the request's head to the start of the attempt.
    pub after_us: u64,
    /// From the start of the attempt to its end.
    pub duration_us: u64,
    /// From the start of the attempt to the answer's head.
    pub first_byte_us: Option<u64>,
    /// The first byte, or the connect, took longer than is usual there.
    pub late: bool,
    /// The roll of this attempt.
    pub roll: u64,
    /// The revision of the snapshot that decided.
    pub revision: u64,
}

/// Why an attempt was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptKind {
    /// The first attempt of the request.
    First,
    /// The attempt before failed.
    Retry,
    /// The same endpoint on a new connection, because the pooled one had ended.
    Again,
    /// The connect of the attempt before is late.
    ConnectRace,
    /// The first byte of the attempt before is late.
    Hedge,
}

impl AttemptKind {
    /// All kinds, in the order of their discriminants.
    pub const ALL: [Self; 5] = [Self::First, Self::Retry, Self::Again, Self::ConnectRace, Self::Hedge];

    /// The spelling in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Retry => "retry",
            Self::Again => "again",
            Self::ConnectRace => "connect_race",
            Self::Hedge => "hedge",
        }
    }
}

/// A question to a worker for the record of a request.
#[derive(Debug)]
pub struct RecordQuery {
    /// The request id.
    pub id: Arc<str>,
    /// Where the answer goes.
    pub reply: oneshot::Sender<RecordAnswer>,
}

/// A worker's answer to a [`RecordQuery`].
#[derive(Clone, Debug, Default)]
pub struct RecordAnswer {
    /// The newest record with this id.
    pub record: Option<DecisionRecord>,
    /// How many records have this id: clients choose ids too.
    pub same_id: usize,
    /// How many records the worker holds.
    pub held: usize,
    /// Since when the worker holds the record of every ordinary request; `None`: since its start.
    pub ordinary_since: Option<Tick>,
    /// The same for failed, retried and slow requests.
    pub notable_since: Option<Tick>,
}
