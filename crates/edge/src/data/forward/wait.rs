//! A request waits while every endpoint of its pool is at `max_in_flight`.

use std::{future::poll_fn, pin::pin, rc::Rc};

use thalweg_core::{Refusal, queued_pool};

use super::request::ProxiedRequest;
use crate::data::{
    failure::Failure,
    queue::{PoolQueue, QueuePlace, QueueResult},
    settle::Steered,
};

impl ProxiedRequest {
    /// Waits in its pool's queue for an endpoint with room.
    ///
    /// # Errors
    /// The answer to a request that finds no queue or no place in it, waits too long, or is refused at last.
    pub(super) async fn wait_for_room(&mut self) -> Result<Steered, Failure> {
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
            match turn.ask(|| self.steer()) {
                Err(Refusal::Overloaded) => turn.freed().await,
                answer => return answer,
            }
        }
    }

    /// The queue of the pool that the request would go to.
    fn queue(&self) -> Option<Rc<PoolQueue>> {
        self.local.with_live(|live, view| {
            let snapshot = &live.snapshot;
            let slot = snapshot.layout.matcher.find(&self.record.host, &self.record.path)?;
            let location = self.local.locate(snapshot.route(slot)?, self.record.source.ip());
            let facts = self.facts(location);
            let pool = queued_pool(snapshot, &facts, self.roll, |pool| view.queue(pool).is_some())?;
            view.queue(pool).cloned()
        })
    }
}
