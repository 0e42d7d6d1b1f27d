//! A host that disappears silently, without reset, answer or acknowledgement: the requests that wait on its
//! connections, the connections themselves, and new connects.

mod common;

use std::{
    thread,
    time::{Duration, Instant},
};

use common::{PATIENT, alone};
use thalweg_testkit::{Client, Conf, Edge, Endpoint, Island, eventually, skip};

const SOON: Duration = Duration::from_secs(10);
/// Client threads that wait for answers, each with its own connection through the edge.
const CLIENTS: usize = 6;

/// An endpoint on an island, and a local one that takes over; neither has a probe.
struct Scene {
    edge: Edge,
    island: Island,
    far: Endpoint,
    near: Endpoint,
}

impl Scene {
    fn new(scenario: &str, timeouts: &str) -> Option<Self> {
        let island = match Island::new() {
            Ok(island) => island,
            Err(reason) => {
                skip(scenario, &reason);
                return None;
            }
        };
        let (far, near) = (island.endpoint("far"), Endpoint::start("near"));
        let conf = Conf::new()
            .listener("web", "")
            .pool("p0", &[far.addr()], "# no probe")
            .pool("p1", &[near.addr()], "# no probe")
            .route("all", "failover", &["p0", "p1"], &format!("timeouts = {{ {timeouts} }}"))
            .raw(PATIENT);
        Some(Self { edge: Edge::start(&conf), island, far, near })
    }

    /// Clients that got an answer from the island, so that the same number of idle connections is in the pool.
    fn warm(&self) -> Vec<Client> {
        self.far.behave(thalweg_testkit::Behaviour::Slow(Duration::from_millis(100)));
        let mut clients: Vec<Client> = (0..CLIENTS).map(|_| Client::connect(self.edge.web())).collect();
        thread::scope(|scope| {
            for client in &mut clients {
                scope.spawn(|| assert_eq!(client.get("/").endpoint(), "far"));
            }
        });
        self.far.behave(thalweg_testkit::Behaviour::Serve);
        eventually("its connections are pooled", SOON, || self.pooled() >= 2.0);
        clients
    }

    fn pooled(&self) -> f64 {
        self.edge.metric("thalweg_upstream_connections", &[("pool", "p0"), ("state", "idle")])
    }
}

#[test]
fn gets_that_wait_on_dead_connections_move_within_about_a_second_and_the_pool_is_emptied() {
    let _alone = alone();
    let name = "gets_that_wait_on_dead_connections_move_within_about_a_second_and_the_pool_is_emptied";
    let Some(scene) = Scene::new(name, "connect = \"5s\", first_byte = \"15s\"") else { return };
    let mut clients = scene.warm();
    scene.island.cut_off();
    let mut took: Vec<Duration> = thread::scope(|scope| {
        let ask = |client: &'_ mut Client| {
            let began = Instant::now();
            assert_eq!(client.get("/").endpoint(), "near");
            began.elapsed()
        };
        let asked: Vec<_> = clients.iter_mut().map(|client| scope.spawn(move || ask(client))).collect();
        asked.into_iter().map(|thread| thread.join().expect("an answer")).collect()
    });
    took.sort();
    println!("moved after {took:?}");
    assert!(took[CLIENTS - 1] < Duration::from_secs(4), "{took:?}");
    assert!(took[CLIENTS / 2] < Duration::from_secs(2), "{took:?}");
    assert!(scene.edge.metric("thalweg_retries_total", &[("cause", "reset")]) >= 1.0);
    eventually("no dead connection waits for the next request", SOON, || scene.pooled() == 0.0);
    scene.island.reconnect();
    eventually("the island serves again", SOON, || clients[0].get("/").endpoint() == "far");
}

#[test]
fn a_post_that_waits_on_a_dead_connection_is_not_sent_again() {
    let name = "a_post_that_waits_on_a_dead_connection_is_not_sent_again";
    let Some(scene) = Scene::new(name, "connect = \"5s\", first_byte = \"2s\"") else { return };
    let mut clients = scene.warm();
    scene.island.cut_off();
    let reply = clients[0].ask("POST", "/upload", "", b"x").expect("an answer");
    assert_eq!(reply.status, 504);
    assert_eq!(scene.near.hits(), 0);
    eventually("the pool is emptied all the same", SOON, || scene.pooled() == 0.0);
}

#[test]
fn connects_to_a_dead_host_lose_their_race_for_every_method() {
    let name = "connects_to_a_dead_host_lose_their_race_for_every_method";
    let Some(scene) = Scene::new(name, "connect = \"5s\"") else { return };
    scene.island.cut_off();
    let mut client = Client::connect(scene.edge.web());
    let began = Instant::now();
    for nth in 0..10 {
        let reply = client.ask(["GET", "POST"][nth % 2], "/upload", "", b"x").expect("an answer");
        assert_eq!((reply.status, reply.endpoint()), (200, "near"));
    }
    assert!(began.elapsed() < Duration::from_secs(10), "ten connects in a row took {:?}", began.elapsed());
    assert_eq!(scene.edge.metric("thalweg_hedges_total", &[("result", "connect_won")]), 10.0);
    assert_eq!(scene.edge.metric("thalweg_retries_total", &[]), 0.0);
    assert_eq!(scene.near.hits(), 10);
}
