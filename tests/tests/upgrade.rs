//! `thalweg upgrade`: a new process takes the listening sockets over; no client is refused or cut, and a new process
//! that does not come up costs nothing.

mod common;

use std::{
    fs,
    os::unix::{fs::PermissionsExt, net::UnixDatagram},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use common::alone;
use serde_json::Value;
use thalweg_testkit::{Client, Conf, Edge, Endpoint, Signal, binary, eventually, get, thalweg};

const SOON: Duration = Duration::from_secs(15);

/// Clients that ask all the time, and what went wrong.
struct Load {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    /// Half of the clients open a connection for each request, the others keep theirs as long as the edge does.
    fn start(edge: &Edge, clients: usize) -> Self {
        let (stop, asked) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let threads = (0..clients).map(|nth| {
            let (addr, stop, asked) = (edge.web(), Arc::clone(&stop), Arc::clone(&asked));
            thread::spawn(move || {
                let (mut faults, mut kept) = (Vec::new(), None);
                while !stop.load(Ordering::Relaxed) {
                    let known = kept.take().map_or_else(|| Client::try_connect(addr), Ok);
                    let answered = known.and_then(|mut client| {
                        let reply = client.ask("GET", "/", "", b"")?;
                        Ok((client, reply))
                    });
                    asked.fetch_add(1, Ordering::Relaxed);
                    match answered {
                        Ok((client, reply)) if reply.status == 200 => {
                            let close = |value: &str| value.eq_ignore_ascii_case("close");
                            kept = (nth % 2 == 0 && !reply.header("connection").is_some_and(close))
                                .then_some(client);
                        }
                        Ok((_, reply)) => faults.push(format!("client {nth}: {}", reply.head.line)),
                        Err(gone) => faults.push(format!("client {nth}: {gone}")),
                    }
                }
                faults
            })
        });
        Self { threads: threads.collect(), stop, asked }
    }

    /// Waits until this many more requests were asked.
    fn goes_on(&self, requests: u64) {
        let before = self.asked.load(Ordering::Relaxed);
        eventually("the load goes on", SOON, || self.asked.load(Ordering::Relaxed) >= before + requests);
    }

    /// Ends it; panics with what went wrong.
    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        let faults: Vec<String> =
            self.threads.into_iter().flat_map(|one| one.join().expect("a client ends")).collect();
        assert!(
            faults.is_empty(),
            "{} of {:?}: {:?}",
            faults.len(),
            self.asked,
            &faults[..faults.len().min(10)]
        );
    }
}

fn edge_with(lines: &str) -> (Edge, Endpoint) {
    let endpoint = Endpoint::start("a");
    let edge = Edge::start(&Conf::simple("failover", &[endpoint.addr()]).edge(lines));
    edge.until_up(1);
    (edge, endpoint)
}

fn upgrades(edge: &Edge) -> Value {
    edge.admin_get("/api/v1/upgrade").json()
}

fn upgrades_under_load(count: usize) {
    let _alone = alone();
    let (edge, _endpoint) = edge_with("drain_timeout = \"5s\"");
    let load = Load::start(&edge, 8);
    let mut before = edge.pid();
    for _ in 0..count {
        let done = edge.upgrade(&[]);
        assert_eq!(done.code, 0, "{}", done.stderr);
        assert_ne!(edge.serving(), before, "another process serves");
        before = edge.serving();
        load.goes_on(100);
    }
    load.end();
    eventually("the first process has ended", SOON, || edge.ended() == Some(0));
    assert_eq!(upgrades(&edge)["pid"], edge.serving());
}

#[test]
fn ten_upgrades_under_load_refuse_and_reset_nothing() {
    upgrades_under_load(10);
}

#[test]
#[ignore = "a hundred upgrades take minutes: part of test-long"]
fn a_hundred_upgrades_under_load_refuse_and_reset_nothing() {
    upgrades_under_load(100);
}

#[test]
fn sockets_are_shared_out_among_another_number_of_workers() {
    for (before, after) in [(4, 1), (1, 3)] {
        let endpoint = Endpoint::start("a");
        let mut conf = Conf::simple("failover", &[endpoint.addr()]).edge(&format!("workers = {before}"));
        let mut edge = Edge::start(&conf);
        edge.until_up(1);
        let load = Load::start(&edge, 6);
        conf = Conf::simple("failover", &[endpoint.addr()])
            .edge(&format!("workers = {after}"))
            .listener("new", "");
        let text = edge.render(&conf);
        fs::write(edge.config(), text).expect("the config can be written");
        let done = edge.upgrade(&[]);
        assert_eq!(done.code, 0, "{}", done.stderr);
        load.goes_on(500);
        load.end();
        assert_eq!(get(edge.addr("new"), "/").status, 200);
        eventually("the first process has ended", SOON, || edge.ended() == Some(0));
        // Each queue is served: the kernel spreads clients over all of them.
        (0..50).for_each(|_| assert_eq!(get(edge.web(), "/").status, 200));
    }
}

#[test]
fn a_listener_that_the_new_config_lacks_is_closed_without_a_reset() {
    let endpoint = Endpoint::start("a");
    let conf = Conf::simple("failover", &[endpoint.addr()]).listener("old", "");
    let mut edge = Edge::start(&conf);
    edge.until_up(1);
    let load = Load::start(&edge, 2);
    let text = edge.render(&Conf::simple("failover", &[endpoint.addr()]));
    fs::write(edge.config(), text).expect("the config can be written");
    assert_eq!(edge.upgrade(&[]).code, 0);
    eventually("its address is free", SOON, || Client::try_connect(edge.addr("old")).is_err());
    load.goes_on(100);
    load.end();
}

/// A script in the folder of the edge, executable.
fn script(edge: &Edge, text: &str) -> PathBuf {
    let path = edge.scratch().write("new", format!("#!/bin/sh\n{text}\n"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it can be made executable");
    path
}

#[test]
fn a_binary_that_does_not_come_up_costs_nothing() {
    let (edge, _endpoint) = edge_with("");
    let load = Load::start(&edge, 2);
    let check = |binary: &str, within: &str, reason: &str| {
        let done = edge.upgrade(&["--binary", binary, "--within", within]);
        assert_eq!(done.code, 1, "{binary}: {}", done.stdout);
        assert!(done.stderr.contains(reason), "{binary}: {}", done.stderr);
        assert_eq!(edge.ended(), None);
        load.goes_on(20);
    };
    check("/bin/false", "10s", "ended without a word (exit status: 1)");
    check("/bin/true", "10s", "ended without a word (exit status: 0)");
    check("/nowhere/thalweg", "10s", "No such file");
    check("/etc/passwd", "10s", "is not executable");
    let later = script(&edge, "sleep 1; exit 7");
    check(&later.display().to_string(), "10s", "exit status: 7");
    let hangs = script(&edge, "exec sleep 600");
    check(&hangs.display().to_string(), "1s", "said nothing within 1 s (ended by this process)");
    let babbles = script(&edge, "exec 1>&0; echo hello; exec sleep 600");
    check(&babbles.display().to_string(), "10s", "not understood: \"hello\"");
    load.end();
    let failed = edge.events_of("upgrade_failed");
    assert_eq!(failed.len(), 5, "{failed:?}");
    assert_eq!(upgrades(&edge)["state"], "failed");
    assert_eq!(edge.upgrade(&[]).code, 0, "the next one may succeed");
}

#[test]
fn a_config_that_has_become_invalid_keeps_the_running_process() {
    let (edge, _endpoint) = edge_with("");
    edge.replace("version = 1\nnonsense = true\n");
    let done = edge.upgrade(&[]);
    assert_eq!(done.code, 1, "{}", done.stdout);
    assert!(done.stderr.contains("nonsense") && done.stderr.contains("thalweg.toml:2:1"), "{}", done.stderr);
    assert_eq!(get(edge.web(), "/").status, 200);
    assert_eq!(edge.ready(), 200);
}

#[test]
fn a_new_process_whose_routes_cannot_serve_does_not_take_over() {
    let endpoint = Endpoint::start("a");
    let mut edge = Edge::start(&Conf::simple("failover", &[endpoint.addr()]));
    edge.until_up(1);
    // The same route, on a pool with no endpoint that resolves.
    let text = edge
        .render(&Conf::simple("failover", &[endpoint.addr()]))
        .replace(&format!("\"{}\"", endpoint.addr()), "\"nowhere.invalid:80\"");
    edge.scratch().write("other.toml", text);
    let other = script(&edge, &format!("exec {} run --config other.toml", binary().display()));
    let done = edge.upgrade(&["--binary", &other.display().to_string(), "--within", "3s"]);
    assert_eq!(done.code, 1, "{}", done.stdout);
    assert!(done.stderr.contains("route all can serve in the running process"), "{}", done.stderr);
    assert_eq!(get(edge.web(), "/").status, 200);
    assert_eq!(edge.ended(), None);
}

#[test]
fn streams_and_downloads_end_on_the_old_process() {
    let (edge, _endpoint) = edge_with("drain_timeout = \"5s\"");
    let mut stream = Client::connect(edge.web());
    stream.send("GET /ws HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n");
    assert_eq!(stream.head().expect("a head").word(1), "101");
    let mut download = Client::connect(edge.web());
    download.send("GET /bytes/30000000 HTTP/1.1\r\nhost: x\r\n\r\n");
    download.head().expect("a head");
    assert_eq!(edge.upgrade(&[]).code, 0);
    assert_eq!(edge.ended(), None, "the old process has both");
    const HELLO: [u8; 11] = [0x81, 0x85, 0, 0, 0, 0, b'h', b'e', b'l', b'l', b'o'];
    stream.send(HELLO);
    stream.until(&HELLO);
    assert_eq!(download.discard(30_000_000), 30_000_000, "the whole of it");
    stream.until(&[0x88, 0x02, 0x03, 0xf4]);
    eventually("the old process has ended", Duration::from_secs(25), || edge.ended() == Some(0));
    assert_eq!(get(edge.web(), "/").status, 200);
}

#[test]
fn while_an_upgrade_runs_changes_and_a_second_upgrade_are_refused() {
    let (edge, _endpoint) = edge_with("");
    let hangs = script(&edge, "exec sleep 600");
    let body = format!(r#"{{"binary":"{}","within":"3s","reason":"a test"}}"#, hangs.display());
    assert_eq!(edge.admin_post("/api/v1/upgrade", &body).status, 202);
    let second = edge.upgrade(&[]);
    assert_eq!(second.code, 1);
    assert!(second.stderr.contains("409: an upgrade is under way"), "{}", second.stderr);
    let order = edge.admin_post("/api/v1/orders", r#"{"kind":"freeze"}"#);
    assert_eq!((order.status, &order.json()["error"]), (409, &"upgrade_runs".into()));
    assert_eq!(upgrades(&edge)["state"], "starting");
    eventually("it failed", SOON, || upgrades(&edge)["state"] == "failed");
    assert_eq!(edge.admin_post("/api/v1/orders", r#"{"kind":"freeze"}"#).status, 201);
    let audits = edge.events_of("audit");
    let results: Vec<&Value> =
        audits.iter().filter(|one| one["call"] == "upgrade").map(|one| &one["result"]).collect();
    assert_eq!(results, ["starting", "upgrade_runs"], "{audits:?}");
}

#[test]
fn a_config_on_trial_or_in_the_place_of_its_files_does_not_pass_to_a_new_process() {
    let endpoint = Endpoint::start("a");
    let mut edge = Edge::start(&Conf::simple("failover", &[endpoint.addr()]));
    edge.until_up(1);
    let text = edge.render(&Conf::simple_with("failover", &[endpoint.addr()], "overprovision = 2.0"));
    edge.replace(&text);
    let tried = edge.admin_post("/api/v1/reload", r#"{"confirm":"60s"}"#);
    assert_eq!(tried.json()["result"], "on_trial", "{}", tried.text());
    let check = |reason: &str| {
        let done = edge.upgrade(&[]);
        assert!(done.code == 1 && done.stderr.contains(reason), "{}", done.stderr);
    };
    check("a config is on trial");
    assert_eq!(edge.admin_post("/api/v1/confirm", "").status, 200);
    assert_eq!(edge.admin_post("/api/v1/rollback", "").status, 200);
    check("the config's files are set aside");
}

#[test]
fn orders_and_the_generation_pass_to_the_new_process_without_a_state_dir() {
    let endpoints = [Endpoint::start("a"), Endpoint::start("b")];
    let addrs = [endpoints[0].addr(), endpoints[1].addr()];
    let mut edge = Edge::start(&Conf::simple("failover", &addrs));
    edge.until_up(2);
    let text = edge.render(&Conf::simple_with("failover", &addrs, "overprovision = 2.0"));
    edge.replace(&text);
    eventually("the config is in force", SOON, || edge.generation() == 2);
    let done = thalweg(&["drain", "--pool", "p0", "--reason", "moved", "--admin", &edge.admin_url()]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let before = edge.status()["orders"].clone();
    assert_eq!(edge.upgrade(&[]).code, 0);
    let after = edge.status();
    assert_eq!(
        (after["orders"][0]["id"].clone(), &after["orders"][0]["reason"]),
        (before[0]["id"].clone(), &"moved".into())
    );
    assert_eq!(after["generation"], 2, "the same config is the same generation");
    assert_eq!(get(edge.web(), "/").endpoint(), "b", "the first answer obeys the order");
    edge.signal_serving(Signal::HUP);
    eventually("the new process reloads", SOON, || edge.status()["last_reload"]["result"] == "unchanged");
}

#[test]
fn the_service_manager_learns_the_new_main_process_from_the_old_one() {
    let endpoint = Endpoint::start("a");
    let folder = thalweg_testkit::Scratch::new();
    let path = folder.join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(SOON)).expect("a timeout");
    let conf = Conf::simple("failover", &[endpoint.addr()]).env("NOTIFY_SOCKET", &path.display().to_string());
    let edge = Edge::start(&conf);
    edge.until_up(1);
    assert_eq!(edge.upgrade(&[]).code, 0);
    eventually("the old process has ended", SOON, || edge.ended() == Some(0));
    edge.signal_serving(Signal::TERM);
    let mut told = Vec::new();
    while !told.contains(&"STOPPING=1".to_owned()) {
        let mut bytes = [0; 200];
        let length = socket.recv(&mut bytes).expect("a notice");
        told.push(String::from_utf8_lossy(&bytes[..length]).into_owned());
    }
    told.sort();
    let main = edge.serving();
    let wanted = [
        format!("MAINPID={main}"),
        format!("MAINPID={main}\nREADY=1"),
        "READY=1".into(),
        "STOPPING=1".into(),
    ];
    assert_eq!(told, wanted, "the old process does not say that the service stops");
}
