//! The trace of a request that has ended, on its way from its worker to the task that reports it. Plain values.

use crate::shared::decision::DecisionRecord;

/// The trace that a request belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceIds {
    /// The trace.
    pub trace: u128,
    /// The client's span; `None` = the trace begins here.
    pub parent: Option<u64>,
    /// The span of the request at this edge.
    pub span: u64,
    /// The trace is reported, whatever becomes of the request.
    pub sampled: bool,
}

/// A request that has ended and is to be reported.
#[derive(Clone, Debug)]
pub struct FinishedTrace {
    /// The ids of its trace.
    pub ids: TraceIds,
    /// What is told about it.
    pub record: DecisionRecord,
    /// The spans of its attempts, in order.
    pub attempts: Vec<u64>,
}
