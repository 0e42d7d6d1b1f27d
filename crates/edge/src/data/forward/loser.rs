//! The loser of a race for a first byte, while it is not known to be late: it goes on by itself, and its end says
//! whether the endpoint is slow or dead. Judging it by the race alone would never show what is usual at that endpoint.
//! The client has the winner's answer; nothing of the loser's answer is passed on.

use std::{future::poll_fn, rc::Rc, time::Duration};

use thalweg_core::{Fault, Tick};
use thalweg_wire::ProtocolError;
use tokio::time::timeout;

use super::{
    ended::{Rest, UpstreamAnswer, is_server_error, read_off},
    hedge::LOOK,
    request::ProxiedRequest,
};
use crate::data::{
    attempt::Attempt,
    exchange::{Exchange, ExchangeError},
    local::Local,
    outcome::Outcome,
    reach::ReachError,
};

/// The most losers that one worker waits for at one endpoint: enough for an ejection or for a latency baseline. Further
/// losers count neither for nor against the endpoint.
const WAITED_FOR: u32 = 16;
/// The longest wait for a loser, unless its race alone took half of that: then twice as long as the race. Silence until
/// then is late, whatever is usual.
const LONGEST: Duration = Duration::from_secs(2);

/// A request that was sent and has no answer yet.
struct Loser {
    attempt: Attempt,
    exchange: Exchange,
    /// When its upload ended.
    ended: Tick,
}

/// How a loser ended.
enum LoserEnd {
    Head,
    Failed(ExchangeError),
    Dead,
    Silent,
}

impl ProxiedRequest {
    /// A rival answered first. If the endpoint's usual time is known, that is evidence; otherwise the loser goes on.
    pub(super) fn lost_race(&self, attempt: Attempt, exchange: Exchange) {
        let now = self.local.now();
        match self.upload.ended.get() {
            Some(ended) if attempt.is_undecided(ended, now) => {
                self.wait_for(Loser { attempt, exchange, ended }, now);
            }
            ended => attempt.lost_race(ended, now),
        }
    }

    /// Lets the loser go on. It no longer counts under `max_in_flight`, because its request has gone elsewhere.
    fn wait_for(&self, loser: Loser, now: Tick) {
        let Loser { attempt, ended, .. } = &loser;
        let peer = Rc::clone(&attempt.peer);
        // This is no evidence, but it makes the endpoint's probe run at once.
        peer.suspect(Fault::Local, attempt.started, now);
        if peer.waited_for.get() >= WAITED_FOR {
            return attempt.cancel(Some(*ended), now);
        }
        peer.waited_for.set(peer.waited_for.get() + 1);
        let waited = now.since(attempt.waiting_since(*ended));
        peer.slower_than(waited);
        attempt.release_slot();
        attempt.presume(Outcome::Cancelled);
        let most = self.rules.timeouts.first_byte.min(LONGEST.max(waited * 2));
        let local = Rc::clone(&self.local);
        tokio::task::spawn_local(async move {
            loser.go_on(&local, most).await;
            peer.waited_for.set(peer.waited_for.get() - 1);
        });
    }
}

impl Loser {
    async fn go_on(mut self, local: &Local, most: Duration) {
        let end = self.wait_for_head(local, most).await;
        let Self { attempt, exchange, ended } = self;
        let now = local.now();
        match end {
            LoserEnd::Head => {
                attempt.head(Some(ended), now);
                settle(attempt, exchange).await;
            }
            LoserEnd::Failed(ExchangeError::Stale) if exchange.is_reused() => {
                attempt.cancel(Some(ended), now);
            }
            LoserEnd::Failed(ExchangeError::Stale) => {
                attempt.unreached(ReachError::Ended.fault(), false, now);
            }
            LoserEnd::Failed(ExchangeError::Protocol(error)) => {
                if matches!(error, ProtocolError::HeadTooLarge | ProtocolError::TooManyFields) {
                    attempt.report_fault(Fault::AnswerFields, now);
                }
                attempt.end(Outcome::BadAnswer, now);
            }
            LoserEnd::Failed(ExchangeError::Refused) => attempt.cancel(Some(ended), now),
            // The upload ended well, otherwise there would be no rival, so the endpoint ended the connection.
            LoserEnd::Failed(_) => attempt.end(Outcome::Reset, now),
            LoserEnd::Dead => {
                attempt.peer.close_idle();
                attempt.end(Outcome::Timeout, now);
            }
            LoserEnd::Silent => attempt.lost_race(Some(ended), now),
        }
    }

    /// Waits for the loser's head as long as an endpoint may take. Time in which this edge stood still does not count.
    async fn wait_for_head(&mut self, local: &Local, most: Duration) -> LoserEnd {
        loop {
            let now = local.now();
            let rest = self.attempt.waiting_since(self.ended).after(most).since(now);
            if rest.is_zero() {
                return LoserEnd::Silent;
            }
            match timeout(rest.min(LOOK), poll_fn(|cx| self.exchange.poll_head(cx))).await {
                Ok(Ok(())) => return LoserEnd::Head,
                Ok(Err(error)) => return LoserEnd::Failed(error),
                Err(_) if self.exchange.is_dead() => return LoserEnd::Dead,
                Err(_) => {}
            }
        }
    }
}

/// Counts the loser's answer like any other, unless its body stalls. A long body is abandoned.
async fn settle(attempt: Attempt, mut exchange: Exchange) {
    let peer = Rc::clone(&attempt.peer);
    if is_server_error(exchange.head().status()) {
        attempt.server_error(exchange.head().status(), peer.now());
        return Box::new(UpstreamAnswer { attempt, exchange }).discard(true);
    }
    let rest = read_off(&mut exchange).await;
    let outcome = match rest {
        Rest::Whole | Rest::Long => Outcome::Ok,
        Rest::Slow => Outcome::Cancelled,
        Rest::Broken => Outcome::Reset,
    };
    attempt.end(outcome, peer.now());
    if rest == Rest::Whole
        && let Some(link) = exchange.into_reusable()
    {
        peer.give_back(link);
    }
}
