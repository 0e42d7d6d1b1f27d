//! `[dns]`: binds the addresses at which DNS queries are answered, hands their sockets to the DNS thread, and takes them
//! back when the config says so. An address that cannot be bound is an event and is tried again; requests go on.
//! Answers nothing itself. `listening` is what is known of it.

pub mod listening;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use serde_json::json;
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};

use self::listening::DnsListenView;
use crate::{
    control::{
        listen::{self, BindError},
        state::Control,
    },
    dns::thread::{self, DnsSockets, DnsThread},
};

/// How often an address is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// Time for the thread to close sockets before others are bound in their place.
const CLOSING: Duration = Duration::from_millis(50);

/// An address and what else its sockets depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct DnsListenKey {
    address: SocketAddr,
    v6_only: bool,
}

/// The sockets that are with the thread.
#[derive(Debug)]
struct OpenDns {
    bound: SocketAddr,
    /// Dropped to close them.
    _close: oneshot::Sender<()>,
}

/// Follows the config until the task is dropped; then the sockets close.
pub async fn run(control: Rc<Control>) {
    let mut published = control.shared.published.subscribe();
    let mut responder = DnsSide::default();
    loop {
        let wanted = wanted(&control);
        let again = if responder.follows(&wanted) { false } else { responder.turn(&control, &wanted).await };
        let changed = published.changed();
        let changed = if again { timeout(AGAIN, changed).await.unwrap_or(Ok(())) } else { changed.await };
        if changed.is_err() {
            return;
        }
    }
}

/// Waits until this process answers, as far as it can; bounded. A predecessor must not close its sockets before.
pub async fn until_tried(control: &Control) {
    if control.shared.live.load().wiring.config.dns.is_some() {
        let _ = timeout(AGAIN, control.dns.tried.notified()).await;
    }
}

/// The addresses of the config in force.
fn wanted(control: &Control) -> Vec<DnsListenKey> {
    let live = control.shared.live.load();
    let listen = live.wiring.config.dns.as_ref().map(|dns| &*dns.listen).unwrap_or_default();
    let holds_v4 = |port| listen.contains(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)));
    let key = |address: &SocketAddr| {
        let v6_only = match address.ip() {
            IpAddr::V6(ip) => !ip.is_unspecified() || holds_v4(address.port()),
            IpAddr::V4(_) => false,
        };
        DnsListenKey { address: *address, v6_only }
    };
    listen.iter().map(key).collect()
}

/// The thread and its sockets.
#[derive(Debug, Default)]
struct DnsSide {
    thread: Option<DnsThread>,
    open: BTreeMap<DnsListenKey, OpenDns>,
}

impl DnsSide {
    fn follows(&self, wanted: &[DnsListenKey]) -> bool {
        self.open.len() == wanted.len() && wanted.iter().all(|key| self.open.contains_key(key))
    }

    /// Closes and binds what differs. Returns whether an address is to be tried again.
    async fn turn(&mut self, control: &Control, wanted: &[DnsListenKey]) -> bool {
        let before = self.open.len();
        self.open.retain(|key, _| wanted.contains(key));
        if self.open.len() < before {
            sleep(CLOSING).await;
        }
        let mut views = Vec::with_capacity(wanted.len());
        for key in wanted {
            let bound = match self.open.get(key) {
                Some(open) => Ok(open.bound),
                None => self.open(control, *key).await,
            };
            views.push(DnsListenView { configured: key.address, bound });
        }
        if wanted.is_empty() {
            self.thread = None;
        }
        tell(control, &views);
        let again = views.iter().any(|view| view.bound.is_err());
        control.dns.views.replace(views);
        control.dns.tried.notify_one();
        again
    }

    /// Binds an address and hands its sockets over.
    async fn open(&mut self, control: &Control, key: DnsListenKey) -> Result<SocketAddr, String> {
        // A predecessor answers until this process does; our own sockets on the port are no strangers either.
        let shares = self.open.keys().any(|open| open.address.port() == key.address.port())
            || control.upgrades.predecessor().is_some();
        let problem = |error: BindError| error.problem;
        let (udp, tcp, bound) = listen::bind_dns(key.address, key.v6_only, shares).map_err(problem)?;
        let thread = match &self.thread {
            Some(thread) => thread,
            None => {
                let started = thread::start(Arc::clone(&control.shared), Arc::clone(&control.meters));
                self.thread.insert(started.map_err(|error| error.to_string())?)
            }
        };
        let (close, closed) = oneshot::channel();
        if thread.sockets.send(DnsSockets { udp, tcp, closed }).await.is_err() {
            self.thread = None;
            return Err("the DNS thread has ended".to_owned());
        }
        self.open.insert(key, OpenDns { bound, _close: close });
        Ok(bound)
    }
}

/// Tells what is new.
fn tell(control: &Control, views: &[DnsListenView]) {
    let before = control.dns.views.borrow();
    for view in views.iter().filter(|view| !before.contains(view)) {
        let address = view.configured.to_string();
        match &view.bound {
            Ok(bound) => {
                tracing::info!(%bound, "DNS is answered");
                control.events.add("dns_listens", json!({ "address": address, "bound": bound.to_string() }));
            }
            Err(problem) => {
                tracing::error!(
                    address,
                    problem,
                    "DNS cannot be answered at an address; tried again every second"
                );
                control.events.add("dns_bind_failed", json!({ "address": address, "error": problem }));
            }
        }
    }
    let still = |old: &&DnsListenView| views.iter().any(|view| view.configured == old.configured);
    for view in before.iter().filter(|old| !still(old)) {
        control.events.add("dns_closed", json!({ "address": view.configured.to_string() }));
    }
}
