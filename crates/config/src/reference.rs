//! The description of the keys as Markdown, for docs/configuration.md. A test holds the page to it.

use std::fmt::Write;

use crate::{
    keys::SHAPES,
    table::{Default as D, Key, Kind, Shape},
    units::{size_text, time_text},
};

/// Every key with its kind, bounds, default and meaning, as Markdown tables.
pub fn reference() -> String {
    let mut page = String::new();
    for shape in SHAPES {
        section(&mut page, shape);
    }
    page
}

fn section(page: &mut String, shape: &Shape) {
    // Writing into a string does not fail.
    let _ = writeln!(page, "### `{}`\n\n{}\n", shape.title, shape.doc);
    let _ = writeln!(page, "| key | value | default | meaning |\n|---|---|---|---|");
    for key in shape.keys {
        let (value, default) = (cell(&value(&key.kind)), cell(&default(key)));
        let _ = writeln!(page, "| `{}` | {value} | {default} | {} |", key.name, cell(key.doc));
    }
    page.push('\n');
}

/// Text that cannot end a cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn value(kind: &Kind) -> String {
    match kind {
        Kind::Bool => "`true` or `false`".to_owned(),
        Kind::Int { min, max } if min == max => format!("`{min}`"),
        Kind::Int { min, max } => format!("{min} to {max}"),
        Kind::Num { min, max } => format!("number, {min} to {max}"),
        Kind::Time { min, max } => format!("duration, {} to {}", time_text(*min), time_text(*max)),
        Kind::Size { min, max } => format!("size, {} to {}", size_text(*min), size_text(*max)),
        Kind::Choice(of) => of.iter().map(|one| format!("`\"{one}\"`")).collect::<Vec<_>>().join(", "),
        Kind::Text(of) => of.grammar().to_owned(),
        Kind::Scalars => "string, number or boolean, or a list of such".to_owned(),
        Kind::List { of, min, max } => format!("list, {min} to {max}: {}", value(of)),
        Kind::Table(shape) => format!("table `{}`", shape.title),
        Kind::Map { of, max, .. } => format!("table by name, at most {max}: {}", value(of)),
    }
}

fn default(key: &Key) -> String {
    match key.default {
        D::Required => "**required**".to_owned(),
        D::Absent(what) => what.to_owned(),
        D::Table => "its own defaults".to_owned(),
        D::Bool(flag) => format!("`{flag}`"),
        D::Int(int) => format!("`{int}`"),
        D::Num(num) => format!("`{num}`"),
        D::Text(text) => format!("`\"{text}\"`"),
        D::Texts(texts) => format!("`{texts:?}`"),
    }
}
