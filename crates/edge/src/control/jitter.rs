//! Randomness for what only needs to be spread out: jitter, first gaps, rolls that nobody gave. Never for secrets.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
};

/// Another number each time; seeded by the system.
#[must_use]
pub fn seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Anywhere in 0–1.
#[must_use]
pub fn fraction() -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a fraction needs no more than 53 bits")]
    let fraction = (seed() >> 11) as f64 / (1u64 << 53) as f64;
    fraction
}
