//! One question to a running edge's admin server, with one clear line when it cannot be put.

use std::{fmt::Display, time::Duration};

use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpStream, time::timeout};

use super::AdminArgs;

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// Longest wait for the whole answer.
const ANSWER: Duration = Duration::from_secs(40);
/// Longest answer.
const MAX_ANSWER: usize = 256 << 20;

/// Status and JSON of the answer.
///
/// # Errors
/// One line for the operator.
pub(super) fn ask(
    admin: &AdminArgs,
    method: Method,
    call: &str,
    body: &str,
) -> Result<(StatusCode, Value), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(put(admin, method, call, body))
}

async fn put(
    admin: &AdminArgs,
    method: Method,
    call: &str,
    body: &str,
) -> Result<(StatusCode, Value), String> {
    let url = &admin.admin;
    let fail = |stage: &str, error: &dyn Display| format!("{stage} the edge at {url}: {error}");
    let base: Uri = url.parse().map_err(|_| format!("`{url}` is no URL"))?;
    let authority = base.authority().filter(|_| base.scheme_str() == Some("http"));
    let authority = authority.ok_or_else(|| format!("`{url}` is no http:// URL"))?;
    let (host, port) = (authority.host().trim_matches(['[', ']']), authority.port_u16().unwrap_or(80));
    let mut request = Request::builder()
        .method(method)
        .uri(call)
        .header(header::HOST, authority.as_str())
        .header(header::CONTENT_TYPE, "application/json");
    if let Some(file) = &admin.token_file {
        let token = std::fs::read_to_string(file)
            .map_err(|error| format!("cannot read {}: {error}", file.display()))?;
        request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.trim()));
    }
    let request = request.body(Full::new(Bytes::from(body.to_owned()))).map_err(|error| error.to_string())?;
    let stream = match timeout(CONNECT, TcpStream::connect((host, port))).await {
        Ok(stream) => stream.map_err(|error| fail("cannot reach", &error))?,
        Err(_) => return Err(fail("cannot reach", &"no connection within 5 s")),
    };
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| fail("cannot talk to", &error))?;
    tokio::spawn(connection);
    let answer = async {
        let response = sender.send_request(request).await.map_err(|error| fail("no answer from", &error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        let body = body.map_err(|error| fail("no whole answer from", &error))?.to_bytes();
        let json = serde_json::from_slice(&body).map_err(|error| fail("no JSON from", &error))?;
        Ok((status, json))
    };
    timeout(ANSWER, answer).await.unwrap_or_else(|_| Err(fail("no answer from", &"40 s have passed")))
}
