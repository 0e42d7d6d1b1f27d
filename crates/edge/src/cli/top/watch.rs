//! Reads the live stream of the admin server message by message, and opens it again when it breaks. Knows nothing of
//! what the messages mean.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

use crate::cli::{
    args::AdminArgs,
    client::{self, Problem},
};

/// Gap between two tries to open the stream.
const AGAIN: Duration = Duration::from_secs(1);
/// A stream sends a message every five seconds; after this silence its connection is broken.
const SILENCE: Duration = Duration::from_secs(12);
/// Longest message: the whole state of an edge with a hundred thousand endpoints.
const LONGEST: usize = 256 << 20;

/// What the stream brought.
#[derive(Debug)]
pub(super) enum News {
    /// A message and its kind: `status`, `event`, `config`, `order`, `reset`.
    Message { event: String, data: Value },
    /// The stream broke, or cannot be opened.
    Lost(String),
}

/// Opens the stream.
///
/// # Errors
/// The [`Problem`].
pub(super) async fn open(admin: &AdminArgs) -> Result<Incoming, Problem> {
    client::open(admin, "/api/v1/stream").await
}

/// Passes messages on until the receiver is gone.
pub(super) async fn run(admin: AdminArgs, first: Incoming, news: mpsc::Sender<News>) {
    let mut next = Some(first);
    loop {
        let lost = match next.take() {
            Some(body) => read(body, &news).await,
            None => match open(&admin).await {
                Ok(body) => {
                    next = Some(body);
                    continue;
                }
                Err(Problem::Edge(why) | Problem::Usage(why)) => why,
            },
        };
        if news.send(News::Lost(lost)).await.is_err() {
            return;
        }
        sleep(AGAIN).await;
    }
}

/// Reads one stream to its end; returns why it ended.
async fn read(mut body: Incoming, news: &mpsc::Sender<News>) -> String {
    let mut text = MessageSplitter::default();
    loop {
        let frame = match timeout(SILENCE, body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) => return error.to_string(),
            Ok(None) => return "the edge has ended the stream".into(),
            Err(_) => return "the edge is silent".into(),
        };
        text.add(frame.data_ref().map(AsRef::as_ref).unwrap_or_default());
        while let Some((event, data)) = text.next() {
            if news.send(News::Message { event, data }).await.is_err() {
                return String::new();
            }
        }
        if text.0.len() > LONGEST {
            return "a message is too long".into();
        }
    }
}

/// Bytes of server-sent events, taken apart at empty lines.
#[derive(Debug, Default)]
struct MessageSplitter(Vec<u8>);

impl MessageSplitter {
    fn add(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The next whole message: its kind and its data. A message without JSON has null.
    fn next(&mut self) -> Option<(String, Value)> {
        let end = self.0.windows(2).position(|pair| pair == b"\n\n")?;
        let message: Vec<u8> = self.0.drain(..end + 2).collect();
        let message = String::from_utf8_lossy(&message);
        let field = |name: &str| message.lines().find_map(|line| line.strip_prefix(name));
        let data = field("data: ").and_then(|data| serde_json::from_str(data).ok()).unwrap_or_default();
        Some((field("event: ").unwrap_or("message").to_owned(), data))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn messages_are_whole_however_their_bytes_arrive() {
        let text = "id: 1-1\nevent: event\ndata: {\"a\":1}\n\nevent: reset\ndata: {}\n\nevent: status\ndata: no JSON\n\nid: 2";
        let expected = [("event", json!({ "a": 1 })), ("reset", json!({})), ("status", Value::Null)];
        for size in [1, 2, 7, text.len()] {
            let mut splitter = MessageSplitter::default();
            let mut seen = Vec::new();
            for piece in text.as_bytes().chunks(size) {
                splitter.add(piece);
                seen.extend(std::iter::from_fn(|| splitter.next()));
            }
            let seen: Vec<_> = seen.iter().map(|(kind, data)| (kind.as_str(), data.clone())).collect();
            assert_eq!(seen, expected, "{size}");
            assert_eq!(splitter.0, b"id: 2");
        }
    }
}
