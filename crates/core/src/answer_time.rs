//! The smoothed time to an answer, as one worker sees one endpoint: what the draw compares. Knows no clock: it hears of
//! samples, and once a second of the time that passes.
//!
//! # Why what is not renewed fades fast
//!
//! The draw asks a slow endpoint rarely, so its slowness is renewed rarely, and it must be forgotten to be asked again. Samples
//! alone would not do: an endpoint that is cold at its first request, and takes 500 ms for what takes the others 2 ms, is drawn
//! once in a hundred thousand requests. While its value halves each second it is asked again after about eight seconds, whatever
//! the traffic. One that is really slow is asked about once a second then, and its first answer says so.

/// The value after one more sample, in microseconds; 0 = nothing is known. Weight 1/8 per sample, as TCP smooths its round
/// trips (RFC 6298).
#[must_use]
pub const fn smoothed(known: u32, sample: u32) -> u32 {
    if known == 0 { sample } else { known - known / 8 + sample / 8 }
}

/// The value after a second without a sample.
#[must_use]
pub const fn faded(known: u32) -> u32 {
    known / 2
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, sync::Arc, time::Duration};

    use super::*;
    use crate::{
        event::Event,
        facts::Loads,
        roll::{mix, roll},
        slot::EndpointSlot,
        steer::steer,
        test_world::{facts, failover, pool},
        tick::Tick,
        topology::Topology,
        world::World,
    };

    /// What a worker knows about two endpoints; nothing is ever in flight.
    #[derive(Default)]
    struct Known([Cell<u32>; 2]);

    impl Loads for Known {
        fn in_flight(&self, _: EndpointSlot) -> u32 {
            0
        }
        fn latency_us(&self, slot: EndpointSlot) -> u32 {
            self.0[slot.index()].get()
        }
        fn trickle_due(&self, _: EndpointSlot, _: bool) -> bool {
            false
        }
    }

    /// Plays `seconds` of this many requests per second on a pool of two endpoints, which take so many microseconds for
    /// their nth answer; returns how many requests the first one got in each second.
    fn play(rate: u32, seconds: usize, takes: impl Fn(usize, u32) -> u32) -> Vec<u32> {
        let mut world = World::default();
        let pools = vec![pool("a", &["10.0.0.1", "10.0.0.2"])];
        let topology = Arc::new(Topology { pools, routes: vec![failover(1)] });
        world.apply(Event::Adopted { topology, generation: 1 }, Tick(0));
        let ids: Vec<_> = world.probed_endpoints().map(|place| place.id).collect();
        for id in ids.into_iter().flat_map(|id| [id, id]) {
            world.apply(Event::Probed { id, result: Ok(Duration::from_millis(1)) }, Tick(1));
        }
        let snapshot = world.snapshot();
        let facts = facts(&[]);
        let known = Known::default();
        let (mut answers, mut nth) = ([0; 2], 0);
        let mut second = || {
            let mut got = [0; 2];
            for _ in 0..rate {
                nth += 1;
                let at =
                    steer(&snapshot, &known, &facts, roll(nth, mix(nth.into()))).unwrap().endpoint.index();
                answers[at] += 1;
                got[at] += 1;
                known.0[at].set(smoothed(known.0[at].get(), takes(at, answers[at])));
            }
            let unasked = known.0.iter().zip(got).filter(|(_, got)| *got == 0);
            unasked.for_each(|(known, _)| known.set(faded(known.get())));
            got[0]
        };
        (0..seconds).map(|_| second()).collect()
    }

    #[test]
    fn an_endpoint_whose_first_answer_was_slow_has_its_share_again_within_seconds() {
        for rate in [10, 100, 1000] {
            for cold_us in [20_000, 500_000, 5_000_000] {
                let got = play(rate, 30, |at, nth| if (at, nth) == (0, 1) { cold_us } else { 2000 });
                let share = f64::from(got[20..].iter().sum::<u32>()) / f64::from(rate * 10);
                assert!((0.35..0.65).contains(&share), "{cold_us} µs at {rate}/s: {got:?}");
            }
        }
    }

    #[test]
    fn an_endpoint_that_stays_slow_is_asked_about_once_a_second() {
        for rate in [100, 1000] {
            let got = play(rate, 60, |at, _| if at == 0 { 300_000 } else { 2000 });
            let asked = f64::from(got[10..].iter().sum::<u32>()) / 50.0;
            assert!((0.05..1.5).contains(&asked), "at {rate}/s: {asked} a second, {got:?}");
        }
    }
}
