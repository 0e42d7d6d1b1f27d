//! The types with which keys are declared: kinds, bounds, defaults.
//! Reader, schema and reference are all made from such declarations. Never holds a value of an operator.

use crate::text::Text;

/// The keys of one table of the file.
#[derive(Debug)]
pub(crate) struct Shape {
    /// How an operator writes it: `[probe.NAME]`.
    pub(crate) title: &'static str,
    /// What the table is for, in one sentence for the operator.
    pub(crate) doc: &'static str,
    /// In the order of the documentation.
    pub(crate) keys: &'static [Key],
}

/// The declaration of one key.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) default: Default,
    /// One sentence for the operator.
    pub(crate) doc: &'static str,
}

/// What holds when the key is not written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Default {
    /// A table without the key is an error.
    Required,
    /// No value. The text says what holds instead, perhaps only known at run time.
    Absent(&'static str),
    /// The defaults of the table's own keys.
    Table,
    Bool(bool),
    Int(u64),
    Num(f64),
    Text(&'static str),
    Texts(&'static [&'static str]),
}

/// What a value may be.
#[derive(Debug)]
pub(crate) enum Kind {
    Bool,
    /// A whole number, bounds included.
    Int {
        min: u64,
        max: u64,
    },
    /// A number, bounds included.
    Num {
        min: f64,
        max: f64,
    },
    /// A duration string, bounds in ms, included.
    Time {
        min: u64,
        max: u64,
    },
    /// A size string, bounds in bytes, included.
    Size {
        min: u64,
        max: u64,
    },
    /// One of these strings.
    Choice(&'static [&'static str]),
    /// A string with a grammar of its own.
    Text(Text),
    /// A string, number or boolean, or a list of such.
    Scalars,
    /// An array; bounds on its length.
    List {
        of: &'static Kind,
        min: usize,
        max: usize,
    },
    /// A table with fixed keys.
    Table(&'static Shape),
    /// A table whose keys the operator chooses.
    Map {
        keys: Text,
        of: &'static Kind,
        max: usize,
    },
}

pub(crate) const SECOND: u64 = 1_000;
pub(crate) const DAY: u64 = 24 * 3_600 * SECOND;
pub(crate) const KIB: u64 = 1_024;
pub(crate) const MIB: u64 = 1_024 * KIB;
pub(crate) const TIB: u64 = 1_024 * 1_024 * MIB;

impl Shape {
    pub(crate) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

impl Key {
    const fn new(name: &'static str, kind: Kind, default: Default, doc: &'static str) -> Self {
        Self { name, kind, default, doc }
    }
}

pub(crate) const fn boolean(name: &'static str, default: bool, doc: &'static str) -> Key {
    Key::new(name, Kind::Bool, Default::Bool(default), doc)
}

pub(crate) const fn int(name: &'static str, bounds: (u64, u64), default: Default, doc: &'static str) -> Key {
    Key::new(name, Kind::Int { min: bounds.0, max: bounds.1 }, default, doc)
}

pub(crate) const fn num(name: &'static str, bounds: (f64, f64), default: f64, doc: &'static str) -> Key {
    Key::new(name, Kind::Num { min: bounds.0, max: bounds.1 }, Default::Num(default), doc)
}

pub(crate) const fn time(
    name: &'static str,
    bounds: (u64, u64),
    default: &'static str,
    doc: &'static str,
) -> Key {
    Key::new(name, Kind::Time { min: bounds.0, max: bounds.1 }, Default::Text(default), doc)
}

pub(crate) const fn size(
    name: &'static str,
    bounds: (u64, u64),
    default: &'static str,
    doc: &'static str,
) -> Key {
    Key::new(name, Kind::Size { min: bounds.0, max: bounds.1 }, Default::Text(default), doc)
}

pub(crate) const fn choice(
    name: &'static str,
    of: &'static [&'static str],
    default: Default,
    doc: &'static str,
) -> Key {
    Key::new(name, Kind::Choice(of), default, doc)
}

pub(crate) const fn text(name: &'static str, of: Text, default: Default, doc: &'static str) -> Key {
    Key::new(name, Kind::Text(of), default, doc)
}

pub(crate) const fn list(name: &'static str, kind: Kind, default: Default, doc: &'static str) -> Key {
    Key::new(name, kind, default, doc)
}

pub(crate) const fn table(
    name: &'static str,
    of: &'static Shape,
    default: Default,
    doc: &'static str,
) -> Key {
    Key::new(name, Kind::Table(of), default, doc)
}
