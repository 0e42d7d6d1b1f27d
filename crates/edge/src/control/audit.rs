//! The record of changes: the caller, what was asked for, the reason, and the result. One event `audit` and one line of the event log
//! for each change that was asked for, refused ones included. Never holds a token.

use std::net::IpAddr;

use serde_json::{Value, json};

use crate::control::events::Events;

/// The caller that asks for a change, and the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// The name of a token, else the client's address, else what asked without a client: `signal`, `file`.
    pub who: Box<str>,
    /// The client's address.
    pub client: Option<IpAddr>,
    /// The reason that was given; may be empty.
    pub why: Box<str>,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeCall {
    /// An order, or the end of drains.
    Order,
    /// The end of an order.
    Cancel,
    /// The end of a latched failover.
    Failback,
    /// The config's files are to come into force.
    Reload,
    /// A config on trial is to stay.
    Confirm,
    /// An earlier config is to come back.
    Rollback,
    /// Another process is to take over.
    Upgrade,
}

impl ChangeCall {
    /// The spelling in events and log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Cancel => "cancel",
            Self::Failback => "failback",
            Self::Reload => "reload",
            Self::Confirm => "confirm",
            Self::Rollback => "rollback",
            Self::Upgrade => "upgrade",
        }
    }
}

/// Longest reason, in characters.
const MAX_REASON: usize = 500;

/// Reads the reason that a caller gives.
///
/// # Errors
/// What is wrong with it.
pub fn reason(text: &str) -> Result<&str, String> {
    if text.chars().count() > MAX_REASON {
        return Err(format!("`reason` is longer than {MAX_REASON} characters"));
    }
    if text.chars().any(char::is_control) {
        return Err("`reason` holds a control character: write one line of text".into());
    }
    Ok(text.trim())
}

impl Actor {
    /// Something of this process that asks by itself.
    #[must_use]
    pub fn own(who: &str) -> Self {
        Self { who: who.into(), client: None, why: "".into() }
    }

    /// The same, with a reason.
    #[must_use]
    pub fn because(self, why: impl Into<Box<str>>) -> Self {
        Self { why: why.into(), ..self }
    }

    /// Records what this actor asked for, and what became of it.
    pub fn record(&self, events: &Events, call: ChangeCall, what: Value, result: &str) {
        let (who, why, call) = (&*self.who, &*self.why, call.as_str());
        tracing::info!(who, call, %what, why, result, "change asked for");
        let client = self.client.map(|client| client.to_string());
        let entry = json!({
            "who": who, "client": client, "call": call, "what": what, "why": why, "result": result,
        });
        events.add("audit", entry);
    }
}
