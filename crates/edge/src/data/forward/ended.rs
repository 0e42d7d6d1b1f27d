//! How one attempt ended, reported once to the endpoint's statistics and to the attempt loop.

use std::{future::poll_fn, rc::Rc, time::Duration};

use thalweg_core::{Fault, Tick, retry};
use thalweg_wire::ProtocolError;

use super::request::ProxiedRequest;
use crate::data::{
    attempt::Attempt,
    exchange::{Exchange, ExchangeError},
    failure::Failure,
    outcome::Outcome,
    peer::Peer,
    reach::ReachError,
    upload::UploadError,
    websocket,
};

/// The head of an endpoint's answer, with what is needed to pass it on.
pub(super) struct UpstreamAnswer {
    pub(super) attempt: Attempt,
    pub(super) exchange: Exchange,
}

/// An unwanted answer of at most this length is read to its end within [`DISCARD`], so that its connection can be used
/// again.
const DISCARD_BYTES: usize = 64 * 1024;
const DISCARD: Duration = Duration::from_secs(1);

impl UpstreamAnswer {
    /// Drops this answer because another attempt has begun. `sent`: the request was sent to its end.
    pub(super) fn discard(self: Box<Self>, sent: bool) {
        let Self { attempt, mut exchange } = *self;
        let peer = Rc::clone(&attempt.peer);
        attempt.end(Outcome::ServerError, peer.now());
        if !sent {
            return;
        }
        tokio::task::spawn_local(async move {
            if read_off(&mut exchange).await == Rest::Whole
                && let Some(link) = exchange.into_reusable()
            {
                peer.give_back(link);
            }
        });
    }
}

/// What became of an unwanted answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// Read to its end.
    Whole,
    /// Longer than [`DISCARD_BYTES`], and good as far as it was read.
    Long,
    /// Not complete within [`DISCARD`].
    Slow,
    Broken,
}

/// Reads an unwanted answer to its end if that takes little.
pub(super) async fn read_off(exchange: &mut Exchange) -> Rest {
    let reading = async {
        let mut read = 0;
        loop {
            match poll_fn(|cx| exchange.poll_content(cx)).await {
                Ok(false) => return Rest::Whole,
                Err(_) => return Rest::Broken,
                Ok(true) => {
                    let piece = exchange.content().len();
                    read += piece;
                    if read > DISCARD_BYTES {
                        return Rest::Long;
                    }
                    exchange.consume(piece);
                }
            }
        }
    };
    tokio::time::timeout(DISCARD, reading).await.unwrap_or(Rest::Slow)
}

/// An attempt that failed.
pub(super) struct Failed {
    /// The cause, as far as the verdict on a retry needs it.
    pub(super) cause: retry::Failure,
    /// The failure that the client would get.
    pub(super) failure: Failure,
    /// The answer if it was a 5xx: kept until another attempt begins.
    pub(super) held: Option<Box<UpstreamAnswer>>,
    /// A pooled connection ended during the attempt, which says more about the connection than about the endpoint.
    pub(super) pooled: bool,
    /// The endpoint at fault, and when the attempt began.
    pub(super) peer: Rc<Peer>,
    pub(super) started: Tick,
}

/// How one attempt ended.
pub(super) enum Ended {
    Answered(Box<UpstreamAnswer>),
    Failed(Failed),
    /// The client is the cause, not an endpoint.
    Client(Failure),
    /// The client went away: no answer is needed.
    Gone,
}

impl ProxiedRequest {
    /// The longest time that an attempt may take to connect.
    pub(super) fn full_connect(&self) -> Duration {
        self.rules.timeouts.connect.min(self.rules.timeouts.total)
    }

    /// Whether the attempt had at least half of its time. If not, earlier attempts used up most of `total`, and the
    /// timeout says nothing about this endpoint.
    fn had_its_time(&self, attempt: &Attempt) -> bool {
        let times = self.rules.timeouts;
        self.local.now().since(attempt.started) >= times.first_byte.min(times.total) / 2
    }

    pub(super) fn unreached(&self, attempt: &Attempt, error: &ReachError) -> Failed {
        let (fault, now) = (error.fault(), self.local.now());
        attempt.unreached(fault, error.is_cut_short(self.full_connect()), now);
        if self.remaining(now).is_zero() {
            return failed(attempt, retry::Failure::Timeout, Failure::TotalTimeout);
        }
        self.local.report_unreached(attempt.peer.id, fault, error);
        failed(attempt, retry::Failure::Connect, Failure::ConnectFailed(fault))
    }

    pub(super) fn unanswered(&self, attempt: &Attempt, error: &ExchangeError) -> Ended {
        tracing::debug!(pool = %attempt.peer.pool, endpoint = %attempt.peer.label, %error, "endpoint gave no answer");
        let failed = |cause, failure| Ended::Failed(failed(attempt, cause, failure));
        let (outcome, ended) = match error {
            // The endpoint has not looked at the request: any other may have it, whatever its method.
            ExchangeError::Refused => {
                (Outcome::Refused, failed(retry::Failure::Connect, Failure::ConnectFailed(Fault::Reset)))
            }
            ExchangeError::Stale | ExchangeError::Reset(_) => {
                if matches!(error, ExchangeError::Reset(_)) {
                    attempt.cut_off(self.upload.ended.get().is_none(), self.local.now());
                }
                (Outcome::Reset, failed(retry::Failure::Reset, Failure::Reset))
            }
            // Every other endpoint would answer alike: no other is asked, and the failure says nothing about this one.
            ExchangeError::Protocol(ProtocolError::HeadTooLarge | ProtocolError::TooManyFields) => {
                attempt.report_fault(Fault::AnswerFields, self.local.now());
                (Outcome::BadAnswer, failed(retry::Failure::Common, Failure::AnswerFields))
            }
            ExchangeError::Protocol(error) => {
                (Outcome::BadAnswer, failed(retry::Failure::Reset, Failure::BadAnswer(*error)))
            }
            // No byte of the request was sent, and every other endpoint of the pool would say the same.
            ExchangeError::NoConnect => {
                (Outcome::Cancelled, failed(retry::Failure::Common, Failure::NoWebSocket))
            }
            ExchangeError::Dead => (Outcome::Timeout, failed(retry::Failure::Reset, Failure::Reset)),
            ExchangeError::FirstByte => {
                (Outcome::Timeout, failed(retry::Failure::Timeout, Failure::FirstByteTimeout))
            }
            ExchangeError::Total => (
                if self.had_its_time(attempt) { Outcome::Timeout } else { Outcome::Cancelled },
                failed(retry::Failure::Timeout, Failure::TotalTimeout),
            ),
            ExchangeError::NotTaken => {
                (Outcome::Timeout, failed(retry::Failure::Timeout, Failure::UploadTimeout))
            }
            ExchangeError::ShuttingDown => (Outcome::ClientGone, Ended::Client(Failure::ShuttingDown)),
            ExchangeError::UploadIdle if self.deadline.pace.is_slow() => {
                (Outcome::ClientGone, Ended::Client(Failure::BodyTooSlow))
            }
            ExchangeError::UploadIdle => (Outcome::ClientGone, Ended::Client(Failure::UploadTimeout)),
            ExchangeError::Upload(error) => (Outcome::ClientGone, broken_off(*error)),
        };
        attempt.end(outcome, self.local.now());
        ended
    }

    pub(super) fn answered(&mut self, attempt: Attempt, exchange: Exchange) -> Ended {
        let now = self.local.now();
        attempt.head(self.upload.ended.get(), now);
        self.record.first_byte = Some(now.since(self.record.started));
        let status = exchange.head().status();
        if self.head.opens_websocket() {
            if status == 101 && !websocket::is_accepted(&self.head, exchange.head()) {
                let error = ExchangeError::Protocol(ProtocolError::BadWebSocketAccept);
                return self.unanswered(&attempt, &error);
            }
            if (200..300).contains(&status) {
                attempt.end(Outcome::Ok, now);
                return Ended::Client(Failure::NotSwitched);
            }
        }
        if !is_server_error(status) {
            return Ended::Answered(Box::new(UpstreamAnswer { attempt, exchange }));
        }
        attempt.server_error(status, now);
        // Discarded for another attempt, it still counts as a server error.
        attempt.presume(Outcome::ServerError);
        let asks_to_wait =
            |exchange: &Exchange| exchange.head().fields().iter().any(|field| is_retry_after(field.name));
        if status == 503
            && asks_to_wait(&exchange)
            && let Some(tried) = self.tried.iter_mut().find(|tried| tried.endpoint == attempt.peer.id)
        {
            tried.leave = true;
        }
        let (peer, started) = (Rc::clone(&attempt.peer), attempt.started);
        let held = Some(Box::new(UpstreamAnswer { attempt, exchange }));
        Ended::Failed(Failed {
            cause: retry::Failure::ServerError,
            failure: Failure::Reset,
            held,
            pooled: false,
            peer,
            started,
        })
    }
}

/// Whether a status says that the endpoint failed.
pub(super) fn is_server_error(status: u16) -> bool {
    (500..600).contains(&status)
}

fn is_retry_after(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"retry-after")
}

fn broken_off(error: UploadError) -> Ended {
    match error {
        UploadError::Garbled(error) => Ended::Client(Failure::BadMessage(error)),
        UploadError::TooLarge => Ended::Client(Failure::BodyTooLarge),
        UploadError::ClientGone | UploadError::Superseded => Ended::Gone,
    }
}

/// A failed attempt without an answer.
fn failed(attempt: &Attempt, cause: retry::Failure, failure: Failure) -> Failed {
    let (peer, started) = (Rc::clone(&attempt.peer), attempt.started);
    Failed { cause, failure, held: None, pooled: false, peer, started }
}
