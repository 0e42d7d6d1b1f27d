//! A client's affinity cookie, for `explain`: whether it counts, and which endpoint it names. Shows no key and no client
//! number.

use std::{sync::Arc, time::SystemTime};

use serde_json::{Value, json};
use thalweg_core::{Binding, RouteSlot, Snapshot, bound_endpoint};

use super::explain::address;
use crate::shared::client_cookie::{CookieSigner, values};

/// What a given cookie says on a route: for steering, and as JSON.
pub(super) fn read(
    snapshot: &Snapshot,
    signers: &[Option<Arc<CookieSigner>>],
    (written, serving): (RouteSlot, RouteSlot),
    given: &str,
) -> (Option<Binding>, Value) {
    let ignored = |why: &str| (None, json!({ "counts": false, "endpoint": null, "why": why }));
    let Some(signer) = signers.get(written.index()).and_then(Option::as_ref) else {
        return ignored("the route binds no client by a cookie");
    };
    // As in `Cookie` (`name=value; other=value`), as in `Set-Cookie`, or the bare value.
    let bare = given.trim().as_bytes();
    let found = values(given.as_bytes(), &signer.name).next();
    let now = SystemTime::now();
    let Some(genuine) = signer.open(found.unwrap_or(bare), now) else {
        return ignored("not signed by a key of this route, or expired");
    };
    let Some(slot) = bound_endpoint(snapshot, serving, genuine.binding.endpoint) else {
        return ignored("its endpoint is of no use on this route");
    };
    let shown = json!({ "counts": true, "endpoint": address(snapshot, slot), "why": null });
    (Some(genuine.binding), shown)
}
