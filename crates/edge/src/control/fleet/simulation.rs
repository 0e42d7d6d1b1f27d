//! The fleet with a seed: edges, a bucket, messages that are lost, late and doubled, liars. The deciding parts are those
//! that the edge runs; time is virtual. `announcing` plays the withdrawals over a `bucket`, `rollouts` the bundles over
//! their rings, `words` what edges tell each other. A failure prints its seed; `THALWEG_SEED=n` plays that one again,
//! `THALWEG_SEEDS` says how many are played.

mod announcing;
mod bucket;
mod rollouts;
mod words;

/// SplitMix64: a seed decides a whole run.
#[derive(Debug)]
struct Prng(u64);

impl Prng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        thalweg_core::mix(self.0)
    }

    fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 11) % n.max(1)
    }

    fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        let nth = self.below(of.len() as u64);
        of[usize::try_from(nth).unwrap()]
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

/// Plays seeds until one breaks an invariant; says which one and how.
fn search(seeds: u64, play: impl Fn(u64) -> Result<(), String>) -> Option<String> {
    let all = match number("THALWEG_SEED") {
        Some(one) => one..one + 1,
        None => 0..number("THALWEG_SEEDS").unwrap_or(seeds),
    };
    all.into_iter().find_map(|seed| play(seed).err().map(|what| format!("SEED {seed}: {what}")))
}

/// No seed breaks an invariant.
fn check(seeds: u64, play: impl Fn(u64) -> Result<(), String>) {
    if let Some(what) = search(seeds, play) {
        panic!("{what}");
    }
}
