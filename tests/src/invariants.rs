//! What must hold in every cell, whatever the fault: the design's promises about single requests, as set operations over
//! the ids at both ends.

use std::collections::HashMap;

use thalweg_testkit::{Outcome, Shot};

use crate::{cell::Scene, record::Record};

/// A description of each broken invariant; empty when all hold.
pub fn broken(record: &Record, scene: &Scene) -> Vec<String> {
    let mut broken = Vec::new();
    answered_once(record, &mut broken);
    known(record, &mut broken);
    doubled(record, &mut broken);
    tried_twice(record, &mut broken);
    over_budget(record, scene, &mut broken);
    if record.book.is_some() {
        counters(record, &mut broken);
    }
    broken
}

fn answered_once(record: &Record, broken: &mut Vec<String>) {
    let mut ends: HashMap<&str, usize> = HashMap::new();
    for shot in &record.shots {
        *ends.entry(&shot.id).or_default() += 1;
    }
    if ends.len() != record.sent || record.shots.len() != record.sent {
        broken.push(format!("{} of {} requests ended, {} ends", ends.len(), record.sent, record.shots.len()));
    }
    let mixed = |outcome: &Outcome| *outcome == Outcome::Failed("another answer".to_owned());
    let others = record.shots.iter().filter(|shot| mixed(&shot.outcome)).count();
    if others > 0 {
        broken.push(format!("{others} requests got the answer to another one"));
    }
    let Some(book) = &record.book else { return };
    let wrong: Vec<&str> =
        ends.keys().filter(|id| book.logged.get(**id).map(Vec::len) != Some(1)).take(3).copied().collect();
    if !wrong.is_empty() {
        broken.push(format!("not logged exactly once: {wrong:?}"));
    }
}

/// What was answered has arrived somewhere, what arrived was sent, and the edge made at least as many attempts as arrived.
fn known(record: &Record, broken: &mut Vec<String>) {
    let tries = record.tries();
    let nowhere =
        |shot: &&Shot| shot.outcome == Outcome::Status(200) && !tries.contains_key(shot.id.as_str());
    let nowhere = record.shots.iter().filter(nowhere).count();
    if nowhere > 0 {
        broken.push(format!("{nowhere} answers to requests that arrived nowhere"));
    }
    if record.unsent > 0 {
        broken.push(format!("{} arrivals of requests that the generator did not send", record.unsent));
    }
    let Some(book) = &record.book else { return };
    let untold = tries.iter().filter(|(id, at)| at.values().sum::<usize>() > book.attempts(id)).count();
    if untold > 0 {
        broken.push(format!("{untold} requests arrived more often than the edge says it tried"));
    }
}

fn doubled(record: &Record, broken: &mut Vec<String>) {
    let twice = record.doubled_posts();
    if !twice.is_empty() {
        broken.push(format!("{} POSTs arrived twice: {:?}", twice.len(), &twice[..twice.len().min(3)]));
    }
}

fn tried_twice(record: &Record, broken: &mut Vec<String>) {
    let tries = record.tries();
    let again: Vec<&&str> =
        tries.iter().filter(|(_, at)| at.values().any(|&times| times > 1)).map(|(id, _)| id).collect();
    if !again.is_empty() {
        let examples = &again[..again.len().min(3)];
        broken.push(format!("{} requests came to the same endpoint again: {examples:?}", again.len()));
    }
}

/// `retry.budget` is 0.10 of the requests and 10/s; hedges have 0.05 and a burst of 20 of their own.
fn over_budget(record: &Record, scene: &Scene, broken: &mut Vec<String>) {
    let requests = record.sent as f64;
    let hedges = if scene.hedge { requests * 0.05 + 20.0 } else { 0.0 };
    let allowed = requests * 0.10 + 10.0 * record.end_ms / 1000.0 + hedges;
    let again: usize = record.tries().values().map(|at| at.values().sum::<usize>() - 1).sum();
    if again as f64 > allowed {
        broken.push(format!("{again} more attempts than requests, {allowed:.0} allowed"));
    }
}

fn counters(record: &Record, broken: &mut Vec<String>) {
    let Some(book) = &record.book else { return };
    let counted = book.metrics.sum("thalweg_requests_total", &[]);
    if counted != record.sent as f64 {
        broken.push(format!("{counted} requests counted, {} sent", record.sent));
    }
    let cut = record.cut() as f64;
    for (class, first) in [("2xx", 2), ("4xx", 4), ("5xx", 5)] {
        let counted = book.metrics.sum("thalweg_requests_total", &[("code_class", class)]);
        let seen =
            record.shots.iter().filter(|shot| matches!(shot.outcome, Outcome::Status(s) if s / 100 == first));
        let seen = seen.count() as f64;
        if (counted - seen).abs() > cut {
            broken.push(format!("{counted} {class} counted, {seen} seen"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cell::{Policy, Wire},
        made::run,
    };

    #[test]
    fn every_answered_request_arrived_every_arrival_was_sent_and_clients_get_their_own_answers() {
        let scene = Scene::new(Policy::Failover, Wire::H1);
        let broken = |spoil: fn(&mut Record)| {
            let mut record = run(4, (2000.0, 3000.0), |_| 0);
            spoil(&mut record);
            broken(&record, &scene).join("; ")
        };
        assert_eq!(broken(|_| {}), "");
        assert!(broken(|record| drop(record.hits.remove(7))).starts_with("1 answers"));
        assert!(broken(|record| record.unsent = 2).starts_with("2 arrivals"));
        assert!(broken(|record| drop(record.shots.remove(7))).starts_with("1999 of 2000"));
        let mixed =
            |record: &mut Record| record.shots[7].outcome = Outcome::Failed("another answer".to_owned());
        assert!(broken(mixed).starts_with("1 requests got"));
        let again = |record: &mut Record| record.hits.push(record.hits[7].clone());
        assert!(broken(again).starts_with("1 requests came to the same endpoint again"));
        let twice = |record: &mut Record| {
            record.hits[7].post = true;
            let copy = crate::record::Hit { site: 1, ..record.hits[7].clone() };
            record.hits.push(copy);
        };
        assert!(broken(twice).starts_with("1 POSTs arrived twice"));
    }
}
