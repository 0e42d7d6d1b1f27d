//! A request for an order, as it comes from the API: read strictly, every field bounded. Pure.

use std::time::Duration;

use serde_json::{Map, Value, json};
use thalweg_core::{Action, DrainTarget, Moment};

use crate::control::order_json::{self, FieldError, moment_after};

/// Longest owner and longest reason, in characters.
const MAX_OWNER: usize = 100;
const MAX_REASON: usize = 500;

/// The members of a request.
const MEMBERS: [&str; 9] =
    ["kind", "target", "value", "for", "deadline", "reason", "owner", "force", "fleet"];
/// The targets of `drain` and `undrain`, as the commands name them.
const TARGETS: [&str; 3] = ["pool", "region", "endpoint"];

/// A request for an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderRequest {
    /// What is asked for.
    pub wish: Wish,
    /// Who asks; `None` = the request does not say.
    pub owner: Option<Box<str>>,
    /// Why, for the record.
    pub reason: Box<str>,
    /// When the order ends by itself.
    pub until: Option<Moment>,
    /// Give the order in spite of what speaks against it.
    pub force: bool,
    /// The order is for every edge of the fleet.
    pub fleet: bool,
}

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// A new order.
    Give(Action),
    /// The end of the drains with this target.
    Undrain(DrainTarget),
}

/// Reads the body of `POST /api/v1/orders`.
///
/// # Errors
/// The first field that is wrong.
pub fn order(body: &[u8], now: Moment) -> Result<OrderRequest, FieldError> {
    request(&object(body, &MEMBERS)?, now)
}

/// Reads the body of `POST /api/v1/drain` or `undrain`: a request whose target is named as on the command line.
///
/// # Errors
/// The first field that is wrong.
pub fn drain(word: &str, body: &[u8], now: Moment) -> Result<OrderRequest, FieldError> {
    let mut fields = object(body, &[&TARGETS[..], &MEMBERS[3..]].concat())?;
    let target: Map<String, Value> = TARGETS.iter().filter_map(|name| fields.remove_entry(*name)).collect();
    fields.insert("kind".into(), json!(word));
    fields.insert("target".into(), Value::Object(target));
    request(&fields, now)
}

/// The members of a JSON object that are not null.
fn object(body: &[u8], known: &[&str]) -> Result<Map<String, Value>, FieldError> {
    let Ok(Value::Object(mut fields)) = serde_json::from_slice(body) else {
        return Err(FieldError::new("body", "is no JSON object"));
    };
    fields.retain(|_, value| !value.is_null());
    match fields.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) => {
            let name: String = name.chars().take(50).collect();
            Err(FieldError::new(
                "body",
                format!("has an unknown field {name:?}: known are {}", known.join(", ")),
            ))
        }
        None => Ok(fields),
    }
}

fn request(fields: &Map<String, Value>, now: Moment) -> Result<OrderRequest, FieldError> {
    let get = |name: &str| fields.get(name).unwrap_or(&Value::Null);
    let kind = get("kind").as_str().ok_or_else(|| FieldError::new("kind", "is missing, or no text"))?;
    let deadline = span("deadline", get("deadline"))?.map(|span| moment_after(now, span));
    let until = span("for", get("for"))?.map(|span| moment_after(now, span));
    let flag = |name: &'static str| match get(name) {
        Value::Null => Ok(false),
        Value::Bool(flag) => Ok(*flag),
        _ => Err(FieldError::new(name, "is neither true nor false")),
    };
    let (force, fleet) = (flag("force")?, flag("fleet")?);
    let undrain = kind == "undrain";
    let action =
        order_json::action(if undrain { "drain" } else { kind }, get("target"), get("value"), deadline)?;
    let wish = match action {
        Action::Drain { target, .. } if undrain => Wish::Undrain(target),
        action => Wish::Give(action),
    };
    let (owner, reason) = owner_and_reason(get("owner"), get("reason"))?;
    Ok(OrderRequest { wish, owner, reason, until, force, fleet })
}

/// Reads one line of text; blanks at its ends do not count.
fn text(field: &'static str, value: &Value, most: usize) -> Result<Option<Box<str>>, FieldError> {
    let Value::String(text) = value else {
        return if value.is_null() { Ok(None) } else { Err(FieldError::new(field, "is no text")) };
    };
    let text = text.trim();
    if text.chars().count() > most {
        return Err(FieldError::new(field, format!("is longer than {most} characters")));
    }
    if text.chars().any(char::is_control) {
        return Err(FieldError::new(field, "holds a control character: write one line of text"));
    }
    Ok(Some(text.into()))
}

/// Owner and reason, as every order has them.
///
/// # Errors
/// The field that is wrong.
pub fn owner_and_reason(owner: &Value, reason: &Value) -> Result<(Option<Box<str>>, Box<str>), FieldError> {
    let owner = text("owner", owner, MAX_OWNER)?.filter(|owner| !owner.is_empty());
    Ok((owner, text("reason", reason, MAX_REASON)?.unwrap_or_default()))
}

fn span(field: &'static str, value: &Value) -> Result<Option<Duration>, FieldError> {
    let Value::String(text) = value else {
        let hint = "is no text: write a whole number and a unit, as \"30m\"";
        return if value.is_null() { Ok(None) } else { Err(FieldError::new(field, hint)) };
    };
    thalweg_config::long_duration(text).map(Some).map_err(|problem| FieldError::new(field, problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment { at: thalweg_core::Tick(5_000_000), unix_ms: 1_000_000 };

    #[test]
    fn a_request_with_everything_is_read() {
        let body = json!({
            "kind": "drain", "target": { "pool": "p" }, "value": null, "for": "30m", "deadline": "10s",
            "reason": " upgrade ", "owner": "ada", "force": true,
        });
        let read = order(body.to_string().as_bytes(), NOW).unwrap();
        let (until, deadline) =
            (moment_after(NOW, Duration::from_secs(1800)), moment_after(NOW, Duration::from_secs(10)));
        let action = Action::Drain { target: DrainTarget::Pool("p".into()), deadline: Some(deadline) };
        let (owner, reason) = (Some("ada".into()), "upgrade".into());
        let expected = OrderRequest {
            wish: Wish::Give(action),
            owner,
            reason,
            until: Some(until),
            force: true,
            fleet: false,
        };
        assert_eq!(read, expected);
        let body = json!({
            "pool": "p", "region": null, "for": "30m", "deadline": "10s", "reason": "upgrade", "owner": "ada",
            "force": true,
        });
        assert_eq!(drain("drain", body.to_string().as_bytes(), NOW), Ok(expected));
    }

    #[test]
    fn an_undrain_is_a_wish_of_its_own() {
        let wish = Wish::Undrain(DrainTarget::Region("r".into()));
        assert_eq!(drain("undrain", br#"{"region":"r"}"#, NOW).unwrap().wish, wish);
        assert_eq!(order(br#"{"kind":"undrain","target":"region:r"}"#, NOW).unwrap().wish, wish);
    }

    #[test]
    fn bad_input_names_its_field() {
        let long = "x".repeat(10_000);
        let reason = "é".repeat(501);
        for (change, field) in [
            (json!({ "for": "0s" }), "for"),
            (json!({ "for": "8761h" }), "for"),
            (json!({ "for": "soon" }), "for"),
            (json!({ "for": 30 }), "for"),
            (json!({ "for": "99999999999999999999h" }), "for"),
            (json!({ "deadline": "0s" }), "deadline"),
            (json!({ "owner": long }), "owner"),
            (json!({ "owner": "a\u{1b}[31m" }), "owner"),
            (json!({ "owner": 7 }), "owner"),
            (json!({ "reason": reason }), "reason"),
            (json!({ "reason": "two\nlines" }), "reason"),
            (json!({ "force": "yes" }), "force"),
            (json!({ "fleet": 1 }), "fleet"),
            (json!({ "kind": null }), "kind"),
            (json!({ "kind": 1 }), "kind"),
            (json!({ "pool": "p" }), "body"),
        ] {
            let mut body = json!({ "kind": "drain", "target": "p" });
            body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            let read = order(body.to_string().as_bytes(), NOW);
            assert_eq!(read.as_ref().map_err(|error| error.field), Err(field), "{change}");
        }
        for body in ["", "{", "[]", "null", "\"drain\""] {
            assert_eq!(order(body.as_bytes(), NOW).unwrap_err().field, "body", "{body}");
        }
        assert_eq!(drain("drain", b"{}", NOW).unwrap_err().field, "target");
        assert_eq!(drain("drain", br#"{"pool":"p","region":"r"}"#, NOW).unwrap_err().field, "target");
        assert!(order(br#"{"kind":"drain","target":"p","for":"8760h","reason":""}"#, NOW).is_ok());
    }
}
