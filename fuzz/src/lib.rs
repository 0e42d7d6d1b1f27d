//! The promises that every input must keep, one function per fuzz target in `checks` and `wire`. `tests/tests/fuzz_seeds.rs`
//! runs the same functions over the committed seeds with the stable compiler.
#![forbid(unsafe_code)]

pub mod checks;
pub mod wire;
