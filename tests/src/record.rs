//! What happened in one cell, from both ends: the load generator's ledger, the sites' files, the edge's own log and
//! counters. Times are milliseconds from the start of the load. Facts only; goals and invariants judge them.

use std::collections::{BTreeMap, HashMap};

use thalweg_testkit::{Metrics, Outcome, Shot};

use crate::site::Arrival;

/// The edge's own account of a run.
#[derive(Clone, Debug)]
pub struct Book {
    /// The lines of its access log, by request id.
    pub logged: HashMap<String, Vec<serde_json::Value>>,
    /// `/metrics` after the last answer.
    pub metrics: Metrics,
}

impl Book {
    /// The number of attempts for this request, according to the edge's log.
    pub fn attempts(&self, id: &str) -> usize {
        let line = self.logged.get(id).and_then(|lines| lines.first());
        line.and_then(|line| line["attempts"].as_u64()).map_or(0, |count| count as usize)
    }
}

/// One request at one site.
#[derive(Clone, Debug)]
pub struct Hit {
    /// Which site.
    pub site: usize,
    /// When the request was due at the client; the site's clock says when it was read, which a frozen site does late.
    pub due_ms: f64,
    /// When the site read it.
    pub at_ms: f64,
    /// Connection, unique within the site.
    pub connection: (usize, u64),
    /// Its id.
    pub id: String,
    /// Whether it was a POST.
    pub post: bool,
}

/// The record of one cell.
#[derive(Clone, Debug)]
pub struct Record {
    /// The cell's name.
    pub cell: String,
    /// The proxy that steered.
    pub proxy: String,
    /// Every request sent, in order of its end.
    pub shots: Vec<Shot>,
    /// Names of the sites.
    pub sites: Vec<String>,
    /// Round trips to them.
    pub distances_ms: Vec<u64>,
    /// Everything that arrived.
    pub hits: Vec<Hit>,
    /// Arrivals of requests that the load generator did not send.
    pub unsent: usize,
    /// When which site was killed.
    pub kills: Vec<(f64, usize)>,
    /// When the first fault began and when the last one ended, as measured.
    pub fault_ms: f64,
    /// See `fault_ms`.
    pub cure_ms: f64,
    /// When the load ended.
    pub end_ms: f64,
    /// Requests that were due; as many must have ended.
    pub sent: usize,
    /// The most that the load generator itself was late.
    pub late_ms: f64,
    /// The share of the machine's CPU time that other guests of its host took, 0..1.
    pub stolen: f64,
    /// Absent for peers.
    pub book: Option<Book>,
}

impl Record {
    /// Joins the sites' files with the ledger of the load; the number counts arrivals during the load that the ledger
    /// does not have.
    pub fn hits(shots: &[Shot], sites: &[Vec<Arrival>], began_us: i64) -> (Vec<Hit>, usize) {
        let due: HashMap<&str, f64> = shots.iter().map(|shot| (shot.id.as_str(), due_ms(shot))).collect();
        let of = |(site, arrivals): (usize, &Vec<Arrival>)| {
            arrivals
                .iter()
                .filter_map(|arrival| {
                    Some(Hit {
                        site,
                        due_ms: *due.get(arrival.id.as_str())?,
                        at_ms: (arrival.at_us - began_us) as f64 / 1000.0,
                        connection: arrival.connection,
                        id: arrival.id.clone(),
                        post: arrival.post,
                    })
                })
                .collect::<Vec<_>>()
        };
        let hits: Vec<Hit> = sites.iter().enumerate().flat_map(of).collect();
        // Arrivals from before the load are readiness checks.
        let during = sites.iter().flatten().filter(|arrival| arrival.at_us >= began_us).count();
        let unsent = during.saturating_sub(hits.len());
        (hits, unsent)
    }

    /// Requests that were due in this span.
    pub fn due(&self, from_ms: f64, to_ms: f64) -> impl Iterator<Item = &Shot> {
        self.shots.iter().filter(move |shot| (from_ms..to_ms).contains(&due_ms(shot)))
    }

    /// Latencies of GETs that were due in this span, sorted, in milliseconds.
    pub fn latencies(&self, from_ms: f64, to_ms: f64) -> Vec<f64> {
        self.latencies_less(from_ms, to_ms, |_| 0.0)
    }

    /// The same, each without the round trip to the site that answered it, and without the one to the killed site if
    /// the edge tried more than one: the answer that was on its way from there is lost.
    pub fn less_the_way(&self, from_ms: f64, to_ms: f64, killed: Option<usize>) -> Vec<f64> {
        let way = |shot: &Shot| {
            let by = self.sites.iter().position(|name| *name == shot.by);
            let again = self.book.as_ref().is_some_and(|book| book.attempts(&shot.id) > 1);
            let sites = by.into_iter().chain(killed.filter(|_| again));
            sites.map(|site| self.distances_ms[site] as f64).sum::<f64>()
        };
        self.latencies_less(from_ms, to_ms, way)
    }

    fn latencies_less(&self, from_ms: f64, to_ms: f64, less_ms: impl Fn(&Shot) -> f64) -> Vec<f64> {
        let gets = self.due(from_ms, to_ms).filter(|shot| !shot.post);
        let mut all: Vec<f64> = gets.map(|shot| shot.latency_us as f64 / 1000.0 - less_ms(shot)).collect();
        all.sort_by(f64::total_cmp);
        all
    }

    /// Failed requests (cut answers apart), POSTs or not.
    pub fn failed(&self, posts: bool) -> Vec<&Shot> {
        self.shots.iter().filter(|shot| failed(shot) && shot.post == posts).collect()
    }

    /// Answers that were cut after their head.
    pub fn cut(&self) -> usize {
        self.shots.iter().filter(|shot| matches!(shot.outcome, Outcome::CutAfterHead(_))).count()
    }

    /// The share of a region in all that arrived of what was due in this span, 0..1; 0 when nothing did.
    pub fn share(&self, region: &str, from_ms: f64, to_ms: f64) -> f64 {
        let due: Vec<&Hit> = self.hits.iter().filter(|hit| (from_ms..to_ms).contains(&hit.due_ms)).collect();
        let there = due.iter().filter(|hit| self.region(hit.site) == region).count();
        if due.is_empty() { 0.0 } else { there as f64 / due.len() as f64 }
    }

    /// The shares of a region in spans of this length, from one moment to another.
    pub fn shares(&self, region: &str, from_ms: f64, to_ms: f64, span_ms: f64) -> Vec<f64> {
        let count = ((to_ms - from_ms) / span_ms).floor().max(0.0) as usize;
        (0..count)
            .map(|nth| {
                let start = from_ms + nth as f64 * span_ms;
                self.share(region, start, start + span_ms)
            })
            .collect()
    }

    /// The due times of requests that the edge sent and that no site saw, once per such attempt;
    /// empty for peers, which do not report them.
    pub fn vanished(&self) -> Vec<f64> {
        let Some(book) = &self.book else { return Vec::new() };
        let tries = self.tries();
        let of = |shot: &Shot| {
            let arrived: usize = tries.get(shot.id.as_str()).map_or(0, |at| at.values().sum());
            std::iter::repeat_n(due_ms(shot), book.attempts(&shot.id).saturating_sub(arrived))
        };
        self.shots.iter().flat_map(of).collect()
    }

    /// How often each id arrived at each site.
    pub fn tries(&self) -> BTreeMap<&str, BTreeMap<usize, usize>> {
        let mut tries: BTreeMap<&str, BTreeMap<usize, usize>> = BTreeMap::new();
        for hit in &self.hits {
            *tries.entry(&hit.id).or_default().entry(hit.site).or_default() += 1;
        }
        tries
    }

    /// POSTs that arrived more than once, anywhere.
    pub fn doubled_posts(&self) -> Vec<String> {
        let posts: std::collections::HashSet<&str> =
            self.hits.iter().filter(|hit| hit.post).map(|hit| hit.id.as_str()).collect();
        let tries = self.tries();
        let twice = tries.iter().filter(|(id, at)| posts.contains(*id) && at.values().sum::<usize>() > 1);
        twice.map(|(id, _)| (*id).to_owned()).collect()
    }

    /// The region of a site.
    pub fn region(&self, site: usize) -> &str {
        self.sites[site].split('#').next().unwrap_or_default()
    }
}

/// A request whose client got neither the answer it should have nor the head of it.
pub fn failed(shot: &Shot) -> bool {
    !matches!(shot.outcome, Outcome::Status(200) | Outcome::CutAfterHead(_))
}

/// When a request was due.
pub fn due_ms(shot: &Shot) -> f64 {
    shot.due_us as f64 / 1000.0
}

/// A quantile of sorted values; 0 when there are none.
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1).min(sorted.len().saturating_sub(1))).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made::run;

    #[test]
    fn an_arrival_without_a_sender_is_counted_unless_it_came_before_the_load() {
        let shots = run(1, (0.0, 0.0), |_| 0).shots;
        let arrival = |at_us, id: &str| Arrival { at_us, connection: (0, 0), post: false, id: id.to_owned() };
        let arrivals =
            [vec![arrival(90, "-"), arrival(110, "0"), arrival(120, "x")], vec![arrival(130, "1")]];
        let (hits, unsent) = Record::hits(&shots, &arrivals, 100);
        assert_eq!((hits.len(), unsent), (2, 1));
        assert_eq!((hits[1].site, hits[1].due_ms, hits[1].at_ms), (1, 2.0, 0.03));
    }

    #[test]
    fn quantiles_are_values_that_were_seen() {
        let values: Vec<f64> = (1..=1000).map(f64::from).collect();
        assert_eq!((quantile(&values, 0.5), quantile(&values, 0.999)), (500.0, 999.0));
        assert_eq!((quantile(&values, 1.0), quantile(&[], 0.5)), (1000.0, 0.0));
    }
}
