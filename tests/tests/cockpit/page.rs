//! The page of the admin server in a real Chromium: what it shows while regions fail, from its DOM.

use std::time::Duration;

use thalweg_testkit::{
    Behaviour, Client, Conf, Dns, Edge, Endpoint, Health, Load, Records, Running, eventually,
};

use super::browser::Browser;
use crate::{SOON, common::alone};

const DESK: (u32, u32) = (1280, 800);
const PHONE: (u32, u32) = (360, 740);
const PLACES: [(&str, &str); 3] = [("aws", "us-east-1"), ("gcp", "europe-west1"), ("azure", "southeastasia")];

/// Three regions in failover order, as `make run` has them, and an edge over them.
fn regions() -> (Edge, Vec<Endpoint>) {
    let endpoints: Vec<Endpoint> = PLACES.iter().map(|(_, region)| Endpoint::start(region)).collect();
    let mut conf = Conf::new().listener("web", "");
    let names: Vec<String> = PLACES.iter().map(|(cloud, region)| format!("{cloud}-{region}")).collect();
    for ((name, (cloud, region)), endpoint) in names.iter().zip(PLACES).zip(&endpoints) {
        let lines = format!("cloud = \"{cloud}\"\nregion = \"{region}\"\nprobe = \"fast\"");
        conf = conf.pool(name, &[endpoint.addr()], &lines);
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let edge = Edge::start(&conf.route("all", "failover", &names, "hosts = [\"api.example.com\"]"));
    edge.until_up(3);
    (edge, endpoints)
}

fn load(edge: &Edge) -> Running {
    Load::to(edge.web()).host("api.example.com").rate(50.0).start()
}

/// Whether the element is within the window without scrolling.
fn on_screen(browser: &mut Browser, of: &str) -> bool {
    let js = format!(
        "(() => {{ const box = document.querySelector({of:?}).getBoundingClientRect(); \
         return scrollY === 0 && box.top >= 0 && box.bottom <= innerHeight; }})()"
    );
    browser.eval(&js) == true
}

#[test]
fn the_page_shows_a_kill_its_end_and_a_rejected_reload() {
    let _alone = alone();
    let Some(mut browser) = Browser::start("the page during a kill") else { return };
    let (edge, endpoints) = regions();
    let traffic = load(&edge);
    browser.open(&edge, DESK, "light");
    browser.until("#verdict", &["All 3 pools serve", "3 of 3 endpoints", "0 of "]);
    assert_eq!(browser.eval("document.querySelectorAll('#pools h3.up').length"), 3);
    browser.until("#routes", &["all", "api.example.com", "aws-us-east-1", "100 %", "requests/s"]);
    browser.assert_sound("all is well");
    browser.shot("well");

    endpoints[0].die();
    let told = browser.until("#verdict", &["us-east-1 out since", "refused", "100 % to europe-west1"]);
    browser.until("#incidents", &["us-east-1 out for"]);
    browser.until("#routes", &["instead of aws-us-east-1"]);
    browser.until("#timeline", &["all: failover from aws-us-east-1 to gcp-europe-west1"]);
    assert!(on_screen(&mut browser, "#verdict"), "{told}");
    browser.shot("killed");

    endpoints[0].revive();
    browser.until("#verdict", &["All 3 pools serve"]);
    browser.until("#incidents", &["us-east-1", "noticed after"]);
    edge.replace("version = 1\n[nonsense]\n");
    assert_eq!(edge.reload().status, 422);
    browser.until("#verdict", &["The last config was rejected"]);
    browser.until("#config", &["rejected", "thalweg.toml:2:", "nonsense"]);
    browser.assert_sound("a rejected reload");
    browser.shot("rejected");
    traffic.stop().assert_none_failed("a killed region");
}

#[test]
fn the_cause_of_an_outage_is_on_the_first_screen() {
    let _alone = alone();
    let Some(mut browser) = Browser::start("five outages on the page") else { return };
    type Strike = fn(&Endpoint);
    let outages: [(&str, Strike, &str); 4] = [
        ("killed", Endpoint::die, "refused"),
        ("black-hole", |one| (one.health(Health::hang()), one.behave(Behaviour::Hang)).0, "timeout"),
        ("health", |one| one.health(Health::status(503)), "status 503"),
        ("errors", |one| one.behave(Behaviour::Status(500)), "ejected: "),
    ];
    for (name, strike, cause) in outages {
        let (edge, endpoints) = regions();
        let traffic = load(&edge);
        browser.open(&edge, DESK, "light");
        browser.until("#verdict", &["All 3 pools serve"]);
        strike(&endpoints[0]);
        browser.until("#verdict", &["us-east-1 out", cause, "100 % to europe-west1"]);
        assert!(on_screen(&mut browser, "#verdict"), "{name}");
        browser.until("#pools .card", &["aws-us-east-1", cause]);
        browser.shot(&format!("outage-{name}"));
        endpoints[0].die();
        traffic.stop();
    }
}

#[test]
fn a_name_without_addresses_is_named_as_the_cause() {
    let _alone = alone();
    let Some(mut browser) = Browser::start("DNS gone on the page") else { return };
    let (dns, second) = (Dns::start(), Endpoint::start("b"));
    dns.set("gone.test", Records::NxDomain);
    let conf = Conf::new()
        .raw(&format!("[resolver]\nnameservers = [\"{}\"]", dns.addr()))
        .listener("web", "")
        .raw("[pool.named]\nregion = \"us-east-1\"\nprobe = \"fast\"\nendpoints = [{ address = \"gone.test:80\" }]")
        .pool("near", &[second.addr()], "region = \"europe-west1\"\nprobe = \"fast\"")
        .route("all", "failover", &["named", "near"], "");
    let edge = Edge::start(&conf);
    browser.open(&edge, DESK, "light");
    browser.until("#verdict", &["us-east-1 out", "unresolved", "100 % to europe-west1"]);
    browser.until("#pools", &["gone.test:80", "unresolved"]);
    browser.shot("outage-dns");
}

#[test]
fn the_page_is_used_by_keys_and_its_address_keeps_its_state() {
    let _alone = alone();
    let Some(mut browser) = Browser::start("the keys of the page") else { return };
    let (edge, endpoints) = regions();
    let second = endpoints[1].addr().to_string();
    browser.open(&edge, DESK, "dark");
    browser.until("#pools", &[&second]);
    browser.press(&["/"]);
    browser.type_text("europe");
    browser.press(&["Enter"]);
    assert_eq!(browser.eval("document.querySelectorAll('.row').length"), 1);
    browser.press(&["Enter"]);
    browser.until(".detail", &["weight", "healthy"]);
    let hash = browser.eval("location.hash").as_str().unwrap_or_default().to_owned();
    assert!(hash.contains("filter=europe") && hash.contains("open=gcp-europe-west1"), "{hash}");
    browser.assert_sound("dark, with details");
    browser.press(&["Escape", "Escape", "j", "j", "k"]);
    assert_eq!(browser.eval("document.querySelectorAll('.row').length"), 3);
    assert_eq!(browser.eval("[...document.querySelectorAll('.row')].indexOf(document.activeElement)"), 1);
    browser.press(&["?"]);
    assert_eq!(browser.eval("document.getElementById('help').open"), true);
    browser.press(&["Escape", "w"]);
    browser.type_text("api.example.com");
    browser.press(&["Enter"]);
    browser.until("#answer", &["in aws-us-east-1, because balanced", "open"]);
    browser.shot("why");
    // The same box takes the id of a request: its attempts, and what would differ today.
    let target = edge.web();
    let asked =
        Client::connect(target).ask("GET", "/", "host: api.example.com\r\nx-request-id: asked\r\n", b"");
    assert_eq!(asked.expect("an answer").status, 200);
    browser.eval("document.getElementById('why').elements.request.focus()");
    browser.type_text("asked");
    browser.press(&["Enter"]);
    browser.until("#answer", &["in aws-us-east-1, because balanced", "answered 200", "first", "same pool"]);
    browser.assert_sound("a decision record");
    assert!(browser.eval("location.hash").as_str().is_some_and(|hash| hash.contains("request")));
    browser.eval("document.getElementById('why-title').scrollIntoView()");
    browser.shot("record");
    browser.open(&edge, PHONE, "light");
    browser.until("#verdict", &["All 3 pools serve"]);
    assert_eq!(
        browser.eval("document.scrollingElement.scrollWidth <= innerWidth"),
        true,
        "360 pixels are enough"
    );
    browser.assert_sound("a phone");
    browser.shot("phone");
}

#[test]
fn the_page_says_when_its_news_are_old_and_goes_on_after_a_restart() {
    let _alone = alone();
    let Some(mut browser) = Browser::start("a page without news") else { return };
    let (edge, _endpoints) = regions();
    browser.open(&edge, DESK, "light");
    browser.until("#verdict", &["All 3 pools serve"]);
    edge.freeze();
    browser.until("#stale", &["No news from the edge since"]);
    assert_eq!(browser.eval("document.getElementById('stale').hidden"), false);
    edge.thaw();
    eventually("the banner is gone", SOON, || {
        browser.eval("document.getElementById('stale').hidden") == true
    });
}

#[test]
fn a_thousand_endpoints_are_a_bounded_number_of_rows() {
    let _alone = alone();
    let Some(mut browser) = Browser::start("a thousand endpoints on the page") else { return };
    let mut conf = Conf::new().listener("web", "");
    let names: Vec<String> = (0..100).map(|nth| format!("pool-{nth:02}")).collect();
    for (nth, name) in names.iter().enumerate() {
        let addrs: Vec<_> = (1..=10).map(|host| ([127, 1, nth as u8, host], 9).into()).collect();
        conf = conf.pool(name, &addrs, "# no probe");
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let edge = Edge::start(&conf.route("all", "weighted", &names, ""));
    // Twice: the figures are those of a browser that runs, not of its start.
    for _ in 0..2 {
        browser.open(&edge, DESK, "light");
        browser.until("#verdict", &["1000 of 1000 endpoints"]);
    }
    assert_eq!(browser.eval("document.querySelectorAll('.row').length"), 200);
    browser.until("#pools", &["800 more endpoints"]);
    let spent = "(() => { const all = []; for (let n = 0; n < 20; n++) { const began = performance.now(); draw(); all.push(performance.now() - began); } \
                 return all.sort((a, b) => a - b)[10]; })()";
    // Largest contentful paint: the rows, once the first state has come.
    let painted = "new Promise(done => new PerformanceObserver(list => done([performance.getEntriesByName('first-contentful-paint')[0].startTime, \
        Math.max(...list.getEntries().map(one => one.startTime))].map(Math.round))).observe({ type: 'largest-contentful-paint', buffered: true }))";
    println!("first and largest contentful paint with 1,000 endpoints: {} ms", browser.eval(painted));
    println!("script per update with 1,000 endpoints: {} ms (median of 20)", browser.eval(spent));
    browser.press(&["/"]);
    browser.type_text("pool-77");
    eventually("ten rows", Duration::from_secs(5), || {
        browser.eval("document.querySelectorAll('.row').length") == 10
    });
}

#[test]
fn the_page_asks_for_a_token_and_keeps_it_out_of_the_address() {
    let _alone = alone();
    let Some(mut browser) = Browser::start("a page that needs a token") else { return };
    let endpoint = Endpoint::start("a");
    let conf = Conf::simple("failover", &[endpoint.addr()])
        .admin("token_file = \"admin.token\"\nanonymous_read = false")
        .file("admin.token", "ada write wr1te\nbob read re4d\n");
    let edge = Edge::start(&conf);
    browser.open(&edge, DESK, "light");
    browser.until("#token-why", &["a token of the role read"]);
    browser.type_text("wrong");
    browser.press(&["Enter"]);
    browser.until("#token-why", &["no such token"]);
    browser.eval("document.getElementById('token-input').value = ''");
    browser.type_text("re4d");
    browser.press(&["Enter"]);
    browser.until("#verdict", &["All 1 pools serve"]);
    browser.until("#caller", &["bob (read)"]);
    assert_eq!(browser.eval("document.getElementById('token-dialog').open"), false);
    let kept = "[location.href, document.documentElement.outerHTML].some(text => text.includes('re4d'))";
    assert_eq!(browser.eval(kept), false);
    endpoint.health(Health::status(503));
    browser.until("#verdict", &["status 503"]);
    browser.eval("document.getElementById('token-button').click()");
    browser.eval("document.getElementById('token-forget').click()");
    browser.until("#token-why", &["a token of the role read"]);
}

#[test]
fn an_order_is_given_after_a_look_at_what_it_moves_and_a_config_is_rolled_back() {
    let _alone = alone();
    let Some(mut browser) = Browser::start("changes from the page") else { return };
    let (edge, endpoints) = regions();
    let traffic = load(&edge);
    browser.open(&edge, DESK, "light");
    browser.until("#verdict", &["All 3 pools serve"]);
    let fill = |browser: &mut Browser, name: &str, value: &str| {
        browser.eval(&format!(
            "(() => {{ const one = document.querySelector('#order [name={name}]'); one.value = {value:?}; \
             one.dispatchEvent(new Event('change')); return true; }})()"
        ));
    };
    fill(&mut browser, "kind", "drain region");
    fill(&mut browser, "target", "us-east-1");
    fill(&mut browser, "reason", "kernel upgrade");
    browser.eval("document.getElementById('order').requestSubmit()");
    browser.until("#preview", &["aws-us-east-1", "gcp-europe-west1", "100 %", "Give this order"]);
    assert!(edge.events_of("order_given").is_empty(), "a look changes nothing");
    browser.assert_sound("a preview");
    browser.shot("preview");
    browser.eval("document.getElementById('give').click()");
    browser.until("#orders", &["drain us-east-1", "kernel upgrade"]);
    browser.until("#routes", &["gcp-europe-west1"]);
    eventually("the order stands", SOON, || edge.events_of("order_given").len() == 1);

    let text = std::fs::read_to_string(edge.config()).expect("the config");
    edge.replace(&(text + "\n[limits]\nheader_count = 90\n"));
    assert_eq!(edge.reload().status, 200);
    browser.until("#history", &["in force", "Roll back"]);
    browser.eval("document.querySelector('[data-generation=\"1\"]').click()");
    browser.until("#sure-text", &["Generation 1 comes into force again"]);
    assert_eq!(edge.generation(), 2, "one click changes nothing");
    browser.assert_sound("a question");
    browser.type_text("too tight");
    browser.eval("document.getElementById('sure-form').requestSubmit()");
    browser.until("#history", &["rollback of 1", "too tight"]);
    browser.until("#verdict", &["The config files differ from what runs"]);
    assert_eq!(edge.generation(), 3);
    fill(&mut browser, "kind", "drain pool");
    fill(&mut browser, "target", "nowhere");
    browser.eval("document.getElementById('order').requestSubmit()");
    browser.until("#preview", &["there is no pool nowhere"]);
    drop(endpoints);
    traffic.stop();
}
