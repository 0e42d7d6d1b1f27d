//! What an edge knows of the orders of its fleet, and how the status shows it. Reads and judges nothing.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
};

use async_nats::jetstream::{Context, kv::Store};
use serde_json::{Value, json};
use thalweg_core::{Moment, Order, OrderId};

use crate::control::order_json;

/// The way to the bucket, for what reads and writes orders.
#[derive(Clone, Debug)]
pub struct BucketLink {
    /// The bucket.
    pub store: Store,
    /// Requests to the servers.
    pub context: Context,
}

/// An order of the fleet that this edge does not obey.
#[derive(Clone, Debug, PartialEq)]
pub struct RefusedOrder {
    /// Why, as spelt everywhere.
    pub word: &'static str,
    /// Why, in words.
    pub detail: String,
    /// What it is, as far as it can be read.
    pub order: Option<Order>,
}

/// What this edge knows of the orders of its fleet.
#[derive(Debug, Default)]
pub struct FleetOrders {
    /// The way to the bucket, while it can be used.
    pub link: RefCell<Option<BucketLink>>,
    /// The orders that this edge does not obey.
    pub refused: RefCell<BTreeMap<OrderId, RefusedOrder>>,
    /// When each listed order ends here. Kept from the first sight of it, so that it does not move with the clocks.
    pub ends: RefCell<BTreeMap<OrderId, Option<Moment>>>,
    /// The orders that were seen cancelled. A reading from before, or an old list that is put back, gives none of them again.
    pub cancelled: RefCell<BTreeSet<OrderId>>,
    /// Why the list cannot be used.
    pub trouble: RefCell<Option<String>>,
    /// The list of failbacks was read once by this process.
    pub failbacks_read: Cell<bool>,
    /// The failbacks in the list that this edge has taken, or that were for the process before.
    pub failbacks_taken: RefCell<BTreeSet<u64>>,
    /// The revision of the list that was read last.
    pub revision: Cell<u64>,
}

impl FleetOrders {
    /// As the status shows it.
    #[must_use]
    pub fn shown(&self) -> Value {
        let refused: Vec<Value> =
            self.refused.borrow().iter().map(|(id, one)| refused_fields(*id, one)).collect();
        json!({ "revision": self.revision.get(), "refused": refused, "trouble": *self.trouble.borrow() })
    }
}

/// A refused order, as status and events show it.
#[must_use]
pub fn refused_fields(id: OrderId, refused: &RefusedOrder) -> Value {
    let order = refused.order.as_ref();
    json!({
        "id": id.0, "kind": order.map(|order| order.action.kind()),
        "target": order.map(|order| order_json::target(&order.action)),
        "owner": order.map(|order| &*order.owner), "problem": refused.word, "detail": refused.detail,
    })
}
