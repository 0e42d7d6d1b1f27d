//! The fleet: signed bundles of config from a NATS key-value bucket. `bundle` is a bundle as a value, `engine` the way to
//! the servers, `taste` the try in a throw-away process, `store` what is kept on disk, `state` what is shown, `begin` the
//! start with the last good bundle, `publish` the command of that name, `overview` that of `rollout`, `rollout`
//! what edges report and what follows, `standing` what an edge does at one look. `order_list` is the list of the fleet's orders as a value, `orders` how this edge
//! obeys it, `order_state` what it knows of them, `order_desk` how an operator's order gets into it, `server_time` the clock that they count by, `failbacks` the
//! ends of latched failovers. `gossip` tells the other edges what this one sees (`sighting`) and has endpoints probed that they suspect (`neighbours`).
//! `announcers` knows which edges announce (`board` is what they write for each other), and answers whether this one may withdraw (`withdrawal`). This file is the
//! task; `follower` is its work on one bucket: read all keys, choose, adopt, watch; `steps` its part in rollouts.
//!
//! Why all keys are read again at every reason to look: a watch shows the latest value and never a log, and it is silent for
//! seconds after a server's restart. So a watch is only a reason to look; so are a new connection and the passing of time.
//!
//! `simulation` plays the deciding parts with lost, late and doubled messages, and with lies.
//!
//! The task lives on the control thread. The workers do not know of it, and an engine that is dead, wiped or lying changes
//! nothing of what is in force.

pub mod announcers;
pub mod begin;
pub mod bundle;
pub mod engine;
pub mod failbacks;
pub mod gossip;
pub mod neighbours;
pub mod order_desk;
pub mod order_list;
pub mod order_state;
pub mod orders;
pub mod overview;
pub mod publish;
pub mod rollout;
pub mod server_time;
pub mod sighting;
pub mod standing;
pub mod state;
pub mod steps;
pub mod store;
pub mod taste;
pub mod withdrawal;

mod board;
mod follower;
#[cfg(test)]
mod simulation;

use std::{rc::Rc, sync::Arc, time::Duration};

use serde_json::json;
use thalweg_config::{Fleet, Ring};
use tokio::time::{sleep, timeout};

use self::{
    bundle::{BundleRefusal, VerifyKey},
    follower::Follower,
    order_state::BucketLink,
};
use crate::{
    control::state::Control,
    shared::{meters::Series, telemetry::FLEET_REFUSED},
};

/// Longest time between two readings of all keys.
const LOOK: Duration = Duration::from_secs(5);
/// Between two looks at a bundle on trial, and between two attempts to find the bucket.
const SOON: Duration = Duration::from_millis(250);

/// Follows the fleet of the config in force.
pub async fn run(control: Rc<Control>) {
    for refusal in BundleRefusal::EACH {
        control.meters.cell(Series::new(&FLEET_REFUSED, &[&Arc::from(refusal.as_str())]));
    }
    loop {
        let fleet = control.shared.live.load().wiring.config.fleet.clone();
        let other = until_other(&control, fleet.as_ref());
        match &fleet {
            None => {
                // Before the first config, nothing is known of a fleet.
                if control.shared.live.load().snapshot.generation > 0 {
                    orders::leave(&control).await;
                }
                other.await;
            }
            Some(fleet) => tokio::select! {
                () = follow(&control, fleet) => {}
                () = other => {}
            },
        }
        control.fleet.connected.set(false);
        control.fleet.orders.link.replace(None);
    }
}

/// Waits until the config in force says something else of the fleet.
async fn until_other(control: &Control, fleet: Option<&Fleet>) {
    let mut published = control.shared.published.subscribe();
    while control.shared.live.load().wiring.config.fleet.as_ref() == fleet {
        if published.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

/// Follows the bucket for as long as the settings hold.
async fn follow(control: &Rc<Control>, fleet: &Fleet) {
    let Ok(key) = VerifyKey::from_pem(&fleet.verify.value) else { return std::future::pending().await };
    let connection = match engine::connect(fleet, false).await {
        Ok(made) => made,
        Err(problem) => {
            trouble(control, Some(problem));
            return sleep(LOOK).await;
        }
    };
    let (client, mut connected) = (connection.client.clone(), connection.connected.clone());
    let mut follower = Follower::new(control, fleet, key);
    tokio::join!(gossip::run(control, &client, fleet), async {
        loop {
            control.fleet.connected.set(*connected.borrow_and_update());
            if !control.fleet.connected.get() {
                // A question would wait for an answer that cannot come, and the next one behind it.
                follower.watch_trial().await;
                if timeout(SOON, connected.changed()).await.is_err() {
                    trouble(control, Some(connection.explain("no server is connected", fleet)));
                }
                continue;
            }
            let looked = match engine::bucket(&client, fleet).await {
                Ok(store) => {
                    let link = BucketLink { store, context: engine::jetstream(&client, fleet) };
                    control.fleet.orders.link.replace(Some(link.clone()));
                    let obeyed = orders::run(control, &link, connected.clone());
                    let connected_too = connected.clone();
                    // Orders do not wait for a bundle that is tasted.
                    tokio::select! {
                        looked = follower.stay(&link.store, &mut connected) => looked,
                        () = obeyed => Ok(()),
                        () = failbacks::run(control, &link, connected_too) => Ok(()),
                        () = announcers::run(control, &link, &fleet.name) => Ok(()),
                    }
                }
                Err(problem) => Err(problem),
            };
            control.fleet.orders.link.replace(None);
            if let Err(problem) = looked {
                // A connection that does not stand yet is no trouble worth a line.
                trouble(control, Some(connection.explain(problem.text(), fleet)));
                follower.watch_trial().await;
                let _ = timeout(SOON, connected.changed()).await;
            }
        }
    });
}

/// Notes what keeps the engine from being used; a change is told once.
fn trouble(control: &Control, problem: Option<String>) {
    let before = control.fleet.trouble.replace(problem.clone());
    match problem {
        Some(problem) if before.as_ref() != Some(&problem) => {
            tracing::warn!(problem, "fleet: the engine cannot be used; what is in force stays");
            control.events.add("fleet_away", json!({ "problem": problem }));
        }
        None if before.is_some() => {
            tracing::info!("fleet: the engine is back");
            control.events.add("fleet_back", json!({}));
        }
        _ => {}
    }
}

/// The key of a ring's bundle.
#[must_use]
pub fn key_of(ring: Ring) -> String {
    format!("bundle.{}", ring.as_str())
}

/// The key of what an operator says of rollouts.
pub const ROLLOUT: &str = "rollout";

/// What the keys of the edges' reports begin with.
pub const REPORTS: &str = "report.";

/// The key of an edge's report. Dots would make it a key of several parts.
#[must_use]
pub fn report_key(edge: &str) -> String {
    format!("{REPORTS}{}", edge.replace('.', "="))
}
