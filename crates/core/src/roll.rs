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
    // 2^32 ÷ φ, as an odd number.
    let point = turn.wrapping_mul(0x9e37_79b9);
    (u64::from(point) << 21) | (noise & 0x1f_ffff)
}

/// Hashes some byte strings as one: FNV-1a (Fowler, Noll, Vo), with the length in front of each string, and its bits
/// spread by [`mix`]. The same on every machine, unlike the hashes of the standard library.
#[must_use]
pub(crate) fn hash_bytes(parts: &[&[u8]]) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let part = |hash: u64, part: &&[u8]| {
        let hash = (part.len() as u64).to_be_bytes().into_iter().fold(hash, step);
        part.iter().copied().fold(hash, step)
    };
    mix(parts.iter().fold(0xcbf2_9ce4_8422_2325, part))
}
