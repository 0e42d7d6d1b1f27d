//! The content of the state file: what of the operator's will outlives a restart. Written and read here, stored by
//! `state_store`. The file is small, versioned and bound to one edge; a member that this version does not know is ignored,
//! so that later versions can add some. Pure.

use std::time::Duration;

use serde_json::{Map, Value, json};
use thalweg_core::{Action, MAX_ORDERS, Moment, Order, OrderId, OrderOrigin, Tick};

use crate::control::order_json;

/// What the file says that it is.
const FORMAT: &str = "thalweg-state";
/// Version of the format. It grows when an older reader would misread the file.
const VERSION: u64 = 1;
/// A file that was written longer ago is too old: its orders may no longer be meant.
pub const MAX_AGE: Duration = Duration::from_secs(7 * 86_400);

/// What outlives a restart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SavedState {
    /// The number of the last order that was given.
    pub last_order: u64,
    /// The orders that stood.
    pub orders: Vec<Order>,
    /// The failovers that waited for the operator.
    pub latches: Vec<Latch>,
}

/// A failover of a latched route: the pool was left, and no failback has been given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latch {
    /// The route's name.
    pub route: Box<str>,
    /// The pool's name.
    pub pool: Box<str>,
}

/// The file's content, for the edge of this name.
#[must_use]
pub fn encode(edge: &str, state: &SavedState, now: Moment) -> String {
    let orders: Vec<Value> = state.orders.iter().map(order_value).collect();
    let latch = |latch: &Latch| json!({ "route": latch.route, "pool": latch.pool });
    let latches: Vec<Value> = state.latches.iter().map(latch).collect();
    let file = json!({
        "format": FORMAT, "version": VERSION, "edge": edge, "saved": now.unix_ms,
        "last_order": state.last_order, "orders": orders, "latched": latches,
    });
    format!("{file:#}\n")
}

fn order_value(order: &Order) -> Value {
    let mut fields = order_json::fields(order);
    let deadline = match &order.action {
        Action::Drain { deadline, .. } => *deadline,
        _ => None,
    };
    for (name, moment) in [("since", Some(order.since)), ("until", order.until), ("deadline", deadline)] {
        fields.insert(name.into(), moment.map(|moment| moment.unix_ms).into());
    }
    Value::Object(fields)
}

/// Reads the file of the edge of this name.
///
/// # Errors
/// Why the file cannot be used.
pub fn decode(text: &[u8], edge: &str, now: Moment) -> Result<SavedState, String> {
    let file: Value = serde_json::from_slice(text).map_err(|error| format!("is no JSON: {error}"))?;
    let get = |name: &str| file.get(name).unwrap_or(&Value::Null);
    if get("format") != FORMAT {
        return Err("was not written by thalweg".into());
    }
    match get("version").as_u64() {
        Some(VERSION) => {}
        Some(other) => return Err(format!("has version {other}, and this edge reads version {VERSION}")),
        None => return Err("has no version".into()),
    }
    if get("edge") != edge {
        let other: String = get("edge").as_str().unwrap_or_default().chars().take(63).collect();
        return Err(format!("belongs to the edge {other:?}, and this is {edge:?}"));
    }
    let saved = get("saved").as_u64().ok_or("does not say when it was written")?;
    let age = Duration::from_millis(now.unix_ms.saturating_sub(saved));
    if age > MAX_AGE {
        return Err(format!("is {} days old: more than {}", days(age), days(MAX_AGE)));
    }
    let orders = get("orders").as_array().ok_or("has no list of orders")?;
    if orders.len() > MAX_ORDERS {
        return Err(format!("holds more than {MAX_ORDERS} orders"));
    }
    let orders: Vec<Order> = orders
        .iter()
        .map(|order| read_order(order, now).map_err(|problem| format!("holds an order that {problem}")))
        .collect::<Result<_, _>>()?;
    let latches = match get("latched") {
        Value::Null => Vec::new(),
        latches => read_latches(latches).ok_or("has a bad list of latched failovers")?,
    };
    // The numbers of the fleet are not this edge's to count on.
    let own = orders.iter().filter(|order| order.id.origin() == OrderOrigin::Edge);
    let highest = own.map(|order| order.id.0).max().unwrap_or(0);
    Ok(SavedState { last_order: get("last_order").as_u64().unwrap_or(0).max(highest), orders, latches })
}

fn read_latches(latches: &Value) -> Option<Vec<Latch>> {
    let text = |latch: &Value, name: &str| latch.get(name)?.as_str().map(Box::from);
    let read = |latch: &Value| Some(Latch { route: text(latch, "route")?, pool: text(latch, "pool")? });
    latches.as_array()?.iter().map(read).collect()
}

fn days(age: Duration) -> u64 {
    age.as_secs() / 86_400
}

fn read_order(value: &Value, now: Moment) -> Result<Order, String> {
    let none = Map::new();
    let fields = value.as_object().unwrap_or(&none);
    let get = |name: &str| fields.get(name).unwrap_or(&Value::Null);
    let moment = |name: &str| match get(name) {
        Value::Null => Ok(None),
        value => value.as_u64().map(|ms| Some(local(ms, now))).ok_or(format!("has a bad `{name}`")),
    };
    let text = |name: &str| get(name).as_str().map(Box::from).ok_or(format!("has no `{name}`"));
    let kind: Box<str> = text("kind")?;
    let action = order_json::action(&kind, get("target"), get("value"), moment("deadline")?)
        .map_err(|error| format!("has a bad `{}`", error.field))?;
    Ok(Order {
        id: OrderId(get("id").as_u64().ok_or("has no number")?),
        action,
        owner: text("owner")?,
        reason: text("reason")?,
        since: moment("since")?.ok_or("does not say since when")?,
        until: moment("until")?,
        forced: get("force").as_bool().unwrap_or(false),
    })
}

/// A wall-clock time on this process's clock too; what lies before the process is tick 0.
fn local(unix_ms: u64, now: Moment) -> Moment {
    let us = |ms: u64| ms.saturating_mul(1000);
    let at = if unix_ms >= now.unix_ms {
        now.at.0.saturating_add(us(unix_ms - now.unix_ms))
    } else {
        now.at.0.saturating_sub(us(now.unix_ms - unix_ms))
    };
    Moment { at: Tick(at), unix_ms }
}

#[cfg(test)]
mod tests {
    use thalweg_core::DrainTarget;

    use super::*;
    use crate::control::order_json::moment_after;

    const NOW: Moment = Moment { at: Tick(60_000_000), unix_ms: 1_800_000_000_000 };

    fn state() -> SavedState {
        let later = |seconds| moment_after(NOW, Duration::from_secs(seconds));
        let actions = [
            Action::Drain { target: DrainTarget::Pool("p".into()), deadline: Some(later(10)) },
            Action::Drain { target: DrainTarget::Region("r".into()), deadline: None },
            Action::Drain {
                target: DrainTarget::Endpoint { pool: "p".into(), host: "::1".into(), port: 80 },
                deadline: None,
            },
            Action::Dial { pool: "p".into(), percent: 30 },
            Action::Weight { route: "r".into(), pool: "p".into(), weight: 4 },
            Action::Evacuate { region: "r".into() },
            Action::Freeze { route: None },
            Action::Freeze { route: Some("r".into()) },
        ];
        let order = |(id, action)| Order {
            owner: "ada".into(),
            reason: "why \"quoted\"".into(),
            until: (id % 2 == 0).then(|| later(3600)),
            forced: id == 3,
            ..Order::new(OrderId(id), action, NOW)
        };
        let latches = vec![Latch { route: "r".into(), pool: "p".into() }];
        SavedState { last_order: 20, orders: (1..).zip(actions).map(order).collect(), latches }
    }

    #[test]
    fn what_is_written_is_read_again_on_another_clock() {
        let text = encode("e", &state(), NOW);
        assert_eq!(decode(text.as_bytes(), "e", NOW), Ok(state()));
        // A new process, 5 s later: its clock began anew.
        let now = Moment { at: Tick(1_000), unix_ms: NOW.unix_ms + 5_000 };
        let read = decode(text.as_bytes(), "e", now).unwrap();
        assert_eq!(read.orders[0].since, Moment { at: Tick(0), unix_ms: NOW.unix_ms });
        assert_eq!(read.orders[1].until.unwrap().at, Tick(3_595_000_000 + 1_000));
    }

    #[test]
    fn an_order_of_the_fleet_leaves_the_count_of_this_edge_alone() {
        let mut state = state();
        let id = OrderId(OrderId::FIRST_OF_FLEET + 5);
        state.orders.push(Order::new(id, Action::Freeze { route: None }, NOW));
        assert_eq!(decode(encode("e", &state, NOW).as_bytes(), "e", NOW), Ok(state));
    }

    #[test]
    fn a_member_of_a_later_version_is_ignored() {
        let mut file: Value = serde_json::from_str(&encode("e", &state(), NOW)).unwrap();
        file["weather"] = json!("fair");
        file["orders"][0]["mood"] = json!("good");
        assert_eq!(decode(file.to_string().as_bytes(), "e", NOW), Ok(state()));
    }

    #[test]
    fn a_file_of_a_version_that_kept_no_latches_has_none() {
        let mut file: Value = serde_json::from_str(&encode("e", &state(), NOW)).unwrap();
        file.as_object_mut().unwrap().remove("latched");
        let read = decode(file.to_string().as_bytes(), "e", NOW).unwrap();
        assert_eq!(read, SavedState { latches: vec![], ..state() });
    }

    #[test]
    fn a_bad_file_says_what_is_wrong() {
        let text = encode("e", &state(), NOW);
        let with = |change: &dyn Fn(&mut Value)| {
            let mut file: Value = serde_json::from_str(&text).unwrap();
            change(&mut file);
            file.to_string()
        };
        let old = NOW.unix_ms - u64::try_from(MAX_AGE.as_millis()).unwrap() - 1;
        for (text, problem) in [
            (String::new(), "is no JSON"),
            (text[..text.len() / 2].to_owned(), "is no JSON"),
            ("\0\u{1}".to_owned(), "is no JSON"),
            ("[]".to_owned(), "was not written by thalweg"),
            (with(&|file| file["format"] = json!("x")), "was not written by thalweg"),
            (with(&|file| file["version"] = json!(2)), "has version 2"),
            (with(&|file| file["version"] = json!("1")), "has no version"),
            (with(&|file| file["edge"] = json!("f")), "belongs to the edge \"f\""),
            (with(&|file| file["saved"] = json!(old)), "is 7 days old"),
            (with(&|file| file["saved"] = Value::Null), "does not say when"),
            (with(&|file| file["orders"] = json!({})), "has no list of orders"),
            (with(&|file| file["orders"] = vec![json!({}); MAX_ORDERS + 1].into()), "holds more than"),
            (with(&|file| file["latched"] = json!({})), "latched failovers"),
            (with(&|file| file["latched"][0]["pool"] = json!(1)), "latched failovers"),
            (with(&|file| file["orders"][0] = json!(7)), "holds an order that has no `kind`"),
            (with(&|file| file["orders"][0]["kind"] = json!("x")), "holds an order that has a bad `kind`"),
            (with(&|file| file["orders"][0]["target"] = json!(1)), "has a bad `target`"),
            (with(&|file| file["orders"][3]["value"] = json!(101)), "has a bad `value`"),
            (with(&|file| file["orders"][0]["until"] = json!("soon")), "has a bad `until`"),
            (with(&|file| file["orders"][0]["id"] = json!(-1)), "has no number"),
            (with(&|file| file["orders"][0]["since"] = Value::Null), "since when"),
        ] {
            let read = decode(text.as_bytes(), "e", NOW).unwrap_err();
            assert!(read.contains(problem), "{read:?}, not {problem:?}");
        }
    }
}
