//! The end of a latched failover: asks the keeper to end the waits of a route's pools, and says what came of it.

use serde_json::{Value, json};
use thalweg_core::Event;

use crate::control::state::Control;

/// What an order to fail back did on this edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FailbackOutcome {
    /// There is no such route.
    UnknownRoute,
    /// The route is frozen.
    Frozen,
    /// Pools that were left are down, and none waits.
    StillDown(Vec<String>),
    /// The waits have ended.
    Done {
        /// The pools that return.
        returned: Vec<String>,
        /// Those that are still down.
        still_down: Vec<String>,
    },
}

impl FailbackOutcome {
    /// The spelling in answers and events.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::UnknownRoute => "unknown_route",
            Self::Frozen => "frozen",
            Self::StillDown(_) => "still_down",
            Self::Done { .. } => "done",
        }
    }

    /// As a part of an answer or event.
    #[must_use]
    pub fn shown(&self) -> Value {
        let (returned, still_down): (&[String], &[String]) = match self {
            Self::Done { returned, still_down } => (returned, still_down),
            Self::StillDown(still_down) => (&[], still_down),
            Self::UnknownRoute | Self::Frozen => (&[], &[]),
        };
        json!({ "result": self.as_str(), "returned": returned, "still_down": still_down })
    }
}

/// Ends the waits of a route's pools on this edge.
pub async fn order(control: &Control, route: &str) -> FailbackOutcome {
    let Some(before) = left(control, route).await else { return FailbackOutcome::UnknownRoute };
    if before.frozen {
        return FailbackOutcome::Frozen;
    }
    control.keeper.tell(Event::FailbackOrdered { route: route.into() }).await;
    let after = left(control, route).await.unwrap_or_default();
    let returned: Vec<String> =
        before.waiting.into_iter().filter(|pool| !after.waiting.contains(pool)).collect();
    if returned.is_empty() && !after.down.is_empty() {
        return FailbackOutcome::StillDown(after.down);
    }
    FailbackOutcome::Done { returned, still_down: after.down }
}

/// Whether this edge has such a route.
pub async fn is_known(control: &Control, route: &str) -> bool {
    left(control, route).await.is_some()
}

/// The pools that a route has left, by name.
#[derive(Debug, Default)]
struct LeftPools {
    /// Those that are up again and wait.
    waiting: Vec<String>,
    down: Vec<String>,
    frozen: bool,
}

/// What a route has left; `None` if there is no such route.
async fn left(control: &Control, route: &str) -> Option<LeftPools> {
    let name = route.to_owned();
    let seen = control.keeper.look(move |world| {
        let slot = world.route_slot(&name)?;
        let mut left = LeftPools { frozen: world.is_frozen(slot), ..LeftPools::default() };
        for (pool, up) in world.left_pools(slot) {
            let list = if up { &mut left.waiting } else { &mut left.down };
            list.push(pool.into());
        }
        Some(left)
    });
    seen.await.flatten()
}
