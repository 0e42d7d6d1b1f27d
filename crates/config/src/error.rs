//! Config errors as values: all of them at once, each with its place, path, problem and hint. Never a panic.

use std::{fmt, path::PathBuf};

use serde::{Serialize, Serializer, ser::SerializeStruct};

use crate::{GeoSettings, Listener, PoolSettings};

/// A place in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// The file as the operator would name it.
    pub file: PathBuf,
    /// From 1; 0 = the whole file.
    pub line: usize,
    /// From 1, in characters; 0 = the whole file.
    pub column: usize,
}

/// One error. Among warnings: one thing that is accepted and probably not meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The place in the file.
    pub span: Span,
    /// `route.api.pools[1].weight`; may be empty for a whole file.
    pub path: String,
    /// What is wrong, as one lower-case clause.
    pub problem: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Every error of one reading, in file order; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

/// A config with errors, and the part of it that could be read: the caller can still check the files that it names.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejected {
    /// What is wrong.
    pub errors: ConfigErrors,
    /// The files it was read from, the main one first.
    pub files: Vec<PathBuf>,
    /// The listeners that could be read. Each file that they name exists.
    pub listeners: Vec<Listener>,
    /// The settings of the pools that could be read. Each file that they name exists.
    pub pools: Vec<PoolSettings>,
    /// What could be read of `[geo]`. The file that it names exists.
    pub geo: GeoSettings,
}

impl ConfigError {
    /// `{file, line, column, path, problem, hint}`, as the admin API and `check --format json` print it.
    pub fn to_json(&self) -> serde_json::Value {
        let Span { file, line, column } = &self.span;
        serde_json::json!({
            "file": file.display().to_string(), "line": line, "column": column,
            "path": self.path, "problem": self.problem, "hint": self.hint,
        })
    }
}

impl ConfigErrors {
    /// A list of [`ConfigError::to_json`].
    pub fn to_json(&self) -> serde_json::Value {
        self.0.iter().map(ConfigError::to_json).collect()
    }
}

impl Rejected {
    /// Adds the errors that were found inside the files that the config names.
    #[must_use]
    pub fn with(self, more: Vec<ConfigError>) -> ConfigErrors {
        let ConfigErrors(mut errors) = self.errors;
        errors.extend(more);
        errors.sort_by_key(|ConfigError { span, .. }| {
            let file = self.files.iter().position(|file| *file == span.file);
            // Errors that concern a file as a whole come after those with a line.
            let line = if span.line == 0 { usize::MAX } else { span.line };
            (file.unwrap_or(usize::MAX), line, span.column)
        });
        ConfigErrors(errors)
    }
}

impl From<Rejected> for ConfigErrors {
    fn from(rejected: Rejected) -> Self {
        rejected.errors
    }
}

impl Serialize for ConfigError {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut fields = to.serialize_struct("ConfigError", 6)?;
        fields.serialize_field("file", &self.span.file.display().to_string())?;
        fields.serialize_field("line", &self.span.line)?;
        fields.serialize_field("column", &self.span.column)?;
        fields.serialize_field("path", &self.path)?;
        fields.serialize_field("problem", &self.problem)?;
        fields.serialize_field("hint", &self.hint)?;
        fields.end()
    }
}

impl Serialize for ConfigErrors {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(to)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Span { file, line, column } = &self.span;
        write!(f, "{}:{line}:{column}", file.display())?;
        if !self.path.is_empty() {
            write!(f, " {}", self.path)?;
        }
        write!(f, ": {}", self.problem)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, error) in self.0.iter().enumerate() {
            if nth > 0 {
                writeln!(f)?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
impl std::error::Error for ConfigErrors {}
