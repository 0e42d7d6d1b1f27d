//! What the other edges say, and which endpoints are probed because of it. Pure.
//!
//! Suspicion travels, conviction stays local: a neighbour's word asks for a probe and for nothing else. What the probe
//! finds is judged like every probe. So an edge that lies changes no decision, and what it can cost is bounded: one more
//! probe of an endpoint for each of its probe intervals, however many neighbours say whatever they like.

use std::{collections::BTreeMap, time::Duration};

use thalweg_core::{EndpointId, Tick};

use super::sighting::{SeenEndpoint, Sighting};

/// Most neighbours that are known.
const MOST: usize = 1_000;
/// A neighbour that was silent for three of its pauses, and for this long, is forgotten when room is needed, and not shown
/// any more.
pub const SILENT: Duration = Duration::from_secs(30);
/// No neighbour is believed to be there for longer without a word.
const GONE: Duration = Duration::from_secs(900);
/// Messages of one neighbour in a second, and of all of them. More are dropped.
const EACH: u32 = 10;
const ALL: u32 = 1_000;

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It is news of a neighbour.
    Taken,
    /// It is this process's own.
    Own,
    /// Another process has this edge's name.
    NameTaken,
    /// It is older than what was heard.
    Replayed,
    /// It is none.
    Malformed,
    /// There are too many.
    Flood,
}

impl Heard {
    /// The spellings that are counted.
    pub const EACH: [Self; 6] =
        [Self::Taken, Self::Own, Self::NameTaken, Self::Replayed, Self::Malformed, Self::Flood];

    /// The spelling in the metric.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Own => "own",
            Self::NameTaken => "name_taken",
            Self::Replayed => "replayed",
            Self::Malformed => "malformed",
            Self::Flood => "flood",
        }
    }
}

/// One neighbour's last word.
#[derive(Clone, Debug)]
pub struct Neighbour {
    /// What it said.
    pub sighting: Sighting,
    /// When that was heard.
    pub at: Tick,
    second: Second,
}

impl Neighbour {
    /// Whether its next word is long overdue.
    fn is_silent(&self, now: Tick) -> bool {
        let pauses = Duration::from_millis(self.sighting.next_ms.saturating_mul(3));
        now.since(self.at) >= pauses.clamp(SILENT, GONE)
    }
}

/// Messages of the present second.
#[derive(Clone, Copy, Debug, Default)]
struct Second {
    began: Tick,
    count: u32,
}

impl Second {
    fn takes(&mut self, most: u32, now: Tick) -> bool {
        if now.since(self.began) >= Duration::from_secs(1) {
            *self = Self { began: now, count: 0 };
        }
        self.count += 1;
        self.count <= most
    }
}

/// What the neighbours say.
#[derive(Debug, Default)]
pub struct Neighbours {
    known: BTreeMap<Box<str>, Neighbour>,
    second: Second,
    /// When an endpoint was last probed because of a neighbour.
    asked: BTreeMap<EndpointId, Tick>,
}

impl Neighbours {
    /// Takes a message in. Returns what became of it, and the endpoints whose state it has news of: true = out.
    pub fn hear(
        &mut self,
        bytes: &[u8],
        (own, process): (&str, u64),
        now: Tick,
    ) -> (Heard, Vec<(SeenEndpoint, bool)>) {
        let dropped = |heard| (heard, Vec::new());
        if !self.second.takes(ALL, now) {
            return dropped(Heard::Flood);
        }
        let Some(said) = Sighting::read(bytes) else { return dropped(Heard::Malformed) };
        if *said.edge == *own {
            return dropped(if said.process == process { Heard::Own } else { Heard::NameTaken });
        }
        if !self.known.contains_key(&said.edge) && self.known.len() >= MOST {
            self.known.retain(|_, one| !one.is_silent(now));
            if self.known.len() >= MOST {
                return dropped(Heard::Flood);
            }
        }
        let Some(known) = self.known.get_mut(&said.edge) else {
            let news = said.out.iter().map(|one| (one.clone(), true)).collect();
            let second = Second { began: now, count: 1 };
            self.known.insert(said.edge.clone(), Neighbour { sighting: said, at: now, second });
            return (Heard::Taken, news);
        };
        if !known.second.takes(EACH, now) {
            return dropped(Heard::Flood);
        }
        let before = &known.sighting;
        if before.process == said.process && said.number <= before.number {
            return dropped(Heard::Replayed);
        }
        let fallen = said.out.iter().filter(|one| !before.out.contains(one)).map(|one| (one.clone(), true));
        let back = before.out.iter().filter(|one| !said.out.contains(one)).map(|one| (one.clone(), false));
        let news = fallen.chain(back).collect();
        (known.sighting, known.at) = (said, now);
        (Heard::Taken, news)
    }

    /// Whether an endpoint may be probed now because of a neighbour: once in its probe interval.
    pub fn may_ask(&mut self, id: EndpointId, interval: Duration, now: Tick) -> bool {
        if self.asked.get(&id).is_some_and(|last| now.since(*last) < interval) {
            return false;
        }
        self.asked.insert(id, now);
        true
    }

    /// Forgets endpoints that have gone.
    pub fn retain(&mut self, is_there: impl Fn(EndpointId) -> bool) {
        self.asked.retain(|id, _| is_there(*id));
    }

    /// The neighbours that are not silent.
    pub fn all(&self, now: Tick) -> impl Iterator<Item = &Neighbour> {
        self.known.values().filter(move |one| !one.is_silent(now))
    }

    /// The neighbours whose word still holds that this endpoint is out. No word holds for longer than `most`.
    pub fn against(&self, endpoint: &SeenEndpoint, most: Duration, now: Tick) -> Vec<&str> {
        let holds = |one: &&Neighbour| {
            let ttl = Duration::from_millis(one.sighting.ttl_ms).min(most);
            now.since(one.at) < ttl && one.sighting.out.contains(endpoint)
        };
        self.known.values().filter(holds).map(|one| &*one.sighting.edge).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Tick {
        Tick(ms * 1000 + 1)
    }

    fn said(edge: &str, process: u64, number: u64, out: &[&str]) -> Vec<u8> {
        let out = out.iter().map(|address| ("p".into(), (*address).into())).collect();
        Sighting { edge: edge.into(), process, number, ttl_ms: 60_000, next_ms: 0, pools: vec![], out }
            .to_bytes()
    }

    fn hear(all: &mut Neighbours, bytes: &[u8], now: Tick) -> (Heard, Vec<(String, bool)>) {
        let (heard, news) = all.hear(bytes, ("me", 1), now);
        (heard, news.into_iter().map(|((_, address), out)| (address.to_string(), out)).collect())
    }

    #[test]
    fn only_what_has_changed_is_news() {
        let mut all = Neighbours::default();
        let news = |list: &[(&str, bool)]| list.iter().map(|(one, out)| ((*one).to_owned(), *out)).collect();
        assert_eq!(hear(&mut all, &said("a", 5, 1, &["x:1"]), at(0)), (Heard::Taken, news(&[("x:1", true)])));
        assert_eq!(hear(&mut all, &said("a", 5, 2, &["x:1"]), at(200)), (Heard::Taken, vec![]));
        let expected = news(&[("y:1", true), ("x:1", false)]);
        assert_eq!(hear(&mut all, &said("a", 5, 3, &["y:1"]), at(400)), (Heard::Taken, expected));
        assert_eq!(hear(&mut all, &said("a", 5, 3, &[]), at(600)), (Heard::Replayed, vec![]));
        assert_eq!(hear(&mut all, &said("a", 5, 1, &["x:1"]), at(800)), (Heard::Replayed, vec![]));
        assert_eq!(
            hear(&mut all, &said("a", 6, 1, &["y:1"]), at(1000)).0,
            Heard::Taken,
            "a restart counts anew"
        );
        assert_eq!(hear(&mut all, &said("me", 1, 1, &["y:1"]), at(1000)), (Heard::Own, vec![]));
        assert_eq!(hear(&mut all, &said("me", 2, 1, &["y:1"]), at(1000)), (Heard::NameTaken, vec![]));
        assert_eq!(hear(&mut all, b"{}", at(1000)), (Heard::Malformed, vec![]));
    }

    #[test]
    fn a_word_holds_for_a_while_and_never_for_longer_than_the_listener_allows() {
        let mut all = Neighbours::default();
        hear(&mut all, &said("a", 5, 1, &["x:1"]), at(0));
        let endpoint: SeenEndpoint = ("p".into(), "x:1".into());
        let against = |ms| all.against(&endpoint, Duration::from_secs(3), at(ms)).len();
        assert_eq!((against(2999), against(3000)), (1, 0));
        assert_eq!((all.all(at(29_999)).count(), all.all(at(30_000)).count()), (1, 0));
        for (next_ms, silent_ms) in [(60_000, 180_000), (u64::MAX, 900_000)] {
            let seldom = Sighting { edge: "b".into(), process: next_ms, next_ms, ..Sighting::default() };
            hear(&mut all, &seldom.to_bytes(), at(100_000));
            let here = |ms: u64| all.all(at(100_000 + ms)).count();
            assert_eq!((here(silent_ms - 1), here(silent_ms)), (1, 0));
        }
    }

    #[test]
    fn a_flood_of_words_and_of_names_is_bounded() {
        let mut all = Neighbours::default();
        let flood =
            (0..500).filter(|nth| hear(&mut all, &said("a", 5, *nth, &["x:1"]), at(1)).0 == Heard::Taken);
        assert_eq!(flood.count(), EACH as usize);
        for nth in 0..5000_u64 {
            hear(&mut all, &said(&format!("n{nth}"), 5, 1, &[]), at(2000 + nth));
        }
        assert_eq!(all.known.len(), MOST);
        hear(&mut all, &said("late", 5, 1, &[]), at(60_000));
        assert_eq!(all.all(at(60_000)).count(), 1, "the silent ones make room");
    }

    #[test]
    fn an_endpoint_is_probed_once_more_in_each_of_its_intervals() {
        let mut all = Neighbours::default();
        let asks = |ms: u64, all: &mut Neighbours| all.may_ask(EndpointId(3), Duration::from_secs(1), at(ms));
        let granted: Vec<u64> = (0..30).map(|nth| nth * 100).filter(|ms| asks(*ms, &mut all)).collect();
        assert_eq!(granted, [0, 1000, 2000]);
    }
}
