//! `thalweg top` in a real terminal: what it shows while a region fails, and how it leaves the terminal.

mod common;

use std::time::Duration;

use common::two_with;
use rustix::process::{Pid, Signal, kill_process};
use thalweg_testkit::{Edge, Health, Pty, eventually, thalweg};

const SIZE: (u16, u16) = (24, 100);

fn top(edge: &Edge, env: &[(&str, &str)]) -> Pty {
    Pty::thalweg(&["top", "--admin", &edge.admin_url()], env, SIZE)
}

/// The terminal is as it was before: its own screen, and a cursor.
fn assert_restored(top: &Pty) {
    assert!(!top.is_on_alternate_screen() && !top.hides_cursor(), "{}", top.text());
}

#[test]
fn top_shows_a_failing_region_first_and_opens_it() {
    let (edge, first, second) = two_with("");
    let mut top = top(&edge, &[]);
    top.until(&["edge-test", "all 2 pools serve", "all", "p0 100.0%", "q quit"]);
    assert!(top.is_on_alternate_screen());
    first.health(Health::status(503));
    let text = top.until(&["x p0 out (", "503", "! all", "out: p0", "p1 100.0%", "EVENTS", "endpoint p0"]);
    assert!(top.is_coloured(), "{text}");
    top.press("\r");
    let pools = top.until(&["routes > all", "x p0", "out", "0/1"]);
    let row = |name: &str| pools.lines().position(|line| line.contains(name)).expect("a row");
    assert!(row("x p0") < row("  p1"), "{pools}");
    top.press("\r");
    top.until(&["routes > all > p0", &first.addr().to_string(), "down"]);
    top.press("\r");
    top.until(&["availability", "down", "in_flight"]);
    top.press("\x1b");
    top.until(&["ENDPOINT"]);
    top.press("\x1b");
    top.until(&["POOL", "p1"]);
    top.press("j\r");
    top.until(&["routes > all > p1", &second.addr().to_string()]);
    top.press("?");
    top.until(&["No key changes anything"]);
    top.press("q");
    assert_eq!(top.end().code(), Some(0));
    assert_restored(&top);
}

#[test]
fn top_fits_any_size_and_needs_no_colour() {
    let (edge, first, _second) = two_with("");
    first.die();
    let mut top = top(&edge, &[("NO_COLOR", "1")]);
    top.until(&["x p0 out (refused"]);
    assert!(!top.is_coloured());
    for (rows, columns) in [(8, 40), (2, 10), (60, 200)] {
        top.resize(rows, columns);
        eventually("the screen is drawn again", Duration::from_secs(10), || {
            top.text().contains("thalweg to")
        });
    }
    top.until(&["x p0 out (refused", "EVENTS", "q quit"]);
    top.press("\x03");
    assert_eq!(top.end().code(), Some(0));
    assert_restored(&top);
}

#[test]
fn a_signal_ends_top_and_gives_the_terminal_back() {
    let (edge, _first, _second) = two_with("");
    for signal in [Signal::TERM, Signal::HUP] {
        let mut top = top(&edge, &[]);
        top.until(&["all 2 pools serve"]);
        let pid = Pid::from_raw(top.pid().cast_signed()).expect("a process");
        kill_process(pid, signal).expect("the program runs");
        assert_eq!(top.end().code(), Some(0), "{signal:?}");
        assert_restored(&top);
    }
}

#[test]
fn top_says_when_its_news_are_old_and_goes_on() {
    let (edge, _first, _second) = two_with("");
    let mut top = top(&edge, &[]);
    top.until(&["all 2 pools serve"]);
    edge.freeze();
    top.until(&["what follows is old", "all 2 pools serve"]);
    edge.thaw();
    eventually("the banner is gone", Duration::from_secs(15), || !top.text().contains("old"));
    top.press("q");
    assert_eq!(top.end().code(), Some(0));
}

#[test]
fn top_without_an_edge_or_a_terminal_is_one_clear_line() {
    let mut top = Pty::thalweg(&["top", "--admin", "http://127.0.0.1:1"], &[], SIZE);
    assert_eq!(top.end().code(), Some(1));
    assert!(top.text().contains("cannot reach the edge at http://127.0.0.1:1"), "{}", top.text());
    assert_restored(&top);
    let plain = thalweg(&["top", "--admin", "http://127.0.0.1:1"]);
    assert!(plain.code == 2 && plain.stderr.contains("needs a terminal"), "{} {}", plain.code, plain.stderr);
}
