//! The table of admin calls. The right to give an order is checked before its body is read.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    rc::Rc,
};

use bytes::Bytes;
use followed::Followed;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body as _, Incoming};
use serde_json::{Value, json};

use super::{
    auth::{self, AuthRules},
    explain, exposition, failback, orders,
    reply::{Body, json_reply, refuse, reply},
    status, stream,
};
use crate::control::state::{Control, ReloadAnswer};

/// Longest body of an order.
const MAX_BODY: usize = 64 << 10;
/// The name that goes with the one token of `admin.token_file`.
const TOKEN_NAME: &str = "admin";
/// Followers of the events at the same time.
const FOLLOWERS: usize = 16;

/// Answers one call. `bind` is the address of the admin server.
pub(crate) async fn answer(
    control: &Rc<Control>,
    bind: IpAddr,
    client: SocketAddr,
    request: Request<Incoming>,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let token = control.shared.live.load().wiring.config.admin.token.clone();
    let rules = AuthRules { bind, token: token.as_deref() };
    let changes = [Method::POST, Method::DELETE].contains(&head.method);
    if let Err(refused) = auth::check_origin(&head.headers, changes, rules) {
        return refuse(refused.status, refused.error, refused.detail);
    }
    let path = head.uri.path();
    let allowed = match path {
        "/metrics" | "/livez" | "/readyz" | "/api/v1/status" | "/api/v1/explain" | "/api/v1/events"
        | "/api/v1/stream" => "GET, HEAD",
        "/api/v1/orders" => "GET, HEAD, POST",
        _ if path.starts_with(orders::ONE) => "DELETE",
        "/api/v1/reload" | "/api/v1/drain" | "/api/v1/undrain" | "/api/v1/failback" => "POST",
        _ => return refuse(StatusCode::NOT_FOUND, "not_found", &format!("no such call: {path}")),
    };
    if !allowed.split(", ").any(|method| head.method == method) {
        let mut response = refuse(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", allowed);
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
        return response;
    }
    if changes {
        if let Err(refused) = auth::check_order(&head.headers, client.ip(), token.as_deref()) {
            let mut response = refuse(refused.status, refused.error, refused.detail);
            if refused.status == StatusCode::UNAUTHORIZED {
                response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            return response;
        }
        let too_large = || refuse(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "at most 64 KiB");
        if body.size_hint().lower() > MAX_BODY as u64 {
            return too_large();
        }
        return match Limited::new(body, MAX_BODY).collect().await {
            Ok(order) => {
                let named = token.as_ref().map(|_| TOKEN_NAME);
                obey(control, path, named, &order.to_bytes()).await
            }
            Err(_) => too_large(),
        };
    }
    if path == "/api/v1/stream" {
        let id = head.headers.get("last-event-id").and_then(|id| id.to_str().ok());
        return stream::open(control, id);
    }
    let query = parameters(head.uri.query().unwrap_or_default());
    look(control, path, &query).await
}

async fn look(control: &Rc<Control>, path: &str, query: &BTreeMap<String, String>) -> Response<Body> {
    match path {
        "/metrics" => {
            reply(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", exposition::of(control))
        }
        "/livez" => json_reply(StatusCode::OK, &json!({ "live": true })),
        "/readyz" => match control.ready() {
            Ok(()) => {
                let suspected = control.shared.live.load().snapshot.checker_suspected;
                let detail =
                    suspected.then_some("most endpoints failed their probes at once: suspect the checker");
                json_reply(StatusCode::OK, &json!({ "ready": true, "detail": detail }))
            }
            Err(why) => {
                let body = json!({ "ready": false, "reason": why.as_str() });
                json_reply(StatusCode::SERVICE_UNAVAILABLE, &body)
            }
        },
        "/api/v1/orders" => json_reply(StatusCode::OK, &orders::list(control)),
        "/api/v1/status" => json_reply(StatusCode::OK, &status::of(control).await),
        "/api/v1/explain" => match explain::ExplainRequest::from_query(query) {
            Ok(asked) => {
                let live = control.shared.live.load();
                json_reply(
                    StatusCode::OK,
                    &explain::answer(&live.snapshot, &asked, "live health", control.shared.now()),
                )
            }
            Err(problem) => refuse(StatusCode::BAD_REQUEST, "bad_request", &problem),
        },
        _ => events(control, query),
    }
}

fn events(control: &Control, query: &BTreeMap<String, String>) -> Response<Body> {
    let follow = query.get("follow").is_some_and(|value| !["", "0", "false"].contains(&value.as_str()));
    if !follow {
        return reply(StatusCode::OK, "application/json", control.events.array() + "\n");
    }
    if control.events.followers() >= FOLLOWERS {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "too many followers");
    }
    let mut response = Response::new(Followed::new(&control.events).boxed_unsync());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn obey(control: &Control, path: &str, caller: Option<&str>, order: &Bytes) -> Response<Body> {
    match path {
        "/api/v1/orders" | "/api/v1/drain" | "/api/v1/undrain" => {
            return orders::give(control, path, caller, order).await;
        }
        _ if path.starts_with(orders::ONE) => return orders::cancel(control, path).await,
        "/api/v1/failback" => return failback::answer(control, order).await,
        _ => {}
    }
    if path != "/api/v1/reload" {
        if !order.is_empty() && serde_json::from_slice::<Value>(order).is_err() {
            return refuse(StatusCode::BAD_REQUEST, "bad_request", "the body is no JSON");
        }
        let word = path.rsplit('/').next().unwrap_or_default();
        return refuse(
            StatusCode::NOT_IMPLEMENTED,
            "not_implemented",
            &format!("this edge cannot {word} yet"),
        );
    }
    match control.reload("api").await {
        ReloadAnswer::Applied(generation) => {
            json_reply(StatusCode::OK, &json!({ "generation": generation, "result": "applied" }))
        }
        ReloadAnswer::Unchanged(generation) => {
            json_reply(StatusCode::OK, &json!({ "generation": generation, "result": "unchanged" }))
        }
        ReloadAnswer::Rejected(errors) => {
            let errors = errors.to_json();
            json_reply(StatusCode::UNPROCESSABLE_ENTITY, &json!({ "errors": errors }))
        }
        ReloadAnswer::Busy => refuse(StatusCode::SERVICE_UNAVAILABLE, "shutting_down", "the edge is ending"),
    }
}

/// A query string as names and values; if a name repeats, the last value counts.
fn parameters(query: &str) -> BTreeMap<String, String> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(n, v)| (decoded(n), decoded(v)))
        .collect()
}

/// Percent-decoding and `+`; an invalid escape stays as it is.
fn decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        let digits = if *byte == b'%' { after.get(..2) } else { None };
        let hex = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(value) => {
                out.push(value);
                rest = after.get(2..).unwrap_or_default();
            }
            None => out.push(if *byte == b'+' { b' ' } else { *byte }),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Server-sent events as a body.
mod followed {
    use std::{
        collections::VecDeque,
        convert::Infallible,
        fmt,
        pin::Pin,
        sync::Arc,
        task::{Context, Poll},
    };

    use bytes::Bytes;
    use hyper::body::Frame;
    use tokio::sync::broadcast::{Receiver, error::RecvError};

    use crate::control::events::Events;

    type Next = Pin<Box<dyn Future<Output = (Receiver<Arc<str>>, Result<Arc<str>, RecvError>)> + Send>>;

    /// The kept entries, then later ones, until the client leaves.
    pub(super) struct Followed {
        kept: VecDeque<Arc<str>>,
        next: Next,
    }

    impl fmt::Debug for Followed {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Followed")
        }
    }

    fn next(mut coming: Receiver<Arc<str>>) -> Next {
        Box::pin(async move {
            let entry = coming.recv().await;
            (coming, entry)
        })
    }

    impl Followed {
        pub(super) fn new(events: &Events) -> Self {
            let (kept, coming) = events.follow();
            Self { kept: kept.into(), next: next(coming) }
        }
    }

    impl hyper::body::Body for Followed {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let line =
                |entry: &str| Poll::Ready(Some(Ok(Frame::data(Bytes::from(format!("data: {entry}\n\n"))))));
            if let Some(entry) = self.kept.pop_front() {
                return line(&entry);
            }
            match self.next.as_mut().poll(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready((coming, entry)) => {
                    self.next = next(coming);
                    match entry {
                        Ok(entry) => line(&entry),
                        Err(RecvError::Lagged(missed)) => {
                            line(&format!("{{\"event\":\"missed\",\"count\":{missed}}}"))
                        }
                        Err(RecvError::Closed) => Poll::Ready(None),
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_decoded() {
        let query = parameters("host=a.test&path=%2Fa+b%2fc&x&bad=%zz&roll=7");
        assert_eq!((query["host"].as_str(), query["path"].as_str()), ("a.test", "/a b/c"));
        assert_eq!((query["x"].as_str(), query["bad"].as_str()), ("", "%zz"));
    }
}
