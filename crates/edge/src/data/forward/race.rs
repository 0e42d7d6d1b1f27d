//! One attempt through rooms 4 and 5. If a connect is late, a second endpoint races it, because no byte was sent yet;
//! the first connection gets the request (Happy Eyeballs, RFC 8305, between endpoints instead of address families).

use std::{
    pin::{Pin, pin},
    rc::Rc,
};

use thalweg_core::{Fault, Reason};
use tokio::time::timeout;

use super::{
    ended::{Ended, Failed},
    hedge::HeadEvent,
    request::ProxiedRequest,
};
use crate::{
    data::{
        attempt::Attempt,
        exchange::{Exchange, ExchangeError},
        link::Link,
        outcome::Outcome,
        reach::{self, ReachError},
        settle::Steered,
    },
    shared::decision::AttemptKind,
};

/// The most connects that one worker lets go on at one endpoint after a lost race: enough for an ejection or for a
/// latency baseline.
const LINGERING: u32 = 16;

/// How often one attempt gets another connection because the one that it had ended before the endpoint looked at the request. One
/// of HTTP/1.1 is replaced by a new one; on HTTP/2 that may be one that others share, and may end as well.
const REOPENED: u32 = 10;

/// A connect in progress. It outlives its request if it loses its race.
type Connecting = Pin<Box<dyn Future<Output = Result<Link, ReachError>>>>;

/// A connection that may carry the request, and its attempt.
pub(super) struct Reached {
    pub(super) attempt: Attempt,
    pub(super) link: Link,
}

impl ProxiedRequest {
    /// Makes one attempt. A pooled connection that turns out to be dead is replaced by a new one to the same endpoint:
    /// no byte was sent, so it is still the same attempt.
    pub(super) async fn attempt(&mut self, attempt: Attempt) -> Ended {
        let reached = match self.connect(attempt).await {
            Ok(reached) => reached,
            Err(failed) => return Ended::Failed(failed),
        };
        self.exchange(reached).await
    }

    pub(super) async fn connect(&mut self, attempt: Attempt) -> Result<Reached, Failed> {
        let proxied = attempt.peer.proxied(&self.record.source);
        if !self.is_stream
            && let Some(link) = attempt.peer.take_idle(attempt.started, proxied)
        {
            return Ok(Reached { attempt, link });
        }
        self.deadline.pause();
        let limit = self.rules.timeouts.connect.min(self.remaining(attempt.started));
        let patience = attempt.peer.patience();
        let (to, started) = (Rc::clone(&attempt.peer), attempt.started);
        let is_stream = self.is_stream;
        let mut first: Connecting = Box::pin(async move {
            match is_stream {
                true => reach::open_own(&to, proxied, limit, started).await,
                false => reach::open(&to, proxied, limit, started).await,
            }
        });
        if patience < limit {
            match timeout(patience, first.as_mut()).await {
                Ok(result) => return self.connected(attempt, result),
                Err(_) => {
                    if let Some(rival) = self.steer_rival() {
                        // Boxed because races are rare: no other request holds room for one.
                        return Box::pin(self.race_connects((attempt, first), rival)).await;
                    }
                }
            }
        }
        let result = first.await;
        self.connected(attempt, result)
    }

    fn reached(&self, attempt: Attempt, link: Link) -> Reached {
        attempt.ready(self.local.now());
        Reached { attempt, link }
    }

    fn connected(&self, attempt: Attempt, result: Result<Link, ReachError>) -> Result<Reached, Failed> {
        match result {
            Ok(link) => Ok(self.reached(attempt, link)),
            Err(error) => Err(self.unreached(&attempt, &error)),
        }
    }

    /// Races two connects until one succeeds. A slower connect is no error; if the first one loses, it goes on by
    /// itself.
    async fn race_connects(
        &mut self,
        (attempt, mut first): (Attempt, Connecting),
        rival: Steered,
    ) -> Result<Reached, Failed> {
        let own = self.record.steered.replace(rival.clone());
        let to = (Rc::clone(&rival.peer), rival.reason);
        let other = self.begin(to, AttemptKind::ConnectRace, self.local.now());
        let peer = Rc::clone(&other.peer);
        let limit = self.rules.timeouts.connect.min(self.remaining(other.started));
        let proxied = peer.proxied(&self.record.source);
        let (is_stream, started) = (self.is_stream, other.started);
        let mut second = pin!(async {
            match is_stream {
                true => reach::open_own(&peer, proxied, limit, started).await,
                false => reach::reach(&peer, proxied, limit, started).await,
            }
        });
        let (mut failed, mut rival_failed) = (None, false);
        loop {
            tokio::select! {
                biased;
                result = first.as_mut(), if failed.is_none() => match result {
                    Ok(link) => {
                        self.record.steered = own;
                        if !rival_failed {
                            other.end(Outcome::Cancelled, self.local.now());
                            // The rival was sent no byte, so a hedge or a retry may still go there.
                            self.tried.retain(|tried| tried.endpoint != other.peer.id);
                            self.count_hedge("connect_lost");
                        }
                        return Ok(self.reached(attempt, link));
                    }
                    Err(error) => failed = Some(error),
                },
                result = second.as_mut(), if !rival_failed => match result {
                    Ok(link) => {
                        match &failed {
                            Some(error) => {
                                attempt.peer.stats().raced(self.local.now().since(attempt.started));
                                let _ = self.unreached(&attempt, error);
                            }
                            None => self.linger(attempt, first),
                        }
                        self.count_hedge("connect_won");
                        return Ok(self.reached(other, link));
                    }
                    Err(error) => {
                        let _ = self.unreached(&other, &error);
                        self.count_hedge("connect_failed");
                        rival_failed = true;
                    }
                },
            }
            if let (Some(error), true) = (&failed, rival_failed) {
                return Err(self.unreached(&attempt, error));
            }
        }
    }

    /// Lets a connect go on after it lost its race. Its end says what it is: a long way or a slow handshake, which the
    /// next race must know about, or a black hole. Judging it by the race alone would make a distant endpoint
    /// unreachable for ever.
    fn linger(&self, attempt: Attempt, first: Connecting) {
        let now = self.local.now();
        // This is no evidence, but it makes the endpoint's probe run at once.
        attempt.peer.suspect(Fault::Local, attempt.started, now);
        let (peer, cost) = (Rc::clone(&attempt.peer), now.since(attempt.started));
        if peer.lingering.get() >= LINGERING {
            peer.race_costs.borrow_mut().keep(cost);
            return attempt.end(Outcome::Cancelled, now);
        }
        peer.lingering.set(peer.lingering.get() + 1);
        attempt.release_slot();
        attempt.presume(Outcome::Cancelled);
        let (full, keeps) = (self.full_connect(), !self.is_stream);
        tokio::task::spawn_local(async move {
            let result = first.await;
            peer.lingering.set(peer.lingering.get() - 1);
            match result {
                Ok(link) => {
                    peer.race_costs.take();
                    // What is not HTTP leaves nothing for requests.
                    if keeps {
                        peer.give_back(link);
                    }
                }
                Err(error) => {
                    // Counted first, so that the keeper reads it together with the failure.
                    peer.stats().raced(cost);
                    peer.stats().raced_before(&peer.race_costs.take());
                    attempt.unreached(error.fault(), error.is_cut_short(full), peer.now());
                }
            }
        });
    }

    async fn exchange(&mut self, Reached { attempt, mut link }: Reached) -> Ended {
        let mut reopened = 0;
        loop {
            let ask = match self.ask(&attempt.peer, attempt.nth()) {
                Ok(ask) => ask,
                Err(failure) => {
                    attempt.end(Outcome::Cancelled, self.local.now());
                    return Ended::Client(failure);
                }
            };
            let reused = link.is_reused();
            let mut exchange = Exchange::new(link, self.upload.attempt(), ask, self.rules.timeouts.idle);
            match self.wait_for_head(&attempt, &mut exchange).await {
                HeadEvent::Answer => return self.answered(attempt, exchange),
                HeadEvent::Rival(won) => {
                    let (steered, other, won) = *won;
                    self.lost_race(attempt, exchange);
                    self.record.steered = Some(steered);
                    return self.answered(other, won);
                }
                HeadEvent::Failed(ExchangeError::Stale)
                    if reused && reopened < REOPENED && self.upload.replayable() =>
                {
                    reopened += 1;
                    self.deadline.pause();
                    let now = self.local.now();
                    let connect = self.rules.timeouts.connect.min(self.remaining(now));
                    let proxied = attempt.peer.proxied(&self.record.source);
                    link = match Box::pin(reach::open(&attempt.peer, proxied, connect, now)).await {
                        Ok(link) => {
                            attempt.ready(self.local.now());
                            link
                        }
                        Err(error) => return Ended::Failed(self.unreached(&attempt, &error)),
                    };
                }
                // A connection that others used as well says little about the endpoint when it ends.
                HeadEvent::Failed(ExchangeError::Stale) if reused => {
                    return self.unanswered(&attempt, &ExchangeError::Refused);
                }
                HeadEvent::Failed(ExchangeError::Stale) => {
                    return Ended::Failed(self.unreached(&attempt, &ReachError::Ended));
                }
                HeadEvent::Failed(error) => {
                    let mut ended = self.unanswered(&attempt, &error);
                    if let Ended::Failed(failed) = &mut ended {
                        failed.pooled = reused;
                    }
                    return ended;
                }
            }
        }
    }

    /// The endpoint that a retry would go to, booked if it is worth a race. An endpoint chosen in panic is not.
    pub(super) fn steer_rival(&mut self) -> Option<Steered> {
        let rival = self.steer().ok().filter(|rival| rival.reason != Reason::Panic)?;
        self.book(&rival);
        Some(rival)
    }

    pub(super) fn count_hedge(&self, result: &'static str) {
        self.record.route().count_hedge(result, self.local.meters());
    }
}
