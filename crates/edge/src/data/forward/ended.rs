//! How one attempt ended, reported once to the endpoint's statistics and to the attempt loop.

use std::{rc::Rc, time::Duration};

use http::{Response, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use thalweg_core::{Fault, Tick, retry};

use super::request::ProxiedRequest;
use crate::data::{
    failure::Failure, link::Link, outcome::Outcome, peer::Peer, reach::ReachError, relay::RelayError,
    settle::Attempt,
};

/// The head of an endpoint's answer, with what is needed to pass it on.
pub(super) struct UpstreamAnswer {
    pub(super) attempt: Attempt,
    pub(super) link: Link,
    pub(super) response: Response<Incoming>,
}

/// An unwanted answer of at most this length is read to its end within [`DISCARD`], so that its connection can be used
/// again.
const DISCARD_BYTES: usize = 64 * 1024;
const DISCARD: Duration = Duration::from_secs(1);

impl UpstreamAnswer {
    /// Drops this answer because another attempt has begun. `sent`: the request was sent to its end.
    pub(super) fn discard(self: Box<Self>, sent: bool) {
        let Self { attempt, link, response } = *self;
        let peer = Rc::clone(&attempt.peer);
        attempt.end(Outcome::ServerError, peer.now());
        if !sent {
            return;
        }
        tokio::task::spawn_local(async move {
            if read_off(response.into_body()).await == Rest::Whole {
                peer.give_back(link, peer.now());
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
pub(super) async fn read_off(body: Incoming) -> Rest {
    match tokio::time::timeout(DISCARD, Limited::new(body, DISCARD_BYTES).collect()).await {
        Ok(Ok(_)) => Rest::Whole,
        Ok(Err(error)) if error.is::<LengthLimitError>() => Rest::Long,
        Ok(Err(_)) => Rest::Broken,
        Err(_) => Rest::Slow,
    }
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

    pub(super) fn unanswered(&self, attempt: &Attempt, error: &RelayError) -> Ended {
        tracing::debug!(pool = %attempt.peer.pool, endpoint = %attempt.peer.label, %error, "endpoint gave no answer");
        let (outcome, ended) = match error {
            // Every other endpoint would answer alike: no other is asked, and none is to blame.
            RelayError::Protocol(error) if error.is_parse_too_large() => {
                attempt.blame(Fault::AnswerFields, self.local.now());
                let failure = Failure::AnswerFields;
                (Outcome::Reset, Ended::Failed(failed(attempt, retry::Failure::Common, failure)))
            }
            RelayError::Stale(_) | RelayError::Reset(_) | RelayError::Protocol(_) => {
                if matches!(error, RelayError::Reset(_)) {
                    attempt.cut_off(self.upload.ended.get().is_none(), self.local.now());
                }
                (Outcome::Reset, Ended::Failed(failed(attempt, retry::Failure::Reset, Failure::Reset)))
            }
            RelayError::Dead => {
                (Outcome::Timeout, Ended::Failed(failed(attempt, retry::Failure::Reset, Failure::Reset)))
            }
            RelayError::FirstByte => (
                Outcome::Timeout,
                Ended::Failed(failed(attempt, retry::Failure::Timeout, Failure::FirstByteTimeout)),
            ),
            RelayError::Total => (
                if self.had_its_time(attempt) { Outcome::Timeout } else { Outcome::Cancelled },
                Ended::Failed(failed(attempt, retry::Failure::Timeout, Failure::TotalTimeout)),
            ),
            RelayError::NotTaken => (
                Outcome::Timeout,
                Ended::Failed(failed(attempt, retry::Failure::Timeout, Failure::UploadTimeout)),
            ),
            RelayError::ShuttingDown => (Outcome::ClientGone, Ended::Client(Failure::ShuttingDown)),
            RelayError::UploadIdle => (Outcome::ClientGone, Ended::Client(Failure::UploadTimeout)),
            RelayError::ClientGone if self.upload.garbled.get() => {
                (Outcome::ClientGone, Ended::Client(Failure::BadRequest))
            }
            RelayError::ClientGone => (Outcome::ClientGone, Ended::Gone),
            RelayError::TooLarge => (Outcome::ClientGone, Ended::Client(Failure::BodyTooLarge)),
        };
        attempt.end(outcome, self.local.now());
        ended
    }

    /// The head was already sent for good. The verdict on retries never lets this happen.
    pub(super) fn spent(&self, attempt: &Attempt) -> Failed {
        attempt.end(Outcome::ClientGone, self.local.now());
        failed(attempt, retry::Failure::Reset, Failure::Reset)
    }

    pub(super) fn answered(&mut self, attempt: Attempt, link: Link, response: Response<Incoming>) -> Ended {
        let now = self.local.now();
        attempt.head(self.upload.ended.get(), now);
        self.record.first_byte = Some(now.since(self.record.started));
        let status = response.status();
        if !status.is_server_error() {
            return Ended::Answered(Box::new(UpstreamAnswer { attempt, link, response }));
        }
        attempt.server_error(status, now);
        // Discarded for another attempt, it still counts as a server error.
        attempt.presume(Outcome::ServerError);
        if status == StatusCode::SERVICE_UNAVAILABLE
            && response.headers().contains_key(header::RETRY_AFTER)
            && let Some(tried) = self.tried.iter_mut().find(|tried| tried.endpoint == attempt.peer.id)
        {
            tried.leave = true;
        }
        let (peer, started) = (Rc::clone(&attempt.peer), attempt.started);
        let held = Some(Box::new(UpstreamAnswer { attempt, link, response }));
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

/// A failed attempt without an answer.
fn failed(attempt: &Attempt, cause: retry::Failure, failure: Failure) -> Failed {
    let (peer, started) = (Rc::clone(&attempt.peer), attempt.started);
    Failed { cause, failure, held: None, pooled: false, peer, started }
}
