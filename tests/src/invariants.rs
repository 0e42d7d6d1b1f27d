//! What must hold in every cell, whatever the fault: the design's promises about single requests, as set operations over
//! the ids at both ends.

use std::collections::HashMap;

use thalweg_testkit::Outcome;

use crate::{cell::Scene, record::Record};

/// Everything that is broken, in words; empty when all hold.
pub fn broken(record: &Record, scene: &Scene) -> Vec<String> {
    let mut broken = Vec::new();
    answered_once(record, &mut broken);
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
