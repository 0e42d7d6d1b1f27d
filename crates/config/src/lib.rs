//! From TOML to [`Config`]: every error at once, each with its place and a hint. Never starts anything.
#![forbid(unsafe_code)]

mod error;
mod model;

pub use error::{ConfigError, ConfigErrors, Span};
pub use model::*;
