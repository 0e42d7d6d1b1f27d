//! What the TOML parser complains about, in the words of this program: one complaint a line, no echoes.
//! Never looks at what keys mean.

use toml::de::{DeTable, DeValue, Error};

use crate::diagnostic::{Diagnostic, shown};

const DUPLICATE: &str = "duplicate key";

/// Complaints about duplicates for which the first is looked up.
const LOOKED_UP: usize = 50;

/// One complaint of the parser.
pub(crate) struct Complaint {
    pub(crate) offset: usize,
    pub(crate) diagnostic: Diagnostic,
    /// The rest of the file is read as it was meant.
    pub(crate) harmless: bool,
}

/// In file order.
pub(crate) fn complaints(text: &str, root: &DeTable<'_>, mut errors: Vec<Error>) -> Vec<Complaint> {
    errors.sort_by_key(start);
    let mut kept: Vec<Complaint> = Vec::new();
    let mut list_open = false;
    let mut twice_from = None;
    for error in errors {
        let (offset, message) = (start(&error), error.message());
        let between = |from: usize| text.get(from..offset).unwrap_or_default();
        // A list without its bracket swallows the lines below; each of them would complain.
        let in_list = message.contains("array");
        let harmless = message == DUPLICATE;
        // The keys of a table that is written twice are written twice too.
        if harmless && twice_from.is_some_and(|from| !between(from).contains("\n[")) {
            twice_from = Some(offset);
            continue;
        }
        twice_from = None;
        let same_line = kept.last().is_some_and(|last| !between(last.offset).contains('\n'));
        if same_line || (list_open && in_list) {
            continue;
        }
        list_open |= in_list;
        let diagnostic = if harmless {
            twice_from = header(line_of(text, offset)).map(|_| offset);
            let look = kept.len() < LOOKED_UP;
            twice(text, look.then_some(root), error.span().unwrap_or_default())
        } else {
            other(text.get(offset..).unwrap_or_default(), message)
        };
        kept.push(Complaint { offset, diagnostic, harmless });
    }
    kept
}

fn start(error: &Error) -> usize {
    error.span().map_or(0, |span| span.start)
}

fn other(rest: &str, message: &str) -> Diagnostic {
    const QUOTES: &str = "a string stands in quotes: \"…\"";
    let begins = |with: &str| message.starts_with(with);
    if rest.starts_with("True") || rest.starts_with("False") {
        return Diagnostic::new("is not a TOML value").hint("true and false are lower case");
    }
    if ["string values must be quoted", "invalid boolean", "invalid float"].iter().any(|with| begins(with)) {
        let blank =
            rest.trim_start_matches([' ', '\t']).starts_with(['\n', '\r', '#']) || rest.trim().is_empty();
        return Diagnostic::new(if blank { "the value is missing" } else { "is not a TOML value" })
            .hint(QUOTES);
    }
    let hint = [
        ("missing comma between array", "a comma is missing here, or the list above lacks its ]"),
        ("unclosed array", "the list lacks its ]"),
        ("unclosed inline table", "the table lacks its }"),
        ("unclosed table", "the header lacks its ]"),
        ("key with no value", "key = value"),
        ("invalid basic string", "the closing quote is missing, or a control character stands inside"),
        ("cannot recurse", "lists and tables are nested too deeply"),
    ];
    let diagnostic = Diagnostic::new(message.to_owned());
    match hint.iter().find(|(with, _)| begins(with)) {
        Some((_, hint)) => diagnostic.hint(*hint),
        None => diagnostic,
    }
}

/// A key or table that is written twice, with the line of the first when it is found.
fn twice(text: &str, root: Option<&DeTable<'_>>, span: std::ops::Range<usize>) -> Diagnostic {
    let key = text.get(span.clone()).unwrap_or_default();
    let line_start = line_start(text, span.start);
    let header = header(line_of(text, span.start));
    let first = match (header, root) {
        (_, None) => None,
        (Some(wanted), _) => {
            let mut at = 0;
            let lines = text.get(..line_start).unwrap_or_default().split_inclusive('\n');
            let starts = lines.map(|line| {
                at += line.len();
                (at - line.len(), line)
            });
            starts.into_iter().find(|(_, line)| self::header(line) == Some(wanted)).map(|(at, _)| at)
        }
        (None, Some(root)) => nearest_before(root, key.trim_matches(['"', '\'']), span.start),
    };
    let diagnostic = Diagnostic::new(format!("`{}` is written twice", shown(header.unwrap_or(key))));
    match first.and_then(|at| text.get(..at)) {
        Some(before) => {
            let line = before.matches('\n').count() + 1;
            diagnostic.hint(format!("the first is in line {line}"))
        }
        None => diagnostic.hint("keep one"),
    }
}

fn line_start(text: &str, at: usize) -> usize {
    text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |end| end + 1)
}

fn line_of(text: &str, at: usize) -> &str {
    text.get(line_start(text, at)..).unwrap_or_default()
}

/// `pool.a` of a line `[pool.a]`.
fn header(line: &str) -> Option<&str> {
    let inside = line.trim_start().strip_prefix('[')?.split(['\n', '#']).next()?.trim_end();
    inside.strip_suffix(']').map(str::trim)
}

/// The last key of this name before `limit`.
fn nearest_before(table: &DeTable<'_>, name: &str, limit: usize) -> Option<usize> {
    let inner = table.iter().filter_map(|(key, value)| {
        let own = (key.get_ref() == name).then(|| key.span().start).filter(|at| *at < limit);
        own.max(nearest_in(value.get_ref(), name, limit))
    });
    inner.max()
}

fn nearest_in(value: &DeValue<'_>, name: &str, limit: usize) -> Option<usize> {
    match value {
        DeValue::Table(table) => nearest_before(table, name, limit),
        DeValue::Array(items) => {
            items.iter().filter_map(|item| nearest_in(item.get_ref(), name, limit)).max()
        }
        _ => None,
    }
}
