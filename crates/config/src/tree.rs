//! The file as values of the kinds in [`crate::keys`], each with its place, and typed access with defaults.
//! A bad value reads as its default: the error is on record already and the result is thrown away.

use std::{net::SocketAddr, time::Duration};

use crate::{
    table::{Default as D, Key, Kind, Shape},
    units,
};

/// A place: index of the file, byte offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct At {
    pub(crate) file: usize,
    pub(crate) offset: usize,
}

/// A value of one of the kinds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// An error is on record.
    Bad,
    Bool(bool),
    Int(u64),
    Num(f64),
    Time(Duration),
    Text(String),
    Socket(SocketAddr),
    HostPort(String, u16),
    Codes(u16, u16),
    Json(Vec<serde_json::Value>),
    List(Vec<Node>),
    Table(Vec<Entry>),
}

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) at: At,
    pub(crate) value: Value,
}

/// Places do not count: values are compared with defaults.
impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

/// A key of a table, its place and its value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    /// Place of the key.
    pub(crate) at: At,
    pub(crate) node: Node,
}

/// A table as its shape reads it; empty when it is not written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    pub(crate) shape: &'static Shape,
    pub(crate) at: At,
    entries: &'a [Entry],
}

impl Node {
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Table(entries) => entries,
            _ => &[],
        }
    }

    pub(crate) fn items(&self) -> &[Self] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    pub(crate) fn text(&self) -> &str {
        match &self.value {
            Value::Text(text) => text,
            _ => "",
        }
    }
}

impl<'a> View<'a> {
    pub(crate) fn new(shape: &'static Shape, node: &'a Node) -> Self {
        Self { shape, at: node.at, entries: node.entries() }
    }

    /// What is written, when it is good.
    pub(crate) fn given(&self, name: &str) -> Option<&'a Node> {
        debug_assert!(self.shape.key(name).is_some(), "no key {name} in {}", self.shape.title);
        let entry = self.entries.iter().find(|entry| entry.name == name)?;
        (entry.node.value != Value::Bad).then_some(&entry.node)
    }

    /// True also when it is written badly.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|entry| entry.name == name)
    }

    pub(crate) fn table(&self, name: &str) -> View<'a> {
        let shape = match self.shape.key(name).map(|key| &key.kind) {
            Some(Kind::Table(shape)) => *shape,
            _ => self.shape,
        };
        match self.given(name) {
            Some(node) => View::new(shape, node),
            None => View { shape, at: self.at, entries: &[] },
        }
    }

    pub(crate) fn items(&self, name: &str) -> &'a [Node] {
        self.given(name).map(Node::items).unwrap_or_default()
    }

    /// Entries of a table whose keys the operator chose.
    pub(crate) fn named(&self, name: &str) -> &'a [Entry] {
        self.given(name).map(Node::entries).unwrap_or_default()
    }

    /// What is written, else the default, else `Bad`.
    fn value(&self, name: &str) -> Value {
        match self.given(name) {
            Some(node) => node.value.clone(),
            None => self.shape.key(name).and_then(default_value).unwrap_or(Value::Bad),
        }
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        matches!(self.value(name), Value::Bool(true))
    }

    pub(crate) fn int(&self, name: &str) -> u64 {
        match self.value(name) {
            Value::Int(int) => int,
            _ => 0,
        }
    }

    /// The same, where the bounds in [`crate::keys`] keep the number small.
    pub(crate) fn small<T: TryFrom<u64> + Default>(&self, name: &str) -> T {
        T::try_from(self.int(name)).unwrap_or_default()
    }

    pub(crate) fn num(&self, name: &str) -> f64 {
        match self.value(name) {
            Value::Num(num) => num,
            _ => 0.0,
        }
    }

    pub(crate) fn time(&self, name: &str) -> Duration {
        match self.value(name) {
            Value::Time(time) => time,
            _ => Duration::ZERO,
        }
    }

    pub(crate) fn text(&self, name: &str) -> String {
        match self.value(name) {
            Value::Text(text) => text,
            _ => String::new(),
        }
    }

    pub(crate) fn optional_text(&self, name: &str) -> Option<String> {
        self.given(name).map(|node| node.text().to_owned())
    }

    /// The texts of a list, with their places.
    pub(crate) fn texts(&self, name: &str) -> Vec<String> {
        match self.value(name) {
            Value::List(items) => items.iter().map(|item| item.text().to_owned()).collect(),
            _ => Vec::new(),
        }
    }

    /// The items of a list, written or default.
    pub(crate) fn values(&self, name: &str) -> Vec<Value> {
        match self.value(name) {
            Value::List(items) => items.into_iter().map(|item| item.value).collect(),
            _ => Vec::new(),
        }
    }
}

/// The default of a key as the value that writing it would give.
pub(crate) fn default_value(key: &Key) -> Option<Value> {
    let read = |text: &str| match &key.kind {
        Kind::Time { min, max } => {
            units::millis(text, *min, *max).ok().map(|ms| Value::Time(Duration::from_millis(ms)))
        }
        Kind::Size { min, max } => units::bytes(text, *min, *max).ok().map(Value::Int),
        Kind::Text(of) | Kind::List { of: Kind::Text(of), .. } => of.read(text).ok(),
        _ => Some(Value::Text(text.to_owned())),
    };
    match key.default {
        D::Required | D::Absent(_) | D::Table => None,
        D::Bool(flag) => Some(Value::Bool(flag)),
        D::Int(int) => Some(Value::Int(int)),
        D::Num(num) => Some(Value::Num(num)),
        D::Text(text) => read(text),
        D::Texts(texts) => {
            let items = texts.iter().filter_map(|text| read(text));
            Some(Value::List(items.map(|value| Node { at: At::default(), value }).collect()))
        }
    }
}
