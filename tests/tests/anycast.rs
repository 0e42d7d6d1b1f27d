//! `[announce]`: a BIRD beside the edge announces its address while the edge is ready. Real BIRD, a real router and BFD in
//! network namespaces made here; what only a broken BIRD does is played by a small stand-in.

mod common;

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU8, Ordering},
    time::Duration,
};

use common::{
    bird::{BFD, BirdProcess, ESTABLISHED, TIMERS, stand_in},
    server::program,
};
use serde_json::Value;
use thalweg_testkit::{Conf, Edge, Endpoint, Scratch, Signal, eventually, skip, stays};

const SOON: Duration = Duration::from_secs(15);
/// Set in the process that runs inside the namespace of the edge: the name of the router's.
const INSIDE: &str = "THALWEG_TEST_ROUTER";
const ADDRESS: &str = "192.0.2.10";

fn run(line: &str) -> String {
    let mut words = line.split(' ');
    let done = Command::new(words.next().unwrap_or_default()).args(words).output();
    let done = done.unwrap_or_else(|error| panic!("{line}: {error}"));
    assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

/// The namespaces of an edge and a router, joined by a cable; gone when dropped.
struct Cable {
    edge: String,
    router: String,
}

impl Cable {
    fn new() -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(0);
        let id = format!("{}n{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let made = Self { edge: format!("twe{id}"), router: format!("twr{id}") };
        run(&format!("ip netns add {}", made.edge));
        run(&format!("ip netns add {}", made.router));
        run(&format!("ip -n {} link add ve0 type veth peer name vr0 netns {}", made.edge, made.router));
        for (space, card, address) in [(&made.edge, "ve0", "198.18.9.2"), (&made.router, "vr0", "198.18.9.1")]
        {
            run(&format!("ip -n {space} addr add {address}/30 dev {card}"));
            run(&format!("ip -n {space} link set {card} up"));
            run(&format!("ip -n {space} link set lo up"));
        }
        run(&format!("ip -n {} addr add {ADDRESS}/32 dev lo", made.edge));
        made
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        for space in [&self.edge, &self.router] {
            let _gone_already_is_fine = Command::new("ip").args(["netns", "del", space]).status();
        }
    }
}

/// Runs this test once more inside the namespace of an edge; there, returns the router's namespace.
fn inside(test: &str) -> Option<String> {
    if let Ok(router) = std::env::var(INSIDE) {
        return Some(router);
    }
    let missing = ["ip", "bird", "birdc"].into_iter().find(|tool| program(tool).is_none());
    let root = fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    if !root || missing.is_some() {
        skip(test, &format!("it needs root, ip and bird (iproute2, bird2); missing: {missing:?}"));
        return None;
    }
    let cable = Cable::new();
    let mut again = Command::new("ip");
    again.args(["netns", "exec", &cable.edge]).arg(std::env::current_exe().expect("this test's binary"));
    again.args([test, "--exact", "--nocapture"]).env(INSIDE, &cable.router);
    let status = again.status().expect("ip can be started");
    assert!(status.success(), "{test} failed inside its namespace: see above");
    None
}

/// BIRD at the edge, as `infra/` configures it: the address is withheld at its start.
fn edge_bird(scratch: &Scratch) -> BirdProcess {
    let config = format!(
        "router id 198.18.9.2;\nprotocol device {{ scan time 5; }}\n\
         protocol bfd {{ interface \"ve*\" {{ {BFD} }}; }}\n\
         protocol static anycast4 {{ disabled; ipv4; route {ADDRESS}/32 unreachable; }}\n\
         protocol bgp up1 {{ local 198.18.9.2 as 65001; neighbor 198.18.9.1 as 65000; {TIMERS}\n\
         ipv4 {{ import none; export where proto = \"anycast4\"; next hop self; }}; }}\n"
    );
    BirdProcess::start(scratch, "edge", &config, None)
}

fn router_bird(scratch: &Scratch, space: &str) -> BirdProcess {
    let config = format!(
        "router id 198.18.9.1;\nprotocol device {{ scan time 5; }}\n\
         protocol bfd {{ interface \"vr*\" {{ {BFD} }}; }}\n\
         protocol kernel {{ ipv4 {{ import none; export all; }}; }}\n\
         protocol bgp e1 {{ local 198.18.9.1 as 65000; neighbor 198.18.9.2 as 65001; passive yes; {TIMERS}\n\
         ipv4 {{ import where net = {ADDRESS}/32; export none; }}; }}\n"
    );
    BirdProcess::start(scratch, "router", &config, Some(space))
}

/// Whether the router has a path to the address.
fn routed(space: &str) -> bool {
    run(&format!("ip -n {space} route show {ADDRESS}")).contains("via 198.18.9.2")
}

fn announcing(bird: &Path, endpoint: &Endpoint, lines: &str) -> Conf {
    let bird = bird.display();
    Conf::simple("failover", &[endpoint.addr()])
        .raw(&format!("[announce]\nbird = \"{bird}\"\nprotocol = \"anycast4\"\n{lines}"))
}

fn announce(edge: &Edge) -> Value {
    edge.status()["announce"].clone()
}

fn obstacle(edge: &Edge) -> Value {
    announce(edge)["protocols"][0]["obstacle"].clone()
}

fn metric(edge: &Edge) -> f64 {
    edge.metric("thalweg_announced", &[("protocol", "anycast4")])
}

/// A client in the router's namespace that opens one connection after the other, and prints how each ended.
fn client(space: &str, port: u16) -> Child {
    const ASK: &str = "
import socket, sys
while True:
    try:
        with socket.create_connection((sys.argv[1], int(sys.argv[2])), 2) as s:
            s.sendall(b'GET / HTTP/1.1\\r\\nhost: x\\r\\nconnection: close\\r\\n\\r\\n')
            answer = b''
            while part := s.recv(4096):
                answer += part
            print(answer[9:12].decode() or 'cut', flush=True)
    except OSError as problem:
        print(problem.errno or type(problem).__name__, flush=True)
";
    let mut command = Command::new("ip");
    command.args(["netns", "exec", space, "python3", "-c", ASK, ADDRESS, &port.to_string()]);
    command.stdout(Stdio::piped()).spawn().expect("ip can be started")
}

#[test]
fn the_address_comes_after_readiness_and_goes_before_the_first_connection_is_refused() {
    let Some(router) =
        inside("the_address_comes_after_readiness_and_goes_before_the_first_connection_is_refused")
    else {
        return;
    };
    let (scratch, endpoint) = (Scratch::new(), Endpoint::start("a"));
    let (ours, _theirs) = (edge_bird(&scratch), router_bird(&scratch, &router));
    let conf = announcing(&ours.control, &endpoint, "after = \"2s\"\nsettle = \"10s\"")
        .without_listener("web")
        .listener_on("web", "0.0.0.0", "");
    let edge = Edge::start(&conf);
    assert!(!routed(&router), "not before it was ready for long enough");
    eventually("it waits", SOON, || announce(&edge)["why"] == "waiting");
    eventually("the router has a path", SOON, || routed(&router));
    assert!(edge.started.elapsed() > Duration::from_secs(2));
    assert_eq!((obstacle(&edge), metric(&edge)), ("settling".into(), 0.0));
    eventually("it counts as announced", Duration::from_secs(20), || metric(&edge) == 1.0);
    assert_eq!(announce(&edge)["protocols"][0]["exported_by"][0], "up1");

    // A successor goes on without a withdrawal.
    assert_eq!(edge.upgrade(&[]).code, 0);
    stays("the path stays over an upgrade", Duration::from_secs(1), || routed(&router));
    eventually("the successor knows", SOON, || metric(&edge) == 1.0);

    let mut client = client(&router, edge.port("web"));
    let mut lines = BufReader::new(client.stdout.take().expect("its output")).lines().map_while(Result::ok);
    assert_eq!(lines.by_ref().take(20).filter(|line| line == "200").count(), 20, "clients reach the address");
    edge.signal_serving(Signal::TERM);
    // 101 is ENETUNREACH: the router has no path any more.
    let mut last = lines.by_ref().find(|line| line != "200").expect("the client goes on");
    if last == "cut" {
        // The connection that was open at the moment of the withdrawal: its request had no path any more.
        last = lines.next().expect("the client goes on");
    }
    let _ended_already_is_fine = client.kill();
    let _ended_already_is_fine = client.wait();
    assert_eq!(last, "101", "no connection is refused or reset while there is a path");
    assert!(!routed(&router));
}

#[test]
fn a_bird_that_dies_or_hangs_takes_the_path_away_and_one_that_returns_is_told_again() {
    let Some(router) =
        inside("a_bird_that_dies_or_hangs_takes_the_path_away_and_one_that_returns_is_told_again")
    else {
        return;
    };
    let (scratch, endpoint) = (Scratch::new(), Endpoint::start("a"));
    let (ours, _theirs) = (edge_bird(&scratch), router_bird(&scratch, &router));
    let edge = Edge::start(&announcing(&ours.control, &endpoint, "after = \"0s\""));
    eventually("the router has a path", SOON, || routed(&router));
    ours.signal(Signal::STOP);
    eventually("BFD takes the path of a frozen BIRD", SOON, || !routed(&router));
    eventually("the edge says so", SOON, || obstacle(&edge) == "bird_silent");
    ours.signal(Signal::CONT);
    eventually("the path is back", Duration::from_secs(60), || routed(&router));
    drop(ours);
    eventually("a killed BIRD has no path", SOON, || !routed(&router));
    eventually("the edge says so", SOON, || obstacle(&edge) == "bird_absent");
    assert_eq!((edge.ready(), metric(&edge)), (200, 0.0), "the edge serves what still comes");
    let _ours = edge_bird(&scratch);
    eventually("the new BIRD is told again", Duration::from_secs(60), || routed(&router));
}

#[test]
fn the_death_of_an_edge_takes_its_address_away() {
    let Some(router) = inside("the_death_of_an_edge_takes_its_address_away") else {
        return;
    };
    let (scratch, endpoint) = (Scratch::new(), Endpoint::start("a"));
    let (ours, _theirs) = (edge_bird(&scratch), router_bird(&scratch, &router));
    // What systemd does with the unit's ExecStopPost, here by a shell.
    let unit = format!(
        "#!/bin/sh\n{} \"$@\" & echo $! > pid\nwait $!\nexec birdc -s {} disable anycast4\n",
        thalweg_testkit::binary().display(),
        ours.control.display()
    );
    let script = scratch.write("unit", unit);
    run(&format!("chmod 755 {}", script.display()));
    let edge = Edge::start_binary(&announcing(&ours.control, &endpoint, "after = \"0s\""), &script);
    eventually("the router has a path", SOON, || routed(&router));
    let pid = fs::read_to_string(edge.scratch().join("pid")).expect("a process id");
    run(&format!("kill -KILL {}", pid.trim()));
    eventually("the path has gone", SOON, || !routed(&router));
}

#[test]
fn whatever_is_wrong_with_bird_is_one_word_and_the_edge_serves_on() {
    let check = |greeting: &'static str, answer: fn(&str) -> &'static str, expected: &str| {
        let (scratch, endpoint) = (Scratch::new(), Endpoint::start("a"));
        let path = stand_in(&scratch, greeting, answer);
        let edge = Edge::start(&announcing(&path, &endpoint, "after = \"0s\""));
        eventually(expected, SOON, || obstacle(&edge) == expected);
        let events = edge.events_of("announce");
        let last = events.last().expect("an event");
        assert_eq!((&last["obstacle"], &last["announced"]), (&expected.into(), &false.into()), "{last}");
        assert!(last["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{last}");
        assert_eq!((edge.ready(), metric(&edge)), (200, 0.0));
        assert!(edge.stderr().contains("not as it should be at BIRD"));
        let shown = thalweg_testkit::thalweg(&["status", "--admin", &edge.admin_url()]).stdout;
        assert!(shown.contains("announce anycast4  NOT announced"), "{shown}");
        edge.signal(Signal::TERM);
        assert_eq!(edge.exit_code(SOON), 0, "it ends as always");
    };
    let ready = "0001 BIRD 2.0.12 ready.\n";
    check("HTTP/1.1 400 Bad Request\r\n\r\n", |_| "", "not_bird");
    check("0001 SQUIRREL 1.0\n", |_| "", "not_bird");
    check("", |_| "", "bird_silent");
    check(ready, |_| "", "bird_silent");
    check(ready, |_| "8003 No protocols match\n", "no_protocol");
    check(ready, |_| "8007 Access denied\n", "bird_denied");
    check(ready, |_| "9001 syntax error\n", "bird_refused");
    check(ready, |_| "0000 \n", "no_session");
    let hidden: fn(&str) -> &'static str = |line| match line {
        "show protocols all" => ESTABLISHED,
        _ if line.starts_with("show route") => "1007-0 of 2 routes for 2 networks in table master4\n0000 \n",
        _ => "0000 \n",
    };
    check(ready, hidden, "not_exported");
}

#[test]
fn a_missing_bird_is_told_and_found_when_it_comes() {
    let (scratch, endpoint) = (Scratch::new(), Endpoint::start("a"));
    let edge = Edge::start(&announcing(&scratch.join("stand-in.ctl"), &endpoint, "after = \"0s\""));
    eventually("it is absent", SOON, || obstacle(&edge) == "bird_absent");
    stand_in(&scratch, "0001 BIRD 2.0.12 ready.\n", |line| match line {
        "show protocols all" => ESTABLISHED,
        _ if line.starts_with("show route") => "1007-1 of 2 routes for 2 networks in table master4\n0000 \n",
        _ => "0011-anycast4: enabled\n0000 \n",
    });
    eventually("it counts", Duration::from_secs(25), || metric(&edge) == 1.0);
    let exported = announce(&edge)["protocols"][0]["exported_by"].clone();
    assert_eq!(exported, serde_json::json!(["up1"]));
}
