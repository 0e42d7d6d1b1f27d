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

/// Most numbers of bundles that were taken back.
const MOST_REVERTED: usize = 8;

/// What this edge remembers of the fleet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FleetMemory {
    /// The highest number that came into force from each ring's place.
    pub seen: [u64; 3],
    /// The numbers of the bundles that were taken back last, the newest first, and zeros. Several: a bundle of another
    /// ring may still stand in the bucket when the next one is taken back.
    reverted: [u64; MOST_REVERTED],
}

impl FleetMemory {
    /// The highest number that came into force from a ring's place.
    #[must_use]
    pub fn seen(&self, ring: Ring) -> u64 {
        Ring::EACH.iter().zip(self.seen).find(|(one, _)| **one == ring).map_or(0, |(_, seen)| seen)
    }

    /// Notes that a bundle was taken back: it does not come into force again.
    pub fn revert(&mut self, number: u64) {
        if !self.is_reverted(number) {
            self.reverted.rotate_right(1);
            self.reverted[0] = number;
        }
    }

    /// Whether a bundle was taken back.
    #[must_use]
    pub fn is_reverted(&self, number: u64) -> bool {
        number > 0 && self.reverted.contains(&number)
    }

    /// The bundles that were taken back, the newest first.
    pub fn reverted(&self) -> impl Iterator<Item = u64> {
        self.reverted.into_iter().filter(|number| *number > 0)
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
    let mut memory = FleetMemory {
        seen: Ring::EACH.map(|ring| number(ring.as_str()).unwrap_or_default()),
        ..FleetMemory::default()
    };
    // One number in files of earlier versions.
    let list = value.get("reverted").and_then(Value::as_array).cloned().unwrap_or_default();
    let reverted = list.iter().filter_map(Value::as_u64).chain(number("reverted"));
    reverted.collect::<Vec<_>>().into_iter().rev().for_each(|number| memory.revert(number));
    memory
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
    numbers.insert("reverted".to_owned(), json!(memory.reverted().collect::<Vec<_>>()));
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
        let mut kept = FleetMemory { seen: [9, 0, 7], ..FleetMemory::default() };
        (3..=20).for_each(|number| kept.revert(number));
        kept.revert(19);
        assert_eq!(kept.reverted().collect::<Vec<_>>(), [20, 19, 18, 17, 16, 15, 14, 13]);
        remember(scratch.path(), kept).unwrap();
        assert_eq!(memory(scratch.path()), kept);
        scratch.write(NUMBERS, "{\"all\":9,\"reverted\":8}");
        assert!(memory(scratch.path()).is_reverted(8), "as an earlier version wrote it");
        scratch.write(NUMBERS, "{");
        assert_eq!(memory(scratch.path()), FleetMemory::default());
    }
}
