//! The loser of a race for a first byte, while nobody can call it late: it goes on by itself and says by its end what it
//! is, a slow report or a hole. Judged by its race alone, it could never show what is usual there.
//! Its client has the winner's answer: nothing of it is passed on.

use std::{pin::Pin, rc::Rc, time::Duration};

use http::{Response, StatusCode};
use hyper::body::Incoming;
use thalweg_core::{Fault, Tick};
use tokio::time::timeout;

use super::{
    ended::{Rest, UpstreamAnswer, read_off},
    hedge::LOOK,
    request::ProxiedRequest,
};
use crate::{
    data::{link::Link, local::Local, outcome::Outcome, reach::ReachError, relay::Sent, settle::Attempt},
    shared::kernel,
};

/// Losers that one worker waits for at one endpoint: enough to convict it, or to learn from. One more speaks neither
/// for nor against it.
const WAITED_FOR: u32 = 16;
/// The longest that one is waited for, unless its race alone took half of that: then twice as long as the race. Silence
/// until then is late, whatever is usual.
const LONGEST: Duration = Duration::from_secs(2);

/// A request that was sent and has no answer yet.
struct Loser<F> {
    attempt: Attempt,
    link: Link,
    sent: Pin<Box<F>>,
    /// The end of its upload.
    ended: Tick,
}

/// How it ended.
enum LoserEnd {
    Head(Response<Incoming>),
    /// The connection ended; `unsent`: before a byte of the request was sent on it.
    Failed {
        unsent: bool,
    },
    Dead,
    Silent,
}

impl ProxiedRequest {
    /// A rival answered first. That is evidence where it is known what is late there; else the loser goes on.
    pub(super) fn lost_race<F>(&self, attempt: Attempt, link: Link, sent: Option<Pin<Box<F>>>)
    where
        F: Future<Output = Sent> + 'static,
    {
        let now = self.local.now();
        match (self.upload.ended.get(), sent) {
            (Some(ended), Some(sent)) if attempt.is_undecided(ended, now) => {
                self.wait_for(Loser { attempt, link, sent, ended }, now);
            }
            (ended, _) => attempt.lost_race(ended, now),
        }
    }

    /// It takes no place under `max_in_flight`: its request has gone elsewhere.
    fn wait_for<F>(&self, loser: Loser<F>, now: Tick)
    where
        F: Future<Output = Sent> + 'static,
    {
        let Loser { attempt, ended, .. } = &loser;
        let peer = Rc::clone(&attempt.peer);
        // No evidence, but its probe looks at once.
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

impl<F: Future<Output = Sent>> Loser<F> {
    async fn go_on(mut self, local: &Local, most: Duration) {
        let end = self.wait_for_head(local, most).await;
        let Self { attempt, link, ended, .. } = self;
        let now = local.now();
        match end {
            LoserEnd::Head(response) => {
                attempt.head(Some(ended), now);
                settle(attempt, link, response).await;
            }
            LoserEnd::Failed { unsent: true } if link.reused => attempt.cancel(Some(ended), now),
            LoserEnd::Failed { unsent: true } => attempt.unreached(ReachError::Ended.fault(), false, now),
            LoserEnd::Failed { unsent: false } => attempt.end(Outcome::Reset, now),
            LoserEnd::Dead => {
                attempt.peer.close_idle();
                attempt.end(Outcome::Timeout, now);
            }
            LoserEnd::Silent => attempt.lost_race(Some(ended), now),
        }
    }

    /// Waits for its head, as long as an endpoint may take: time in which this edge stood still does not count.
    async fn wait_for_head(&mut self, local: &Local, most: Duration) -> LoserEnd {
        loop {
            let now = local.now();
            let rest = self.attempt.waiting_since(self.ended).after(most).since(now);
            if rest.is_zero() {
                return LoserEnd::Silent;
            }
            match timeout(rest.min(LOOK), self.sent.as_mut()).await {
                Ok(Ok(response)) => return LoserEnd::Head(response),
                // Its upload has ended well, or there would be no rival: this is the endpoint's doing.
                Ok(Err(mut failure)) => return LoserEnd::Failed { unsent: failure.take_message().is_some() },
                Err(_) if self.link.exit.socket.get().is_some_and(kernel::is_dead) => return LoserEnd::Dead,
                Err(_) => {}
            }
        }
    }
}

/// An answer counts as any other, unless its body stalls; a long one is given up.
async fn settle(attempt: Attempt, link: Link, response: Response<Incoming>) {
    let peer = Rc::clone(&attempt.peer);
    match response.status() {
        // Nobody asked for it.
        StatusCode::SWITCHING_PROTOCOLS => attempt.end(Outcome::Reset, peer.now()),
        status if status.is_server_error() => {
            Box::new(UpstreamAnswer { attempt, link, response }).discard(true)
        }
        _ => {
            let rest = read_off(response.into_body()).await;
            let outcome = match rest {
                Rest::Whole | Rest::Long => Outcome::Ok,
                Rest::Slow => Outcome::Cancelled,
                Rest::Broken => Outcome::Reset,
            };
            attempt.end(outcome, peer.now());
            if rest == Rest::Whole {
                peer.give_back(link, peer.now());
            }
        }
    }
}
