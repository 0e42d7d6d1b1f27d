//! Deadlines instead of sleeps. A scenario names a condition and a deadline; it never waits for a fixed time.

use std::{
    thread,
    time::{Duration, Instant},
};

/// How often a condition is checked.
const POLL: Duration = Duration::from_millis(10);

/// Waits until `done` is true; panics with `what` after `within`. Returns how long it took.
pub fn eventually(what: &str, within: Duration, mut done: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    loop {
        if done() {
            return began.elapsed();
        }
        assert!(began.elapsed() < within, "not within {within:?}: {what}");
        thread::sleep(POLL);
    }
}

/// Waits until `find` returns something; panics with `what` after `within`.
pub fn eventually_some<T>(what: &str, within: Duration, mut find: impl FnMut() -> Option<T>) -> T {
    let mut found = None;
    eventually(what, within, || {
        found = find();
        found.is_some()
    });
    found.expect("eventually returned because it was found")
}

/// Checks that `holds` is true now and all through `span`: for "nothing happens" claims.
pub fn stays(what: &str, span: Duration, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while began.elapsed() < span {
        assert!(holds(), "after {:?} no longer: {what}", began.elapsed());
        thread::sleep(POLL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eventually_returns_as_soon_as_it_is_true() {
        let mut calls = 0;
        let took = eventually("three calls", Duration::from_secs(5), || {
            calls += 1;
            calls == 3
        });
        assert!(took < Duration::from_secs(1));
    }

    #[test]
    #[should_panic(expected = "the impossible")]
    fn eventually_names_what_never_came() {
        eventually("the impossible", Duration::from_millis(20), || false);
    }
}
