//! Orders as JSON: the fields that API, events and state file share, and how a kind with its target and value is read.
//! Pure; knows no topology.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};
use thalweg_core::{Action, DrainTarget, Moment, Order};

use crate::control::wall_clock;

/// Longest name in a target, in characters: a pool, a slash and the longest host with its port.
const MAX_NAME: usize = 330;

/// What is wrong with a field of an order: the field and the problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The name of the field.
    pub field: &'static str,
    /// One sentence.
    pub problem: String,
}

impl FieldError {
    /// An error in this field.
    pub fn new(field: &'static str, problem: impl Into<String>) -> Self {
        Self { field, problem: problem.into() }
    }
}

/// What an order is, its owner, its reason and its duration.
#[must_use]
pub fn fields(order: &Order) -> Map<String, Value> {
    let deadline = match &order.action {
        Action::Drain { deadline, .. } => *deadline,
        _ => None,
    };
    let fields = json!({
        "id": order.id.0, "origin": order.id.origin().as_str(), "kind": order.action.kind(), "target": target(&order.action),
        "value": value(&order.action), "owner": &*order.owner, "reason": &*order.reason,
        "since": shown(order.since), "until": order.until.map(shown), "deadline": deadline.map(shown),
        "force": order.forced,
    });
    match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

fn shown(moment: Moment) -> String {
    wall_clock::rfc3339(UNIX_EPOCH + Duration::from_millis(moment.unix_ms))
}

/// The moment `span` after `now`, on both clocks.
#[must_use]
pub fn moment_after(now: Moment, span: Duration) -> Moment {
    let ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    Moment { at: now.at.after(span), unix_ms: now.unix_ms.saturating_add(ms) }
}

/// The moment `span` before `now`, on both clocks; tick 0 for what lies before this process.
#[must_use]
pub fn moment_before(now: Moment, span: Duration) -> Moment {
    let us = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
    Moment {
        at: thalweg_core::Tick(now.at.0.saturating_sub(us)),
        unix_ms: now.unix_ms.saturating_sub(us / 1000),
    }
}

/// This moment on both clocks.
#[must_use]
pub fn moment_now(at: thalweg_core::Tick) -> Moment {
    let since = wall_clock::unix(SystemTime::now());
    Moment { at, unix_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX) }
}

/// The target by the names of what it consists of; null for all routes.
#[must_use]
pub fn target(action: &Action) -> Value {
    match action {
        Action::Drain { target, .. } => match target {
            DrainTarget::Pool(pool) => json!({ "pool": pool }),
            DrainTarget::Region(region) => json!({ "region": region }),
            DrainTarget::Endpoint { pool, host, port } => {
                let address =
                    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
                json!({ "endpoint": format!("{pool}/{address}") })
            }
        },
        Action::Dial { pool, .. } => json!({ "pool": pool }),
        Action::Weight { route, pool, .. } => json!({ "route": route, "pool": pool }),
        Action::Evacuate { region } => json!({ "region": region }),
        Action::Freeze { route } => route.as_ref().map_or(Value::Null, |route| json!({ "route": route })),
    }
}

/// The percent of a dial, or the number of a weight.
#[must_use]
pub fn value(action: &Action) -> Value {
    match action {
        Action::Dial { percent, .. } => (*percent).into(),
        Action::Weight { weight, .. } => (*weight).into(),
        Action::Drain { .. } | Action::Evacuate { .. } | Action::Freeze { .. } => Value::Null,
    }
}

/// Reads what an order does from its kind, target and value.
///
/// # Errors
/// The first field that is wrong.
pub fn action(
    kind: &str,
    target: &Value,
    value: &Value,
    deadline: Option<Moment>,
) -> Result<Action, FieldError> {
    let number = |bounds: (u64, u64)| {
        value.as_u64().filter(|number| (bounds.0..=bounds.1).contains(number)).ok_or_else(|| {
            FieldError::new("value", format!("is no whole number from {} to {}", bounds.0, bounds.1))
        })
    };
    let action = match kind {
        "drain" => Action::Drain { target: drain_target(target)?, deadline },
        "dial" => {
            let percent = u8::try_from(number((0, 100))?).unwrap_or(100);
            let [pool] = names(target, ["pool"])?;
            Action::Dial { pool, percent }
        }
        "weight" => {
            let weight = u32::try_from(number((0, 65_535))?).unwrap_or(u32::MAX);
            let [route, pool] = names(target, ["route", "pool"])?;
            Action::Weight { route, pool, weight }
        }
        "evacuate" => {
            let [region] = names(target, ["region"])?;
            Action::Evacuate { region }
        }
        "freeze" if target.is_null() => Action::Freeze { route: None },
        "freeze" => {
            let [route] = names(target, ["route"])?;
            Action::Freeze { route: Some(route) }
        }
        _ => {
            let known = Action::KINDS.join(", ");
            return Err(FieldError::new("kind", format!("is none of {known}, undrain")));
        }
    };
    if deadline.is_some() && kind != "drain" {
        return Err(FieldError::new("deadline", "is for drains only"));
    }
    Ok(action)
}

/// The names in a target: an object with exactly these members, or a text with the names between slashes.
fn names<const N: usize>(target: &Value, members: [&'static str; N]) -> Result<[Box<str>; N], FieldError> {
    let wanted = || {
        let example = members.map(|member| format!("\"{member}\": …")).join(", ");
        FieldError::new("target", format!("is not {{{example}}}"))
    };
    let texts: Vec<&str> = match target {
        Value::String(text) => text.splitn(N, '/').collect(),
        Value::Object(given) => {
            let given = || given.iter().filter(|(_, value)| !value.is_null());
            if given().any(|(name, _)| !members.contains(&name.as_str())) {
                return Err(wanted());
            }
            members.iter().filter_map(|member| target.get(member)?.as_str()).collect()
        }
        _ => return Err(wanted()),
    };
    let texts: [&str; N] = texts.try_into().map_err(|_| wanted())?;
    for text in texts {
        fits(text)?;
    }
    Ok(texts.map(Into::into))
}

fn fits(name: &str) -> Result<(), FieldError> {
    let good = !name.is_empty() && name.chars().count() <= MAX_NAME && !name.chars().any(char::is_control);
    let problem =
        || format!("holds a name that is empty, longer than {MAX_NAME} characters or not printable");
    if good { Ok(()) } else { Err(FieldError::new("target", problem())) }
}

/// `{"pool": P}`, `{"region": R}` or `{"endpoint": "P/ADDRESS"}`; as a text `pool:P`, `region:R`, `endpoint:P/ADDRESS`, or
/// without the kind in front.
fn drain_target(target: &Value) -> Result<DrainTarget, FieldError> {
    let wanted =
        || FieldError::new("target", r#"is not {"pool": …}, {"region": …} or {"endpoint": "P/ADDRESS"}"#);
    let (kind, name) = match target {
        Value::String(text) => match text.split_once(':') {
            Some((kind @ ("pool" | "region" | "endpoint"), name)) => (kind, name),
            _ if text.contains('/') => ("endpoint", text.as_str()),
            _ => ("pool", text.as_str()),
        },
        Value::Object(given) => {
            let mut given = given.iter().filter(|(_, value)| !value.is_null());
            let (Some((kind, name)), None) = (given.next(), given.next()) else { return Err(wanted()) };
            (kind.as_str(), name.as_str().ok_or_else(wanted)?)
        }
        _ => return Err(wanted()),
    };
    fits(name)?;
    match kind {
        "pool" => Ok(DrainTarget::Pool(name.into())),
        "region" => Ok(DrainTarget::Region(name.into())),
        "endpoint" => endpoint(name).ok_or_else(|| {
            FieldError::new("target", "is no endpoint: write POOL/ADDRESS:PORT as in the status")
        }),
        _ => Err(wanted()),
    }
}

fn endpoint(text: &str) -> Option<DrainTarget> {
    let (pool, address) = text.split_once('/')?;
    if let Ok(address) = address.parse::<std::net::SocketAddr>() {
        let (host, port) = (address.ip().to_string().into(), address.port());
        return Some(DrainTarget::Endpoint { pool: pool.into(), host, port });
    }
    let (host, port) = address.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port > 0)?;
    let good = !host.is_empty() && !host.contains([':', '/', ' ']);
    good.then(|| DrainTarget::Endpoint { pool: pool.into(), host: host.to_ascii_lowercase().into(), port })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The target and value as they are shown again, or the field that is wrong.
    fn check(kind: &str, given: Value, number: Value, expected: Result<Value, &str>) {
        let read = action(kind, &given, &number, None);
        let shown = read.as_ref().map(target).map_err(|error| error.field);
        assert_eq!(shown, expected, "{kind} {given} {number}: {read:?}");
        if let Ok(read) = read {
            assert_eq!(value(&read), number, "{kind} {given}");
            assert_eq!(action(kind, &target(&read), &number, None), Ok(read), "shown, and read again");
        }
    }

    #[test]
    fn targets_are_read_as_objects_and_as_texts_and_shown_as_objects() {
        let none = || Value::Null;
        for given in
            [json!({ "pool": "p" }), json!({ "pool": "p", "region": null }), json!("p"), json!("pool:p")]
        {
            check("drain", given, none(), Ok(json!({ "pool": "p" })));
        }
        check("drain", json!("region:r"), none(), Ok(json!({ "region": "r" })));
        for (given, shown) in [
            ("p/127.0.0.1:80", "p/127.0.0.1:80"),
            ("endpoint:p/[::1]:80", "p/[::1]:80"),
            ("p/[0:0::1]:80", "p/[::1]:80"),
            ("p/API.test:443", "p/api.test:443"),
        ] {
            check("drain", json!(given), none(), Ok(json!({ "endpoint": shown })));
            let object = json!({ "endpoint": given.trim_start_matches("endpoint:") });
            check("drain", object, none(), Ok(json!({ "endpoint": shown })));
        }
        check("dial", json!("p"), json!(0), Ok(json!({ "pool": "p" })));
        check("dial", json!({ "pool": "p" }), json!(100), Ok(json!({ "pool": "p" })));
        check("weight", json!("r/p"), json!(65_535), Ok(json!({ "route": "r", "pool": "p" })));
        check("evacuate", json!("r"), none(), Ok(json!({ "region": "r" })));
        check("freeze", none(), none(), Ok(none()));
        check("freeze", json!("r"), none(), Ok(json!({ "route": "r" })));
    }

    #[test]
    fn what_is_no_order_names_the_field_that_is_wrong() {
        for (kind, target, value, field) in [
            ("drian", json!("p"), Value::Null, "kind"),
            ("", json!("p"), Value::Null, "kind"),
            ("drain", Value::Null, Value::Null, "target"),
            ("drain", json!({}), Value::Null, "target"),
            ("drain", json!(""), Value::Null, "target"),
            ("drain", json!(["p"]), Value::Null, "target"),
            ("drain", json!({ "pool": "p", "region": "r" }), Value::Null, "target"),
            ("drain", json!({ "pool": 1 }), Value::Null, "target"),
            ("drain", json!({ "route": "r" }), Value::Null, "target"),
            ("drain", json!({ "pool": "p".repeat(MAX_NAME + 1) }), Value::Null, "target"),
            ("drain", json!({ "pool": "a\nb" }), Value::Null, "target"),
            ("drain", json!("p/127.0.0.1"), Value::Null, "target"),
            ("drain", json!("p/127.0.0.1:0x1"), Value::Null, "target"),
            ("drain", json!("p/a.test:0"), Value::Null, "target"),
            ("drain", json!("p/:80"), Value::Null, "target"),
            ("dial", json!("p"), Value::Null, "value"),
            ("dial", json!("p"), json!(101), "value"),
            ("dial", json!("p"), json!(-1), "value"),
            ("dial", json!("p"), json!(1.5), "value"),
            ("dial", json!("p"), json!("50"), "value"),
            ("dial", json!({ "region": "r" }), json!(5), "target"),
            ("weight", json!("r"), json!(1), "target"),
            ("weight", json!("r/p"), json!(65_536), "value"),
            ("evacuate", Value::Null, Value::Null, "target"),
        ] {
            check(kind, target, value, Err(field));
        }
        let late = Some(Moment::default());
        assert!(action("drain", &json!("p"), &Value::Null, late).is_ok());
        assert_eq!(action("dial", &json!("p"), &json!(1), late).unwrap_err().field, "deadline");
    }
}
