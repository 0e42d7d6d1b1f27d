//! `[dns]`: an edge as authoritative server of a zone, whose answers follow the shares of its routes. The clients are dig,
//! dnspython and hickory's resolver; what no client would send is sent by hand.

#[path = "dns_answers/site.rs"]
mod site;

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    process::Command,
    time::Duration,
};

use serde_json::Value;
use site::{Datagrams, DnsSite, SOON, at, dig, dns, has_dig, query};
use thalweg_testkit::{Conf, Edge, Endpoint, eventually, free_port, get, mmdb, python, skip, thalweg};

#[test]
fn dig_gets_what_an_authority_says() {
    if !has_dig("dig_gets_what_an_authority_says") {
        return;
    }
    let site = DnsSite::start("failover", ["a", "b"], "");
    let check = |words: &str, code: &str, aa: bool, answer: &[&str], authority: &[&str]| {
        let got = dig(site.at(), words);
        let seen = (got.code(), got.flag("aa"), got.section("ANSWER"), got.section("AUTHORITY"));
        let expect = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        assert_eq!(seen, (code, aa, expect(answer), expect(authority)), "{words}: {}", got.0);
        assert!(!got.flag("ra") && !got.flag("tc"), "{words}");
    };
    let soa = "ns1.glb.test. host\\.master.glb.test. 1 7200 900 1209600 3";
    let top = format!("glb.test. 3600 IN SOA {soa}");
    let negative = [&*format!("glb.test. 3 IN SOA {soa}")];
    for how in ["", "+tcp ", "+noedns "] {
        let check = |words: &str, code: &str, aa: bool, answer: &[&str], authority: &[&str]| {
            check(&format!("{how}{words}"), code, aa, answer, authority);
        };
        check("www.glb.test A", "NOERROR", true, &["www.glb.test. 3 IN A 192.0.2.1"], &[]);
        check("www.glb.test AAAA", "NOERROR", true, &["www.glb.test. 3 IN AAAA 2001:db8::1"], &[]);
        check("a.deep.glb.test A", "NOERROR", true, &["a.deep.glb.test. 3 IN A 192.0.2.60"], &[]);
        check("www.glb.test TXT", "NOERROR", true, &[], &negative);
        check("ns1.glb.test AAAA", "NOERROR", true, &[], &negative);
        check("deep.glb.test A", "NOERROR", true, &[], &negative);
        check("no.glb.test A", "NXDOMAIN", true, &[], &negative);
        check("x.www.glb.test A", "NXDOMAIN", true, &[], &negative);
        check("glb.test A", "NOERROR", true, &[], &negative);
        check("glb.test SOA", "NOERROR", true, &[&top], &[]);
        check(
            "www.glb.test ANY +notcp",
            "NOERROR",
            true,
            &["www.glb.test. 3 IN HINFO \"RFC8482\" \"\""],
            &[],
        );
        check("www.example.com A", "REFUSED", false, &[], &[]);
        check("test A", "REFUSED", false, &[], &[]);
        check("-c CH version.bind TXT", "REFUSED", false, &[], &[]);
        check("+opcode=notify glb.test SOA", "NOTIMP", false, &[], &[]);
    }
    let servers = dig(site.at(), "glb.test NS");
    let expected = ["glb.test. 3600 IN NS ns1.glb.test.", "glb.test. 3600 IN NS ns2.other.test."];
    assert_eq!(servers.section("ANSWER"), expected);
    assert_eq!(servers.section("ADDITIONAL"), ["ns1.glb.test. 3 IN A 192.0.2.53"], "{}", servers.0);
    let transfer = dig(site.at(), "glb.test AXFR");
    assert!(transfer.0.contains("Transfer failed"), "{}", transfer.0);
    let opted_out = dig(site.at(), "+subnet=0 www.glb.test A");
    assert_eq!(opted_out.code(), "NOERROR", "{}", opted_out.0);
}

#[test]
fn dnspython_finds_nothing_wrong() {
    let Some(python) = python("dnspython_finds_nothing_wrong") else { return };
    if !Command::new(&python).args(["-c", "import dns"]).status().is_ok_and(|status| status.success()) {
        return skip("dnspython_finds_nothing_wrong", "no dnspython (make setup)");
    }
    let site = DnsSite::start("failover", ["a", "b"], "");
    let script = thalweg_testkit::repository().join("tests/tests/dns_answers/client.py");
    let (host, port) = (site.at().ip().to_string(), site.at().port().to_string());
    let done = Command::new(python).arg(script).args([host, port]).output().expect("python runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn a_resolver_gets_addresses_and_both_kinds_of_no() {
    use hickory_resolver::{
        TokioResolver,
        config::{ConnectionConfig, NameServerConfig, ResolverConfig},
        net::runtime::TokioRuntimeProvider,
    };
    let site = DnsSite::start("failover", ["a", "b"], "");
    let mut connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
    connections.iter_mut().for_each(|one| one.port = site.at().port());
    let server = NameServerConfig::new(site.at().ip(), true, connections.to_vec());
    let config = ResolverConfig::from_parts(None, vec![], vec![server]);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let resolver = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let resolver = resolver.build().expect("a resolver");
        let found = resolver.lookup_ip("www.glb.test.").await.expect("addresses");
        let mut found: Vec<String> = found.iter().map(|ip| ip.to_string()).collect();
        found.sort();
        assert!(found.iter().all(|ip| ["192.0.2.1", "2001:db8::1"].contains(&&**ip)) && !found.is_empty());
        let none = resolver.txt_lookup("www.glb.test.").await.expect_err("no such records");
        assert!(none.is_no_records_found() && !none.is_nx_domain(), "{none}");
        assert!(resolver.lookup_ip("no.glb.test.").await.expect_err("no such name").is_nx_domain());
    });
}

#[test]
fn answers_leave_a_dead_region_name_all_in_panic_and_return() {
    let site = DnsSite::start("failover", ["a", "b"], "");
    let client = Datagrams::to(site.at());
    let answers = |expected: &[u8]| {
        let mut id = 0;
        eventually(&format!("answers {expected:?}"), SOON, || {
            id += 1;
            let mut found = client.ask(id, "www.glb.test").expect("an answer");
            found.sort_unstable();
            found == expected
        });
    };
    answers(&[1]);
    site.a.die();
    // As soon as the edge sends no request there, it names it no more.
    eventually("the edge has left it", SOON, || !site.edge.is_up(site.a.addr()));
    answers(&[2]);
    let names = site.edge.status()["dns"]["names"].clone();
    let www = names.as_array().and_then(|all| all.iter().find(|one| one["name"] == "www.glb.test")).cloned();
    let www = www.expect("the name");
    assert_eq!(www["answers"][0]["pools"][0]["pool"], "b", "{www}");
    assert_eq!(www["answers"][0]["pools"][0]["share"], 1.0, "{www}");
    site.b.die();
    answers(&[1, 2]);
    let shown = thalweg(&["status", "--admin", &site.edge.admin_url()]);
    assert!(
        shown.stdout.contains("dns www.glb.test  route all: every pool, as in panic: a (192.0.2.1"),
        "{}",
        shown.stdout
    );
    site.b.revive();
    answers(&[2]);
    let counted = site.edge.metric("thalweg_dns_answers_total", &[("name", "www.glb.test"), ("pool", "-")]);
    assert!(counted >= 1.0, "{counted}");
    let silent = site.edge.metric("thalweg_dns_queries_total", &[("transport", "udp"), ("result", "answer")]);
    assert!(silent >= 4.0, "{silent}");
}

#[test]
fn an_order_moves_answers_as_it_moves_requests() {
    let site = DnsSite::start("failover", ["a", "b"], "");
    let client = Datagrams::to(site.at());
    assert_eq!(client.ask(1, "www.glb.test"), Some(vec![1]));
    let done = thalweg(&["drain", "--pool", "a", "--admin", &site.edge.admin_url()]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    eventually("answers name the other pool", SOON, || client.ask(2, "www.glb.test") == Some(vec![2]));
}

#[test]
fn weights_hold_within_a_point_over_two_thousand_answers() {
    const MANY: u16 = 2_000;
    let site = DnsSite::start("weighted", ["a, weight = 7", "b, weight = 3"], "rate = 0");
    let client = Datagrams::to(site.at());
    let of_a = (0..MANY).filter(|id| client.ask(*id, "www.glb.test") == Some(vec![1])).count();
    let share = of_a as f64 / f64::from(MANY);
    assert!((share - 0.7).abs() <= 0.01, "{share}");
}

#[test]
fn a_client_subnet_is_served_by_its_geo_rule_and_comes_back_with_a_scope() {
    if !has_dig("a_client_subnet_is_served_by_its_geo_rule_and_comes_back_with_a_scope") {
        return;
    }
    let (a, b) = (Endpoint::start("a"), Endpoint::start("b"));
    let rules = "geo = [{ from = [\"country:DE\"], pools = [\"b\"] }]\n";
    let networks = [("203.0.113.0/24", "DE", "EU"), ("2001:db8:5::/48", "DE", "EU")];
    let conf = DnsSite::conf(&a, &b)
        .route("all", "geo", &["a"], rules)
        .raw("[geo]\ndatabase = \"geo.mmdb\"\n")
        .file("geo.mmdb", mmdb(&networks, 1_750_000_000))
        .raw(&dns("127.0.0.1:0", ""));
    let edge = Edge::start(&conf);
    edge.until_up(2);
    let check = |words: &str, expected: &str, scope: &str| {
        let got = dig(at(&edge), words);
        assert_eq!(got.data(), [expected], "{words}: {}", got.0);
        assert!(got.0.contains(scope), "{words}: {scope} in {}", got.0);
    };
    check("+subnet=203.0.113.0/24 www.glb.test A", "192.0.2.2", "CLIENT-SUBNET: 203.0.113.0/24/24");
    check("+subnet=2001:db8:5::/48 www.glb.test AAAA", "2001:db8::2", "CLIENT-SUBNET: 2001:db8:5::/48/48");
    check("+subnet=198.51.100.0/24 www.glb.test A", "192.0.2.1", "CLIENT-SUBNET: 198.51.100.0/24/24");
    check("+subnet=0 www.glb.test A", "192.0.2.1", "www.glb.test");
    check("www.glb.test A", "192.0.2.1", "www.glb.test");
    let fixed = dig(at(&edge), "+subnet=203.0.113.0/24 ns1.glb.test A");
    assert!(
        fixed.0.contains("CLIENT-SUBNET: 203.0.113.0/24/0"),
        "the answer is the same for all: {}",
        fixed.0
    );
}

#[test]
fn what_does_not_fit_is_truncated_and_comes_whole_over_tcp() {
    if !has_dig("what_does_not_fit_is_truncated_and_comes_whole_over_tcp") {
        return;
    }
    let endpoint = Endpoint::start("a");
    let many: Vec<String> = (1..=60).map(|nth| format!("\"2001:db8::{nth:x}\"")).collect();
    let conf = Conf::new()
        .listener("web", "")
        .pool("a", &[endpoint.addr()], &format!("dns = [{}]", many.join(", ")))
        .route("all", "failover", &["a"], "")
        .raw(&dns("127.0.0.1:0", ""));
    let edge = Edge::start(&conf);
    for words in ["+ignore +noedns www.glb.test AAAA", "+ignore +bufsize=4096 www.glb.test AAAA"] {
        let cut = dig(at(&edge), words);
        assert!(cut.flag("tc") && cut.flag("aa") && cut.data().is_empty(), "{words}: {}", cut.0);
    }
    assert_eq!(dig(at(&edge), "www.glb.test AAAA").data().len(), 60, "dig asks again over TCP");
    assert!(
        edge.metric("thalweg_dns_queries_total", &[("transport", "udp"), ("result", "truncated")]) >= 3.0
    );
}

#[test]
fn a_network_that_asks_too_much_is_sent_to_tcp_and_gets_an_answer_there() {
    const MANY: u16 = 400;
    let site = DnsSite::start("failover", ["a", "b"], "rate = 20");
    let client = Datagrams::to(site.at());
    client.0.set_read_timeout(Some(Duration::from_millis(500))).expect("a timeout");
    for id in 0..MANY {
        client.0.send(&query(id, "www.glb.test", 1)).expect("sent");
    }
    let (mut whole, mut cut, mut buffer) = (0, 0, [0; 2048]);
    while let Ok(length) = client.0.recv(&mut buffer) {
        let sent = query(0, "www.glb.test", 1).len();
        match buffer[2] & 2 {
            0 => whole += 1,
            _ => {
                cut += 1;
                assert_eq!(length, sent, "an answer that says \"ask over TCP\" is no longer than the query");
            }
        }
    }
    assert!((20..MANY / 2).contains(&whole), "{whole} whole answers");
    assert!(cut >= 20 && whole + cut < MANY, "{cut} of {MANY} are told to ask over TCP");
    let mut stream = TcpStream::connect(site.at()).expect("a connection");
    let sent = query(7, "www.glb.test", 1);
    let length = u16::try_from(sent.len()).expect("short");
    stream.write_all(&[&length.to_be_bytes()[..], &sent].concat()).expect("sent");
    let mut head = [0; 2];
    stream.read_exact(&mut head).expect("an answer over TCP");
    let limited =
        site.edge.metric("thalweg_dns_queries_total", &[("transport", "udp"), ("result", "rate_limited")]);
    assert!(limited >= 40.0, "{limited}");
    assert_eq!(get(site.edge.web(), "/").status, 200);
}

#[test]
fn an_address_that_is_taken_is_an_event_and_is_tried_again() {
    for udp in [true, false] {
        let port = free_port();
        let socket = udp.then(|| UdpSocket::bind(("127.0.0.1", port)).expect("free"));
        let listener = (!udp).then(|| TcpListener::bind(("127.0.0.1", port)).expect("free"));
        let site = DnsSite::start_on(&format!("127.0.0.1:{port}"), "failover", ["a", "b"], "");
        let event = site.edge.events_of("dns_bind_failed");
        let said = event.first().and_then(|event| event["error"].as_str()).unwrap_or_default().to_owned();
        let over = if udp { "over UDP: the address is taken" } else { "over TCP: the address is taken" };
        assert!(said.contains(over), "{said}");
        assert_eq!(get(site.edge.web(), "/").status, 200, "requests are served");
        let shown = site.edge.status()["dns"]["listen"][0].clone();
        assert!(shown["bound"] == Value::Null && shown["error"].as_str() == Some(&*said), "{shown}");
        let labels = format!("127.0.0.1:{port}");
        let gauge = || site.edge.metric("thalweg_dns_listening", &[("address", &labels)]);
        assert!(gauge().abs() < 0.5);
        drop((socket, listener));
        eventually("it is bound when it is free", SOON, || gauge() > 0.5);
        assert_eq!(Datagrams::to(site.at()).ask(1, "www.glb.test"), Some(vec![1]));
    }
}

#[test]
fn names_and_addresses_change_with_a_reload() {
    let (first, second) = (free_port(), free_port());
    let mut site = DnsSite::start_on(&format!("127.0.0.1:{first}"), "failover", ["a", "b"], "");
    let before = Datagrams::to(site.at());
    assert_eq!(before.ask(1, "www.glb.test"), Some(vec![1]));
    let conf = DnsSite::conf(&site.a, &site.b)
        .route("all", "failover", &["b", "a"], "")
        .raw(&dns(&format!("127.0.0.1:{second}"), ""))
        .raw("[dns.name.\"new.glb.test\"]\naddresses = [\"192.0.2.77\"]\n");
    let text = site.edge.render(&conf);
    site.edge.replace(&text);
    assert_eq!(site.edge.reload().status, 200);
    eventually("the new address answers", SOON, || site.at().port() == second);
    let after = Datagrams::to(site.at());
    assert_eq!(after.ask(1, "new.glb.test"), Some(vec![77]));
    eventually("the new order counts", SOON, || after.ask(2, "www.glb.test") == Some(vec![2]));
    eventually("the old address is closed", SOON, || before.ask(3, "www.glb.test").is_none());
    assert_eq!(site.edge.events_of("dns_closed").len(), 1);
}

#[test]
fn an_upgrade_leaves_no_query_without_an_answer() {
    let port = free_port();
    let site = DnsSite::start_on(&format!("127.0.0.1:{port}"), "failover", ["a", "b"], "rate = 0");
    let client = Datagrams::to(site.at());
    client.0.set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout");
    let asks = |from: u16| {
        (from..from + 200)
            .filter(|id| {
                // As a resolver: three tries. What waits in a socket that closes is lost.
                !(0..3).any(|_| client.ask(*id, "www.glb.test") == Some(vec![1]))
            })
            .count()
    };
    std::thread::scope(|scope| {
        let upgrade = scope.spawn(|| site.edge.upgrade(&[]));
        let mut from = 0;
        while !upgrade.is_finished() {
            assert_eq!(asks(from), 0, "queries without an answer");
            from = from.wrapping_add(200);
        }
        let done = upgrade.join().expect("no panic");
        assert_eq!(done.code, 0, "{}", done.stderr);
    });
    eventually("the successor answers alone", SOON, || site.edge.ended().is_some());
    assert_eq!(asks(50_000), 0);
}

#[test]
fn no_datagram_ends_the_responder() {
    const MANY: u32 = 30_000;
    let site = DnsSite::start("failover", ["a", "b"], "rate = 0");
    // Two clients: the answers to what is sent here fill a queue that no test reads.
    let (client, sender) = (Datagrams::to(site.at()), Datagrams::to(site.at()));
    // Xorshift: the same datagrams in every run.
    let mut state = 0x2545_f491_u32;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    };
    let edns = [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 11, 0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2];
    for nth in 0..MANY {
        let mut message = query(1, "www.glb.test", 1);
        if nth % 2 == 0 {
            message[11] = 1;
            message.extend(edns);
        }
        for _ in 0..=random() % 4 {
            let at = random() as usize % message.len();
            match random() % 4 {
                0 => message.truncate(at.max(1)),
                1 => message.insert(at, (random() & 0xff) as u8),
                _ => message[at] = (random() & 0xff) as u8,
            }
        }
        sender.0.send(&message).expect("sent");
        if nth % 500 == 0 {
            assert_eq!(client.ask(0xbeef, "www.glb.test"), Some(vec![1]), "after {nth} datagrams");
        }
    }
    assert!(!site.edge.stderr().contains("starts again"), "{}", site.edge.stderr());
}

#[test]
fn silent_and_greedy_connections_keep_no_other_client_out() {
    let site = DnsSite::start("failover", ["a", "b"], "");
    let held: Vec<TcpStream> = (0..40).map(|_| TcpStream::connect(site.at()).expect("accepted")).collect();
    let mut over = held.last().expect("many");
    over.set_read_timeout(Some(SOON)).expect("a timeout");
    assert_eq!(over.read(&mut [0; 1]).unwrap_or(0), 0, "a client has a bound of connections");
    assert_eq!(Datagrams::to(site.at()).ask(1, "www.glb.test"), Some(vec![1]));
    drop(held);
    eventually("its places are free again", SOON, || {
        let mut stream = TcpStream::connect(site.at()).expect("accepted");
        let sent = query(7, "www.glb.test", 1);
        let framed = [&u16::try_from(sent.len()).expect("short").to_be_bytes()[..], &sent].concat();
        stream.write_all(&framed).is_ok() && stream.read_exact(&mut [0; 2]).is_ok()
    });
}
