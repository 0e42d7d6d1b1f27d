//! Positions in one layout, the tables that are read by them, and the names that outlive a layout.
//! Plain values: a slot of one kind cannot be used where another kind is meant.

use std::{
    marker::PhantomData,
    net::{IpAddr, SocketAddr},
    ops::{Deref, DerefMut, Range},
    sync::Arc,
};

use crate::roll::hash_bytes;

/// Position of an endpoint in its [`crate::Layout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointSlot(pub u32);

/// Position of a pool in [`crate::Topology::pools`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolSlot(pub u32);

/// Position of a route in [`crate::Topology::routes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteSlot(pub u32);

/// Position of a pool in the list of one route, [`crate::Route::pools`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntrySlot(pub u32);

/// Position of a configured endpoint in [`crate::Pool::endpoints`]. A name there can stand for many endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpecSlot(pub u32);

/// The short name of an [`EndpointKey`] in this process. An id is given once and never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(pub u32);

/// An endpoint's identity: all knowledge about the endpoint is kept by it, across reloads. The weight is not part of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointKey {
    /// The pool's name.
    pub pool: Arc<str>,
    /// The resolved address.
    pub address: SocketAddr,
}

/// What an endpoint's key hashes to: the same in every process and on every edge. Affinity ranks endpoints by it, and
/// cookies name them by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointHash(pub u64);

impl EndpointKey {
    /// The hash of this key. A change of it moves every client of every route with affinity.
    #[must_use]
    pub fn hash(&self) -> EndpointHash {
        let port = self.address.port().to_be_bytes();
        let ip = self.address.ip().to_canonical();
        let address: &[u8] = match &ip {
            IpAddr::V4(ip) => &ip.octets(),
            IpAddr::V6(ip) => &ip.octets(),
        };
        EndpointHash(hash_bytes(&[self.pool.as_bytes(), address, &port]))
    }
}

/// A kind of position.
pub trait Slot: Copy {
    /// The slot at this index. Indices beyond 2³² − 1 do not occur: the config bounds every list far below.
    fn at(index: usize) -> Self;
    /// The index that this slot stands for.
    fn index(self) -> usize;
}

macro_rules! slots {
    ($($name:ident),*) => {$(
        impl $name {
            /// The index that this slot stands for.
            #[must_use]
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }

        impl Slot for $name {
            fn at(index: usize) -> Self {
                Self(u32::try_from(index).unwrap_or(u32::MAX))
            }
            fn index(self) -> usize {
                self.0 as usize
            }
        }
    )*};
}
slots!(EndpointSlot, PoolSlot, RouteSlot, EntrySlot, SpecSlot);

/// A list that is read by slots of one kind, as rustc's `IndexVec`.
#[derive(Clone, Debug, PartialEq)]
pub struct SlotVec<S, T> {
    items: Vec<T>,
    slot: PhantomData<S>,
}

impl<S: Slot, T> SlotVec<S, T> {
    /// What is in a slot.
    #[must_use]
    pub fn get(&self, slot: S) -> Option<&T> {
        self.items.get(slot.index())
    }

    /// What is in a slot, to be changed.
    pub fn get_mut(&mut self, slot: S) -> Option<&mut T> {
        self.items.get_mut(slot.index())
    }

    /// What is in a range of slots; nothing if the range goes beyond the end.
    #[must_use]
    pub fn range(&self, range: &Range<S>) -> &[T] {
        self.items.get(range.start.index()..range.end.index()).unwrap_or_default()
    }

    /// Every slot, in order.
    pub fn slots(&self) -> impl Iterator<Item = S> + use<S, T> {
        (0..self.items.len()).map(S::at)
    }

    /// Every slot with what is in it, in order.
    pub fn entries(&self) -> impl Iterator<Item = (S, &T)> {
        self.items.iter().enumerate().map(|(index, item)| (S::at(index), item))
    }

    /// The items in a new order: `from` says for each new slot in which slot its item was. New slots get the default.
    #[must_use]
    pub(crate) fn carried(self, from: &SlotVec<S, Option<S>>) -> Self
    where
        T: Default,
    {
        let mut before: Vec<Option<T>> = self.items.into_iter().map(Some).collect();
        let mut take = |slot: &Option<S>| before.get_mut((*slot)?.index())?.take();
        from.iter().map(|slot| take(slot).unwrap_or_default()).collect()
    }

    /// Adds an item at the end.
    pub fn push(&mut self, item: T) {
        self.items.push(item);
    }

    /// The slot that the next item gets.
    #[must_use]
    pub fn next_slot(&self) -> S {
        S::at(self.items.len())
    }
}

/// Every item of a list with its slot, in order.
pub(crate) fn entries<S: Slot, T>(items: &[T]) -> impl Iterator<Item = (S, &T)> {
    items.iter().enumerate().map(|(index, item)| (S::at(index), item))
}

/// The slots of a range, in order.
pub(crate) fn slots_in<S: Slot>(range: &Range<S>) -> impl Iterator<Item = S> + use<S> {
    (range.start.index()..range.end.index()).map(S::at)
}

impl<S, T> Default for SlotVec<S, T> {
    fn default() -> Self {
        Self { items: Vec::new(), slot: PhantomData }
    }
}

impl<S, T> FromIterator<T> for SlotVec<S, T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self { items: items.into_iter().collect(), slot: PhantomData }
    }
}

impl<S, T> Deref for SlotVec<S, T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.items
    }
}

impl<S, T> DerefMut for SlotVec<S, T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.items
    }
}

impl<S, T> IntoIterator for SlotVec<S, T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;
    fn into_iter(self) -> Self::IntoIter {
        self.items.into_iter()
    }
}

impl<'a, S, T> IntoIterator for &'a SlotVec<S, T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;
    fn into_iter(self) -> Self::IntoIter {
        self.items.iter()
    }
}

impl<'a, S, T> IntoIterator for &'a mut SlotVec<S, T> {
    type Item = &'a mut T;
    type IntoIter = std::slice::IterMut<'a, T>;
    fn into_iter(self) -> Self::IntoIter {
        self.items.iter_mut()
    }
}
