//! A bucket in memory behind ways that lose, delay and double.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    time::Duration,
};

use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::Prng;
use crate::control::fleet::board::{Board, Posted};

/// Longest way to the server, and back.
pub(super) const WAY: Duration = Duration::from_millis(300);
/// How long an edge waits for an answer.
const ANSWER: Duration = Duration::from_secs(2);

/// The server.
#[derive(Debug)]
pub(super) struct Bucket {
    keys: RefCell<BTreeMap<String, Posted>>,
    revision: Cell<u64>,
    began: Instant,
    /// A planted bug: a write at a revision is taken at any revision.
    blind: bool,
}

impl Bucket {
    pub(super) fn new(blind: bool) -> Self {
        Self { keys: RefCell::default(), revision: Cell::new(0), began: Instant::now(), blind }
    }

    pub(super) fn wipe(&self) {
        self.keys.borrow_mut().clear();
    }

    fn now_ms(&self) -> u64 {
        1_800_000_000_000 + u64::try_from(self.began.elapsed().as_millis()).unwrap()
    }

    fn put(&self, key: &str, value: &Value) -> bool {
        self.revision.set(self.revision.get() + 1);
        let posted = Posted { value: value.clone(), revision: self.revision.get(), at_ms: self.now_ms() };
        self.keys.borrow_mut().insert(key.to_owned(), posted);
        true
    }

    fn update(&self, key: &str, value: &Value, revision: u64) -> bool {
        let last = self.keys.borrow().get(key).map_or(0, |posted| posted.revision);
        (self.blind || last == revision) && self.put(key, value)
    }
}

/// What happens to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Arrives,
    Lost,
    Doubled,
    AnswerLost,
}

/// One edge's way to the bucket.
#[derive(Debug)]
pub(super) struct Way {
    bucket: Rc<Bucket>,
    rng: RefCell<Prng>,
    /// Nothing gets through.
    pub(super) cut: Cell<bool>,
    /// Percent of the messages that do not simply arrive.
    pub(super) bad: Cell<u64>,
}

impl Way {
    pub(super) fn new(bucket: &Rc<Bucket>, seed: u64) -> Self {
        let bucket = Rc::clone(bucket);
        Self { bucket, rng: RefCell::new(Prng(seed)), cut: Cell::new(false), bad: Cell::new(0) }
    }

    async fn ask<T>(&self, act: impl Fn(&Bucket) -> T) -> Option<T> {
        let (fate, there, back) = {
            let mut rng = self.rng.borrow_mut();
            let fate = match rng.percent(self.bad.get()) {
                true => rng.pick(&[Fate::Lost, Fate::Doubled, Fate::AnswerLost]),
                false => Fate::Arrives,
            };
            let most = u64::try_from(WAY.as_millis()).unwrap();
            (fate, Duration::from_millis(rng.below(most)), Duration::from_millis(rng.below(most)))
        };
        sleep(there).await;
        if self.cut.get() || fate == Fate::Lost {
            sleep(ANSWER).await;
            return None;
        }
        let mut answer = act(&self.bucket);
        if fate == Fate::Doubled {
            answer = act(&self.bucket);
        }
        sleep(back).await;
        if self.cut.get() || fate == Fate::AnswerLost {
            sleep(ANSWER).await;
            return None;
        }
        Some(answer)
    }
}

impl Board for Way {
    async fn read(&self, key: &str) -> Option<Option<Posted>> {
        self.ask(|bucket| bucket.keys.borrow().get(key).cloned()).await
    }

    async fn keys(&self, prefix: &str) -> Option<Vec<String>> {
        self.ask(|bucket| {
            bucket.keys.borrow().keys().filter(|key| key.starts_with(prefix)).cloned().collect()
        })
        .await
    }

    async fn put(&self, key: &str, value: &Value) -> bool {
        self.ask(|bucket| bucket.put(key, value)).await == Some(true)
    }

    async fn update(&self, key: &str, value: &Value, revision: u64) -> bool {
        self.ask(|bucket| bucket.update(key, value, revision)).await == Some(true)
    }

    async fn now_ms(&self) -> Option<u64> {
        self.ask(Bucket::now_ms).await
    }
}
