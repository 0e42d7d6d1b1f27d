//! Geography: each client is served in the order of the entry for its network, country or continent; a resident client by
//! its own pools or by none; a new database counts without a reload.

mod common;

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, Ipv4Addr},
    thread,
    time::Duration,
};

use common::{answers, assert_ours};
use thalweg_testkit::{Client, Conf, Edge, Endpoint, Reply, Scratch, eventually, mmdb, thalweg};

const SOON: Duration = Duration::from_secs(10);
/// Requests of each network: 20,000 of all twelve.
const MANY: usize = 1_667;
/// Requests of each network where the number does not matter.
const SOME: usize = 20;

/// Twelve networks of clients on loopback: 127.1.0.0/16 to 127.12.0.0/16.
fn networks() -> Vec<Ipv4Addr> {
    (1..=12).map(|nth| Ipv4Addr::new(127, nth, 2, 3)).collect()
}

/// Three networks are in Germany, three in the rest of Europe, three in America; the last three are nowhere.
fn database() -> Vec<u8> {
    let places = [("DE", "EU"), ("FR", "EU"), ("US", "NA")];
    let networks: Vec<(String, &str, &str)> =
        (0..9).map(|nth| (format!("127.{}.0.0/16", nth + 1), places[nth / 3].0, places[nth / 3].1)).collect();
    let networks: Vec<_> = networks.iter().map(|(net, country, on)| (net.as_str(), *country, *on)).collect();
    mmdb(&networks, 1_750_000_000)
}

const RULES: &str = "geo = [\n\
    { from = [\"country:DE\"], pools = [\"de\"], residency = true },\n\
    { from = [\"continent:EU\"], pools = [\"fr\", \"de\"] },\n\
    { from = [\"continent:NA\", \"network:lab\"], pools = [\"us\", \"fr\"] },\n\
    ]\n";

struct Regions {
    edge: Edge,
    de: Endpoint,
    others: [Endpoint; 2],
}

/// Pools `us`, `fr`, `de` with the endpoints a, b, c.
fn regions() -> Regions {
    let (us, fr, de) = (Endpoint::start("us"), Endpoint::start("fr"), Endpoint::start("de"));
    let conf = Conf::new()
        .listener("web", "")
        .pool("us", &[us.addr()], "")
        .pool("fr", &[fr.addr()], "")
        .pool("de", &[de.addr()], "")
        .route("all", "geo", &["us", "fr", "de"], RULES)
        .raw("[geo]\ndatabase = \"geo.mmdb\"\n[geo.networks]\nlab = [\"127.12.0.0/16\"]\n")
        .file("geo.mmdb", database());
    let edge = Edge::start(&conf);
    edge.until_up(3);
    Regions { edge, de, others: [us, fr] }
}

fn get_from(edge: &Edge, client: Ipv4Addr) -> Reply {
    Client::connect_from(IpAddr::V4(client), edge.web()).get("/")
}

/// Sends requests of all networks at once. Returns how often each endpoint answered each network, or each error status
/// came.
fn ask(edge: &Edge, each: usize) -> Vec<BTreeMap<String, usize>> {
    let asking: Vec<_> = networks()
        .into_iter()
        .map(|client| {
            let web = edge.web();
            thread::spawn(move || answers(Client::connect_from(IpAddr::V4(client), web), each))
        })
        .collect();
    asking.into_iter().map(|thread| thread.join().expect("every request is answered")).collect()
}

/// Checks which endpoint answers each network, three networks at a time.
fn check(edge: &Edge, each: usize, expected: [&str; 4]) {
    for (nth, counts) in ask(edge, each).into_iter().enumerate() {
        // The last network is the lab: the only one of the last three that an entry names.
        let by = if nth == 11 { expected[2] } else { expected[nth / 3] };
        assert_eq!(counts, BTreeMap::from([(by.to_owned(), each)]), "127.{}.0.0/16", nth + 1);
    }
}

#[test]
fn twelve_networks_are_served_in_their_places_and_a_resident_one_by_none_when_its_region_is_lost() {
    let Regions { edge, de, others: _others } = regions();
    check(&edge, MANY, ["de", "fr", "us", "us"]);
    de.die();
    eventually("the region is lost", SOON, || !edge.is_up(de.addr()));
    check(&edge, MANY, ["503", "fr", "us", "us"]);
    let refused = get_from(&edge, Ipv4Addr::new(127, 2, 9, 9));
    assert_ours(&refused, 503, "residency");
    assert!(refused.header("retry-after").is_some(), "{:?}", refused.head);
    let line = edge.logged(refused.header("x-request-id").expect("an id"));
    assert_eq!(
        (line["refusal"].as_str(), line["route"].as_str()),
        (Some("residency"), Some("all")),
        "{line}"
    );
    let refusals = edge.metric("thalweg_refusals_total", &[("route", "all"), ("refusal", "residency")]);
    assert_eq!(refusals, 3.0 * MANY as f64 + 1.0);
    assert_eq!(edge.metric("thalweg_panic", &[("route", "all")]), 1.0, "its own pools are in panic");
    let gate = thalweg(&["status", "--admin", &edge.admin_url(), "--healthy"]);
    assert_eq!(gate.code, 1, "{}", gate.stderr);
    de.revive();
    eventually("the region is back", SOON, || edge.is_up(de.addr()));
    check(&edge, SOME, ["de", "fr", "us", "us"]);
}

#[test]
fn a_resident_request_is_refused_before_the_probes_know_that_its_region_is_gone() {
    let Regions { edge, de, others: _others } = regions();
    de.die();
    for _ in 0..20 {
        assert_ours(&get_from(&edge, Ipv4Addr::new(127, 1, 0, 1)), 503, "residency");
    }
}

#[test]
fn a_drained_region_refuses_its_residents_and_sends_the_others_on() {
    let Regions { edge, de: _de, others: _others } = regions();
    let refused = edge.admin_post("/api/v1/drain", r#"{"pool": "de"}"#);
    assert_eq!(refused.status, 409, "{}", refused.text());
    assert!(refused.text().contains("all[country:DE]"), "{}", refused.text());
    let forced = edge.admin_post("/api/v1/drain", r#"{"pool": "de", "force": true}"#);
    assert_eq!(forced.status, 201, "{}", forced.text());
    check(&edge, SOME, ["503", "fr", "us", "us"]);
}

#[test]
fn explain_and_status_tell_where_a_client_is_and_which_entry_serves_it() {
    let Regions { edge, de: _de, others: _others } = regions();
    let said = |client: &str| edge.explain(&format!("host=x&path=/&client={client}"));
    let german = said("127.1.2.3");
    let geo = &german["geo"];
    assert_eq!((geo["country"].as_str(), geo["continent"].as_str()), (Some("DE"), Some("EU")), "{german}");
    assert_eq!((geo["place"].as_str(), &geo["residency"]), (Some("country:DE"), &true.into()), "{german}");
    assert_eq!(german["decision"]["pool"], "de", "{german}");
    assert_eq!(german["pools"].as_array().map(Vec::len), Some(1), "no other pool is asked: {german}");
    let lab = said("127.12.0.1");
    assert_eq!(lab["geo"]["networks"][0], "lab", "{lab}");
    assert_eq!(lab["geo"]["entry"].as_array().map(Vec::len), Some(2), "{lab}");
    let stranger = said("192.0.2.1");
    assert_eq!(
        (&stranger["geo"]["place"], &stranger["decision"]["pool"]),
        (&().into(), &"us".into()),
        "{stranger}"
    );
    let shown = thalweg(&[
        "explain",
        "--admin",
        &edge.admin_url(),
        "--host",
        "x",
        "--path",
        "/",
        "--client",
        "127.4.0.1",
    ]);
    assert!(shown.stdout.contains("country FR") && shown.stdout.contains("continent:EU"), "{}", shown.stdout);
    let offline = thalweg(&[
        "explain",
        "--config",
        &edge.config().display().to_string(),
        "--host",
        "x",
        "--path",
        "/",
        "--client",
        "127.1.0.1",
    ]);
    assert!(
        offline.stdout.contains("served by country:DE (residency)"),
        "{}{}",
        offline.stdout,
        offline.stderr
    );

    let status = edge.status();
    assert_eq!(
        (&status["geo"]["kind"], &status["geo"]["problem"]),
        (&"Test-Country".into(), &().into()),
        "{status}"
    );
    assert!(status["geo"]["built"].as_str().is_some_and(|built| built.starts_with("2025-06-15")), "{status}");
    let route = &status["routes"][0];
    assert_eq!(
        status["routes"].as_array().map(Vec::len),
        Some(1),
        "entries are no routes of their own: {status}"
    );
    assert_eq!(
        (&route["geo"][0]["from"][0], &route["geo"][0]["residency"]),
        (&"country:DE".into(), &true.into()),
        "{route}"
    );
    assert_eq!(route["geo"][1]["pools"][0]["share"], 1.0, "{route}");
    let shown = thalweg(&["status", "--admin", &edge.admin_url()]);
    assert!(
        shown.stdout.contains("geo database ") && shown.stdout.contains("all[country:DE]"),
        "{}",
        shown.stdout
    );
}

#[test]
fn a_new_database_counts_without_a_reload_and_a_broken_one_changes_nothing() {
    let Regions { edge, de: _de, others: _others } = regions();
    let client = Ipv4Addr::new(127, 1, 2, 3);
    assert_eq!(get_from(&edge, client).endpoint(), "de");
    let replace = |content: &[u8]| {
        let fresh = edge.scratch().write("geo.mmdb.new", content);
        fs::rename(fresh, edge.scratch().join("geo.mmdb")).expect("a file can be renamed");
    };
    let moved = mmdb(&[("127.1.0.0/16", "US", "NA"), ("127.1.2.0/24", "FR", "EU")], 1_750_000_001);
    replace(&moved);
    eventually("the new database counts", SOON, || get_from(&edge, client).endpoint() == "fr");
    assert_eq!(get_from(&edge, Ipv4Addr::new(127, 1, 3, 3)).endpoint(), "us");
    for (nth, broken) in [&moved[..moved.len() / 2], b"", b"no database"].into_iter().enumerate() {
        replace(broken);
        eventually("the broken one is reported", SOON, || {
            edge.events_of("geo_database_rejected").len() > nth
        });
        assert_eq!(get_from(&edge, client).endpoint(), "fr", "the one in use stays");
    }
    assert!(edge.status()["geo"]["problem"].is_string(), "{}", edge.status()["geo"]);
    fs::remove_file(edge.scratch().join("geo.mmdb")).expect("removed");
    eventually("its absence is reported", SOON, || edge.events_of("geo_database_rejected").len() == 4);
    replace(&database());
    eventually("a good one counts again", SOON, || get_from(&edge, client).endpoint() == "de");
    assert!(edge.status()["geo"]["problem"].is_null(), "{}", edge.status()["geo"]);
    assert_eq!((edge.generation(), edge.metric("thalweg_config_last_reload_successful", &[])), (1, 1.0));
}

#[test]
fn a_database_that_cannot_be_used_is_an_error_with_a_place_and_a_reload_to_it_changes_nothing() {
    let Regions { edge, de: _de, others: _others } = regions();
    let text = fs::read_to_string(edge.config()).expect("a config");
    for (name, content, why) in [
        ("missing.mmdb", None, "does not exist"),
        ("text.mmdb", Some(b"no database".to_vec()), "is no geo database"),
        ("empty.mmdb", Some(mmdb(&[("127.0.0.0/8", "", "")], 1)), "holds no countries or continents"),
    ] {
        if let Some(content) = content {
            edge.scratch().write(name, content);
        }
        edge.replace(&text.replace("geo.mmdb", name));
        let reply = edge.reload();
        assert_eq!(reply.status, 422, "{}", reply.text());
        let error = &reply.json()["errors"][0];
        assert!(error["problem"].as_str().is_some_and(|problem| problem.contains(why)), "{error}");
        assert_eq!(error["path"], "geo.database", "{error}");
        let checked = thalweg(&["check", "--config", &edge.config().display().to_string()]);
        assert!(checked.code == 2 && checked.stderr.contains(why), "{}", checked.stderr);
        assert_eq!(get_from(&edge, Ipv4Addr::new(127, 1, 2, 3)).endpoint(), "de", "the one in use stays");
    }
    edge.replace(&text);
    assert_eq!(edge.reload().status, 200);
}

#[test]
fn networks_need_no_database_and_an_entry_for_all_needs_no_order_of_the_route() {
    let (here, there) = (Endpoint::start("here"), Endpoint::start("there"));
    let rules = "[route.all]\npolicy = \"geo\"\ngeo = [\
        { from = [\"network:here\"], pools = [\"here\"] }, { from = [\"*\"], pools = [\"there\"] }]\n";
    let conf = Conf::new()
        .listener("web", "")
        .pool("here", &[here.addr()], "")
        .pool("there", &[there.addr()], "")
        .raw(rules)
        .raw("[geo.networks]\nhere = [\"127.1.0.0/16\", \"2001:db8::/32\"]\n");
    let edge = Edge::start(&conf);
    edge.until_up(2);
    assert!(!edge.status()["warnings"].to_string().contains("geo"), "{}", edge.status()["warnings"]);
    assert_eq!(get_from(&edge, Ipv4Addr::new(127, 1, 2, 3)).endpoint(), "here");
    assert_eq!(get_from(&edge, Ipv4Addr::new(127, 2, 2, 3)).endpoint(), "there");
    here.die();
    eventually("the first region is lost", SOON, || !edge.is_up(here.addr()));
    assert_eq!(
        get_from(&edge, Ipv4Addr::new(127, 1, 2, 3)).endpoint(),
        "there",
        "the order for all stands behind"
    );
    let failovers = [("route", "all"), ("from", "here"), ("to", "there")];
    assert_eq!(
        edge.metric("thalweg_failovers_total", &failovers),
        1.0,
        "a metric names what the operator wrote"
    );
    let scratch = Scratch::new();
    let config = scratch.write("t.toml", fs::read_to_string(edge.config()).expect("a config"));
    assert_eq!(thalweg(&["check", "--config", &config.display().to_string()]).code, 0);
}
