//! The keys about what the edge keeps of its requests. Only declarations, as in the parent.

use crate::table::{Default as D, Shape, int};

pub(crate) const DECISIONS: Shape = Shape {
    title: "[decisions]",
    doc: "What is kept of requests that have ended, for `thalweg why`.",
    keys: &[int(
        "keep",
        (0, 1_000_000),
        D::Int(10_000),
        "Requests whose decision is kept in memory, over all workers, 336 bytes each at most on average; a quarter of the places is for failed, retried and slow ones, so that they are kept longest. 0 = none.",
    )],
};
