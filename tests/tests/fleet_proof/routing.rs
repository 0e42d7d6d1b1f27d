//! BIRD at the edges and at the routers: BGP with BFD, the address announced by a protocol that the edge switches.

use thalweg_testkit::Scratch;

use crate::{
    common::bird::{BirdProcess, TIMERS},
    network::{ADDRESS, EDGES, Network, ROUTERS, edge_at, router_at},
};

/// A hang is seen after half a second: shorter, and a busy machine looks like one that hangs.
const BFD: &str = "min rx interval 100 ms; min tx interval 100 ms; idle tx interval 300 ms; multiplier 5;";

/// The protocol that the edge enables and disables.
pub const PROTOCOL: &str = "anycast4";

/// BIRD of an edge, as `infra/` configures it: the address is withheld at its start.
pub fn edge_bird(network: &Network, edge: usize, scratch: &Scratch) -> BirdProcess {
    let mut config = format!(
        "router id 198.18.0.{};\nprotocol device {{ scan time 5; }}\n\
         protocol bfd {{ interface \"up*\" {{ {BFD} }}; }}\n\
         protocol static {PROTOCOL} {{ disabled; ipv4; route {ADDRESS}/32 unreachable; }}\n",
        edge + 1
    );
    for router in 0..ROUTERS {
        config += &format!(
            "protocol bgp up{router} {{ local {} as 65001; neighbor {} as 65000; {TIMERS}\n\
             ipv4 {{ import none; export where proto = \"{PROTOCOL}\"; next hop self; }}; }}\n",
            edge_at(router, edge),
            router_at(router, edge)
        );
    }
    network.edges[edge].within(|| BirdProcess::start(scratch, "bird", &config, None))
}

/// BIRD of a router: every path of the address goes into the kernel's table.
pub fn router_bird(network: &Network, router: usize, scratch: &Scratch) -> BirdProcess {
    let mut config = format!(
        "router id 198.18.0.{};\nprotocol device {{ scan time 5; }}\n\
         protocol bfd {{ interface \"e*\" {{ {BFD} }}; }}\n\
         protocol kernel {{ merge paths yes; ipv4 {{ import none; export where source = RTS_BGP; }}; }}\n",
        100 + router
    );
    for edge in 0..EDGES {
        config += &format!(
            "protocol bgp e{edge} {{ local {} as 65000; neighbor {} as 65001; passive yes; {TIMERS}\n\
             ipv4 {{ import where net = {ADDRESS}/32; export none; }}; }}\n",
            router_at(router, edge),
            edge_at(router, edge)
        );
    }
    let name = format!("router{router}");
    network.routers[router].within(|| BirdProcess::start(scratch, &name, &config, None))
}
