//! The behaviours of a fake endpoint. A closed list: a scenario names a behaviour, it never scripts one.

use std::time::Duration;

use bytes::Bytes;

/// How ordinary requests are answered; `/health` has its own switch.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Behaviour {
    /// By path: see [`crate::Endpoint`].
    #[default]
    Serve,
    /// As [`Behaviour::Serve`], after this delay.
    Slow(Duration),
    /// Reads the request and never answers.
    Hang,
    /// Accepts and resets before anything is read.
    ResetOnAccept,
    /// Reads the request, then resets.
    ResetBeforeHead,
    /// Reads the request, then closes with FIN.
    CloseBeforeHead,
    /// Sends a head that announces 1000 bytes, then 10 bytes, then resets.
    ResetAfterHead,
    /// Answers this status with a small body.
    Status(u16),
    /// Answers this status and closes the connection after it.
    StatusAndClose(u16),
    /// Every nth request gets this status, the others are served.
    EveryNth(u64, u16),
    /// Writes exactly these bytes once the request was read, then keeps the connection.
    Raw(Bytes),
    /// Writes exactly these bytes once the request was read, then closes.
    RawAndClose(Bytes),
    /// A body of ten bytes, one each time this span has passed.
    SlowLoris(Duration),
    /// Answers this status as soon as the head was read, without reading the body, then closes.
    EarlyAnswer(u16),
    /// Answers by path, and closes after each answer without having announced it.
    CloseAfterEach,
    /// A `103 Early Hints` first, then as [`Behaviour::Serve`].
    HintsFirst,
}

/// How `/health` is answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Health {
    /// The status code.
    pub status: u16,
    /// The body, unchanged.
    pub body: Bytes,
    /// Wait this long first.
    pub delay: Duration,
    /// Never answer.
    pub hang: bool,
    /// Announce the body but trickle it, one byte per this span.
    pub trickle: Option<Duration>,
}

impl Health {
    /// 200 `{"status":"ok"}` at once.
    pub fn ok() -> Self {
        Self::body(r#"{"status":"ok"}"#)
    }

    /// This status with the body FastAPI gives when it is unhealthy.
    pub fn status(status: u16) -> Self {
        Self { status, ..Self::body(r#"{"status":"unhealthy"}"#) }
    }

    /// 200 with this body.
    pub fn body(body: impl Into<Bytes>) -> Self {
        Self { status: 200, body: body.into(), delay: Duration::ZERO, hang: false, trickle: None }
    }

    /// Healthy, this much later.
    pub fn slow(delay: Duration) -> Self {
        Self { delay, ..Self::ok() }
    }

    /// Never answers.
    pub fn hang() -> Self {
        Self { hang: true, ..Self::ok() }
    }
}

impl Default for Health {
    fn default() -> Self {
        Self::ok()
    }
}
