//! What `top` knows of the edge: the sections of the stream's state, the newest events, and ten seconds of traffic.
//! Draws nothing.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use serde_json::{Map, Value};

use super::watch::News;

/// Events that are kept.
const EVENTS: usize = 200;
/// Over which span rates are shown.
const SPAN_MS: u64 = 10_000;
/// No message for this long: what is shown is old.
const STALE: Duration = Duration::from_secs(7);

/// What is known of the edge.
#[derive(Debug, Default)]
pub(super) struct TopState {
    /// The sections of the state, by name: `edge`, `routes`, `pools`, `endpoints`, `traffic`.
    sections: BTreeMap<String, Map<String, Value>>,
    /// The newest events, oldest first.
    pub(super) events: VecDeque<Value>,
    traffic: BTreeMap<String, VecDeque<CounterReading>>,
    /// The edge's clock, Unix milliseconds.
    pub(super) now_ms: u64,
    heard: Option<Instant>,
    lost: Option<String>,
}

/// A route's counters at one moment.
#[derive(Clone, Copy, Debug)]
struct CounterReading {
    at_ms: u64,
    requests: u64,
    failed: u64,
}

/// Requests per second of a route.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct TrafficRate {
    pub(super) requests: f64,
    pub(super) failed: f64,
}

impl TopState {
    /// Takes what the stream brought.
    pub(super) fn take(&mut self, news: News) {
        match news {
            News::Lost(why) => self.lost = Some(why),
            News::Message { event, data } => {
                (self.heard, self.lost) = (Some(Instant::now()), None);
                match event.as_str() {
                    "status" => self.apply(&data),
                    // A new stream replays what was shown before.
                    "reset" => self.events.clear(),
                    _ => self.remember(data),
                }
            }
        }
    }

    fn remember(&mut self, event: Value) {
        // A stream that was opened again begins with entries that are here already.
        if !self.events.contains(&event) {
            self.events.push_back(event);
        }
        if self.events.len() > EVENTS {
            self.events.pop_front();
        }
    }

    fn apply(&mut self, state: &Value) {
        let none = Map::new();
        if state.get("full") == Some(&Value::Bool(true)) {
            self.sections.clear();
        }
        for (name, fields) in state.as_object().unwrap_or(&none) {
            let Some(fields) = fields.as_object() else { continue };
            let section = self.sections.entry(name.clone()).or_default();
            for (key, value) in fields {
                match value {
                    Value::Null => _ = section.remove(key),
                    value => _ = section.insert(key.clone(), value.clone()),
                }
            }
        }
        self.now_ms = state.get("now").and_then(Value::as_u64).unwrap_or(self.now_ms);
        self.sample();
    }

    fn sample(&mut self) {
        let (at_ms, none) = (self.now_ms, Map::new());
        let traffic = self.sections.get("traffic").unwrap_or(&none);
        self.traffic.retain(|route, _| traffic.contains_key(route));
        for (route, counts) in traffic {
            let count = |nth: usize| counts.get(nth).and_then(Value::as_u64).unwrap_or(0);
            let sample = CounterReading { at_ms, requests: count(0), failed: count(1) };
            let all = self.traffic.entry(route.clone()).or_default();
            if all.back().is_some_and(|last| last.requests > sample.requests) {
                // The edge has restarted.
                all.clear();
            }
            all.push_back(sample);
            while all.len() > 2 && all.get(1).is_some_and(|next| next.at_ms + SPAN_MS < at_ms) {
                all.pop_front();
            }
        }
    }

    /// A section of the state; empty if it is not known.
    pub(super) fn section(&self, name: &str) -> impl Iterator<Item = (&String, &Value)> {
        self.sections.get(name).into_iter().flatten()
    }

    /// One entry of a section; null if it is not there.
    pub(super) fn one(&self, section: &str, key: &str) -> &Value {
        self.sections.get(section).and_then(|section| section.get(key)).unwrap_or(&Value::Null)
    }

    /// The endpoints of a pool.
    pub(super) fn endpoints_of<'a>(&'a self, pool: &'a str) -> impl Iterator<Item = &'a Value> {
        let of_pool = move |endpoint: &&Value| endpoint.get("pool").and_then(Value::as_str) == Some(pool);
        self.section("endpoints").map(|(_, endpoint)| endpoint).filter(of_pool)
    }

    /// The rate of a route over the last seconds.
    pub(super) fn rate(&self, route: &str) -> TrafficRate {
        let all = self.traffic.get(route);
        let Some((first, last)) = all.and_then(|all| all.front().zip(all.back())) else {
            return TrafficRate::default();
        };
        let span = Duration::from_millis(last.at_ms.saturating_sub(first.at_ms)).as_secs_f64();
        if span == 0.0 {
            return TrafficRate::default();
        }
        let per_second = |from: u64, to: u64| to.saturating_sub(from) as f64 / span;
        TrafficRate {
            requests: per_second(first.requests, last.requests),
            failed: per_second(first.failed, last.failed),
        }
    }

    /// Whether anything is known yet.
    pub(super) fn is_known(&self) -> bool {
        !self.sections.is_empty()
    }

    /// Why what is shown may be old.
    pub(super) fn stale(&self) -> Option<String> {
        let silent = self.heard.map(|heard| heard.elapsed()).filter(|silent| *silent > STALE);
        match (&self.lost, silent) {
            (Some(why), _) => Some(format!("what follows is old: {why}")),
            (None, Some(silent)) => Some(format!("what follows is old: no news for {} s", silent.as_secs())),
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(data: Value) -> News {
        News::Message { event: "status".into(), data }
    }

    #[test]
    fn deltas_change_the_state_and_rates_come_from_its_counters() {
        let mut state = TopState::default();
        state.take(status(json!({ "full": true, "now": 1000, "pools": { "a": { "up": 1 }, "b": {} }, "traffic": { "r": [10, 0] } })));
        state.take(status(json!({ "full": false, "now": 3000, "pools": { "a": { "up": 2 }, "b": null }, "traffic": { "r": [50, 4] } })));
        assert_eq!(state.section("pools").count(), 1);
        assert_eq!(state.one("pools", "a")["up"], 2);
        assert_eq!(state.rate("r"), TrafficRate { requests: 20.0, failed: 2.0 });
        assert_eq!(state.rate("none"), TrafficRate::default());
        for second in 4..40 {
            state.take(status(json!({ "full": false, "now": second * 1000, "traffic": { "r": [100, 4] } })));
        }
        assert_eq!(state.rate("r").requests, 0.0, "only the last seconds count");
        state.take(status(json!({ "full": true, "now": 41_000, "traffic": { "r": [3, 0] } })));
        assert_eq!(state.rate("r"), TrafficRate::default(), "counters of a new process begin anew");
    }

    #[test]
    fn events_are_bounded_and_not_shown_twice_after_a_new_connection() {
        let mut state = TopState::default();
        let event = |nth: u64| News::Message { event: "event".into(), data: json!({ "nth": nth }) };
        (0..500).for_each(|nth| state.take(event(nth)));
        state.take(News::Lost("gone".into()));
        assert!(state.stale().is_some_and(|why| why.contains("gone")));
        (450..500).for_each(|nth| state.take(event(nth)));
        assert_eq!((state.events.len(), state.events.back()), (EVENTS, Some(&json!({ "nth": 499 }))));
        assert_eq!(state.stale(), None);
    }
}
