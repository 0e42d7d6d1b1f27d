//! The repository against its own rules: what a document claims exists, what a rule forbids does not.
//! Every guard that reads Rust proves on a small source of its own that it sees the rule broken.

mod repository;
mod rust;

mod commits;
mod documents;
mod folders;
mod house;
mod imports;
mod manifests;
mod names;
