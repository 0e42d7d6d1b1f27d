//! Typed access to one table of the tree: what is written, else the default of its key.
//! A bad value reads as its default: the error is on record already and the result is thrown away.

use std::time::Duration;

use crate::{
    table::{Default as D, Key, Kind, Shape},
    tree::{At, Entry, Node, Value},
    units,
};

/// A table as its shape reads it; empty when it is not written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    pub(crate) shape: &'static Shape,
    pub(crate) at: At,
    entries: &'a [Entry],
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

    /// Of two keys, the one that is written, the first when both are, and its place.
    pub(crate) fn first_given(&self, keys: [&'static str; 2]) -> (At, &'static str) {
        let [first, second] = keys;
        match (self.given(first), self.given(second)) {
            (Some(node), _) => (node.at, first),
            (None, Some(node)) => (node.at, second),
            (None, None) => (self.at, first),
        }
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
