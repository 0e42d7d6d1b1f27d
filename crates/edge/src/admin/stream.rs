//! `GET /api/v1/stream`: everything that a live page shows, as server-sent events (WHATWG HTML, section 9.2).
//!
//! `event: status` is the state of the edge: first whole, then what changed, at most four times a second. `order`,
//! `config` and `event` are the entries of the event ring; each has an id, and `Last-Event-ID` resumes behind it. If
//! that id is not of this process or has left the ring, `event: reset` comes first and the whole ring follows.
//!
//! A client that reads too slowly skips states; one that does not read for [`SLOW`] is dropped and counted.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::{Map, Value, json};
use tokio::{
    sync::{
        broadcast::{Receiver, error::RecvError},
        mpsc, watch,
    },
    task::spawn_local,
    time::timeout,
};

use super::{
    reply::{Body, refuse},
    status,
};
use crate::{
    control::{events::Resumed, feed::Frame, state::Control, wall_clock},
    shared::{
        meters::{self, Series, Total},
        telemetry::{REQUESTS, STREAMS_DROPPED},
    },
};

/// Streams at the same time.
const STREAMS: usize = 64;
/// Shortest time between two states: four per second.
const PERIOD: Duration = Duration::from_millis(250);
/// The task sleeps at least this many times as long as making a state took: 5 % of the control thread at most.
const IDLE_FACTOR: u32 = 20;
/// Messages that wait for a slow client.
const WAITING: usize = 4;
/// A client that takes no message for this long is dropped.
const SLOW: Duration = Duration::from_secs(15);

/// Opens a stream behind the entry with this id; without an id, from the oldest entry of the ring.
pub(super) fn open(control: &Rc<Control>, last_event_id: Option<&str>) -> Response<Body> {
    if control.feed.watchers() >= STREAMS {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "too many streams: at most 64");
    }
    let (messages, waiting) = mpsc::channel(WAITING);
    let stream = StreamWriter {
        messages,
        boot: u64::try_from(wall_clock::unix(control.began.1).as_millis()).unwrap_or_default(),
        entry: 0,
        frame: None,
    };
    let (frames, resumed) = (control.feed.watch(), control.events.resume(stream.known(last_event_id)));
    let foreign = last_event_id.is_some() && resumed.missed;
    spawn_local(stream.run(Rc::clone(control), frames, resumed, foreign));
    let mut response = Response::new(Messages(waiting).boxed_unsync());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Publishes the state while there is a watcher, until the task is dropped.
pub(super) async fn publish(control: Rc<Control>) {
    loop {
        control.feed.watched().await;
        let began = Instant::now();
        let now = wall_clock::unix(SystemTime::now()).as_millis();
        control.feed.publish(state(&control).await, u64::try_from(now).unwrap_or_default());
        control.feed.joined(PERIOD.max(began.elapsed() * IDLE_FACTOR)).await;
    }
}

/// The writing end of one stream.
struct StreamWriter {
    messages: mpsc::Sender<Bytes>,
    /// When the process began, Unix milliseconds: tells ids of this process from others.
    boot: u64,
    /// The number of the last entry that was sent.
    entry: u64,
    /// The number of the last state that was sent.
    frame: Option<u64>,
}

impl StreamWriter {
    /// The number of the entry that this id names, if the id is of this process.
    fn known(&self, id: Option<&str>) -> Option<u64> {
        let (boot, entry) = id?.split_once('-')?;
        if boot.parse() == Ok(self.boot) { entry.parse().ok() } else { None }
    }

    async fn run(
        mut self,
        control: Rc<Control>,
        mut frames: watch::Receiver<Arc<Frame>>,
        resumed: Resumed,
        foreign: bool,
    ) {
        let mut gone = self.send("retry: 1000\n\n".to_owned()).await.is_err();
        let mut coming = resumed.coming.resubscribe();
        gone = gone || self.replay(&mut coming, resumed, foreign).await.is_err();
        while !gone {
            let sent = tokio::select! {
                // Entries first: the state that follows from an entry never overtakes it.
                biased;
                () = self.messages.closed() => return,
                entry = coming.recv() => match entry {
                    Ok(entry) => self.entry(&entry).await,
                    Err(RecvError::Lagged(_)) => {
                        let resumed = control.events.resume(Some(self.entry));
                        let missed = resumed.missed;
                        self.replay(&mut coming, resumed, missed).await
                    }
                    Err(RecvError::Closed) => return,
                },
                changed = frames.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let frame = Arc::clone(&frames.borrow_and_update());
                    self.state(&frame).await
                }
            };
            gone = sent.is_err();
        }
        if !self.messages.is_closed() {
            control.meters.cell(Series::new(&STREAMS_DROPPED, &[])).bump();
        }
    }

    /// Sends kept entries, after `reset` if the client's own are no longer a part of them.
    async fn replay(
        &mut self,
        coming: &mut Receiver<Arc<str>>,
        resumed: Resumed,
        reset: bool,
    ) -> Result<(), ()> {
        *coming = resumed.coming;
        self.entry = resumed.before;
        if reset {
            self.send("event: reset\ndata: {}\n\n".to_owned()).await?;
        }
        for entry in resumed.entries {
            self.entry(&entry).await?;
        }
        Ok(())
    }

    async fn entry(&mut self, entry: &str) -> Result<(), ()> {
        self.entry += 1;
        self.send(format!("id: {}-{}\nevent: {}\ndata: {entry}\n\n", self.boot, self.entry, kind(entry)))
            .await
    }

    async fn state(&mut self, frame: &Frame) -> Result<(), ()> {
        let next = self.frame.is_some_and(|last| last + 1 == frame.number);
        self.frame = Some(frame.number);
        self.send(format!("event: status\ndata: {}\n\n", if next { &frame.delta } else { &frame.whole }))
            .await
    }

    async fn send(&self, text: String) -> Result<(), ()> {
        match timeout(SLOW, self.messages.send(text.into())).await {
            Ok(sent) => sent.map_err(drop),
            Err(_) => Err(()),
        }
    }
}

/// The name of the server-sent event of an entry.
fn kind(entry: &str) -> &'static str {
    let parsed = serde_json::from_str::<Value>(entry).unwrap_or_default();
    match parsed.get("event").and_then(Value::as_str).unwrap_or_default() {
        name if name.starts_with("order") => "order",
        name if name.starts_with("config") => "config",
        _ => "event",
    }
}

/// The body: the messages of one stream.
#[derive(Debug)]
struct Messages(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Messages {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, Infallible>>> {
        let message = ready!(self.0.poll_recv(cx));
        Poll::Ready(message.map(|bytes| Ok(hyper::body::Frame::data(bytes))))
    }
}

/// The state as sections of keyed values, from which deltas are made. What changes with every probe but tells an
/// operator nothing new (times, the last digits of latencies) is left out.
async fn state(control: &Control) -> Value {
    let mut edge = match status::of(control).await {
        Value::Object(status) => status,
        _ => Map::new(),
    };
    let take = |edge: &mut Map<String, Value>, list: &str| match edge.remove(list) {
        Some(Value::Array(all)) => all,
        _ => Vec::new(),
    };
    let (routes, mut pools) = (take(&mut edge, "routes"), take(&mut edge, "pools"));
    edge.remove("uptime_seconds");
    // Ages grow with each reading: they would make every frame differ from the one before.
    if let Some(Value::Object(fleet)) = edge.get_mut("fleet") {
        fleet.remove("age_seconds");
        for one in fleet.get_mut("edges").and_then(Value::as_array_mut).into_iter().flatten() {
            one.as_object_mut().map(|one| one.remove("age_ms"));
        }
    }
    let began = u64::try_from(wall_clock::unix(control.began.1).as_millis()).unwrap_or_default();
    edge.insert("began".into(), began.into());
    let suspected = control.shared.live.load().snapshot.checker_suspected;
    edge.insert("checker_suspected".into(), suspected.into());
    let mut endpoints = Map::new();
    for pool in &mut pools {
        round(pool, "latency_us");
        let Some(Value::Array(members)) = pool.as_object_mut().and_then(|pool| pool.remove("endpoints"))
        else {
            continue;
        };
        for mut member in members {
            round(&mut member, "latency_us");
            round(&mut member, "p95_us");
            if let Some(Value::Object(probe)) = member.get_mut("last_probe") {
                probe.retain(|key, _| key == "result" || key == "error");
            }
            let text = |key: &str| member.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            endpoints.insert(format!("{} {}", text("pool"), text("address")), member);
        }
    }
    json!({
        "edge": edge, "routes": by_name(routes), "pools": by_name(pools), "endpoints": endpoints,
        "traffic": traffic(control),
    })
}

fn by_name(list: Vec<Value>) -> Map<String, Value> {
    let name = |value: &Value| value.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    list.into_iter().map(|value| (name(&value), value)).collect()
}

/// Rounds a whole number to its first two digits.
fn round(value: &mut Value, key: &str) {
    if let Some(number) = value.get(key).and_then(Value::as_u64)
        && let Some(scale) =
            number.checked_ilog10().and_then(|digits| 10_u64.checked_pow(digits.saturating_sub(1)))
        && let Some(field) = value.get_mut(key)
    {
        *field = (number / scale * scale).into();
    }
}

/// By route: requests since the start, and how many of them ended as 5xx. `-` = no route.
fn traffic(control: &Control) -> Map<String, Value> {
    let mut all: BTreeMap<Arc<str>, [u64; 2]> = BTreeMap::new();
    for (series, total) in meters::totals(control.shared.meters.iter()) {
        if let (Series { metric, labels }, Total::Value(count)) = (&series, total)
            && **metric == REQUESTS
            && let [_, route, _, class] = labels.as_slice()
        {
            let [requests, failed] = all.entry(Arc::clone(route)).or_default();
            *requests += count;
            *failed += if &**class == "5xx" { count } else { 0 };
        }
    }
    all.into_iter().map(|(route, counts)| (route.to_string(), json!(counts))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_to_two_digits() {
        for (number, expected) in [(0, 0), (7, 7), (10, 10), (99, 99), (123, 120), (98_765, 98_000)] {
            let mut value = json!({ "x": number });
            round(&mut value, "x");
            assert_eq!(value["x"], expected, "{number}");
        }
        let mut none = json!({ "x": null });
        round(&mut none, "x");
        assert_eq!(none, json!({ "x": null }));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_no_message_for_15_seconds_is_given_up() {
        let (messages, mut waiting) = mpsc::channel(1);
        let mut stream = StreamWriter { messages, boot: 7, entry: 41, frame: None };
        let began = tokio::time::Instant::now();
        assert_eq!(stream.entry(r#"{"event":"order_ended"}"#).await, Ok(()));
        assert_eq!(stream.entry("{}").await, Err(()), "the first message still waits");
        assert_eq!(began.elapsed(), SLOW);
        let first = waiting.recv().await.unwrap();
        assert_eq!(first, "id: 7-42\nevent: order\ndata: {\"event\":\"order_ended\"}\n\n");
        assert_eq!((stream.known(Some("7-42")), stream.known(Some("8-42"))), (Some(42), None));
    }

    #[tokio::test]
    async fn a_client_that_missed_a_state_gets_the_whole_one() {
        let (messages, mut waiting) = mpsc::channel(8);
        let mut stream = StreamWriter { messages, boot: 7, entry: 0, frame: None };
        for (number, expected) in [(4, "whole"), (5, "delta"), (7, "whole"), (8, "delta")] {
            let frame = Frame { number, whole: "whole".into(), delta: "delta".into() };
            stream.state(&frame).await.unwrap();
            assert_eq!(
                waiting.recv().await.unwrap(),
                format!("event: status\ndata: {expected}\n\n"),
                "{number}"
            );
        }
    }

    #[test]
    fn an_entry_is_an_order_a_config_or_another_event() {
        for (name, expected) in
            [("order_ended", "order"), ("config_rejected", "config"), ("endpoint", "event"), ("", "event")]
        {
            assert_eq!(
                kind(&json!({ "event": name, "detail": "\"event\":\"config\"" }).to_string()),
                expected
            );
        }
        assert_eq!(kind("no JSON"), "event");
    }
}
