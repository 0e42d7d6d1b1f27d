//! Chance as a value: the number that decides a draw, and the function that spreads its bits. Nothing here is random.

/// One step of SplitMix64 (Steele, Lea, Flood 2014): spreads a roll's bits.
#[must_use]
pub fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The roll of a request: its point comes from a golden-ratio sequence, so that shares are exact over short spans
/// (discrepancy O(log n ÷ n)); its low bits come from `noise`. Fits 53 bits.
#[must_use]
pub fn roll(turn: u32, noise: u64) -> u64 {
    // 2^32 ÷ φ, odd.
    let point = turn.wrapping_mul(0x9e37_79b9);
    (u64::from(point) << 21) | (noise & 0x1f_ffff)
}
