//! WebSockets to endpoints of HTTP/2: a real server (hypercorn) takes them on streams of one connection, for clients of either
//! protocol; an endpoint that offers none is named.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use thalweg_testkit::Client;

use super::*;

/// hypercorn with the application of `tests/websocket/asgi.py`, and an edge in front that speaks HTTP/2 to it.
fn site(scenario: &str) -> Option<(PathBuf, Server, Edge)> {
    let python = websocket_python(scenario)?;
    let has = Command::new(&python).args(["-c", "import hypercorn"]).stderr(Stdio::null()).status();
    if !has.is_ok_and(|status| status.success()) {
        skip(scenario, "no Python with hypercorn (make setup; THALWEG_PYTHON names another)");
        return None;
    }
    let server = Server::run(|addr| {
        let mut command = Command::new(&python);
        command.args(["-m", "hypercorn", "asgi:app", "--workers", "0", "--bind", &addr.to_string()]);
        command.current_dir(repository().join("tests/websocket")).stdout(Stdio::null());
        command
    });
    let edge = edge_before(&[server.addr()], "workers = 1", "protocol = \"h2\"");
    Some((python, server, edge))
}

/// A handshake over HTTP/1.1, with the key of RFC 6455 section 1.3.
fn handshake(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nhost: a.test\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// A frame of a client with a mask of zeros.
fn message(text: &[u8]) -> Vec<u8> {
    [&[0x81, 0x80 | text.len() as u8, 0, 0, 0, 0], text].concat()
}

fn head(stream: &mut TcpStream) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).expect("a head");
        head.push(byte[0]);
    }
    String::from_utf8(head).expect("text").to_ascii_lowercase()
}

#[test]
fn a_client_of_http1_reaches_an_endpoint_of_http2() {
    let Some((_python, _server, edge)) = site("a WebSocket from HTTP/1.1 to hypercorn") else { return };
    let mut client = TcpStream::connect(edge.web()).expect("the edge accepts");
    client.set_read_timeout(Some(SOON)).expect("a socket");
    // The first message comes with the head.
    client.write_all(&[handshake("/echo").into_bytes(), message(b"early")].concat()).expect("written");
    let head = head(&mut client);
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    for line in ["upgrade: websocket\r\n", "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"] {
        assert!(head.contains(line), "{head}");
    }
    for text in [&b"early"[..], b"and late"] {
        if text != b"early" {
            client.write_all(&message(text)).expect("written");
        }
        let mut echo = vec![0; 2 + text.len()];
        client.read_exact(&mut echo).expect("the echo");
        assert_eq!(echo, [&[0x81, text.len() as u8], text].concat());
    }
    assert_eq!(streams(&edge), 1.0);
    assert_eq!(edge.metric("thalweg_upstream_connections", &[("pool", "p0"), ("state", "active")]), 1.0);
    // Close 1000, and the endpoint's own.
    client.write_all(&[0x88, 0x82, 0, 0, 0, 0, 3, 0xe8]).expect("written");
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).expect("an orderly end");
    assert_eq!(rest, [0x88, 2, 3, 0xe8]);
    drop(client);
    let line = logged(&edge, "/echo");
    assert_eq!((&line["status"], &line["error"]), (&json!(101), &Value::Null), "{line}");
    eventually("the stream has left", SOON, || streams(&edge) == 0.0);
}

#[test]
fn clients_of_http2_share_a_connection_to_the_endpoint() {
    let Some((python, _server, edge)) = site("WebSockets from HTTP/2 to hypercorn") else { return };
    let mut client = WebSockets::connect(&python, edge.addr("clear"));
    let ask = json!({ "do": "open", "path": "/echo", "deflate": true, "fields": { "sec-websocket-protocol": "chat" } });
    let answer = client.run(&ask);
    let (first, headers) = (&answer["stream"], &answer["headers"]);
    assert_eq!(
        (&answer["status"], &headers["sec-websocket-protocol"]),
        (&json!(200), &json!("chat")),
        "{answer}"
    );
    for field in ["sec-websocket-accept", "upgrade", "connection"] {
        assert!(headers[field].is_null(), "{field}: {answer}");
    }
    let others: Vec<Value> = (0..10).map(|_| client.opened("/echo")).collect();
    for size in [0, 1, 125, 126, 65_535, 65_536, 1_000_000] {
        assert!(client.echoes(first, size), "{size} bytes");
    }
    assert!(others.iter().all(|stream| client.echoes(stream, 10_000)));
    assert_eq!(streams(&edge), 11.0);
    let reply = Client::connect(edge.web()).get("/");
    assert_eq!((reply.status, reply.text()), (200, "plain".into()), "requests share it too");
    assert_eq!(edge.metric("thalweg_upstream_connections", &[("pool", "p0"), ("state", "active")]), 1.0);
    let closed = client.run(&json!({ "do": "close", "stream": first }));
    assert_eq!(closed, json!({ "code": 1000, "ended": true, "reset": null }));
    client.run(&json!({ "do": "reset", "stream": others[0] }));
    eventually("a reset leaves alone", SOON, || streams(&edge) == 9.0);
    assert!(others[1..].iter().all(|stream| client.echoes(stream, 10)), "the other streams go on");
}

/// Apart from the others: hypercorn may take the client's Close, which answers its own, for an error of the connection.
#[test]
fn a_close_of_the_endpoint_reaches_the_client_with_its_code() {
    let Some((python, _server, edge)) = site("hypercorn closes a WebSocket") else { return };
    let mut client = WebSockets::connect(&python, edge.addr("clear"));
    let closing = client.opened("/close/4001");
    let closed = client.run(&json!({ "do": "wait", "stream": closing }));
    assert_eq!((&closed["code"], &closed["ended"]), (&json!(4001), &json!(true)), "{closed}");
}

#[test]
fn the_endpoint_sees_an_extended_connect_without_a_key_and_may_refuse() {
    let Some((python, _server, edge)) = site("heads of WebSockets to hypercorn") else { return };
    let mut client = WebSockets::connect(&python, edge.addr("clear"));
    let stream = client.opened("/via");
    let told = client.run(&json!({ "do": "text", "stream": stream }));
    assert_eq!(told["text"], "['2', ['2 thalweg'], [], ['http'], ['127.0.0.1']]");
    assert_eq!(client.open("/deny")["status"], 403);
    let mut client = TcpStream::connect(edge.web()).expect("the edge accepts");
    client.set_read_timeout(Some(SOON)).expect("a socket");
    client.write_all(handshake("/deny").as_bytes()).expect("written");
    assert!(head(&mut client).starts_with("http/1.1 403 "));
}

#[test]
fn an_endpoint_that_is_killed_breaks_its_websockets_off() {
    let Some((python, server, edge)) = site("WebSockets through a kill of hypercorn") else { return };
    let mut client = WebSockets::connect(&python, edge.addr("clear"));
    let stream = client.opened("/echo");
    drop(server);
    let broken = client.run(&json!({ "do": "wait", "stream": stream }));
    assert_eq!(broken, json!({ "code": null, "ended": false, "reset": 8 }));
    assert_eq!(logged(&edge, "/echo")["error"], "reset");
}

#[test]
fn an_endpoint_that_offers_no_websockets_is_named() {
    let http2 = H2Endpoint::start("a");
    let edge = edge_before(&[http2.addr()], "", "protocol = \"h2\"");
    let mut client = TcpStream::connect(edge.web()).expect("the edge accepts");
    client.set_read_timeout(Some(SOON)).expect("a socket");
    client.write_all(handshake("/ws").as_bytes()).expect("written");
    let head = head(&mut client);
    assert!(head.starts_with("http/1.1 502 ") && head.contains("http_upgrade_failed"), "{head}");
    assert_eq!(logged(&edge, "/ws")["error"], "no_websocket");
    assert_eq!(edge.ejection(http2.addr()), "clear", "it says nothing about the endpoint's health");
    assert_eq!(Client::connect(edge.web()).get("/").status, 200, "requests go on");
}
