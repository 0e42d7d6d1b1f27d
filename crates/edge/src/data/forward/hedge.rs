//! The wait for the head of an answer, with hedging: if the first byte is late, and the route hedges, and the request
//! may be sent twice, a second endpoint races the first. A connection whose other end is gone is abandoned. A wait has
//! at most one rival.
//!
//! Why this and not a fixed hedge delay: each endpoint is late by its own usual time (its p95 of the last minute,
//! `thalweg_core::late_after`), so a slow but steady region is not hedged, and a hedge budget bounds the extra load
//! when every endpoint is slow. Source: Dean and Barroso, "The Tail at Scale", CACM 56(2), 2013.

use std::{future::poll_fn, pin::Pin, rc::Rc, task::Poll, time::Duration};

use thalweg_core::{Fault, Tick, Timeouts};
use tokio::time::timeout;

use super::{ended::is_server_error, request::ProxiedRequest};
use crate::{
    data::{
        attempt::Attempt,
        exchange::{Ask, Exchange, ExchangeError},
        outcome::Outcome,
        reach::{self, ReachError},
        settle::Steered,
        source::ProxiedFor,
        upload::Upload,
    },
    shared::decision::AttemptKind,
};

/// Hedge delay for an endpoint whose usual time is not known yet.
const HEDGE_BLIND: Duration = Duration::from_millis(500);
/// Gap between two requests to an exhausted hedge budget.
const ASK_AGAIN: Duration = Duration::from_millis(50);
/// Gap between two looks at the kernel's knowledge of a silent connection.
pub(super) const LOOK: Duration = Duration::from_millis(200);

/// The second endpoint of a race for the first byte.
struct Rival {
    steered: Steered,
    going: Pin<Box<dyn Future<Output = Finished>>>,
}

/// How a rival ended.
struct Finished {
    attempt: Attempt,
    result: Result<Exchange, RivalError>,
}

/// Why a rival brought no answer.
enum RivalError {
    Reach(ReachError),
    Exchange(ExchangeError),
}

/// The first event of a wait for a head.
pub(super) enum HeadEvent {
    Answer,
    Failed(ExchangeError),
    Rival(Box<(Steered, Attempt, Exchange)>),
}

/// The state of a wait for a head.
struct Watch {
    hedged: bool,
    /// The budget was exhausted: ask again at this time.
    again: Option<Tick>,
    look: Option<Tick>,
}

impl ProxiedRequest {
    /// Waits for the head of an answer from the endpoint or from a rival. A failure of one is final only when the other
    /// has failed too.
    pub(super) async fn wait_for_head(&mut self, attempt: &Attempt, exchange: &mut Exchange) -> HeadEvent {
        let mut watch = Watch { hedged: !self.hedges(), again: None, look: None };
        match self.upload.ended.get() {
            Some(ended) => self.deadline.until(self.next_alarm(attempt, &watch, ended)),
            None => {
                let ready = attempt.waiting_since(attempt.started);
                let patience = self.next_alarm(attempt, &watch, ready).since(ready);
                self.upload.patience.set(patience);
                self.deadline.silent_for(self.rules.timeouts.idle);
            }
        }
        let (mut leads, mut lost) = (true, None);
        let mut rival: Option<Rival> = None;
        poll_fn(|cx| {
            loop {
                if leads && let Poll::Ready(result) = exchange.poll_head(cx) {
                    leads = false;
                    let is_good = result.is_ok() && !is_server_error(exchange.head().status());
                    let event = result.map_or_else(HeadEvent::Failed, |()| HeadEvent::Answer);
                    if rival.is_none() || is_good {
                        if rival.take().is_some() {
                            self.count_hedge("lost");
                        }
                        return Poll::Ready(event);
                    }
                    lost = Some(event);
                }
                if let Some(other) = &mut rival
                    && let Poll::Ready(finished) = other.going.as_mut().poll(cx)
                {
                    let steered = other.steered.clone();
                    rival = None;
                    if let Some(won) = self.rival_finished(steered, finished, lost.is_some()) {
                        if let Some(lost) = &lost {
                            self.lost_to_rival(attempt, (lost, exchange.head().status()));
                        }
                        return Poll::Ready(won);
                    }
                    if let Some(lost) = lost.take() {
                        return Poll::Ready(lost);
                    }
                }
                if self.deadline.poll(cx).is_pending() {
                    return Poll::Pending;
                }
                match self.alarm(attempt, exchange, &mut watch) {
                    Ok(false) => {}
                    Ok(true) => rival = self.start_rival(attempt, &mut watch),
                    Err(error @ (ExchangeError::FirstByte | ExchangeError::Dead))
                        if rival.is_some() && leads =>
                    {
                        leads = false;
                        lost = Some(HeadEvent::Failed(error));
                    }
                    // The rival has a time limit of its own.
                    Err(ExchangeError::FirstByte | ExchangeError::Dead) if rival.is_some() => {}
                    Err(error) => return Poll::Ready(HeadEvent::Failed(error)),
                }
            }
        })
        .await
    }

    /// Handles an expired deadline. Returns whether it is time for a rival.
    fn alarm(
        &self,
        attempt: &Attempt,
        exchange: &Exchange,
        watch: &mut Watch,
    ) -> Result<bool, ExchangeError> {
        if self.local.is_ending() {
            return Err(ExchangeError::ShuttingDown);
        }
        let Some(ended) = self.upload.ended.get() else {
            let client_is_due = self.upload.client_is_due.get();
            return Err(if client_is_due { ExchangeError::UploadIdle } else { ExchangeError::NotTaken });
        };
        let now = self.local.now();
        let times = self.rules.timeouts;
        // Set the next deadline first, so that a continued wait is woken.
        self.deadline.until(self.next_alarm(attempt, watch, ended));
        if ended.after(times.total) <= now {
            return Err(ExchangeError::Total);
        }
        if ended.max(attempt.started).after(times.first_byte) <= now {
            self.deadline.until(ended.after(times.total));
            return Err(ExchangeError::FirstByte);
        }
        if attempt.late_at(ended).is_some_and(|late| late <= now) {
            attempt.report_fault(Fault::Late, now);
        }
        if watch.look.unwrap_or(attempt.waiting_since(ended).after(LOOK)) <= now {
            watch.look = Some(now.after(LOOK));
            if exchange.is_dead() {
                // Other connections to the same endpoint are probably gone too.
                attempt.peer.close_idle();
                attempt.report_fault(Fault::Timeout, now);
                if self.may_be_sent_again() {
                    return Err(ExchangeError::Dead);
                }
            }
        }
        let hedge = !watch.hedged && self.hedge_at(attempt, watch, ended) <= now;
        watch.hedged |= hedge;
        self.deadline.until(self.next_alarm(attempt, watch, ended));
        Ok(hedge)
    }

    /// The next deadline of a wait for a head, for an upload that ended at `ended`.
    fn next_alarm(&self, attempt: &Attempt, watch: &Watch, ended: Tick) -> Tick {
        let times = self.rules.timeouts;
        let end = ended.max(attempt.started).after(times.first_byte).min(ended.after(times.total));
        let hedge = (!watch.hedged).then(|| self.hedge_at(attempt, watch, ended));
        let look = watch.look.unwrap_or(attempt.waiting_since(ended).after(LOOK));
        [attempt.late_at(ended), hedge, Some(look)].into_iter().flatten().fold(end, Tick::min)
    }

    fn hedge_at(&self, attempt: &Attempt, watch: &Watch, ended: Tick) -> Tick {
        let late = attempt.waiting_since(ended).after(attempt.peer.late_after().unwrap_or(HEDGE_BLIND));
        watch.again.map_or(late, |again| again.max(late))
    }

    /// Whether this request may race itself.
    pub(super) fn hedges(&self) -> bool {
        self.rules.retry.hedge && !self.upgrade && self.may_be_sent_again()
    }

    /// Starts a rival if the budget allows. If the budget is exhausted, it is asked again later, because the request
    /// still waits at a late endpoint.
    fn start_rival(&mut self, attempt: &Attempt, watch: &mut Watch) -> Option<Rival> {
        let now = self.local.now();
        if !self.may_be_sent_again() || self.upload.ended.get().is_none() {
            return None;
        }
        if !self.record.route().budget().take_hedge(now) {
            if watch.again.is_none() {
                self.count_hedge("over_budget");
            }
            watch.again = Some(now.after(ASK_AGAIN));
            watch.hedged = false;
            self.deadline
                .until(self.upload.ended.get().map_or(now, |ended| self.next_alarm(attempt, watch, ended)));
            return None;
        }
        let Some(steered) = self.steer_rival() else {
            self.record.route().budget().return_hedge();
            return None;
        };
        let nth = self.record.notes.as_ref().map_or(0, |notes| notes.count());
        let Ok(ask) = self.ask(&steered.peer, nth) else { return None };
        attempt.peer.stats().raced(now.since(attempt.started));
        let other = self.begin((Rc::clone(&steered.peer), steered.reason), AttemptKind::Hedge, now);
        other.presume(Outcome::Cancelled);
        let proxied = steered.peer.proxied(&self.record.source);
        let going = Box::pin(run_rival((other, proxied), ask, Rc::clone(&self.upload), self.rules.timeouts));
        Some(Rival { steered, going })
    }

    /// A rival won after the first endpoint had failed: its failure counts as usual.
    fn lost_to_rival(&self, attempt: &Attempt, (lost, status): (&HeadEvent, u16)) {
        match lost {
            HeadEvent::Failed(error) => _ = self.unanswered(attempt, error),
            HeadEvent::Answer | HeadEvent::Rival(_) => {
                let now = self.local.now();
                attempt.head(self.upload.ended.get(), now);
                attempt.server_error(status, now);
                attempt.end(Outcome::ServerError, now);
            }
        }
    }

    /// A rival has ended. Returns its answer if it is good, or if the first endpoint has already failed.
    fn rival_finished(&self, steered: Steered, finished: Finished, alone: bool) -> Option<HeadEvent> {
        let Finished { attempt, result } = finished;
        match result {
            Ok(exchange) if alone || !is_server_error(exchange.head().status()) => {
                self.count_hedge("won");
                // From here on only the client can cut it short.
                attempt.presume(Outcome::ClientGone);
                Some(HeadEvent::Rival(Box::new((steered, attempt, exchange))))
            }
            Ok(exchange) => {
                self.count_hedge("failed");
                attempt.server_error(exchange.head().status(), self.local.now());
                attempt.end(Outcome::ServerError, self.local.now());
                None
            }
            Err(error) => {
                self.count_hedge("failed");
                match error {
                    RivalError::Reach(error) => _ = self.unreached(&attempt, &error),
                    RivalError::Exchange(error) => _ = self.unanswered(&attempt, &error),
                }
                None
            }
        }
    }
}

/// Connects to the rival and sends it the request.
async fn run_rival(
    (attempt, proxied): (Attempt, Option<ProxiedFor>),
    ask: Ask,
    upload: Rc<Upload>,
    Timeouts { connect, first_byte, idle, .. }: Timeouts,
) -> Finished {
    let sending = async {
        let peer = &attempt.peer;
        let mut link =
            reach::reach(peer, proxied, connect, attempt.started).await.map_err(RivalError::Reach)?;
        loop {
            attempt.ready(peer.now());
            let reused = link.is_reused();
            let mut exchange = Exchange::new(link, upload.attempt(), ask.clone(), idle);
            match poll_fn(|cx| exchange.poll_head(cx)).await {
                Ok(()) => return Ok(exchange),
                Err(ExchangeError::Stale) if reused => {}
                Err(ExchangeError::Stale) => return Err(RivalError::Reach(ReachError::Ended)),
                Err(error) => return Err(RivalError::Exchange(error)),
            }
            link = reach::open(peer, proxied, connect, peer.now()).await.map_err(RivalError::Reach)?;
        }
    };
    let result =
        timeout(first_byte, sending).await.unwrap_or(Err(RivalError::Exchange(ExchangeError::FirstByte)));
    Finished { attempt, result }
}
