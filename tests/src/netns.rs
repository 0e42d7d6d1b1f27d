//! A network namespace per region, joined to this one by a pair of virtual cards: packets can be dropped there, which
//! loopback cannot do. Needs root, `ip` and `nft`; touches only what it made, and takes it away again.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicU8, Ordering},
};

/// One namespace, removed when dropped.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    nth: u8,
}

impl Namespace {
    /// Whether namespaces can be made here; if not, why.
    pub fn possible() -> Result<(), String> {
        if !rustix::process::geteuid().is_root() {
            return Err("network namespaces need root".to_owned());
        }
        for tool in ["ip", "nft"] {
            tool_path(tool).ok_or_else(|| format!("`{tool}` is missing (iproute2, nftables)"))?;
        }
        Ok(())
    }

    /// Creates one.
    pub fn new() -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(0);
        let nth = NEXT.fetch_add(1, Ordering::Relaxed);
        let made = Self { name: format!("twc{}n{nth}", std::process::id()), nth };
        let (ours, theirs) = (made.card("o"), made.card("i"));
        let (near, far) = (made.ip(1), made.ip(2));
        ip(&format!("netns add {}", made.name));
        ip(&format!("link add {ours} type veth peer name {theirs} netns {}", made.name));
        ip(&format!("addr add {near}/30 dev {ours}"));
        ip(&format!("link set {ours} up"));
        ip(&format!("-n {} addr add {far}/30 dev {theirs}", made.name));
        ip(&format!("-n {} link set {theirs} up", made.name));
        ip(&format!("-n {} link set lo up", made.name));
        made
    }

    /// The address at which a process inside listens.
    pub fn addr(&self) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.ip(2)), 8000)
    }

    /// A command that runs inside, with the process id it is started with.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(tool_path("ip").unwrap_or("ip"));
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Drops every packet that comes in, or none.
    pub fn drop_packets(&self, yes: bool) {
        let nft = tool_path("nft").unwrap_or("nft");
        let inside = format!("netns exec {} {nft}", self.name);
        if yes {
            ip(&format!("{inside} add table inet hole"));
            ip(&format!("{inside} add chain inet hole in {{ type filter hook input priority 0; }}"));
            ip(&format!("{inside} add rule inet hole in iifname {} drop", self.card("i")));
        } else {
            ip(&format!("{inside} delete table inet hole"));
        }
    }

    /// Addresses from the range for measurements (RFC 2544): a /30 for each namespace, different in each process.
    fn ip(&self, host: u8) -> Ipv4Addr {
        let block = (std::process::id() % 1024) * 64 + u32::from(self.nth % 64);
        let base = u32::from(Ipv4Addr::new(198, 18, 0, 0)) + (block % 32768) * 4;
        Ipv4Addr::from(base + u32::from(host))
    }

    fn card(&self, end: &str) -> String {
        format!("{}{end}", self.name)
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let mut command = Command::new(tool_path("ip").unwrap_or("ip"));
        command.args(["netns", "del", &self.name]).stderr(Stdio::null());
        let _gone_already_is_fine = command.status();
    }
}

fn tool_path(tool: &str) -> Option<&'static str> {
    let places = match tool {
        "ip" => ["/usr/sbin/ip", "/sbin/ip", "/usr/bin/ip", "/bin/ip"],
        _ => ["/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft", "/usr/local/sbin/nft"],
    };
    places.into_iter().find(|path| Path::new(path).is_file())
}

fn ip(words: &str) {
    let done = Command::new(tool_path("ip").unwrap_or("ip")).args(words.split(' ')).output();
    let done = done.unwrap_or_else(|error| panic!("ip {words}: {error}"));
    assert!(done.status.success(), "ip {words}: {}", String::from_utf8_lossy(&done.stderr));
}
