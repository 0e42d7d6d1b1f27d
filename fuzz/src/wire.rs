//! The promises of the HTTP/1.1 engine, as `crates/wire/tests/common` states them: no division into reads changes what is
//! read, memory keeps its bounds, and what is forwarded is read the same again. `crates/wire/tests/fuzz_seeds.rs` runs
//! the same functions over the committed seeds.

use thalweg_wire::AnswerTo;

#[path = "../../crates/wire/tests/common/mod.rs"]
mod driver;

/// The first two bytes say where the reads end; the others come from a client.
pub fn requests(bytes: &[u8]) {
    let [first, second, input @ ..] = bytes else { return };
    driver::invariants::of_requests(input, &[usize::from(*first), usize::from(*second)]);
}

/// The first two bytes say where the reads end, the third what was asked for; the others come from an endpoint.
pub fn answers(bytes: &[u8]) {
    let [first, second, asked, input @ ..] = bytes else { return };
    let to = AnswerTo { head: asked & 1 != 0, upgrade: asked & 2 != 0 };
    driver::invariants::of_answers(input, &[usize::from(*first), usize::from(*second)], to);
}
