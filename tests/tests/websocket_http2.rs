//! WebSockets over HTTP/2 (RFC 8441): a real client (Python's h2 and wsproto) through the edge to a real server over
//! HTTP/1.1 (Python's websockets), and to the testkit's endpoint. `endpoints` has endpoints of HTTP/2.

mod common;
#[path = "websocket_http2/endpoints.rs"]
mod endpoints;

use std::{
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use thalweg_testkit::{
    Behaviour, Conf, Edge, Endpoint, H2Endpoint, Reserved, Signal, eventually, eventually_some, python,
    repository, skip,
};

const SOON: Duration = Duration::from_secs(20);

/// The Python that has h2, wsproto and websockets, if there is one.
fn websocket_python(scenario: &str) -> Option<PathBuf> {
    let path = python(scenario)?;
    let has =
        Command::new(&path).args(["-c", "import h2, wsproto, websockets"]).stderr(Stdio::null()).status();
    if has.is_ok_and(|status| status.success()) {
        return Some(path);
    }
    skip(scenario, "no Python with h2, wsproto and websockets (make setup; THALWEG_PYTHON names another)");
    None
}

/// The server of `tests/websocket/server.py`.
struct Server {
    child: Child,
    reserved: Reserved,
}

impl Server {
    fn start(python: &PathBuf) -> Self {
        Self::run(|addr| {
            let mut command = Command::new(python);
            command.arg(repository().join("tests/websocket/server.py")).arg(addr.port().to_string());
            command
        })
    }

    /// The server that this command starts at an address.
    fn run(command: impl FnOnce(SocketAddr) -> Command) -> Self {
        let reserved = Reserved::new();
        let mut command = command(reserved.addr());
        let child =
            command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("python can be started");
        let addr = reserved.addr();
        eventually("the server listens", SOON, || std::net::TcpStream::connect(addr).is_ok());
        Self { child, reserved }
    }

    fn addr(&self) -> SocketAddr {
        self.reserved.addr()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended_already_is_fine = self.child.kill();
        let _status = self.child.wait();
    }
}

/// The client of `tests/websocket/client.py`: one connection of HTTP/2.
struct WebSockets {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl WebSockets {
    fn connect(python: &PathBuf, addr: SocketAddr) -> Self {
        let mut child = Command::new(python)
            .arg(repository().join("tests/websocket/client.py"))
            .arg(addr.port().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python can be started");
        let (input, output) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        Self { child, input, output: BufReader::new(output) }
    }

    fn tell(&mut self, command: &Value) {
        writeln!(self.input, "{command}").expect("the client reads");
    }

    fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the client answers");
        serde_json::from_str(&line).expect("a line of JSON: the client has failed")
    }

    fn run(&mut self, command: &Value) -> Value {
        self.tell(command);
        self.hear()
    }

    fn open(&mut self, path: &str) -> Value {
        self.run(&json!({ "do": "open", "path": path }))
    }

    /// An open WebSocket; its stream.
    fn opened(&mut self, path: &str) -> Value {
        let answer = self.open(path);
        assert_eq!(answer["status"], 200, "{answer}");
        answer["stream"].clone()
    }

    fn echoes(&mut self, stream: &Value, size: usize) -> bool {
        self.run(&json!({ "do": "say", "stream": stream, "size": size }))["echo"] == true
    }
}

impl Drop for WebSockets {
    fn drop(&mut self) {
        let _ended_already_is_fine = self.child.kill();
        let _status = self.child.wait();
    }
}

/// An edge that speaks HTTP/2 in clear, in front of these endpoints, each in a pool of its own.
fn edge_before(endpoints: &[SocketAddr], edge: &str, pool: &str) -> Edge {
    let mut conf = Conf::new().edge(edge).listener("web", "").listener("clear", "protocols = [\"h2c\"]");
    let names: Vec<String> = (0..endpoints.len()).map(|nth| format!("p{nth}")).collect();
    for (name, addr) in names.iter().zip(endpoints) {
        conf = conf.pool(name, &[*addr], &format!("# no probe\n{pool}"));
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    Edge::start(&conf.route("all", "failover", &names, "timeouts = { idle = \"6s\" }"))
}

fn streams(edge: &Edge) -> f64 {
    edge.metric("thalweg_endpoint_streams", &[("pool", "p0")])
}

fn logged(edge: &Edge, path: &str) -> Value {
    let line = || edge.access_log().into_iter().find(|line| line["path"] == path);
    eventually_some("the request is logged", SOON, line)
}

#[test]
fn a_websocket_over_http2_echoes_messages_of_every_size_and_closes_with_its_code() {
    let Some(python) = websocket_python("a WebSocket over HTTP/2") else { return };
    let server = Server::start(&python);
    let edge = edge_before(&[server.addr()], "", "");
    let mut client = WebSockets::connect(&python, edge.addr("clear"));
    assert_eq!(client.run(&json!({ "do": "settings" }))["connect"], 1);
    let ask = json!({ "do": "open", "path": "/echo", "fields": { "sec-websocket-protocol": "chat", "sec-websocket-key": "mine" } });
    let answer = client.run(&ask);
    let (stream, headers) = (&answer["stream"], &answer["headers"]);
    assert_eq!(
        (&answer["status"], &headers["sec-websocket-protocol"]),
        (&json!(200), &json!("chat")),
        "{answer}"
    );
    assert!(headers["x-request-id"].is_string() && headers["date"].is_string(), "{answer}");
    for field in ["sec-websocket-accept", "upgrade", "connection", "content-length"] {
        assert!(headers[field].is_null(), "{field}: {answer}");
    }
    for size in [0, 1, 125, 126, 65_535, 65_536, 3_000_000] {
        assert!(client.echoes(stream, size), "{size} bytes");
    }
    assert_eq!(streams(&edge), 1.0);
    assert_eq!(edge.metric("thalweg_endpoint_in_flight", &[("pool", "p0")]), 1.0);
    let closed = client.run(&json!({ "do": "close", "stream": stream }));
    assert_eq!(closed, json!({ "code": 1000, "ended": true, "reset": null }));
    let line = logged(&edge, "/echo");
    assert_eq!(
        (&line["method"], &line["status"], &line["error"], &line["protocol"]),
        (&json!("CONNECT"), &json!(200), &Value::Null, &json!("HTTP/2")),
        "{line}"
    );
    assert!(
        line["bytes_in"].as_u64() > Some(3_000_000) && line["bytes_out"].as_u64() > Some(3_000_000),
        "{line}"
    );
    let count = edge.metric("thalweg_requests_total", &[("listener", "clear"), ("code_class", "2xx")]);
    assert_eq!((count, streams(&edge)), (1.0, 0.0));
}

#[test]
fn compression_and_many_streams_pass_and_a_closing_server_is_heard() {
    let Some(python) = websocket_python("WebSockets that share a connection") else { return };
    let server = Server::start(&python);
    let edge = edge_before(&[server.addr()], "", "");
    let mut client = WebSockets::connect(&python, edge.addr("clear"));
    let answer = client.run(&json!({ "do": "open", "path": "/echo", "deflate": true }));
    let extension = answer["headers"]["sec-websocket-extensions"].as_str().unwrap_or_default();
    assert!(extension.contains("permessage-deflate"), "{answer}");
    let mut all = vec![answer["stream"].clone()];
    all.extend((0..20).map(|_| client.opened("/echo")));
    for stream in all.iter().chain(&all) {
        assert!(client.echoes(stream, 10_000));
    }
    let closing = client.opened("/close/4001");
    let closed = client.run(&json!({ "do": "wait", "stream": closing }));
    let line = logged(&edge, "/close/4001");
    assert_eq!(closed, json!({ "code": 4001, "ended": true, "reset": null }), "{line}");
    assert!(all.iter().all(|stream| client.echoes(stream, 10)), "the other streams go on");
}

#[test]
fn the_endpoint_sees_a_handshake_of_http1_with_a_key_of_the_edges_own() {
    let Some(python) = websocket_python("the handshake towards the endpoint") else { return };
    let server = Server::start(&python);
    let edge = edge_before(&[server.addr()], "", "");
    let mut client = WebSockets::connect(&python, edge.addr("clear"));
    let fields = json!({ "sec-websocket-key": "of the client", "x-forwarded-for": "9.9.9.9" });
    let answer = client.run(&json!({ "do": "open", "path": "/via", "fields": fields }));
    let told = client.run(&json!({ "do": "text", "stream": answer["stream"] }))["text"].clone();
    let told = told.as_str().expect("text");
    assert!(told.starts_with("[['2 thalweg'], ['"), "{told}");
    assert!(told.ends_with("], ['http'], ['127.0.0.1'], ['a.test']]"), "{told}");
    assert!(!told.contains("of the client") && told.contains("=='], ["), "{told}");
}

#[test]
fn an_answer_that_is_no_101_passes_on_unless_it_would_open_the_websocket() {
    let Some(python) = websocket_python("refused WebSockets over HTTP/2") else { return };
    let server = Server::start(&python);
    let edge = edge_before(&[server.addr()], "", "");
    let mut client = WebSockets::connect(&python, edge.addr("clear"));
    let denied = client.open("/deny");
    assert_eq!((&denied["status"], &denied["body"]), (&json!(403), &json!("not you\n")), "{denied}");
    assert_eq!(logged(&edge, "/deny")["status"], 403);
    let plain = client.open("/plain");
    assert_eq!(plain["status"], 502, "{plain}");
    assert!(plain["body"].as_str().is_some_and(|body| body.contains("\"not_switched\"")), "{plain}");
    assert_eq!(logged(&edge, "/plain")["error"], "not_switched");
    let unknown = client.run(&json!({ "do": "open", "path": "/", "protocol": "connect-udp" }));
    assert_eq!(unknown["status"], 501, "{unknown}");
    assert!(unknown["body"].as_str().is_some_and(|body| body.contains("\"unknown_protocol\"")), "{unknown}");
    let stream = client.opened("/echo");
    assert!(client.echoes(&stream, 10), "the connection goes on");
}

#[test]
fn a_false_accept_is_a_bad_answer_and_an_http2_endpoint_may_offer_none() {
    let Some(python) = websocket_python("bad handshakes over HTTP/2") else { return };
    let endpoint = Endpoint::start("a");
    let accept = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    endpoint.behave(Behaviour::Raw(accept.into()));
    let edge = edge_before(&[endpoint.addr()], "", "");
    let mut client = WebSockets::connect(&python, edge.addr("clear"));
    let answer = client.open("/false");
    assert_eq!(answer["status"], 502, "{answer}");
    let line = logged(&edge, "/false");
    assert_eq!(
        (&line["error"], &line["rule"]),
        (&json!("bad_answer"), &json!("bad_websocket_accept")),
        "{line}"
    );
    let http2 = H2Endpoint::start("a");
    let edge = edge_before(&[http2.addr()], "", "protocol = \"h2\"");
    let mut client = WebSockets::connect(&python, edge.addr("clear"));
    let answer = client.open("/echo");
    assert_eq!(answer["status"], 502, "{answer}");
    assert!(answer["body"].as_str().is_some_and(|body| body.contains("\"no_websocket\"")), "{answer}");
}

#[test]
fn a_client_that_resets_its_websocket_or_leaves_ends_it_at_the_endpoint() {
    let Some(python) = websocket_python("a client that breaks its WebSocket off") else { return };
    let server = Server::start(&python);
    let edge = edge_before(&[server.addr()], "", "");
    let mut client = WebSockets::connect(&python, edge.addr("clear"));
    let kept = client.opened("/kept");
    let stream = client.opened("/reset");
    assert!(client.echoes(&stream, 10));
    client.run(&json!({ "do": "reset", "stream": stream }));
    let line = logged(&edge, "/reset");
    assert_eq!((&line["status"], &line["error"]), (&json!(200), &json!("reset")), "{line}");
    assert!(client.echoes(&kept, 10), "the other stream goes on");
    eventually("one stream is left", SOON, || streams(&edge) == 1.0);
    drop(client);
    let line = logged(&edge, "/kept");
    assert_eq!((&line["status"], &line["error"]), (&json!(200), &json!("reset")), "{line}");
    eventually("no stream is left", SOON, || streams(&edge) == 0.0);
}

#[test]
fn a_killed_endpoint_ends_the_stream_and_silence_resets_it() {
    let Some(python) = websocket_python("an endpoint that dies under its WebSockets") else { return };
    let (mut first, second) = (Server::start(&python), Server::start(&python));
    let edge = edge_before(&[first.addr(), second.addr()], "", "");
    let mut client = WebSockets::connect(&python, edge.addr("clear"));
    let stream = client.opened("/killed");
    assert!(client.echoes(&stream, 10));
    first.child.kill().expect("it runs");
    let over = client.run(&json!({ "do": "wait", "stream": stream }));
    assert_eq!(over["code"], Value::Null, "{over}");
    assert!(over["ended"] == true || over["reset"] == 8, "{over}");
    let next = client.opened("/idle");
    assert!(client.echoes(&next, 10), "the other pool serves");
    // Both sides are silent for `timeouts.idle`.
    let over = client.run(&json!({ "do": "wait", "stream": next }));
    assert_eq!((&over["reset"], &logged(&edge, "/idle")["error"]), (&json!(8), &json!("timeout")), "{over}");
}

#[test]
fn drains_close_websockets_over_http2_with_1012_spread_over_the_deadline() {
    let Some(python) = websocket_python("drains of WebSockets over HTTP/2") else { return };
    let (first, second) = (Server::start(&python), Server::start(&python));
    let edge = edge_before(&[first.addr(), second.addr()], "drain_timeout = \"5s\"", "");
    let mut client = WebSockets::connect(&python, edge.addr("clear"));
    let all: Vec<Value> = (0..20).map(|_| client.opened("/drained")).collect();
    let began = Instant::now();
    let reply = edge.admin_post("/api/v1/drain", r#"{"pool":"p0","deadline":"1500ms"}"#);
    assert_eq!(reply.json()["left"], json!({ "requests": 0, "streams": 20 }), "{}", reply.text());
    let mut at = Vec::new();
    for stream in &all {
        let over = client.run(&json!({ "do": "wait", "stream": stream }));
        assert_eq!((&over["code"], &over["reset"]), (&json!(1012), &Value::Null), "{over}");
        at.push(began.elapsed());
    }
    assert!(*at.last().expect("twenty") > Duration::from_millis(700), "spread: {at:?}");
    eventually("the pool is drained", SOON, || edge.status()["orders"][0]["state"] == "drained");
    assert_eq!(logged(&edge, "/drained")["error"], Value::Null);
    let stream = client.opened("/ending");
    assert!(client.echoes(&stream, 10), "the connection goes on, to the other pool");
    edge.signal(Signal::TERM);
    let over = client.run(&json!({ "do": "wait", "stream": stream }));
    assert_eq!((&over["code"], &over["reset"]), (&json!(1012), &Value::Null), "{over}");
    assert_eq!(edge.exit_code(SOON), 0);
}
