//! Answers admin calls. The right to make a call is checked before its body is read.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    rc::Rc,
};

use bytes::Bytes;
use followed::Followed;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body as _, Incoming};
use serde_json::json;

use super::{
    auth::{self, AuthRules, Caller, Refused},
    calls, explain, exposition, failback, fleet_orders, orders, page, plan, reloads,
    reply::{Body, json_reply, refuse, reply},
    requests, status, stream, upgrade,
};
use crate::control::{audit::Actor, fleet::gossip, state::Control};

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
    let path = head.uri.path();
    let config = std::sync::Arc::clone(&control.shared.live.load().wiring.config);
    let rules = AuthRules { bind, tokens: &config.admin.tokens, anonymous_read: config.admin.anonymous_read };
    let access = calls::access(path, &head.method);
    let caller = match auth::check(&head.headers, client.ip(), access, rules) {
        Ok(caller) => caller,
        Err(refused) => return forbidden(&refused),
    };
    let Some(call) = calls::rules(path) else {
        return refuse(StatusCode::NOT_FOUND, "not_found", &format!("no such call: {path}"));
    };
    if !call.allowed.split(", ").any(|method| head.method == method) {
        let mut response = refuse(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", call.allowed);
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(call.allowed));
        return response;
    }
    if [Method::POST, Method::DELETE].contains(&head.method) {
        if control.upgrades.is_under_way() && ![calls::PLAN, calls::UPGRADE].contains(&path) {
            let detail = "an upgrade is under way: what is changed now would be lost";
            return refuse(StatusCode::CONFLICT, "upgrade_runs", detail);
        }
        return match whole(body, call.max_body).await {
            Some(body) => obey(control, path, &caller, &body).await,
            None => {
                let most = format!("at most {} KiB", call.max_body >> 10);
                refuse(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", &most)
            }
        };
    }
    match path {
        "/api/v1/stream" => {
            let id = head.headers.get("last-event-id").and_then(|id| id.to_str().ok());
            stream::open(control, id)
        }
        "/api/v1/whoami" => whoami(&head.headers, &caller, rules),
        _ => look(control, path, &parameters(head.uri.query().unwrap_or_default())).await,
    }
}

/// The whole body; `None` = it is longer than `most`, or was not sent to its end.
async fn whole(body: Incoming, most: usize) -> Option<Bytes> {
    if body.size_hint().lower() > u64::try_from(most).unwrap_or(u64::MAX) {
        return None;
    }
    Limited::new(body, most).collect().await.ok().map(http_body_util::Collected::to_bytes)
}

fn forbidden(refused: &Refused) -> Response<Body> {
    let mut body = json!({ "error": refused.error, "detail": refused.detail });
    if let (Some(role), Some(fields)) = (refused.needs, body.as_object_mut()) {
        fields.insert("needs".into(), role.as_str().into());
    }
    let mut response = json_reply(refused.status, &body);
    if refused.status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// Who the edge takes the caller for: a page checks the token that was typed by it.
fn whoami(headers: &HeaderMap, caller: &Caller<'_>, rules: AuthRules<'_>) -> Response<Body> {
    if auth::names_a_token(headers) && caller.token.is_none() {
        return refuse(StatusCode::UNAUTHORIZED, "unauthorized", "no such token");
    }
    let role = caller.token.map(|token| token.role.as_str());
    let body = json!({
        "name": caller.name(), "role": role, "client": caller.client.to_canonical().to_string(),
        "tokens": !rules.tokens.is_empty(), "anonymous_read": rules.anonymous_read,
    });
    json_reply(StatusCode::OK, &body)
}

async fn look(control: &Rc<Control>, path: &str, query: &BTreeMap<String, String>) -> Response<Body> {
    match path {
        "/" => page::page(),
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
        calls::UPGRADE => json_reply(StatusCode::OK, &control.upgrades.shown()),
        "/api/v1/history" => json_reply(StatusCode::OK, &control.history.shown()),
        "/api/v1/status" => json_reply(StatusCode::OK, &status::of(control).await),
        "/api/v1/explain" => match explain::ExplainRequest::from_query(query) {
            Ok(asked) => {
                let (live, geo) = (control.shared.live.load(), control.shared.geo.load());
                let known = explain::ExplainBasis {
                    health: "live health",
                    now: control.shared.now(),
                    geo: geo.as_deref(),
                    signers: &live.wiring.cookies,
                };
                let said = explain::answer(&live.snapshot, &asked, &known);
                let said = match live.wiring.config.fleet {
                    Some(_) => explain::with_disagreements(said, gossip::disagreements(control)),
                    None => said,
                };
                json_reply(StatusCode::OK, &said)
            }
            Err(problem) => refuse(StatusCode::BAD_REQUEST, "bad_request", &problem),
        },
        _ => match path.strip_prefix(requests::ONE) {
            Some(id) => requests::answer(control, id).await,
            None => events(control, query),
        },
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

async fn obey(control: &Rc<Control>, path: &str, caller: &Caller<'_>, body: &Bytes) -> Response<Body> {
    if path == calls::PLAN {
        return plan::answer(control, body).await;
    }
    let client = caller.client.to_canonical();
    let who = caller.name().map_or_else(|| client.to_string(), str::to_owned);
    let by = Actor { client: Some(client), ..Actor::own(&who) };
    match path {
        calls::UPGRADE => upgrade::answer(control, by, body),
        "/api/v1/orders" | "/api/v1/drain" | "/api/v1/undrain" => {
            fleet_orders::answer(control, path, caller.name(), (by, body)).await
        }
        "/api/v1/failback" => failback::answer(control, by, body).await,
        _ if path.starts_with(orders::ONE) => fleet_orders::cancel(control, by, path).await,
        _ => reloads::answer(control, path, (by, body)).await,
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
