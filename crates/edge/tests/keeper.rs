//! The keeper: when it publishes a snapshot, and which probers it wakes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::{rc::Rc, sync::Arc, time::Duration};

use thalweg_core::{Availability, Event, Evidence, Fault, Tick};
use thalweg_edge::{
    control::{
        events::Events,
        keeper::{Keeper, KeeperLink, ProbeWakers},
        supervise::{Task, supervise},
        wiring::{Prepared, wire},
    },
    shared::{
        Live, Shared, Suspicion,
        access_log::LogSink,
        meters::{Meters, Series},
        telemetry::PROBES,
    },
};
use tokio::{task::LocalSet, time::timeout};

const CONFIG: &str = r#"
version = 1
[[listener]]
name = "web"
bind = "127.0.0.1:8080"
[probe.p]
path = "/health"
rise = 1
fall = 1
[pool.a]
probe = "p"
endpoints = [{ address = "127.0.0.1:1" }]
[pool.b]
probe = "p"
endpoints = [{ address = "127.0.0.1:2" }]
[route.r]
policy = "failover"
pools = [{ pool = "a" }, { pool = "b" }]
"#;

struct Room {
    shared: Arc<Shared>,
    link: KeeperLink,
    events: Events,
    meters: Arc<Meters>,
    wakers: ProbeWakers,
    prepared: Prepared,
    _task: Task,
}

fn room() -> Room {
    let prepared = wire(thalweg_config::parse_str(CONFIG, "t.toml").unwrap(), Default::default()).unwrap();
    let live = Live { snapshot: Keeper::nothing(), wiring: Arc::clone(&prepared.wiring) };
    let (shared, hints) = Shared::new(live, 0, LogSink::start(1, std::io::sink()).unwrap());
    let (events, meters, wakers) = (Events::default(), Arc::<Meters>::default(), ProbeWakers::default());
    let (keeper, link) =
        Keeper::new(Arc::clone(&shared), hints, events.clone(), Arc::clone(&meters), wakers.clone());
    let task = supervise("keeper", &meters, move || Rc::clone(&keeper).run());
    Room { shared, link, events, meters, wakers, prepared, _task: task }
}

fn run(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, work);
}

async fn until(room: &Room, mut so: impl FnMut(&Live) -> bool) {
    let mut published = room.shared.published.subscribe();
    let wait = async {
        while !so(&room.shared.live.load_full()) {
            published.changed().await.unwrap();
        }
    };
    timeout(Duration::from_secs(10), wait).await.unwrap();
}

#[test]
fn a_verdict_is_published_recorded_and_counted() {
    run(async {
        let room = room();
        assert_eq!(room.link.adopt(Arc::clone(&room.prepared.wiring), Some(1)).await, Some(1));
        let places = room.shared.live.load().snapshot.layout.endpoints.clone();
        assert_eq!(places.len(), 2, "an adopted config is published before the answer");
        for place in &places {
            assert!(room.link.probed(place.id, Ok(Duration::from_millis(3))).await.is_some());
        }
        until(&room, |live| live.snapshot.endpoints.iter().all(|view| view.availability == Availability::Up))
            .await;
        let failed = Evidence { fault: Fault::Refused, detail: "nobody".into() };
        room.link.probed(places[0].id, Err(failed)).await.unwrap();
        until(&room, |live| live.snapshot.endpoints[0].availability == Availability::Down).await;
        let events = room.events.array();
        assert!(events.contains("\"failover\"") && events.contains("nobody"), "{events}");
        let text = thalweg_edge::admin::render([&*room.meters].into_iter());
        assert!(text.contains("thalweg_failovers_total{route=\"r\",from=\"a\",to=\"b\"} 1\n"), "{text}");
        assert!(text.contains("endpoint=\"127.0.0.1:1\",result=\"refused\"} 1\n"), "{text}");
    });
}

#[test]
fn a_suspicion_wakes_the_probe_of_that_endpoint_alone() {
    run(async {
        let room = room();
        room.link.adopt(Arc::clone(&room.prepared.wiring), Some(1)).await;
        let places = room.shared.live.load().snapshot.layout.endpoints.clone();
        let (bell, other) = (room.wakers.of(places[0].id), room.wakers.of(places[1].id));
        room.shared
            .suspects
            .try_send(Suspicion { id: places[0].id, fault: Fault::Refused, started: Tick(0), at: Tick(0) })
            .unwrap();
        timeout(Duration::from_secs(10), bell.notified()).await.unwrap();
        assert!(timeout(Duration::ZERO, other.notified()).await.is_err());
    });
}

#[test]
fn the_same_topology_with_other_wiring_is_no_new_generation() {
    run(async {
        let room = room();
        assert_eq!(room.link.adopt(Arc::clone(&room.prepared.wiring), Some(1)).await, Some(1));
        let other = wire((*room.prepared.wiring.config).clone(), Default::default()).unwrap().wiring;
        assert_eq!(room.link.adopt(Arc::clone(&other), None).await, Some(1));
        assert!(Arc::ptr_eq(&room.shared.live.load().wiring, &other));
    });
}

#[test]
fn series_leave_with_their_layout() {
    run(async {
        let room = room();
        room.link.adopt(Arc::clone(&room.prepared.wiring), Some(1)).await;
        let text = || thalweg_edge::admin::render([&*room.meters].into_iter());
        let [pool, endpoint, result] = ["gone", "127.0.0.1:3", "ok"].map(Arc::from);
        room.meters.cell(Series::new(&PROBES, &[&pool, &endpoint, &result])).bump();
        // Each answer is told again after a reload, whether it is news or not.
        let addresses = vec!["127.0.0.1".parse().unwrap()];
        room.link.tell(Event::Resolved { host: "nobody.test".into(), addresses }).await;
        let layout = room.link.look(|world| world.layout().number).await;
        assert!(text().contains("pool=\"gone\""), "nothing has left: {}", text());
        room.link.adopt(Arc::clone(&room.prepared.wiring), Some(1)).await;
        assert_ne!(room.link.look(|world| world.layout().number).await, layout);
        assert!(
            !text().contains("pool=\"gone\"") && text().contains("thalweg_failovers_total"),
            "{}",
            text()
        );
    });
}
