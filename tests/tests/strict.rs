//! The strict reader in the edge: a request that breaks a rule is refused with the rule's name and never reaches an
//! endpoint; a request that only looks odd passes.

mod common;

use http_body_util::Full;

use common::{assert_ours, one, one_with};
use thalweg_testkit::{Behaviour, Client, Conf, Edge, Endpoint, H2, eventually_some};

const SOON: std::time::Duration = std::time::Duration::from_secs(5);

#[test]
fn a_refusal_names_its_rule_and_nothing_reaches_the_endpoint() {
    let (edge, endpoint) = one();
    let before = endpoint.hits();
    for (nth, (request, status, rule)) in [
        ("GET / HTTP/1.1\nHost: a\r\n\r\n", 400, "bad_version"),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n", 400, "bare_lf"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400, "bare_cr"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", 400, "obs_fold"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n", 400, "space_before_colon"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", 400, "missing_colon"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: \u{1}\r\n\r\n", 400, "bad_field_value"),
        ("GET / HTTP/1.1\r\n\r\n", 400, "missing_host"),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", 400, "bad_host"),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "bad_host"),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, "repeated_host"),
        ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "space_in_target"),
        ("GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_target"),
        ("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_target"),
        ("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "target_form"),
        ("GET /a%2Fb HTTP/1.1\r\nHost: a\r\n\r\n", 400, "ambiguous_path"),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, "unsupported_version"),
        ("GET / HTTP/1.1x\r\nHost: a\r\n\r\n", 400, "bad_version"),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
            "length_with_coding",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
            400,
            "repeated_content_length",
        ),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc", 400, "bad_content_length"),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            501,
            "unknown_transfer_coding",
        ),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", 400, "bad_transfer_coding"),
        ("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "coding_in_http10"),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent_Length: 3\r\n\r\n", 400, "field_looks_like_framing"),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer.Encoding: chunked\r\n\r\n", 400, "field_looks_like_framing"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = Client::connect(edge.web());
        client.send(request);
        let reply = client.reply("GET").unwrap_or_else(|gone| panic!("{request:?}: {gone}"));
        let word = match status {
            501 => "not_implemented",
            505 => "version",
            _ => "bad_request",
        };
        assert_ours(&reply, status, word);
        assert_eq!(reply.json()["rule"], rule, "{request:?}");
        assert!(client.ends(SOON), "{request:?}: still open");
        let line = eventually_some("the request is logged", SOON, || edge.access_log().into_iter().nth(nth));
        assert_eq!((line["rule"].as_str(), line["refusal"].as_str()), (Some(rule), Some(word)), "{line}");
    }
    assert_eq!(endpoint.hits(), before, "something reached the endpoint");
}

#[test]
fn a_chunk_that_breaks_a_rule_ends_the_upload_and_the_endpoint_never_sees_its_end() {
    let (edge, endpoint) = one_with("retry = { attempts = 0 }");
    for (body, rule) in [
        ("3\nabc\r\n0\r\n\r\n", "bare_lf"),
        ("3\r\nabc0\r\n\r\n", "bad_chunk_end"),
        ("3\r\nabc\r\n0\r\n\n", "bare_lf"),
        ("0x3\r\nabc\r\n0\r\n\r\n", "bad_chunk_size"),
        ("3;a=\u{1}\r\nabc\r\n0\r\n\r\n", "bad_chunk_extension"),
        ("3\r\nabc\r\n0\r\nContent-Length: 3\r\n\r\n", "forbidden_trailer"),
    ] {
        let mut client = Client::connect(edge.web());
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}"));
        let reply = client.reply("POST").unwrap_or_else(|gone| panic!("{body:?}: {gone}"));
        assert_ours(&reply, 400, "bad_request");
        assert_eq!(reply.json()["rule"], rule, "{body:?}");
        let whole = endpoint.requests().iter().any(|seen| seen.complete);
        assert!(!whole, "{body:?}: a whole request reached the endpoint");
    }
}

#[test]
fn what_every_client_sends_passes_as_it_came() {
    let (edge, endpoint) = one();
    for target in ["/a\"b?c=\"d\"", "/<a>|{b}^`", "/?q=<>|{}^`\"\\", "/%C3%A9?%2F"] {
        let mut client = Client::connect(edge.web());
        client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(client.reply("GET").expect("an answer").status, 200, "{target}");
        assert_eq!(endpoint.requests().last().expect("a request").head.word(1), target);
    }
}

#[test]
fn look_alikes_of_framing_are_refused_dropped_or_passed_as_the_key_says() {
    for (key, status, there) in [("refuse", 400, false), ("drop", 200, false), ("pass", 200, true)] {
        let endpoint = Endpoint::start("a");
        let conf = Conf::simple("failover", &[endpoint.addr()])
            .listener("h2", "protocols = [\"h2c\"]")
            .raw(&format!("[limits]\nlookalike_fields = \"{key}\""));
        let edge = Edge::start(&conf);
        edge.until_up(1);
        let mut client = Client::connect(edge.web());
        let reply = client.ask("POST", "/", "Content_Length: 99\r\n", b"abc").expect("an answer");
        assert_eq!(reply.status, status, "{key}");
        let seen = endpoint.requests().iter().any(|seen| seen.head.header("content_length").is_some());
        assert_eq!(seen, there, "{key}");
        let client = H2::connect_clear(edge.addr("h2")).expect("a connection");
        let request = http::Request::post("http://a/").header("transfer_encoding", "chunked");
        let reply = client.ask(request.body(Full::from("abc")).expect("a request")).expect("an answer");
        assert_eq!(reply.status, status, "h2 {key}");
    }
}

#[test]
fn early_hints_pass_and_the_answer_follows() {
    let (edge, endpoint) = one();
    endpoint.behave(Behaviour::HintsFirst);
    let reply = Client::connect(edge.web()).get("/");
    assert_eq!(reply.status, 200);
    let hints = reply.informational.first().expect("hints");
    assert_eq!((hints.word(1), hints.header("x-request-id")), ("103", None), "{hints:?}");
}

#[test]
fn spelling_order_and_repetition_of_fields_stay() {
    let (edge, endpoint) = one();
    let mut client = Client::connect(edge.web());
    client.send("GET / HTTP/1.1\r\nX-b: 1\r\nhOsT: a\r\nx-A: 2\r\nX-b: 3\r\naccept: x\r\n\r\n");
    assert_eq!(client.reply("GET").expect("an answer").status, 200);
    let seen = endpoint.only();
    let names: Vec<&str> = seen.head.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names.get(..5), Some(&["Host", "X-b", "x-A", "X-b", "accept"][..]), "{names:?}");
}
