//! The page's table of edges and pools in a real Chromium: what differs is marked by shape and colour.

use serde_json::json;
use thalweg_testkit::{Conf, Edge, Endpoint, eventually};

use super::browser::Browser;
use crate::{
    SOON,
    common::{alone, fleet::Fleet},
};

#[test]
fn the_page_shows_what_other_edges_see_and_marks_what_differs() {
    let _alone = alone();
    let Some(mut browser) = Browser::start("the page of a fleet") else { return };
    let Some(fleet) = Fleet::start("the page of a fleet") else { return };
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let conf = Conf::simple("failover", &[first.addr(), second.addr()]);
    let alone = Edge::start(&conf);
    browser.open(&alone, (1280, 800), "light");
    browser.until("#verdict", &["pools serve"]);
    assert_eq!(browser.eval("document.getElementById('fleet-section').hidden"), true, "no fleet, no table");
    let edge = Edge::start(&fleet.of(conf, "name = \"one\""));
    edge.until_up(2);
    browser.open(&edge, (1280, 800), "light");
    browser.until("#fleet", &["one (this edge)", "p0", "p1", "● 1/1"]);
    let word = json!({ "edge": "two", "process": 1, "number": 1, "ttl_ms": 60_000,
        "pools": [["p0", 0, 1], ["p1", 1, 1]], "out": [["p0", first.addr().to_string()]] });
    let told = format!("≠ {} out", first.addr());
    let list = format!("p0/{}: in service here, out at two", first.addr());
    // A word holds for three probe intervals: it is said again until it is shown.
    let mut number = 1;
    let say = |number: u64| {
        let mut word = word.clone();
        word["number"] = number.into();
        fleet.server.publish("thalweg.thalweg.seen", &[word.to_string().as_bytes()]);
    };
    eventually("what differs is marked", SOON, || {
        number += 1;
        say(number);
        let shown = browser.text("#fleet");
        shown.contains(&told) && shown.contains(&list) && shown.contains("✕ 0/1")
    });
    say(number + 1);
    assert_eq!(browser.eval("document.querySelectorAll('#fleet td.differs').length"), 1);
    browser.assert_sound("a fleet that disagrees");
    browser.shot("fleet");
    browser.open(&edge, (360, 740), "dark");
    browser.until("#fleet", &["one (this edge)"]);
    browser.assert_sound("a fleet on a phone");
}
