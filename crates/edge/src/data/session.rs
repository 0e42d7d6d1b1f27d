//! One client connection from its first byte to its close, between rooms 1 and 2: `http1` over the wire engine, `http2`
//! over the `h2` crate, `http3` over the `h3` crate. Signals from the worker, parking while idle, upgraded streams.

use std::{borrow::Cow, future::poll_fn, rc::Rc, task::Poll};

use thalweg_wire::Version;

use crate::data::{
    conn::{ClientConn, ClientIo, ConnSignal},
    failure::Failure,
    local::Local,
    request_id::RequestId,
    settle::RequestRecord,
};

mod delivery;
mod http1;
mod http2;
mod http3;

pub use http1::{http1, refuse};
pub use http2::http2;
pub use http3::http3;

/// Waits for the first byte of a request; `None` = the connection is to close.
pub async fn first_byte(conn: &ClientConn, io: &ClientIo) -> Option<()> {
    conn.parked.set(true);
    let signal = poll_fn(|cx| match (io.poll_readable(cx), conn.take_signal(cx)) {
        (_, signal @ ConnSignal::Kill) => Poll::Ready(signal),
        // A request that is already in the socket is answered first; the signal takes effect after it.
        (Poll::Ready(_), signal) => {
            if signal == ConnSignal::Graceful {
                conn.signal(signal);
            }
            Poll::Ready(ConnSignal::None)
        }
        (Poll::Pending, ConnSignal::None | ConnSignal::Park) => Poll::Pending,
        (Poll::Pending, signal) => Poll::Ready(signal),
    })
    .await;
    conn.parked.set(false);
    (signal == ConnSignal::None).then_some(())
}

/// The limits of a request's head, as the wire engine has them.
fn head_limits(limits: &thalweg_config::Limits) -> thalweg_wire::Limits {
    thalweg_wire::Limits {
        head_bytes: u32::try_from(limits.header_bytes).unwrap_or(u32::MAX),
        fields: u32::try_from(limits.header_count).unwrap_or(u32::MAX),
    }
}

/// A request whose head was refused, as far as it was understood.
struct Unread {
    failure: Failure,
    version: Version,
    id: RequestId,
    method: String,
    host: Box<str>,
    path: Box<str>,
}

impl Unread {
    /// A head of which nothing is known.
    fn new(failure: Failure, version: Version, local: &Local) -> Self {
        let (method, host, path) = ("-".to_owned(), Box::default(), Box::default());
        Self { failure, version, id: local.fresh_id(), method, host, path }
    }

    /// Counts and logs it.
    fn account(self, local: &Rc<Local>, conn: &Rc<ClientConn>, bytes_out: u64) {
        let mut record = RequestRecord::new(local, conn, (local.now(), self.version), self.id);
        record.status = self.failure.status();
        record.told(self.failure);
        (record.method, record.host, record.path) = (Cow::Owned(self.method), self.host, self.path);
        record.bytes_out = bytes_out;
        record.finish(record.now());
    }
}
