//! A request waits while its pool is at its `capacity`, or every endpoint of it at `max_in_flight`.

use std::{future::poll_fn, pin::pin, rc::Rc};

use thalweg_core::{PoolSlot, Refusal, queued_pool};

use super::{ended::Failed, request::ProxiedRequest};
use crate::data::{
    failure::Failure,
    queue::{PoolQueue, QueuePlace, QueueResult},
    settle::Steered,
};

impl ProxiedRequest {
    /// [`ProxiedRequest::steer`], but where all are busy the request waits for room. A retry waits as a first attempt does,
    /// unless it holds an answer already: that answer is better than a late refusal.
    ///
    /// # Errors
    /// The answer to the request, if nothing else is left to try.
    pub(super) async fn steer_or_wait(&mut self, failed: Option<&Failed>) -> Result<Steered, Failure> {
        let waits = failed.is_none_or(|failed| failed.held.is_none() && !self.may_reconnect(failed));
        match self.steer() {
            // Boxed, so that requests that do not wait hold no room for it.
            Err(Refusal::Overloaded) if waits => Box::pin(self.wait_for_room()).await,
            steered => steered.map_err(Failure::from),
        }
    }

    /// Waits in its pool's queue for an endpoint with room.
    ///
    /// # Errors
    /// The answer to a request that finds no queue or no place in it, waits too long, or is refused at last.
    async fn wait_for_room(&mut self) -> Result<Steered, Failure> {
        let queue = self.queue().ok_or(Failure::Overloaded)?;
        let now = self.local.now();
        let place = queue.enter(now).ok_or(Failure::Overloaded)?;
        let deadline = Rc::clone(&self.deadline);
        deadline.until(now.after(queue.timeout().min(self.remaining(now))));
        let asked = {
            let mut asking = pin!(self.ask_in_turn(&place));
            poll_fn(|cx| match asking.as_mut().poll(cx) {
                std::task::Poll::Ready(asked) => std::task::Poll::Ready(Some(asked)),
                std::task::Poll::Pending => deadline.poll(cx).map(|()| None),
            })
            .await
        };
        deadline.pause();
        let (result, answer) = match asked {
            Some(Ok(steered)) => (QueueResult::Served, Ok(steered)),
            Some(Err(refusal)) => (QueueResult::Refused, Err(Failure::from(refusal))),
            None if self.local.is_ending() => (QueueResult::Left, Err(Failure::ShuttingDown)),
            None => (QueueResult::TimedOut, Err(Failure::Overloaded)),
        };
        place.end(result, self.local.now());
        answer
    }

    async fn ask_in_turn(&mut self, place: &QueuePlace) -> Result<Steered, Refusal> {
        let turn = place.turn().await;
        loop {
            // Steering reads the coarse clock, and room comes with time.
            let now = self.local.now();
            match turn.ask(|| self.steer()) {
                Err(Refusal::Overloaded) => turn.freed(now).await,
                answer => return answer,
            }
        }
    }

    /// The queue of the pool that the request would go to, or the first that has a place.
    fn queue(&self) -> Option<Rc<PoolQueue>> {
        self.local.with_live(|live, view| {
            let snapshot = &live.snapshot;
            let slot = snapshot.layout.matcher.find(&self.record.host, &self.record.path)?;
            let location = self.local.locate(snapshot.route(slot)?, self.record.source.ip());
            let facts = self.facts(location);
            let has_place = |pool| view.queue(pool).is_some_and(|queue| queue.has_place());
            let any = |pool| view.queue(pool).is_some();
            let find = |suits: &dyn Fn(PoolSlot) -> bool| queued_pool(snapshot, &facts, self.roll, suits);
            view.queue(find(&has_place).or_else(|| find(&any))?).cloned()
        })
    }
}
