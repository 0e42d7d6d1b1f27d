//! Random numbers for jitter, first gaps and rolls that were not given. Never for secrets.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
};

/// A new number each time, seeded by the system.
#[must_use]
pub fn seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// A uniform number in 0–1.
#[must_use]
pub fn fraction() -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a fraction needs no more than 53 bits")]
    let fraction = (seed() >> 11) as f64 / (1u64 << 53) as f64;
    fraction
}
