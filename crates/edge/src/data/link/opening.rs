//! How an HTTP/2 connection to an endpoint begins: what it needs, its settings, and how it may fail.

use std::{cell::Cell, rc::Rc, sync::Arc};

use h2::client::Builder;
use thalweg_core::Tick;

use super::http2::MOST_STREAMS;
use crate::{data::inbox::Buffers, shared::meters::Cell as Count};

/// Bytes of an answer's head. Servers send large ones for sign-in redirects; few clients take more.
pub const ANSWER_HEAD: u32 = 128 * 1024;

/// Largest window of a connection (RFC 9113 section 6.9.1).
const MAX_WINDOW: u32 = (1 << 31) - 1;

/// Streams that were reset here and whose late frames are still expected.
const RESET_STREAMS: usize = 1024;

/// How an endpoint of an HTTP/2 pool failed to begin a connection.
#[derive(Debug, thiserror::Error)]
pub enum GreetingError {
    /// An answer in HTTP/1 came.
    #[error("the endpoint answers HTTP/1.1 where the pool says h2")]
    Http1,
    /// Something else than SETTINGS came first.
    #[error("the endpoint does not begin with SETTINGS")]
    Other,
    /// The connection ended.
    #[error("the endpoint ended the connection before its SETTINGS")]
    Ended,
}

/// What a new connection needs of its endpoint and its worker.
#[derive(Debug)]
pub struct Opening<'a> {
    /// The worker's read buffers.
    pub buffers: &'a Rc<Buffers>,
    /// When it was opened, and the epoch of the peer's settings then.
    pub opened: (Tick, u32),
    /// The worker's coarse clock.
    pub clock: &'a Rc<Cell<Tick>>,
    /// Connections of the pool that carry requests, and those that carry none.
    pub counts: (&'a Arc<Count>, &'a Arc<Count>),
}

/// The settings of a connection: one window per stream, as large as the buffer that a stream may fill.
pub(super) fn builder(stream_buffer: usize) -> Builder {
    let window = u32::try_from(stream_buffer).unwrap_or(MAX_WINDOW).min(MAX_WINDOW);
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(window)
        // Answers whose clients take nothing cannot take the room of one that is read (RFC 9113 section 5.2.2).
        .initial_connection_window_size(window.saturating_mul(MOST_STREAMS as u32).min(MAX_WINDOW))
        .max_send_buffer_size(stream_buffer)
        .max_header_list_size(ANSWER_HEAD)
        .max_concurrent_reset_streams(RESET_STREAMS);
    builder
}
