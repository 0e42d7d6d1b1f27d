//! Sets a scene: three regions in three clouds, a proxy over them, a load towards it. The proxy is a parameter:
//! the comparison plays the same scenes with others.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use thalweg_testkit::{Authority, Conf, Dns, Edge, Load, Records, Scratch, client_config};

use crate::{
    cell::{Policy, Scene, Wire},
    netns::Namespace,
    peer::{Kind, Peer},
    site::{Place, Site},
};

/// Cloud and region, nearest first.
pub const REGIONS: [(&str, &str); 3] =
    [("aws", "us-east-1"), ("gcp", "europe-west1"), ("azure", "southeastasia")];

/// What a region answers to a plain GET.
pub const SERVED: &str = "{\"status\":\"served\"}";

/// What every request asks for.
const HOST: &str = "api.test";

/// The proxy that steers.
#[derive(Debug)]
pub enum Proxy {
    /// The edge under test.
    Thalweg(Box<Edge>),
    /// Another proxy.
    Peer(Peer),
}

/// A running scene.
#[derive(Debug)]
pub struct Stage {
    /// Region by region, the spare last.
    pub sites: Vec<Site>,
    /// Who steers.
    pub proxy: Proxy,
    /// The name server, in scenes with a name.
    pub dns: Option<Dns>,
    authority: Authority,
    _scratch: Scratch,
}

impl Stage {
    /// Starts the scene with this proxy and waits until every part is healthy.
    pub fn set(scene: &Scene, kind: Kind) -> Self {
        let scratch = Scratch::new();
        let sites = sites(scene, &scratch);
        let authority = Authority::new("chaos");
        let dns = scene.named.then(|| name_server(&sites[0]));
        let proxy = match kind {
            Kind::Thalweg => Proxy::Thalweg(Box::new(edge(scene, &sites, &authority, dns.as_ref()))),
            other => {
                let plain = !scene.named && scene.wire == Wire::H1 && scene.endpoints == 1;
                assert!(plain, "{other:?} plays plain scenes only");
                let addrs: Vec<SocketAddr> = sites.iter().map(Site::addr).collect();
                Proxy::Peer(Peer::start(other, &addrs, &scratch))
            }
        };
        Self { sites, proxy, dns, authority, _scratch: scratch }
    }

    /// The load of this scene, without an end.
    pub fn load(&self, scene: &Scene) -> Load {
        let addr = match &self.proxy {
            Proxy::Thalweg(edge) => edge.web(),
            Proxy::Peer(peer) => peer.addr(),
        };
        let load = Load::to(addr).host(HOST).rate(scene.rate).posts(scene.posts).post_path("/echo").echoed();
        let load = match scene.body {
            0 => load.path("/").signed(SERVED.len()),
            size => load.path(&format!("/bytes/{size}")).signed(size),
        };
        match scene.wire {
            Wire::H1 => load.fresh(0.02),
            Wire::H2 => load.tls(client_config(&self.authority, &["h2"], &[])).h2(),
        }
    }

    /// Makes the name of the first region resolve to this site alone.
    pub fn resolve(&self, site: usize) {
        if let Some(dns) = &self.dns {
            dns.set(HOST, Records::Addresses(vec![self.sites[site].addr().ip()], 1));
        }
    }
}

fn sites(scene: &Scene, scratch: &Scratch) -> Vec<Site> {
    let mut sites = Vec::new();
    for (nth, (_, region)) in REGIONS.iter().enumerate() {
        for endpoint in 0..scene.endpoints {
            let name = if endpoint == 0 { (*region).to_owned() } else { format!("{region}#{endpoint}") };
            let place = if scene.apart {
                Place::Apart(Namespace::new())
            } else {
                Site::loopback(IpAddr::V4(Ipv4Addr::LOCALHOST), 0)
            };
            sites.push(Site::start(&name, place, scratch.path(), scene.distances_ms[nth]));
        }
    }
    if scene.named {
        let place = Site::loopback(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), sites[0].addr().port());
        sites.push(Site::start("spare", place, scratch.path(), scene.distances_ms[0]));
    }
    sites
}

fn name_server(first: &Site) -> Dns {
    let dns = Dns::start();
    dns.set(HOST, Records::Addresses(vec![first.addr().ip()], 1));
    dns
}

fn edge(scene: &Scene, sites: &[Site], authority: &Authority, dns: Option<&Dns>) -> Edge {
    let mut conf = Conf::new().raw("[probe.site]\npath = \"/health\"\n");
    conf = match scene.wire {
        Wire::H1 => conf.listener("web", ""),
        Wire::H2 => {
            let leaf = authority.leaf(&[HOST]);
            let tls = "protocols = [\"h2\", \"http/1.1\"]\n[listener.tls]\ncertificates = [{ cert = \"site.crt\", key = \"site.key\" }]";
            conf.listener("web", tls).file("site.crt", leaf.cert_pem).file("site.key", leaf.key_pem)
        }
    };
    for (nth, (cloud, region)) in REGIONS.iter().enumerate() {
        let more = scene.pool;
        let lines = format!("probe = \"site\"\ncloud = \"{cloud}\"\nregion = \"{region}\"\n{more}");
        conf = match dns {
            Some(dns) if nth == 0 => conf.raw(&format!(
                "[resolver]\nnameservers = [\"{}\"]\n\n[pool.{region}]\n{lines}\nendpoints = [{{ address = \"{HOST}:{}\" }}]",
                dns.addr(),
                sites[0].addr().port()
            )),
            _ => {
                let addrs: Vec<SocketAddr> =
                    sites[nth * scene.endpoints..][..scene.endpoints].iter().map(Site::addr).collect();
                conf.pool(region, &addrs, &lines)
            }
        };
    }
    let names: Vec<&str> = REGIONS.iter().map(|(_, region)| *region).collect();
    let edge = Edge::start(&conf.route("all", scene.policy.word(), &names, &route(scene)));
    edge.until_up(REGIONS.len() * scene.endpoints);
    edge
}

fn route(scene: &Scene) -> String {
    let mode = match (scene.policy, scene.ramp_s) {
        (Policy::Weighted, _) => "immediate",
        (_, 0) => "hold",
        _ => "ramp",
    };
    format!(
        "failback = {{ mode = \"{mode}\", hold = \"{}s\", ramp = \"{}s\" }}\nretry = {{ hedge = {} }}",
        scene.hold_s, scene.ramp_s, scene.hedge
    )
}
