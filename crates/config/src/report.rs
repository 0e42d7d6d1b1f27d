//! Collects errors and warnings while a config is read, and turns byte offsets into lines and columns.

use std::path::{Path, PathBuf};

use crate::{ConfigError, ConfigErrors, ConfigText, Span, diagnostic::Diagnostic, tree::At};

/// Most errors that are kept. Later ones are only counted.
const MOST: usize = 1_000;

/// One file that was read.
#[derive(Debug)]
pub(crate) struct SourceText {
    /// The path as the operator writes it.
    pub(crate) name: PathBuf,
    text: String,
    /// Byte offset at which each line starts.
    lines: Vec<usize>,
}

/// The offset of an error that concerns a file as a whole.
pub(crate) const WHOLE: usize = usize::MAX;

#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) sources: Vec<SourceText>,
    errors: Vec<(At, ConfigError)>,
    warnings: Vec<(At, ConfigError)>,
    dropped: usize,
}

impl SourceText {
    pub(crate) fn new(name: PathBuf, text: String) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        let lines = std::iter::once(0).chain(ends).collect();
        Self { name, text, lines }
    }

    /// The file with its content, for a later reading.
    pub(crate) fn kept(&self) -> ConfigText {
        ConfigText { path: self.name.clone(), text: self.text.as_str().into() }
    }

    /// The folder that relative paths in this file start from.
    pub(crate) fn folder(&self) -> &Path {
        self.name.parent().unwrap_or(Path::new(""))
    }

    fn span(&self, offset: usize) -> Span {
        let file = self.name.clone();
        if offset == WHOLE {
            return Span { file, line: 0, column: 0 };
        }
        let offset = offset.min(self.text.len());
        let line = self.lines.partition_point(|start| *start <= offset);
        let start = self.lines.get(line.saturating_sub(1)).copied().unwrap_or_default();
        let before = self.text.get(start..offset).unwrap_or_default();
        Span { file, line, column: before.chars().count() + 1 }
    }
}

impl Report {
    pub(crate) fn span(&self, at: At) -> Span {
        self.sources.get(at.file).map(|source| source.span(at.offset)).unwrap_or_default()
    }

    /// `file:line:column`, for errors that name two places.
    pub(crate) fn place(&self, at: At) -> String {
        let Span { file, line, column } = self.span(at);
        format!("{}:{line}:{column}", file.display())
    }

    pub(crate) fn error(&mut self, at: At, path: impl Into<String>, diagnostic: Diagnostic) {
        if self.errors.len() >= MOST {
            self.dropped += 1;
            return;
        }
        let error = self.placed(at, path.into(), diagnostic);
        self.errors.push((at, error));
    }

    pub(crate) fn warn(&mut self, at: At, path: impl Into<String>, diagnostic: Diagnostic) {
        if self.warnings.len() < MOST {
            let warning = self.placed(at, path.into(), diagnostic);
            self.warnings.push((at, warning));
        }
    }

    /// Whether fewer errors than this are on record. Hints that need a search stop after some: they take time.
    pub(crate) fn fewer_than(&self, count: usize) -> bool {
        self.errors.len() < count
    }

    fn placed(&self, at: At, path: String, diagnostic: Diagnostic) -> ConfigError {
        ConfigError { span: self.span(at), path, problem: diagnostic.problem, hint: diagnostic.hint }
    }

    /// Ends the reading: the errors, if there are any, and the warnings, each in file order.
    pub(crate) fn finish(mut self) -> (Result<(), ConfigErrors>, Vec<ConfigError>) {
        let warnings = in_order(std::mem::take(&mut self.warnings));
        if self.errors.is_empty() {
            return (Ok(()), warnings);
        }
        if self.dropped > 0 {
            let last = self.errors.iter().map(|(at, _)| *at).max().unwrap_or_default();
            let diagnostic = Diagnostic::new(format!("and {} more errors", self.dropped));
            let error = self.placed(last, String::new(), diagnostic);
            self.errors.push((last, error));
        }
        (Err(ConfigErrors(in_order(self.errors))), warnings)
    }
}

fn in_order(mut placed: Vec<(At, ConfigError)>) -> Vec<ConfigError> {
    placed.sort_by_key(|(at, _)| *at);
    placed.into_iter().map(|(_, error)| error).collect()
}
