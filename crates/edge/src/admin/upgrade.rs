//! The call that starts a successor of this process. Decides nothing: `control::upgrade` does.

use std::{net::IpAddr, rc::Rc};

use bytes::Bytes;
use http::{Response, StatusCode};

use super::reply::{Body, json_reply, refuse};
use crate::control::{
    audit::Actor,
    state::Control,
    upgrade::{
        self,
        call::{UpgradeCall, UpgradeRefusal},
    },
};

/// Answers `POST /api/v1/upgrade`: 202 once the successor has been started.
pub(super) fn answer(control: &Rc<Control>, by: Actor, body: &Bytes) -> Response<Body> {
    let call = match UpgradeCall::read(body) {
        Ok(call) => call,
        Err(problem) => return refuse(StatusCode::UNPROCESSABLE_ENTITY, "invalid", &problem),
    };
    // A token that may drain a pool from afar must not choose what this machine executes.
    if call.binary.is_some() && !by.client.is_some_and(|client| IpAddr::is_loopback(&client)) {
        let detail = "`binary` is taken from clients on this machine only";
        return refuse(StatusCode::FORBIDDEN, "forbidden", detail);
    }
    let by = by.because(call.reason.as_str());
    match upgrade::start(control, call, by) {
        Ok(()) => json_reply(StatusCode::ACCEPTED, &control.upgrades.shown()),
        Err(refused) => {
            let status = match refused {
                UpgradeRefusal::Ending => StatusCode::SERVICE_UNAVAILABLE,
                UpgradeRefusal::Binary(_) => StatusCode::UNPROCESSABLE_ENTITY,
                _ => StatusCode::CONFLICT,
            };
            refuse(status, refused.as_str(), &refused.detail())
        }
    }
}
