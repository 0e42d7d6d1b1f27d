//! One call to a running edge's admin server, or the live stream of it, with one clear line when it fails.

use std::{fmt::Display, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header, uri::Authority};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpStream, time::timeout};

use super::{
    args::AdminArgs,
    terminal::{exit, say},
};

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// Longest wait for the whole answer.
const ANSWER: Duration = Duration::from_secs(40);
/// Longest answer.
const MAX_ANSWER: usize = 256 << 20;

/// Why a call failed: one line for the operator.
#[derive(Debug)]
pub(super) enum Problem {
    /// The command line, or a file that it names, is wrong.
    Usage(String),
    /// The edge, or the way to it, failed.
    Edge(String),
}

impl Problem {
    /// The edge answered a call with an unexpected status.
    pub(super) fn answered(status: StatusCode, said: &Value) -> Self {
        let text = |name: &str| said.get(name).and_then(Value::as_str);
        let detail = text("detail").or(text("error")).unwrap_or("no reason given");
        Self::Edge(format!("the edge answered {}: {detail}", status.as_u16()))
    }

    /// Prints the problem; returns the exit code.
    pub(super) fn tell(&self) -> u8 {
        let (Self::Usage(text) | Self::Edge(text)) = self;
        say(text);
        if matches!(self, Self::Usage(_)) { exit::CONFIG } else { exit::FAILURE }
    }
}

/// Sends a call; returns status and JSON of the answer.
///
/// # Errors
/// The [`Problem`].
pub(super) fn ask(
    admin: &AdminArgs,
    method: Method,
    call: &str,
    body: &str,
) -> Result<(StatusCode, Value), Problem> {
    let (authority, token) = usable(admin).map_err(Problem::Usage)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Problem::Edge(error.to_string()))?;
    let request = request(&authority, token, (method, call), body)?;
    runtime.block_on(put(&admin.admin, &authority, request)).map_err(Problem::Edge)
}

/// Opens a call whose answer has no end; returns its body.
///
/// # Errors
/// The [`Problem`], also when the edge answers another status than 200.
pub(super) async fn open(admin: &AdminArgs, call: &str) -> Result<Incoming, Problem> {
    let (authority, token) = usable(admin).map_err(Problem::Usage)?;
    let request = request(&authority, token, (Method::GET, call), "")?;
    let answer = timeout(ANSWER, send(&admin.admin, &authority, request)).await;
    let answer = answer.unwrap_or_else(|_| Err(format!("no answer from the edge at {}", admin.admin)));
    let answer = answer.map_err(Problem::Edge)?;
    if answer.status() != StatusCode::OK {
        return Err(Problem::answered(answer.status(), &Value::Null));
    }
    Ok(answer.into_body())
}

fn request(
    authority: &Authority,
    token: Option<HeaderValue>,
    (method, call): (Method, &str),
    body: &str,
) -> Result<Request<Full<Bytes>>, Problem> {
    let mut request = Request::builder()
        .method(method)
        .uri(call)
        .header(header::HOST, authority.as_str())
        .header(header::CONTENT_TYPE, "application/json");
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, token);
    }
    let request = request.body(Full::new(Bytes::from(body.to_owned())));
    request.map_err(|error| Problem::Edge(error.to_string()))
}

/// The server to ask and the token, as typed.
fn usable(admin: &AdminArgs) -> Result<(Authority, Option<HeaderValue>), String> {
    let url = &admin.admin;
    let base: Uri = url.parse().map_err(|_| format!("`{url}` is no URL"))?;
    let authority = base.authority().filter(|_| base.scheme_str() == Some("http")).cloned();
    let authority = authority.ok_or_else(|| format!("`{url}` is no http:// URL"))?;
    let Some(file) = &admin.token_file else { return Ok((authority, None)) };
    let token =
        std::fs::read_to_string(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    let token = only_token(&token).and_then(|token| HeaderValue::try_from(format!("Bearer {token}")).ok());
    let problem = || format!("{} does not hold one token: `TOKEN` or `NAME ROLE TOKEN`", file.display());
    Ok((authority, Some(token.ok_or_else(problem)?)))
}

/// The token of a file that holds exactly one: alone, or behind its name and role as in the edge's own file.
fn only_token(text: &str) -> Option<&str> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let line = lines.next().filter(|_| lines.next().is_none())?;
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    match words.as_slice() {
        [token] | [_, _, token] => Some(token),
        _ => None,
    }
}

fn failed(stage: &str, url: &str, error: &dyn Display) -> String {
    format!("{stage} the edge at {url}: {error}")
}

async fn send(
    url: &str,
    authority: &Authority,
    request: Request<Full<Bytes>>,
) -> Result<Response<Incoming>, String> {
    let fail = |stage: &str, error: &dyn Display| failed(stage, url, error);
    let (host, port) = (authority.host().trim_matches(['[', ']']), authority.port_u16().unwrap_or(80));
    let stream = match timeout(CONNECT, TcpStream::connect((host, port))).await {
        Ok(stream) => stream.map_err(|error| fail("cannot reach", &error))?,
        Err(_) => return Err(fail("cannot reach", &"no connection within 5 s")),
    };
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| fail("cannot talk to", &error))?;
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(|error| fail("no answer from", &error))
}

async fn put(
    url: &str,
    authority: &Authority,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Value), String> {
    let fail = |stage: &str, error: &dyn Display| failed(stage, url, error);
    let answer = async {
        let response = send(url, authority, request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        let body = body.map_err(|error| fail("no whole answer from", &error))?.to_bytes();
        let json = serde_json::from_slice(&body).map_err(|error| fail("no JSON from", &error))?;
        Ok((status, json))
    };
    timeout(ANSWER, answer).await.unwrap_or_else(|_| Err(fail("no answer from", &"40 s have passed")))
}

#[cfg(test)]
mod tests {
    use super::only_token;

    #[test]
    fn a_token_file_of_the_command_line_holds_one_token() {
        for (text, expected) in [
            ("t0ken\n", Some("t0ken")),
            ("# mine\nada write t0ken\n", Some("t0ken")),
            ("", None),
            ("a b", None),
            ("ada write t0ken\nbob read l00k\n", None),
        ] {
            assert_eq!(only_token(text), expected, "{text:?}");
        }
    }
}
