//! The control tasks of an edge: which there are, and what each gets. They run until their handles are dropped.

use std::{net::TcpListener, rc::Rc, sync::Arc};

use crate::control::{
    announce, dns, fleet, geo,
    keeper::ProbeWakers,
    lifecycle::AdminServer,
    notify, probe,
    reload::Reloader,
    resolve,
    state::{self, Control},
    state_store,
    supervise::{Task, supervise},
    traces, traffic_log, unreached, watch as file_watch, wiring,
};

/// The probes. They end before the other tasks: an ending edge has no use for them.
pub fn probes(control: &Rc<Control>, wakers: ProbeWakers) -> Task {
    let (shared, keeper) = (Arc::clone(&control.shared), control.keeper.clone());
    supervise("probes", &control.meters, move || {
        probe::run(Arc::clone(&shared), keeper.clone(), wakers.clone(), wiring::file_limit())
    })
}

/// The tasks that look at the world. They run from the start to the end of the process.
pub fn watching(control: &Rc<Control>) -> Vec<Task> {
    let meters = &control.meters;
    let one = Rc::clone(control);
    let resolver = supervise("resolver", meters, move || {
        resolve::run(Arc::clone(&one.shared), one.keeper.clone(), one.names.clone())
    });
    let one = Rc::clone(control);
    let unreached = supervise("unreached", meters, move || {
        unreached::run(Arc::clone(&one.shared), one.events.clone(), one.failures.clone())
    });
    let one = Rc::clone(control);
    let readiness = supervise("readiness", meters, move || state::watch_readiness(Rc::clone(&one)));
    let one = Rc::clone(control);
    let traffic =
        supervise("traffic", meters, move || traffic_log::run(Arc::clone(&one.shared), one.traffic.clone()));
    let one = Rc::clone(control);
    let geo = supervise("geo", meters, move || geo::run(Rc::clone(&one)));
    let one = Rc::clone(control);
    let traces =
        supervise("traces", meters, move || traces::run(Arc::clone(&one.shared), Arc::clone(&one.meters)));
    vec![resolver, unreached, readiness, traffic, geo, traces]
}

/// The tasks that speak for the edge: of two processes of an upgrade, one has them.
///
/// # Errors
/// The admin server's socket cannot be used.
pub fn acting(
    control: &Rc<Control>,
    reloader: &Rc<Reloader>,
    (socket, serve_admin): (TcpListener, AdminServer),
) -> std::io::Result<Vec<Task>> {
    let socket = Rc::new(tokio::net::TcpListener::from_std(socket)?);
    let meters = &control.meters;
    let one = Rc::clone(control);
    let admin = supervise("admin", meters, move || serve_admin(Rc::clone(&one), Rc::clone(&socket)));
    let one = Rc::clone(reloader);
    let reloads = supervise("reload", meters, move || Rc::clone(&one).run());
    let (one, requests) = (Rc::clone(reloader), control.reloads.clone());
    let watch = supervise("watch", meters, move || file_watch::run(Rc::clone(&one), requests.clone()));
    let one = Rc::clone(control);
    let state = supervise("state", meters, move || state_store::run(Rc::clone(&one)));
    let one = Rc::clone(control);
    let notify = supervise("notify", meters, move || {
        notify::run(Arc::clone(&one.shared), one.events.clone(), Arc::clone(&one.meters))
    });
    let one = Rc::clone(control);
    let announce = supervise("announce", meters, move || announce::run(Rc::clone(&one)));
    let one = Rc::clone(control);
    let fleet = supervise("fleet", meters, move || fleet::run(Rc::clone(&one)));
    let one = Rc::clone(control);
    let dns = supervise("dns", meters, move || dns::run(Rc::clone(&one)));
    Ok(vec![admin, reloads, watch, state, notify, announce, fleet, dns])
}
