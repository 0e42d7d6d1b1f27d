//! The live stream of the admin API, as a page reads it; the page itself is in `cockpit/page.rs`.

#[path = "cockpit/browser.rs"]
mod browser;
#[path = "cockpit/fleet.rs"]
mod fleet;
mod common;
#[path = "cockpit/page.rs"]
mod page;

use std::time::{Duration, Instant};

use common::{one, two_with};
use serde_json::Value;
use thalweg_testkit::{Client, Edge, Health, eventually};

const SOON: Duration = Duration::from_secs(10);

/// One message of a stream.
#[derive(Clone, Debug)]
struct Message {
    id: Option<String>,
    event: String,
    data: Value,
}

/// A client that reads a stream message by message.
struct Stream {
    client: Client,
    text: String,
    seen: Vec<Message>,
}

impl Stream {
    /// Opens a stream with these further header lines.
    fn open(edge: &Edge, headers: &str) -> Self {
        let mut client = Client::connect(edge.addr("admin"));
        let host = edge.addr("admin");
        client.send(format!("GET /api/v1/stream HTTP/1.1\r\nhost: {host}\r\n{headers}\r\n"));
        let head = client.head().expect("a head");
        assert_eq!(head.header("content-type"), Some("text/event-stream"), "{head:?}");
        Self { client, text: String::new(), seen: Vec::new() }
    }

    /// Reads until a message of this kind satisfies the condition; returns it.
    fn until(&mut self, event: &str, wanted: impl Fn(&Value) -> bool) -> Message {
        let began = Instant::now();
        while began.elapsed() < SOON {
            let Some((message, rest)) = self.text.split_once("\n\n") else {
                let bytes = self.client.some().expect("more of the stream");
                self.text.push_str(&String::from_utf8_lossy(&bytes));
                continue;
            };
            // A message is one chunk: the lines of its framing have none of these names.
            let field =
                |name: &str| message.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
            let (id, kind, data) = (field("id: "), field("event: "), field("data: "));
            self.text = rest.to_owned();
            let Some(data) = data else { continue };
            let data = serde_json::from_str(&data).unwrap_or_else(|error| panic!("{error}: {data}"));
            let message = Message { id, event: kind.unwrap_or_default(), data };
            self.seen.push(message.clone());
            if message.event == event && wanted(&message.data) {
                return message;
            }
        }
        panic!("no such {event} message; the last one: {:?}", self.seen.last());
    }

    /// The numbers in the ids of the messages so far.
    fn numbers(&self) -> Vec<u64> {
        let ids = self.seen.iter().filter_map(|message| message.id.as_deref());
        ids.map(|id| id.split_once('-').and_then(|(_, number)| number.parse().ok()).expect("BOOT-NUMBER"))
            .collect()
    }
}

fn goes_down(name: String) -> impl Fn(&Value) -> bool {
    move |data| data["endpoints"][&name]["availability"] == "down"
}

#[test]
fn a_stream_has_the_kept_events_then_the_whole_state_then_changes() {
    let (edge, first, _second) = two_with("");
    edge.until_up(2);
    let mut stream = Stream::open(&edge, "");
    let whole = stream.until("status", |_| true).data;
    assert_eq!(
        (&whole["full"], &whole["edge"]["edge"]["name"]),
        (&true.into(), &"edge-test".into()),
        "{whole}"
    );
    assert_eq!(whole["endpoints"].as_object().map(serde_json::Map::len), Some(2), "{whole}");
    let numbers = stream.numbers();
    assert_eq!(
        numbers,
        (1..=edge.events().len() as u64).collect::<Vec<_>>(),
        "every kept event has its number"
    );
    first.health(Health::status(503));
    let down = first.addr().to_string();
    let name = whole["endpoints"].as_object().and_then(|all| all.keys().find(|key| key.ends_with(&down)));
    let name = name.expect("the endpoint").clone();
    let changed = stream.until("status", goes_down(name.clone())).data;
    assert_eq!(changed["full"], false);
    assert!(
        changed["endpoints"][&name]["last_probe"]["error"].as_str().is_some_and(|why| why.contains("503"))
    );
    assert_eq!(changed["edge"]["config_hash"], Value::Null, "what is unchanged is not sent: {changed}");
    let told = stream.seen.iter().position(|message| {
        message.event == "event" && message.data["event"] == "endpoint" && message.data["to"] == "down"
    });
    let shown = stream.seen.iter().position(|message| goes_down(name.clone())(&message.data));
    assert!(told.is_some() && told < shown, "the event comes before the state: {:?}", stream.seen);
}

#[test]
fn a_stream_resumes_behind_the_last_event_id_and_resets_for_an_unknown_one() {
    let (edge, first, _second) = two_with("");
    edge.until_up(2);
    let mut stream = Stream::open(&edge, "");
    stream.until("status", |_| true);
    let last = stream.seen.iter().rev().find_map(|message| message.id.clone()).expect("an id");
    let numbers = stream.numbers();
    drop(stream);
    first.health(Health::status(503));
    eventually("an event", SOON, || edge.events().len() > numbers.len());
    let mut resumed = Stream::open(&edge, &format!("last-event-id: {last}\r\n"));
    resumed.until("status", |data| data["full"] == true);
    assert_eq!(resumed.numbers().first(), Some(&(numbers.len() as u64 + 1)), "{:?}", resumed.seen);
    assert!(resumed.seen.iter().all(|message| message.event != "reset"));
    for unknown in ["1-1", "nonsense", &format!("{}-999999", last.split('-').next().unwrap_or_default())] {
        let mut reset = Stream::open(&edge, &format!("last-event-id: {unknown}\r\n"));
        reset.until("status", |_| true);
        assert_eq!(reset.seen[0].event, "reset", "{unknown}");
        assert_eq!(reset.numbers().first(), Some(&1), "{unknown}");
    }
}

#[test]
fn a_reload_is_a_config_event_and_its_errors_are_in_the_state() {
    let (edge, _endpoint) = one();
    let mut stream = Stream::open(&edge, "");
    stream.until("status", |_| true);
    edge.replace("version = 1\n[nonsense]\n");
    assert_eq!(edge.reload().status, 422);
    let told = stream.until("config", |data| data["event"] == "config_rejected");
    assert!(told.id.is_some(), "{told:?}");
    let state = stream.until("status", |data| data["edge"]["last_reload"]["result"] == "rejected").data;
    assert!(state["edge"]["last_reload"]["errors"][0]["problem"].is_string(), "{state}");
}

#[test]
fn no_more_than_64_streams_are_open_at_once() {
    let (edge, _endpoint) = one();
    let mut streams: Vec<Stream> = (0..64).map(|_| Stream::open(&edge, "")).collect();
    let refused = edge.admin_get("/api/v1/stream");
    assert_eq!((refused.status, refused.json()["error"].as_str()), (503, Some("overloaded")));
    for stream in &mut streams {
        stream.until("status", |data| data["full"] == true);
    }
    streams.clear();
    eventually("a place is free again", SOON, || {
        let mut client = Client::connect(edge.addr("admin"));
        client.send(format!("GET /api/v1/stream HTTP/1.1\r\nhost: {}\r\n\r\n", edge.addr("admin")));
        client.head().is_ok_and(|head| head.word(1) == "200")
    });
}
