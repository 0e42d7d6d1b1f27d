//! A connection of a listener that is not HTTP, from its first byte until it is known where it may go: the host that it is
//! for, by the listener, by the TLS that ends here, or by the ClientHello that passes through. What comes then is
//! `forward/stream.rs`. Never changes a byte.

use std::{future::poll_fn, rc::Rc, task::Poll};

use thalweg_config::PassThrough;
use thalweg_wire::{ClientHelloReader, HELLO_MAX, HelloError, HelloStep};
use tokio::time::{Instant, timeout_at};

use crate::data::{
    conn::{ClientConn, ClientIo, ConnSignal},
    failure::Failure,
    forward::{TcpClient, refuse_stream, serve_stream},
    inbox::{Buffers, Inbox},
    local::Local,
};

/// Serves a connection to its end. The client must have said until `until` whom it wants.
pub async fn serve(
    local: Rc<Local>,
    conn: Rc<ClientConn>,
    mut io: ClientIo,
    (rules, until): (PassThrough, Option<Instant>),
) {
    if conn.surplus {
        return refuse_stream(&local, &conn, None, Failure::Overloaded);
    }
    let mut early = Inbox::new(local.buffers());
    let asks = rules.host.is_none()
        && io.is_plain()
        && local.with_live(|live, _| live.snapshot.layout.matcher.has_hosts());
    let host = if asks {
        if local.buffers().size() < HELLO_MAX {
            early = Inbox::new(&Buffers::new(HELLO_MAX));
        }
        let until = until.unwrap_or_else(Instant::now);
        let reading = timeout_at(until, server_name(&conn, &mut io, &mut early)).await;
        match reading.unwrap_or(Err(HelloEnd::Refused(Failure::HeaderTimeout))) {
            Ok(name) => name,
            Err(HelloEnd::Gone) => return,
            Err(HelloEnd::Refused(failure)) => return refuse_stream(&local, &conn, None, failure),
        }
    } else {
        rules.host.or_else(|| io.server_name())
    };
    serve_stream(&local, &conn, TcpClient { io, early, host }).await;
}

/// Why no name was read.
enum HelloEnd {
    /// The client went without a word, or the edge is draining.
    Gone,
    Refused(Failure),
}

/// The name that the client asks for; what was read for it stays in `early`.
async fn server_name(
    conn: &ClientConn,
    io: &mut ClientIo,
    early: &mut Inbox,
) -> Result<Option<Box<str>>, HelloEnd> {
    let mut reader = ClientHelloReader::default();
    // Nothing of this connection can be given back before it speaks.
    conn.parked.set(true);
    let broken = |error| HelloEnd::Refused(Failure::BadHello(error));
    loop {
        let known = early.unread().len();
        let filled = poll_fn(|cx| match conn.take_signal(cx) {
            ConnSignal::Kill | ConnSignal::Graceful => Poll::Ready(Err(HelloEnd::Gone)),
            ConnSignal::HeaderTimeout => Poll::Ready(Err(HelloEnd::Refused(Failure::HeaderTimeout))),
            ConnSignal::None | ConnSignal::Park => early.poll_fill(io, cx).map_err(|_| HelloEnd::Gone),
        })
        .await?;
        if filled == 0 {
            return Err(match known {
                0 => HelloEnd::Gone,
                _ if early.is_full() => broken(HelloError::TooLong),
                _ => broken(HelloError::Broken),
            });
        }
        conn.head_begins();
        let step = reader.read(early.unread().get(known..).unwrap_or_default()).map_err(broken)?;
        conn.parked.set(false);
        match step {
            HelloStep::More => {}
            HelloStep::Other => return Ok(None),
            HelloStep::Hello(hello) => return Ok(hello.server_name),
        }
    }
}
