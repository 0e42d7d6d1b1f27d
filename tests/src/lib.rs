//! The chaos suite: regions as separate processes, faults by script, a ledger at both ends, goals, figures. Scenarios
//! live in `tests/tests`; `tests/tests/chaos.rs` runs the short form of what is here, the binary `chaos` all of it.
//!
//! Reading order: a [`cell::Cell`] is a scene, a script and goals; [`drive`] plays it into a [`record::Record`];
//! [`invariants`] and [`goal`] (`steady` for shares and capacities) judge the record; [`report`] and [`plot`] show it.
//! A [`drill::Drill`] is something else: an operator ends many connections, and each of them is looked at.

pub mod cell;
pub mod table;

pub mod drive;
pub mod scene;

pub mod drill;

pub mod netns;
pub mod peer;
pub mod site;

pub mod record;

pub mod goal;
pub mod invariants;
mod steady;

pub mod compare;
pub mod plot;
pub mod report;

pub mod clock;
pub mod machine;
pub mod mood;

#[cfg(test)]
mod made;
