//! The declarations of the keys as JSON Schema 2020-12. The schema never refuses what the reader accepts. Errors between
//! keys (dangling names, addresses taken twice) are found by the reader alone.

use serde_json::{Map, Value, json};

use crate::{
    keys::{ROOT, SHAPES},
    table::{Default as D, Key, Kind, Shape},
};

/// Matches strings with substitutions: their final text is not known to a schema.
const SUBSTITUTED: &str = r"\$\{";

/// JSON Schema (2020-12) of a main config file, read as JSON.
pub fn schema() -> Value {
    let mut root = shape(&ROOT);
    if let Some(members) = root.as_object_mut() {
        members.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        members.insert("title".to_owned(), json!("Thalweg configuration"));
        members.insert("required".to_owned(), json!(["version"]));
        let defs: Map<_, _> = SHAPES.iter().skip(1).map(|of| (slug(of), shape(of))).collect();
        members.insert("$defs".to_owned(), Value::Object(defs));
    }
    root
}

/// The name of a definition: `pool-endpoints-tls` for `[pool.NAME] endpoints tls`.
fn slug(shape: &Shape) -> String {
    let title = shape.title.replace("NAME", "");
    let words = title.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-")
}

fn shape(shape: &Shape) -> Value {
    let properties: Map<_, _> = shape.keys.iter().map(|key| (key.name.to_owned(), property(key))).collect();
    let required: Vec<_> =
        shape.keys.iter().filter(|key| matches!(key.default, D::Required)).map(|key| key.name).collect();
    let mut schema = json!({
        "type": "object",
        "description": shape.doc,
        "properties": properties,
        "additionalProperties": false,
    });
    if let (false, Some(members)) = (required.is_empty(), schema.as_object_mut()) {
        members.insert("required".to_owned(), json!(required));
    }
    schema
}

fn property(key: &Key) -> Value {
    let mut schema = kind(&key.kind);
    if let Some(members) = schema.as_object_mut() {
        members.insert("description".to_owned(), json!(key.doc));
        if let Some(default) = default(key) {
            members.insert("default".to_owned(), default);
        }
    }
    schema
}

fn default(key: &Key) -> Option<Value> {
    match key.default {
        D::Required | D::Absent(_) | D::Table => None,
        D::Bool(flag) => Some(json!(flag)),
        D::Int(int) => Some(json!(int)),
        D::Num(num) => Some(json!(num)),
        D::Text(text) => Some(json!(text)),
        D::Texts(texts) => Some(json!(texts)),
    }
}

fn kind(of: &Kind) -> Value {
    match of {
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Int { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::Num { min, max } => json!({ "type": "number", "minimum": min, "maximum": max }),
        Kind::Time { .. } => string("^[0-9]+(ms|s|m|h)$"),
        Kind::Size { .. } => string("^(0+|[0-9]+([KMGT]i)?B)$"),
        Kind::Choice(of) => {
            json!({ "anyOf": [{ "enum": of }, { "type": "string", "pattern": SUBSTITUTED }] })
        }
        Kind::Text(of) => string(of.pattern()),
        Kind::Scalars => {
            let scalar = json!({ "type": ["string", "number", "boolean"] });
            json!({ "anyOf": [scalar, { "type": "array", "items": scalar, "minItems": 1, "maxItems": 64 }] })
        }
        Kind::List { of, min, max } => {
            json!({ "type": "array", "items": kind(of), "minItems": min, "maxItems": max })
        }
        Kind::Table(shape) => json!({ "$ref": format!("#/$defs/{}", slug(shape)) }),
        Kind::Map { keys, of, max } => json!({
            "type": "object",
            "propertyNames": { "pattern": keys.pattern() },
            "additionalProperties": kind(of),
            "maxProperties": max,
        }),
    }
}

fn string(pattern: &str) -> Value {
    json!({ "type": "string", "pattern": format!("{pattern}|{SUBSTITUTED}") })
}
