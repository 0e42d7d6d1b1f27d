//! The way to the keeper: one bounded queue, by which tasks report, ask, and let the world change in one step.

use std::{cell::Cell, fmt, rc::Rc, sync::Arc, time::Duration};

use thalweg_core::{EndpointId, Event, Evidence, World};
use tokio::sync::{mpsc, oneshot};

use super::past::PastSnapshots;
use crate::shared::{Live, Wiring};

/// What looks at the world and says which events follow.
pub(super) type Decision = Box<dyn FnOnce(&World) -> Vec<Event>>;

/// A message to the keeper.
pub(super) enum Message {
    Event(Event),
    Probed { id: EndpointId, result: Result<Duration, Evidence>, gap: oneshot::Sender<Option<Duration>> },
    Adopt { wiring: Arc<Wiring>, fresh: Option<u64>, done: oneshot::Sender<u64> },
    Look(Box<dyn FnOnce(&World)>),
    Decide(Decision, oneshot::Sender<()>),
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Message")
    }
}

/// The sending side of the keeper's queue. Cheap to clone.
#[derive(Clone, Debug)]
pub struct KeeperLink(pub(super) mpsc::Sender<Message>, pub(super) Rc<PastSnapshots>);

impl KeeperLink {
    /// The snapshot of a revision, with its wiring, while it is known.
    #[must_use]
    pub fn past(&self, revision: u64) -> Option<Arc<Live>> {
        self.1.of(revision)
    }

    /// Reports an event.
    pub async fn tell(&self, event: Event) {
        // The keeper is gone only when the process ends.
        let _ = self.0.send(Message::Event(event)).await;
    }

    /// Reports the result of a probe. Returns the gap until the next probe, or `None` if there is to be none.
    pub async fn probed(&self, id: EndpointId, result: Result<Duration, Evidence>) -> Option<Duration> {
        let (gap, answer) = oneshot::channel();
        self.0.send(Message::Probed { id, result, gap }).await.ok()?;
        answer.await.ok().flatten()
    }

    /// Puts a wiring into force; `fresh` is the number of a changed config. Returns the generation in force.
    pub async fn adopt(&self, wiring: Arc<Wiring>, fresh: Option<u64>) -> Option<u64> {
        let (done, answer) = oneshot::channel();
        self.0.send(Message::Adopt { wiring, fresh, done }).await.ok()?;
        answer.await.ok()
    }

    /// Runs `read` on the world.
    pub async fn look<T: 'static>(&self, read: impl FnOnce(&World) -> T + 'static) -> Option<T> {
        let (seen, answer) = oneshot::channel();
        let look = Box::new(move |world: &World| {
            // The task that asked may have ended.
            let _ = seen.send(read(world));
        });
        self.0.send(Message::Look(look)).await.ok()?;
        answer.await.ok()
    }

    /// Runs `decide` on the world and applies the events that it returns, with nothing in between. Answers when the
    /// snapshot that shows them is published.
    pub async fn decide<T: 'static>(
        &self,
        decide: impl FnOnce(&World) -> (Vec<Event>, T) + 'static,
    ) -> Option<T> {
        let decided = Rc::new(Cell::new(None));
        let result = Rc::clone(&decided);
        let decide = Box::new(move |world: &World| {
            let (events, value) = decide(world);
            result.set(Some(value));
            events
        });
        let (done, published) = oneshot::channel();
        self.0.send(Message::Decide(decide, done)).await.ok()?;
        published.await.ok()?;
        decided.take()
    }
}
