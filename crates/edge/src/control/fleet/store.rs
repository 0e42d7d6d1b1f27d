//! The last good bundle on this edge's disk, below `[edge] state_dir`: signed as it came, and the highest numbers seen.
//! Never trusts what it reads: the signature is verified again. Blocks.

use std::{io, path::Path};

use serde_json::{Map, Value, json};
use thalweg_config::Ring;

use super::bundle::{Bundle, MAX_BYTES, VerifyKey};
use crate::control::disk;

/// The bundle as it came from the engine.
const BUNDLE: &str = "bundle";
/// The numbers.
const NUMBERS: &str = "fleet.json";

/// What this edge remembers of the fleet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FleetMemory {
    /// The highest number that came into force from each ring's place.
    pub seen: [u64; 3],
    /// The number of a bundle that its guard took back: it does not come into force again.
    pub reverted: Option<u64>,
}

impl FleetMemory {
    /// The highest number that came into force from a ring's place.
    #[must_use]
    pub fn seen(&self, ring: Ring) -> u64 {
        Ring::EACH.iter().zip(self.seen).find(|(one, _)| **one == ring).map_or(0, |(_, seen)| seen)
    }

    /// Notes a number that came into force from a ring's place.
    pub fn see(&mut self, ring: Ring, number: u64) {
        for (_, seen) in Ring::EACH.iter().zip(&mut self.seen).filter(|(one, _)| **one == ring) {
            *seen = number.max(*seen);
        }
    }
}

/// The last good bundle; `None` without one.
///
/// # Errors
/// Why the file cannot be used.
pub fn last_good(state_dir: &Path, key: &VerifyKey) -> Result<Option<(Bundle, Vec<u8>)>, String> {
    let path = state_dir.join(BUNDLE);
    let bytes = match disk::read(&path, MAX_BYTES as u64) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|error| format!("{}: {error}", path.display()))?,
    };
    let bundle =
        Bundle::verify(&bytes, key).map_err(|refusal| format!("{}: {}", path.display(), refusal.as_str()))?;
    Ok(Some((bundle, bytes)))
}

/// What is remembered; nothing without a readable file.
#[must_use]
pub fn memory(state_dir: &Path) -> FleetMemory {
    let read = disk::read(&state_dir.join(NUMBERS), 4096).ok();
    let value: Value = read.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    let number = |name: &str| value.get(name).and_then(Value::as_u64);
    FleetMemory {
        seen: Ring::EACH.map(|ring| number(ring.as_str()).unwrap_or_default()),
        reverted: number("reverted"),
    }
}

/// Keeps a bundle as the last good one, or none.
///
/// # Errors
/// Why it cannot be written.
pub fn keep(state_dir: &Path, bytes: Option<&[u8]>) -> io::Result<()> {
    let Some(bytes) = bytes else {
        return match std::fs::remove_file(state_dir.join(BUNDLE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
    };
    disk::replace(state_dir, BUNDLE, bytes)
}

/// Keeps the numbers.
///
/// # Errors
/// Why they cannot be written.
pub fn remember(state_dir: &Path, memory: FleetMemory) -> io::Result<()> {
    let seen = Ring::EACH.iter().zip(memory.seen).map(|(ring, seen)| (ring.as_str().to_owned(), json!(seen)));
    let mut numbers: Map<String, Value> = seen.collect();
    numbers.insert("reverted".to_owned(), json!(memory.reverted));
    let text = Value::Object(numbers).to_string();
    disk::replace(state_dir, NUMBERS, format!("{text}\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use thalweg_testkit::Scratch;

    use super::*;

    #[test]
    fn the_numbers_are_read_again_and_a_broken_file_is_none() {
        let scratch = Scratch::new();
        assert_eq!(memory(scratch.path()), FleetMemory::default());
        let kept = FleetMemory { seen: [9, 0, 7], reverted: Some(8) };
        remember(scratch.path(), kept).unwrap();
        assert_eq!(memory(scratch.path()), kept);
        scratch.write(NUMBERS, "{");
        assert_eq!(memory(scratch.path()), FleetMemory::default());
    }
}
