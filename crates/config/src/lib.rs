//! From TOML to [`Config`]: every error at once, each with its place and a hint. Never starts anything.
//!
//! A config is read in four steps, and each step knows less than the one before it:
//!
//! | step | files | in → out |
//! |---|---|---|
//! | read | `loader`, `files`, `syntax` | paths → TOML documents, merged over all included files |
//! | decode | `decode`, `env`, `units`, `text` | TOML → `tree`: unknown keys, types, bounds, `${NAME}` |
//! | build | `build` | tree (through a `view` with defaults) → `model`: what keys mean together |
//! | report | `diagnostic`, `report`, `error`, `suggest` | what is wrong → errors in file order, with hints |
//!
//! `changes` compares two configs as they are written; `credentials` reads what the fleet's servers are told; `fleet` says which tables a bundle of the fleet
//! decides; `log` holds the words of the table `[log]`.
//!
//! `keys` declares every key once, in the words of `table`. The decoder, the JSON Schema (`schema`) and the reference
//! page (`reference`) are made from these declarations. Rejected: derived deserialisation, which stops at the first
//! error and loses the place of a value behind an untagged or flattened type.
#![forbid(unsafe_code)]

mod build;
mod changes;
mod credentials;
mod decode;
mod diagnostic;
mod env;
mod error;
mod files;
mod fleet;
mod front;
mod keys;
mod loader;
mod log;
mod model;
mod reference;
mod protocol;
mod report;
mod schema;
mod suggest;
mod syntax;
mod table;
mod tcp;
mod text;
mod tree;
mod units;
mod view;

use std::path::Path;

pub use changes::{KeyChange, changes};
pub use credentials::{AccountUser, FleetCredentials};
pub use error::{ConfigError, ConfigErrors, Rejected, Span};
pub use files::{Disk, Files, FromTexts, Typed};
pub use fleet::{Ring, bundled_path};
pub use front::{Forwarders, ForwardingField, Front, Networks, ProxyProtocol, RequestRate};
pub use log::{AccessLog, Level};
pub use model::*;
pub use protocol::PoolProtocol;
pub use reference::reference;
pub use schema::schema;
pub use tcp::PassThrough;

use loader::Loader;

/// Reads the config at `path`, what it includes and the files it names.
///
/// # Errors
/// Everything that is wrong with it, in file order.
pub fn load(path: &Path) -> Result<Config, ConfigErrors> {
    load_with(path, &environment, &Disk)
}

/// As [`load`], with the warnings in file order beside the verdict, also when there are errors.
pub fn check(path: &Path, files: &dyn Files) -> (Result<Config, Rejected>, Vec<ConfigError>) {
    read(path, None, &environment, files, &[])
}

/// As [`check`], with the files of the fleet's bundle in the place of every table that is not the edge's own. A table of
/// the edge's own in the bundle is not read.
pub fn check_with_bundle(
    path: &Path,
    files: &dyn Files,
    bundle: &[ConfigText],
) -> (Result<Config, Rejected>, Vec<ConfigError>) {
    read(path, None, &environment, files, bundle)
}

/// As [`check`], for files that were read before: named files and the environment are those of today.
pub fn check_texts(texts: &[ConfigText]) -> (Result<Config, Rejected>, Vec<ConfigError>) {
    let (bundle, own) = files::split(texts);
    let main = own.first().map(|main| main.path.as_path()).unwrap_or(Path::new(""));
    check_with_bundle(main, &FromTexts(&own), &bundle)
}

/// As [`check`], for text at hand in the place of the file at `path`; all other files are those on the disk.
pub fn check_str(text: &str, path: &Path) -> (Result<Config, Rejected>, Vec<ConfigError>) {
    read(path, Some(text), &environment, &Disk, &[])
}

/// A config's files as they stand on the disk, without a look at what they mean.
///
/// # Errors
/// Files that cannot be read, and syntax errors.
pub fn read_texts(path: &Path) -> Result<Vec<ConfigText>, ConfigErrors> {
    let files = Typed(path);
    let mut loader = Loader::new(&environment, &files, &[]);
    let _tree = loader.tree(path, None);
    let (broken, texts) = (loader.broken, loader.texts());
    match loader.report.finish().0 {
        Err(errors) if broken => Err(errors),
        _ => Ok(texts),
    }
}

/// SHA-256, in hex, over paths and contents: equal means that the same was written.
pub fn digest(texts: &[ConfigText]) -> String {
    loader::digest(texts)
}

/// As [`load`], with the environment and the files that the caller says.
///
/// # Errors
/// Everything that is wrong with it, in file order.
pub fn load_with(
    path: &Path,
    env: &dyn Fn(&str) -> Option<String>,
    files: &dyn Files,
) -> Result<Config, ConfigErrors> {
    Ok(read(path, None, env, files, &[]).0?)
}

/// As [`load`], for text at hand; `file_name` stands in errors, and paths in the text are relative to its folder.
///
/// # Errors
/// Everything that is wrong with it, in file order.
pub fn parse_str(text: &str, file_name: &str) -> Result<Config, ConfigErrors> {
    Ok(read(Path::new(file_name), Some(text), &environment, &Disk, &[]).0?)
}

/// A duration as the config writes it: a whole number and a unit (`300ms`, `1s`, `5m`, `1h`), from 1 ms to 24 h.
///
/// # Errors
/// What is wrong with the text, and how to write it.
pub fn duration(text: &str) -> Result<std::time::Duration, String> {
    within(text, 24)
}

/// A duration as [`duration`], up to a year (`8760h`): how long an order of the operator stands.
///
/// # Errors
/// What is wrong with the text, and how to write it.
pub fn long_duration(text: &str) -> Result<std::time::Duration, String> {
    within(text, 365 * 24)
}

/// A duration from 1 ms to this many hours.
fn within(text: &str, hours: u64) -> Result<std::time::Duration, String> {
    match units::millis(text, 1, hours * 60 * 60 * 1000) {
        Ok(ms) => Ok(std::time::Duration::from_millis(ms)),
        Err(wrong) => Err(format!("{}: {}", wrong.problem, units::TIME_HINT)),
    }
}

fn read(
    path: &Path,
    text: Option<&str>,
    env: &dyn Fn(&str) -> Option<String>,
    files: &dyn Files,
    bundle: &[ConfigText],
) -> (Result<Config, Rejected>, Vec<ConfigError>) {
    let mut loader = Loader::new(env, files, bundle);
    let tree = loader.tree(path, text);
    build::config(loader, &tree)
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
