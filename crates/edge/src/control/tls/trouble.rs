//! Errors about the files that a config names, with the place of the key that names them.

use std::path::PathBuf;

use thalweg_config::{ConfigError, Placed};

/// A problem of the file at this place; the text begins with the file unless it names it.
pub(super) fn trouble(place: Option<&Placed<PathBuf>>, problem: &str) -> ConfigError {
    let (span, path) = place.map(|place| (place.span.clone(), place.path.clone())).unwrap_or_default();
    let file = place.filter(|place| !problem.contains(&*place.value.to_string_lossy()));
    let problem = match file {
        Some(place) => format!("{} {problem}", place.value.display()),
        None => problem.to_owned(),
    };
    ConfigError { span, path, problem, hint: None }
}

/// The same, with what to do about it.
pub(super) fn trouble_with(place: Option<&Placed<PathBuf>>, problem: &str, hint: &str) -> ConfigError {
    ConfigError { hint: Some(hint.to_owned()), ..trouble(place, problem) }
}
