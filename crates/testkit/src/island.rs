//! A separate network for endpoints, reached over a virtual cable whose packets can be dropped, as when a machine
//! or its network disappears silently. Needs root, `ip` and `nft`; otherwise the error names what is missing.

use std::{
    fs::File,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::fd::AsFd,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::{Endpoint, H2Endpoint};

/// A network namespace and the cable to it; both vanish when dropped.
#[derive(Debug)]
pub struct Island {
    name: String,
    ip: Ipv4Addr,
}

impl Island {
    /// Creates one, or says why this machine cannot.
    pub fn new() -> Result<Self, String> {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        let (pid, nth) = (std::process::id(), SERIAL.fetch_add(1, Ordering::Relaxed));
        // 198.18.0.0/15 is set aside for tests of network devices; a block of four addresses each.
        let block = (pid.wrapping_mul(4).wrapping_add(nth) & 0x7fff) << 2;
        let base = u32::from(Ipv4Addr::new(198, 18, 0, 0)) + block;
        let (shore, ip) = (Ipv4Addr::from(base + 1), Ipv4Addr::from(base + 2));
        let island = Self { name: format!("tw{pid:x}-{nth}"), ip };
        let (here, there) = (format!("{}a", island.name), format!("{}b", island.name));
        let name = island.name.as_str();
        run(&["ip", "netns", "add", name])?;
        run(&["ip", "link", "add", &here, "type", "veth", "peer", "name", &there, "netns", name])?;
        run(&["ip", "addr", "add", &format!("{shore}/30"), "dev", &here])?;
        run(&["ip", "link", "set", &here, "up"])?;
        island.run(&["ip", "addr", "add", &format!("{ip}/30"), "dev", &there])?;
        island.run(&["ip", "link", "set", &there, "up"])?;
        island.run(&[
            "nft",
            "add table inet cut; add chain inet cut in { type filter hook input priority 0; }",
        ])?;
        Ok(island)
    }

    /// Starts an endpoint on it.
    pub fn endpoint(&self, name: &str) -> Endpoint {
        let addr = SocketAddr::new(IpAddr::V4(self.ip), 0);
        self.inside(|| Endpoint::start_at(name, addr, None))
    }

    /// Starts an endpoint on it that speaks HTTP/2.
    pub fn h2_endpoint(&self, name: &str) -> H2Endpoint {
        self.inside(|| H2Endpoint::start_on(name, IpAddr::V4(self.ip)))
    }

    fn inside<T: Send>(&self, open: impl FnOnce() -> T + Send) -> T {
        let space = File::open(format!("/run/netns/{}", self.name)).expect("the namespace is there");
        // A socket stays in the namespace of the thread that opened it; that thread ends here.
        let opening = move || {
            move_into_link_name_space(space.as_fd(), Some(LinkNameSpaceType::Network))
                .expect("root may enter its own namespace");
            open()
        };
        std::thread::scope(|scope| scope.spawn(opening).join().expect("the endpoint starts"))
    }

    /// Drops every packet that arrives there from now on: no answer, no reset, no acknowledgement.
    pub fn cut_off(&self) {
        self.run(&["nft", "add rule inet cut in drop"]).expect("a rule can be added");
    }

    /// Lets packets through again.
    pub fn reconnect(&self) {
        self.run(&["nft", "flush chain inet cut in"]).expect("rules can be removed");
    }

    fn run(&self, command: &[&str]) -> Result<(), String> {
        run(&[&["ip", "netns", "exec", &self.name], command].concat())
    }
}

impl Drop for Island {
    fn drop(&mut self) {
        let _never_made_is_fine = run(&["ip", "netns", "del", &self.name]);
    }
}

fn run(command: &[&str]) -> Result<(), String> {
    let output = Command::new(command[0]).args(&command[1..]).output();
    let output = output.map_err(|error| format!("{}: {error}", command[0]))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("`{}`: {}", command.join(" "), said.lines().next().unwrap_or("failed")))
}
