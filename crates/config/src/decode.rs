//! Checks one parsed TOML file against the declarations of its keys: unknown keys, wrong types, bounds, missing keys,
//! substitutions. Collects every error and goes on. Never looks at two keys together.

use std::{collections::HashSet, fmt, time::Duration};

use toml::{
    Spanned,
    de::{DeFloat, DeInteger, DeTable, DeValue},
};

use crate::{
    diagnostic::{Diagnostic, quoted, shown},
    env::{Env, substitute},
    keys::ROOT,
    report::Report,
    suggest::did_you_mean,
    table::{Default as D, Key, Kind, Shape},
    text::Text,
    tree::{At, Entry, Node, Value},
    units,
};

/// The state while one file is decoded.
pub(crate) struct Decoder<'d> {
    pub(crate) report: &'d mut Report,
    pub(crate) env: Env<'d>,
    /// Called with each value that replaced a `${NAME}`.
    pub(crate) used: &'d mut dyn FnMut(&str),
    pub(crate) file: usize,
    /// Lines with syntax errors. Further errors on these lines are not reported: most of them follow from the first.
    pub(crate) broken: HashSet<usize>,
}

/// The way to a value, printed as `route.api.pools[1].weight`.
#[derive(Clone, Copy)]
pub(crate) enum Trail<'t> {
    Root,
    Key(&'t Trail<'t>, &'t str),
    Item(&'t Trail<'t>, usize),
}

impl fmt::Display for Trail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Key(up, key) => {
                if !matches!(up, Self::Root) {
                    write!(f, "{up}.")?;
                }
                f.write_str(&key_text(key))
            }
            Self::Item(up, nth) => write!(f, "{up}[{nth}]"),
        }
    }
}

/// A key as it is written in TOML: quoted where it has to be.
pub(crate) fn key_text(key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if bare && key.len() <= 80 { key.to_owned() } else { quoted(key) }
}

impl Decoder<'_> {
    /// Decodes the whole file.
    pub(crate) fn file(&mut self, shape: &'static Shape, root: &Spanned<DeTable<'_>>) -> Node {
        let at = self.at(0);
        Node { at, value: self.shaped(shape, root.get_ref(), at, &Trail::Root) }
    }

    fn at(&self, offset: usize) -> At {
        At { file: self.file, offset }
    }

    fn error(&mut self, at: At, trail: &Trail<'_>, diagnostic: Diagnostic) -> Value {
        if self.broken.is_empty() || !self.broken.contains(&self.report.span(at).line) {
            self.report.error(at, trail.to_string(), diagnostic);
        }
        Value::Bad
    }

    fn shaped(&mut self, shape: &'static Shape, table: &DeTable<'_>, at: At, trail: &Trail<'_>) -> Value {
        let mut entries = Vec::with_capacity(table.len());
        for (name, value) in table {
            let key_at = self.at(name.span().start);
            let name: &str = name.get_ref();
            let here = Trail::Key(trail, name);
            let Some(key) = shape.key(name) else {
                self.unknown(shape, name, key_at, &here);
                continue;
            };
            let node = self.node(&key.kind, value, &here);
            entries.push(Entry { name: name.to_owned(), at: key_at, node });
        }
        for key in shape.keys {
            if matches!(key.default, D::Required) && !entries.iter().any(|entry| entry.name == key.name) {
                self.missing(key, at, trail);
            }
        }
        Value::Table(entries)
    }

    fn unknown(&mut self, shape: &'static Shape, name: &str, at: At, trail: &Trail<'_>) {
        let names = shape.keys.iter().map(|key| key.name);
        let top = ROOT.key(name).filter(|_| !matches!(trail, Trail::Key(Trail::Root, _)));
        let near = self.report.fewer_than(1_000).then(|| did_you_mean(name, names.clone())).flatten();
        let hint = match (near, top) {
            (Some(hint), _) => hint,
            (None, Some(_)) => format!("`{name}` stands at the top of the file, before the first table"),
            (None, None) => format!("the keys here are {}", names.collect::<Vec<_>>().join(", ")),
        };
        self.error(at, trail, Diagnostic::new("unknown key").hint(hint));
    }

    fn missing(&mut self, key: &Key, at: At, trail: &Trail<'_>) {
        if self.broken.is_empty() {
            let diagnostic = Diagnostic::new(format!("`{}` is missing", key.name)).hint(expected(&key.kind));
            self.error(at, trail, diagnostic);
        }
    }

    fn node(&mut self, kind: &Kind, value: &Spanned<DeValue<'_>>, trail: &Trail<'_>) -> Node {
        let at = self.at(value.span().start);
        let decoded = match (kind, value.get_ref()) {
            (Kind::Table(shape), DeValue::Table(table)) => {
                return Node { at, value: self.shaped(shape, table, at, trail) };
            }
            (Kind::Map { keys, of, max }, DeValue::Table(table)) => {
                self.size(table.len(), (0, *max), at, trail);
                return Node { at, value: self.map(*keys, of, table, trail) };
            }
            (Kind::List { of, min, max }, DeValue::Array(items)) => {
                if !self.size(items.len(), (*min, *max), at, trail) {
                    return Node { at, value: Value::Bad };
                }
                return Node { at, value: self.list(of, items, trail) };
            }
            (Kind::Scalars, value) => self.scalars(value),
            (kind, value) => self.scalar(kind, value),
        };
        let value = decoded.unwrap_or_else(|diagnostic| self.error(at, trail, diagnostic));
        Node { at, value }
    }

    fn size(&mut self, size: usize, (min, max): (usize, usize), at: At, trail: &Trail<'_>) -> bool {
        let diagnostic = if size < min {
            Diagnostic::new("is empty").hint("write at least one, or leave the key out where it is optional")
        } else if size > max {
            Diagnostic::new(format!("has {size} entries")).hint(format!("at most {max}"))
        } else {
            return true;
        };
        self.error(at, trail, diagnostic);
        false
    }

    fn list(&mut self, of: &Kind, items: &[Spanned<DeValue<'_>>], trail: &Trail<'_>) -> Value {
        let mut nodes = Vec::with_capacity(items.len());
        let tables = matches!((trail, of), (Trail::Key(Trail::Root, _), Kind::Table(_)));
        for (nth, item) in items.iter().enumerate() {
            // Listeners are known by name, not by position.
            let name =
                item.get_ref().as_table().and_then(|t| t.get("name")).and_then(|n| n.get_ref().as_str());
            let node = match name.filter(|name| tables && Text::Name.read(name).is_ok()) {
                Some(name) => self.node(of, item, &Trail::Key(trail, name)),
                None => self.node(of, item, &Trail::Item(trail, nth)),
            };
            nodes.push(node);
        }
        Value::List(nodes)
    }

    fn map(&mut self, keys: Text, of: &Kind, table: &DeTable<'_>, trail: &Trail<'_>) -> Value {
        let mut entries = Vec::with_capacity(table.len());
        for (name, value) in table {
            let at = self.at(name.span().start);
            let name: &str = name.get_ref();
            let here = Trail::Key(trail, name);
            if let Err(diagnostic) = keys.read(name) {
                let diagnostic =
                    Diagnostic { problem: format!("the name {}", diagnostic.problem), ..diagnostic };
                self.error(at, &here, diagnostic);
            }
            let node = self.node(of, value, &here);
            entries.push(Entry { name: name.to_owned(), at, node });
        }
        Value::Table(entries)
    }

    fn string(&mut self, text: &str) -> Result<String, Diagnostic> {
        substitute(text, self.env, self.used).map(|text| text.into_owned())
    }

    fn scalar(&mut self, kind: &Kind, value: &DeValue<'_>) -> Result<Value, Diagnostic> {
        match (kind, value) {
            (Kind::Bool, DeValue::Boolean(flag)) => Ok(Value::Bool(*flag)),
            (Kind::Int { min, max }, DeValue::Integer(int)) => whole(int, *min, *max).map(Value::Int),
            (Kind::Num { min, max }, DeValue::Float(float)) => number(float_of(float), *min, *max),
            (Kind::Num { min, max }, DeValue::Integer(int)) => {
                number(int_of(int).map(|i| i as f64), *min, *max)
            }
            (Kind::Time { min, max }, DeValue::String(text)) => {
                let text = self.string(text)?;
                units::millis(&text, *min, *max).map(|ms| Value::Time(Duration::from_millis(ms)))
            }
            (Kind::Size { min, max }, DeValue::String(text)) => {
                units::bytes(&self.string(text)?, *min, *max).map(Value::Int)
            }
            (Kind::Choice(of), DeValue::String(text)) => one_of(&self.string(text)?, of),
            (Kind::Text(of), DeValue::String(text)) => of.read(&self.string(text)?),
            (kind, value) => Err(wrong_type(kind, value)),
        }
    }

    /// A string, number or boolean, or a list of such.
    fn scalars(&mut self, value: &DeValue<'_>) -> Result<Value, Diagnostic> {
        match value {
            DeValue::Array(items) if items.is_empty() => {
                Err(Diagnostic::new("is empty").hint("an empty list never matches"))
            }
            DeValue::Array(items) if items.len() > 64 => Err(Diagnostic::new("has more than 64 values")),
            DeValue::Array(items) => {
                let values: Result<_, _> = items.iter().map(|item| self.json(item.get_ref())).collect();
                values.map(Value::Json)
            }
            value => self.json(value).map(|value| Value::Json(vec![value])),
        }
    }

    fn json(&mut self, value: &DeValue<'_>) -> Result<serde_json::Value, Diagnostic> {
        match value {
            DeValue::String(text) => self.string(text).map(serde_json::Value::String),
            DeValue::Boolean(flag) => Ok((*flag).into()),
            DeValue::Integer(int) => match int_of(int).and_then(|int| i64::try_from(int).ok()) {
                Some(int) => Ok(int.into()),
                None => Err(Diagnostic::new("is out of range")),
            },
            DeValue::Float(float) => match float_of(float).and_then(serde_json::Number::from_f64) {
                Some(number) => Ok(serde_json::Value::Number(number)),
                None => Err(Diagnostic::new("is not a number of JSON")),
            },
            value => Err(wrong_type(&Kind::Scalars, value)),
        }
    }
}

fn int_of(int: &DeInteger<'_>) -> Option<i128> {
    i128::from_str_radix(int.as_str(), int.radix()).ok()
}

fn float_of(float: &DeFloat<'_>) -> Option<f64> {
    float.as_str().parse().ok()
}

fn whole(int: &DeInteger<'_>, min: u64, max: u64) -> Result<u64, Diagnostic> {
    let value = int_of(int).and_then(|value| u64::try_from(value).ok());
    value.filter(|value| (min..=max).contains(value)).ok_or_else(|| {
        let hint = if min == max { format!("only {min}") } else { format!("{min} to {max}") };
        Diagnostic::new(format!("{} is out of range", shown(&int.to_string()))).hint(hint)
    })
}

fn number(value: Option<f64>, min: f64, max: f64) -> Result<Value, Diagnostic> {
    match value {
        Some(value) if (min..=max).contains(&value) => Ok(Value::Num(value)),
        Some(value) => {
            Err(Diagnostic::new(format!("{value} is out of range")).hint(format!("{min} to {max}")))
        }
        None => Err(Diagnostic::new("is out of range").hint(format!("{min} to {max}"))),
    }
}

fn one_of(text: &str, of: &[&'static str]) -> Result<Value, Diagnostic> {
    if of.contains(&text) {
        return Ok(Value::Text(text.to_owned()));
    }
    let hint = did_you_mean(text, of.iter().copied()).unwrap_or_else(|| choices(of));
    Err(Diagnostic::new(format!("{} is not one of the choices", quoted(text))).hint(hint))
}

fn choices(of: &[&str]) -> String {
    let of: Vec<_> = of.iter().map(|choice| format!("\"{choice}\"")).collect();
    of.join(", ")
}

/// What a value of this kind looks like.
fn expected(kind: &Kind) -> String {
    match kind {
        Kind::Bool => "true or false".to_owned(),
        Kind::Int { min, max } if min == max => format!("only {min}"),
        Kind::Int { min, max } => format!("a whole number, {min} to {max}"),
        Kind::Num { min, max } => format!("a number, {min} to {max}"),
        Kind::Time { .. } => units::TIME_HINT.to_owned(),
        Kind::Size { .. } => units::SIZE_HINT.to_owned(),
        Kind::Choice(of) => choices(of),
        Kind::Text(of) => of.grammar().to_owned(),
        Kind::Scalars => "a string, number or boolean, or a list of such".to_owned(),
        Kind::List { of, .. } => format!("a list: [{}, …]", example(of)),
        Kind::Table(shape) => format!("a table: {}", example(&Kind::Table(shape))),
        Kind::Map { .. } => "a table".to_owned(),
    }
}

fn example(kind: &Kind) -> String {
    match kind {
        Kind::Table(shape) => {
            let required = shape.keys.iter().filter(|key| matches!(key.default, D::Required));
            let first = required.map(|key| key.name).chain(shape.keys.first().map(|key| key.name)).next();
            format!("{{ {} = … }}", first.unwrap_or_default())
        }
        Kind::Choice(of) => format!("\"{}\"", of.first().copied().unwrap_or_default()),
        _ => "\"…\"".to_owned(),
    }
}

fn wrong_type(kind: &Kind, value: &DeValue<'_>) -> Diagnostic {
    let wanted = match kind {
        Kind::Bool => "a boolean",
        Kind::Int { .. } => "a whole number",
        Kind::Num { .. } => "a number",
        Kind::Time { .. } => "a duration string",
        Kind::Size { .. } => "a size string",
        Kind::Choice(_) | Kind::Text(_) => "a string",
        Kind::Scalars => "a string, number or boolean",
        Kind::List { .. } => "a list",
        Kind::Table(_) | Kind::Map { .. } => "a table",
    };
    let found = match value {
        DeValue::Integer(_) => "an integer",
        DeValue::Array(_) => "a list",
        DeValue::String(_) => "a string",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Table(_) => "a table",
    };
    let hint = match (kind, value) {
        (Kind::Time { .. }, DeValue::Integer(int)) => format!("with a unit: \"{int}ms\" or \"{int}s\""),
        (Kind::Size { .. }, DeValue::Integer(int)) => format!("with a unit: \"{int}B\" or \"{int}KiB\""),
        (Kind::Text(_) | Kind::Choice(_), DeValue::Integer(int)) => format!("in quotes: \"{int}\""),
        (Kind::Table(shape), DeValue::String(text)) if shape.key("address").is_some() => {
            format!("{{ address = {} }}", quoted(text))
        }
        (Kind::Table(shape), DeValue::String(text)) if shape.key("dial").is_some() => {
            format!("{{ pool = {} }}", quoted(text))
        }
        (Kind::Table(shape), DeValue::Boolean(true)) if shape.key("sni").is_some() => {
            "{} for all defaults".to_owned()
        }
        (Kind::List { .. }, DeValue::String(text)) => format!("in brackets: [{}]", quoted(text)),
        _ => expected(kind),
    };
    Diagnostic::new(format!("must be {wanted}, not {found}")).hint(hint)
}
