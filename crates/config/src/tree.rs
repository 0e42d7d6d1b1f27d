//! The file as a tree of values, each with its place. `view` reads the tree; nothing here knows which keys exist.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use thalweg_core::{Cidr, PlaceCode};

/// A place: index of the file, byte offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct At {
    pub(crate) file: usize,
    pub(crate) offset: usize,
}

/// A value of one of the kinds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// A bad value, whose error is on record.
    Bad,
    Bool(bool),
    Int(u64),
    Num(f64),
    Time(Duration),
    Text(String),
    Socket(SocketAddr),
    Ip(IpAddr),
    HostPort(String, u16),
    Url(Url),
    Codes(u16, u16),
    Cidr(Cidr),
    Place(Place),
    Json(Vec<serde_json::Value>),
    List(Vec<Node>),
    Table(Vec<Entry>),
}

/// A URL, taken apart.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Url {
    pub(crate) tls: bool,
    /// A DNS name or an IP address, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Path and query.
    pub(crate) path: String,
}

/// A place in `from`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// Every client that no other entry names.
    Any,
    /// Clients in the networks of this name.
    Network(String),
    /// Clients in this country.
    Country(PlaceCode),
    /// Clients on this continent.
    Continent(PlaceCode),
}

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) at: At,
    pub(crate) value: Value,
}

/// Compares the values alone: a written value with a default, which has no place.
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
