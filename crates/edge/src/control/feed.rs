//! The state of the edge as numbered frames, for pages that watch it live. A frame carries the whole state and what
//! differs from the frame before it; a watcher that missed frames takes the whole state. Never made without a watcher.
//!
//! Why whole frames and deltas, and not a queue of deltas per watcher: a slow watcher then costs no memory. It skips
//! frames, and its next one is whole.

use std::{cell::RefCell, sync::Arc, time::Duration};

use serde_json::{Map, Value};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

/// A frame is published at least this often, so that a watcher can tell a quiet edge from a broken connection.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// One state of the edge.
#[derive(Debug, Default)]
pub struct Frame {
    /// Counts up by one from the start of the process.
    pub number: u64,
    /// The whole state, a JSON object with `"full": true`.
    pub whole: Arc<str>,
    /// The keys that changed since the frame before, a JSON object; a removed key is null.
    pub delta: Arc<str>,
}

/// The newest frame and its watchers. Lives on the control thread.
#[derive(Debug)]
pub struct Feed {
    newest: watch::Sender<Arc<Frame>>,
    last: RefCell<Option<(Value, Instant)>>,
    joined: Notify,
}

impl Default for Feed {
    fn default() -> Self {
        Self { newest: watch::Sender::default(), last: RefCell::default(), joined: Notify::new() }
    }
}

impl Feed {
    /// A new watcher. Its first frame is published at once, changed or not.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<Frame>> {
        let watcher = self.newest.subscribe();
        // Forget the last frame, so that the next state is published even if nothing has changed.
        if let Some((_, at)) = &mut *self.last.borrow_mut() {
            *at = Instant::now().checked_sub(HEARTBEAT).unwrap_or(*at);
        }
        self.joined.notify_one();
        watcher
    }

    /// The number of watchers.
    #[must_use]
    pub fn watchers(&self) -> usize {
        self.newest.receiver_count()
    }

    /// Waits until a watcher joins, or for `span` at most.
    pub async fn joined(&self, span: Duration) {
        // An error means that the time is over.
        let _ = tokio::time::timeout(span, self.joined.notified()).await;
    }

    /// Waits until there is a watcher.
    pub async fn watched(&self) {
        while self.watchers() == 0 {
            self.joined.notified().await;
        }
    }

    /// Publishes this state (an object of objects) as a frame, unless it equals the last one and that is recent.
    /// `now_ms` is the Unix time in milliseconds, by which watchers measure ages.
    pub fn publish(&self, state: Value, now_ms: u64) {
        let mut last = self.last.borrow_mut();
        let changed = delta(last.as_ref().map_or(&Value::Null, |(last, _)| last), &state);
        if changed.is_empty() && last.as_ref().is_some_and(|(_, at)| at.elapsed() < HEARTBEAT) {
            return;
        }
        let text = |mut fields: Map<String, Value>, full: bool| -> Arc<str> {
            fields.insert("now".into(), now_ms.into());
            fields.insert("full".into(), full.into());
            Value::Object(fields).to_string().into()
        };
        let whole = text(state.as_object().cloned().unwrap_or_default(), true);
        let number = self.newest.borrow().number + 1;
        *last = Some((state, Instant::now()));
        // `send` would fail without watchers; this keeps the number all the same.
        self.newest.send_replace(Arc::new(Frame { number, whole, delta: text(changed, false) }));
    }
}

/// The keys of each section that are new, changed, or (null) gone.
fn delta(old: &Value, new: &Value) -> Map<String, Value> {
    let none = Map::new();
    let mut all = Map::new();
    for (section, fields) in new.as_object().unwrap_or(&none) {
        let fields = fields.as_object().unwrap_or(&none);
        let before = old.get(section).and_then(Value::as_object).unwrap_or(&none);
        let differs = fields.iter().filter(|(key, value)| before.get(*key) != Some(value));
        let mut changed: Map<String, Value> =
            differs.map(|(key, value)| (key.clone(), value.clone())).collect();
        let gone = before.keys().filter(|key| !fields.contains_key(*key));
        changed.extend(gone.map(|key| (key.clone(), Value::Null)));
        if !changed.is_empty() {
            all.insert(section.clone(), changed.into());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_delta_has_what_is_new_changed_or_gone_and_nothing_else() {
        let check = |old: Value, new: Value, expected: Value| {
            assert_eq!(Value::Object(delta(&old, &new)), expected);
        };
        check(Value::Null, json!({ "a": { "x": 1 } }), json!({ "a": { "x": 1 } }));
        check(json!({ "a": { "x": 1 } }), json!({ "a": { "x": 1 } }), json!({}));
        check(
            json!({ "a": { "x": 1, "y": [2], "z": 3 }, "b": { "p": 1 } }),
            json!({ "a": { "x": 1, "y": [3], "w": 4 }, "b": { "p": 1 } }),
            json!({ "a": { "y": [3], "w": 4, "z": null } }),
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_frame_is_published_for_a_change_a_new_watcher_and_the_heartbeat() {
        let feed = Feed::default();
        let number = |feed: &Feed| feed.newest.borrow().number;
        let state = |x: u64| json!({ "a": { "x": x } });
        let mut first = feed.watch();
        feed.watched().await;
        feed.publish(state(1), 7);
        assert!(first.has_changed().unwrap());
        assert_eq!(&*first.borrow_and_update().whole, r#"{"a":{"x":1},"full":true,"now":7}"#);
        feed.publish(state(1), 8);
        assert_eq!(number(&feed), 1, "nothing changed");
        feed.publish(state(2), 9);
        assert_eq!(&*first.borrow_and_update().delta, r#"{"a":{"x":2},"full":false,"now":9}"#);
        let second = feed.watch();
        feed.publish(state(2), 10);
        assert!(second.has_changed().unwrap(), "a new watcher gets a frame at once");
        tokio::time::advance(HEARTBEAT).await;
        feed.publish(state(2), 11);
        assert_eq!((number(&feed), feed.watchers()), (4, 2));
    }
}
