//! The fleet's orders as one value of the bucket: which stand, and which were cancelled. Pure; knows no server.
//!
//! Why one key and not one for each order: one reading shows all of them as they stood at one moment, and a write is
//! refused when another one came between, so that numbers are given once. Why a cancelled order stays in the list: an
//! order that is merely missing is not cancelled. So a bucket that was wiped ends nothing.
//!
//! What this version does not know of an order is written again as it was read.

use std::time::Duration;

use serde_json::{Map, Value, json};
use thalweg_core::{Moment, Order, OrderId, OrderOrigin};

use crate::control::{
    order_json::{self, FieldError, moment_after, moment_before},
    order_request,
};

/// The key of the list.
pub const KEY: &str = "orders";
/// What the value says that it is.
const FORMAT: &str = "thalweg-fleet-orders";
/// Version of the format. It grows when an older reader would misread the value.
const VERSION: u64 = 1;
/// Longest value that is read, and the most that a NATS server takes by default.
const MAX_BYTES: usize = 1 << 20;
/// Most orders of the fleet that may stand: far fewer than an edge takes, so that its operator can always give one.
pub const MAX_STANDING: usize = 200;
/// Most entries that are kept.
const MAX_LISTED: usize = 1_000;
/// What is over stays in the list for this long: as long as an edge that was away believes its state file.
const KEPT: Duration = crate::control::state_file::MAX_AGE;
/// Longest duration of an order.
const LONGEST: Duration = Duration::from_secs(8760 * 3600);

/// One order of the fleet, standing or over.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedOrder {
    /// Its number.
    pub id: OrderId,
    /// When it was given, by the server's clock: milliseconds since 1970.
    pub since_ms: u64,
    /// The operator that ended it, if one did.
    pub cancelled: Option<Box<str>>,
    fields: Map<String, Value>,
}

/// All orders of the fleet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OrderList {
    /// In the order of their numbers.
    pub orders: Vec<ListedOrder>,
}

impl ListedOrder {
    /// An order as it is written. Its duration counts from `now`.
    #[must_use]
    pub fn new(order: &Order, now: Moment, server_ms: u64) -> Self {
        let span = |until: Moment| until.unix_ms.saturating_sub(now.unix_ms);
        let deadline = match &order.action {
            thalweg_core::Action::Drain { deadline, .. } => *deadline,
            _ => None,
        };
        let fields = json!({
            "id": order.id.0, "since_ms": server_ms, "kind": order.action.kind(),
            "target": order_json::target(&order.action), "value": order_json::value(&order.action),
            "for_ms": order.until.map(span), "deadline_ms": deadline.map(span),
            "owner": &*order.owner, "reason": &*order.reason, "force": order.forced,
        });
        let fields = if let Value::Object(fields) = fields { fields } else { Map::new() };
        Self { id: order.id, since_ms: server_ms, cancelled: None, fields }
    }

    fn read(value: &Value) -> Option<Self> {
        let fields = value.as_object()?.clone();
        let id = OrderId(fields.get("id")?.as_u64()?);
        let since_ms = fields.get("since_ms")?.as_u64()?;
        let by = |cancelled: &Value| cancelled.get("by").and_then(Value::as_str).unwrap_or_default().into();
        let cancelled = fields.get("cancelled").filter(|value| !value.is_null()).map(by);
        (id.origin() == OrderOrigin::Fleet).then_some(Self { id, since_ms, cancelled, fields })
    }

    fn get(&self, name: &str) -> &Value {
        self.fields.get(name).unwrap_or(&Value::Null)
    }

    fn span(&self, name: &'static str) -> Result<Option<Duration>, FieldError> {
        match self.get(name) {
            Value::Null => Ok(None),
            value => {
                let ms = value.as_u64().ok_or_else(|| FieldError::new(name, "is no whole number"))?;
                Ok(Some(Duration::from_millis(ms).min(LONGEST)))
            }
        }
    }

    /// Ends it. Only its number is needed from then on: a list of ended orders stays short.
    pub fn cancel(&mut self, by: &str, server_ms: u64) {
        self.fields.retain(|name, _| ["id", "since_ms", "kind"].contains(&name.as_str()));
        self.cancelled = Some(by.into());
        self.fields.insert("cancelled".into(), json!({ "by": by, "at_ms": server_ms }));
    }

    /// Whether its time is over, `age` after it was given.
    #[must_use]
    pub fn is_expired(&self, age: Duration) -> bool {
        matches!(self.span("for_ms"), Ok(Some(span)) if span <= age)
    }

    /// The order as this edge obeys it: what is left of its time counts from now, on the clock of this edge.
    ///
    /// # Errors
    /// The field that is wrong.
    pub fn order(&self, now: Moment, age: Duration) -> Result<Order, FieldError> {
        let left = |span: Option<Duration>| span.map(|span| moment_after(now, span.saturating_sub(age)));
        let deadline = left(self.span("deadline_ms")?);
        let kind = self.get("kind").as_str().unwrap_or_default();
        let action = order_json::action(kind, self.get("target"), self.get("value"), deadline)?;
        let (owner, reason) = order_request::owner_and_reason(self.get("owner"), self.get("reason"))?;
        Ok(Order {
            owner: owner.unwrap_or_default(),
            reason,
            until: left(self.span("for_ms")?),
            forced: self.get("force") == &Value::Bool(true),
            ..Order::new(self.id, action, moment_before(now, age))
        })
    }

    /// How long ago it was given, by the server's clock. One from the future was given just now.
    #[must_use]
    pub fn age(&self, server_ms: u64) -> Duration {
        Duration::from_millis(server_ms.saturating_sub(self.since_ms))
    }
}

impl OrderList {
    /// Reads the value. Entries that have no number of the fleet are left out.
    ///
    /// # Errors
    /// Why it is no list of orders.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > MAX_BYTES {
            return Err(format!("is longer than {MAX_BYTES} bytes"));
        }
        let value: Value = serde_json::from_slice(bytes).map_err(|error| format!("is no JSON: {error}"))?;
        if value.get("format") != Some(&json!(FORMAT)) {
            return Err("was not written by thalweg".into());
        }
        if value.get("version") != Some(&json!(VERSION)) {
            return Err(format!("has another version than {VERSION}"));
        }
        let listed = value.get("orders").and_then(Value::as_array).ok_or("has no list of orders")?;
        let mut orders: Vec<ListedOrder> =
            listed.iter().take(MAX_LISTED).filter_map(ListedOrder::read).collect();
        orders.sort_by_key(|order| order.id);
        orders.dedup_by_key(|order| order.id);
        Ok(Self { orders })
    }

    /// As it stands in the bucket.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let orders: Vec<&Map<String, Value>> = self.orders.iter().map(|order| &order.fields).collect();
        json!({ "format": FORMAT, "version": VERSION, "orders": orders }).to_string().into_bytes()
    }

    /// The number of the next order: later than every number that was given.
    #[must_use]
    pub fn next_number(&self, server_ms: u64) -> OrderId {
        let last = self.orders.last().map_or(0, |order| order.id.0);
        OrderId(server_ms.max(last + 1).clamp(OrderId::FIRST_OF_FLEET, OrderId::LAST_OF_FLEET))
    }

    /// The orders that stand.
    pub fn standing(&self, server_ms: u64) -> impl Iterator<Item = &ListedOrder> {
        self.orders
            .iter()
            .filter(move |order| order.cancelled.is_none() && !order.is_expired(order.age(server_ms)))
    }

    /// The order of this number.
    pub fn get_mut(&mut self, id: OrderId) -> Option<&mut ListedOrder> {
        self.orders.iter_mut().find(|order| order.id == id)
    }

    /// Takes an order in.
    pub fn add(&mut self, order: ListedOrder) {
        self.orders.retain(|known| known.id != order.id);
        self.orders.push(order);
        self.orders.sort_by_key(|order| order.id);
    }

    /// Forgets what has been over for long, and the oldest of too many.
    pub fn prune(&mut self, server_ms: u64) {
        let is_over =
            |order: &ListedOrder| order.cancelled.is_some() || order.is_expired(order.age(server_ms));
        self.orders.retain(|order| {
            let ended = order.get("cancelled").get("at_ms").and_then(Value::as_u64).unwrap_or(order.since_ms);
            let span = order.span("for_ms").ok().flatten().unwrap_or_default();
            let over_for = Duration::from_millis(server_ms.saturating_sub(ended));
            let over_for = if order.cancelled.is_some() { over_for } else { over_for.saturating_sub(span) };
            !is_over(order) || over_for < KEPT
        });
        let mut too_many = self.orders.len().saturating_sub(MAX_LISTED);
        self.orders.retain(|order| {
            let drop = too_many > 0 && is_over(order);
            too_many -= usize::from(drop);
            !drop
        });
    }
}

#[cfg(test)]
mod tests {
    use thalweg_core::{Action, DrainTarget, Tick};

    use super::*;

    const NOW: Moment = Moment { at: Tick(90_000_000), unix_ms: 1_800_000_000_000 };
    const SERVER: u64 = 1_800_000_300_000;

    fn order(id: u64, seconds: Option<u64>) -> Order {
        let after = |seconds| moment_after(NOW, Duration::from_secs(seconds));
        let action = Action::Drain { target: DrainTarget::Pool("p".into()), deadline: Some(after(10)) };
        Order {
            owner: "ada".into(),
            reason: "upgrade".into(),
            until: seconds.map(after),
            forced: true,
            ..Order::new(OrderId(id), action, NOW)
        }
    }

    fn list(orders: &[Order]) -> OrderList {
        OrderList { orders: orders.iter().map(|order| ListedOrder::new(order, NOW, SERVER)).collect() }
    }

    #[test]
    fn what_is_written_is_read_again_and_its_time_counts_from_its_arrival() {
        let given = order(OrderId::FIRST_OF_FLEET + 7, Some(60));
        let read = OrderList::read(&list(std::slice::from_ref(&given)).to_bytes()).unwrap();
        assert_eq!(read.orders[0].order(NOW, Duration::ZERO), Ok(given.clone()));
        // Another edge, whose clock is an hour late, reads it 20 s later by the server's clock.
        let there = Moment { at: Tick(5_000_000), unix_ms: NOW.unix_ms - 3_600_000 };
        let age = read.orders[0].age(SERVER + 20_000);
        let obeyed = read.orders[0].order(there, age).unwrap();
        assert_eq!(obeyed.until, Some(moment_after(there, Duration::from_secs(40))));
        assert_eq!(obeyed.since, Moment { at: Tick(0), unix_ms: there.unix_ms - 20_000 });
        assert!(!read.orders[0].is_expired(Duration::from_secs(59)));
        assert!(read.orders[0].is_expired(Duration::from_secs(60)));
        // One from the future was given just now, and its duration has a bound.
        assert_eq!(read.orders[0].age(SERVER - 500_000), Duration::ZERO);
        let mut long = list(&[given]);
        long.orders[0].fields.insert("for_ms".into(), json!(u64::MAX));
        assert_eq!(
            long.orders[0].order(NOW, Duration::ZERO).unwrap().until,
            Some(moment_after(NOW, LONGEST))
        );
    }

    #[test]
    fn numbers_grow_also_when_a_clock_goes_back() {
        let mut list = OrderList::default();
        assert_eq!(list.next_number(SERVER), OrderId(SERVER));
        assert_eq!(list.next_number(0), OrderId(OrderId::FIRST_OF_FLEET));
        list.add(ListedOrder::new(&order(SERVER, None), NOW, SERVER));
        assert_eq!(list.next_number(SERVER), OrderId(SERVER + 1));
        assert_eq!(list.next_number(5), OrderId(SERVER + 1));
    }

    #[test]
    fn a_cancelled_order_stays_in_the_list_for_a_week() {
        let mut list = list(&[order(SERVER, None), order(SERVER + 1, Some(60)), order(SERVER + 2, None)]);
        list.get_mut(OrderId(SERVER)).unwrap().cancel("bob", SERVER + 1000);
        let standing =
            |list: &OrderList, at| list.standing(at).map(|one| one.id.0 - SERVER).collect::<Vec<_>>();
        assert_eq!(standing(&list, SERVER + 2000), [1, 2]);
        assert_eq!(standing(&list, SERVER + 60_000), [2]);
        let mut list = OrderList::read(&list.to_bytes()).unwrap();
        assert_eq!(list.orders[0].cancelled.as_deref(), Some("bob"));
        let week = u64::try_from(KEPT.as_millis()).unwrap();
        list.prune(SERVER + week);
        assert_eq!(list.orders.len(), 3);
        list.prune(SERVER + week + 2000);
        assert_eq!(list.orders.len(), 2, "the cancelled one is forgotten");
        list.prune(SERVER + week + 61_000);
        assert_eq!(list.orders.iter().map(|one| one.id.0 - SERVER).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn what_a_later_version_wrote_is_written_again() {
        let mut value: Value = serde_json::from_slice(&list(&[order(SERVER, None)]).to_bytes()).unwrap();
        value["orders"][0]["kind"] = json!("teleport");
        value["orders"][0]["mood"] = json!("good");
        let read = OrderList::read(value.to_string().as_bytes()).unwrap();
        assert_eq!(read.orders[0].order(NOW, Duration::ZERO).unwrap_err().field, "kind");
        assert_eq!(serde_json::from_slice::<Value>(&read.to_bytes()).unwrap(), value);
    }

    #[test]
    fn nonsense_is_no_list_and_a_number_of_an_edge_is_no_order_of_the_fleet() {
        let huge = vec![b' '; MAX_BYTES + 1];
        let other = json!({ "format": FORMAT, "version": 2, "orders": [] }).to_string();
        for bytes in [&b""[..], b"{", b"[]", b"{}", &huge, other.as_bytes(), br#"{"format":"x"}"#] {
            assert!(OrderList::read(bytes).is_err());
        }
        let mut value: Value = serde_json::from_slice(&list(&[order(SERVER, None)]).to_bytes()).unwrap();
        for id in [json!(3), json!(u64::MAX), json!(-1), json!("7"), Value::Null] {
            value["orders"][0]["id"] = id;
            assert_eq!(OrderList::read(value.to_string().as_bytes()), Ok(OrderList::default()));
        }
    }
}
