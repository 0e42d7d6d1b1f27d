//! Real balancers in front of the edge, where HAProxy, nginx and curl send PROXY headers, and real servers behind it,
//! where nginx and HAProxy take the edge's own.

use std::{
    fs::File,
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use thalweg_testkit::{Scratch, free_port, skip};

use super::*;

/// A foreign server that is ended with its scenario.
pub struct Foreign {
    child: Child,
    pub addr: SocketAddr,
    _scratch: Scratch,
}

impl Foreign {
    /// HAProxy with this config, in which `@PORT@` is where it listens. `None`: it is not installed.
    pub fn haproxy(config: &str) -> Option<Self> {
        let defaults =
            "defaults\n mode http\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n";
        Self::start("haproxy", &format!("{defaults}{config}"), &["-db", "-f"])
    }

    /// nginx with these sections.
    pub fn nginx(config: &str) -> Option<Self> {
        let module = "/usr/lib/nginx/modules/ngx_stream_module.so";
        let stream = if config.contains("stream {") {
            if !std::path::Path::new(module).exists() {
                skip("nginx in front of the edge", "its stream module is not installed");
                return None;
            }
            format!("load_module {module};\n")
        } else {
            String::new()
        };
        let main = format!(
            "{stream}daemon off;\nmaster_process off;\npid @DIR@/nginx.pid;\nerror_log stderr;\nevents {{}}\n"
        );
        Self::start("nginx", &format!("{main}{config}"), &["-p", "@DIR@", "-c"])
    }

    fn start(program: &str, config: &str, args: &[&str]) -> Option<Self> {
        let place = ["/usr/sbin", "/usr/bin", "/usr/local/sbin"]
            .iter()
            .map(|folder| std::path::Path::new(folder).join(program))
            .find(|path| path.is_file());
        let Some(place) = place else {
            skip(&format!("{program} as a peer"), "not installed");
            return None;
        };
        for _ in 0..5 {
            let (scratch, port) = (Scratch::new(), free_port());
            let dir = scratch.path().display().to_string();
            let file = scratch
                .write("peer.conf", config.replace("@PORT@", &port.to_string()).replace("@DIR@", &dir));
            let log = File::create(scratch.join("peer.log")).expect("a log can be made");
            let child = Command::new(&place)
                .args(args.iter().map(|arg| arg.replace("@DIR@", &dir)))
                .arg(file)
                .stdin(Stdio::null())
                .stdout(log.try_clone().expect("a copy"))
                .stderr(log)
                .spawn()
                .expect("it can be started");
            let mut peer = Self { child, addr: SocketAddr::from(([127, 0, 0, 1], port)), _scratch: scratch };
            let mut ended = false;
            eventually(&format!("{program} listens"), SOON, || {
                ended = !matches!(peer.child.try_wait(), Ok(None));
                ended || Client::try_connect(peer.addr).is_ok()
            });
            if !ended {
                return Some(peer);
            }
            let said = std::fs::read_to_string(peer._scratch.join("peer.log")).unwrap_or_default();
            assert!(said.to_lowercase().contains("in use"), "{program} ended: {said}");
        }
        panic!("no port was free for {program}");
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        let _it_may_have_ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// The addresses that the endpoint was told, without checks of the balancer.
fn clients(endpoint: &Endpoint) -> Vec<String> {
    endpoint
        .requests()
        .iter()
        .map(|seen| seen.header("x-forwarded-for").unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn haproxy_in_front_names_its_client_in_both_versions() {
    for send in
        ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id,authority,ssl"]
    {
        let (edge, endpoint) = edge_with(BEHIND, "");
        let mode = "mode tcp\n unique-id-format id-%pid-%rt";
        let config =
            format!("listen web\n bind 127.0.0.1:@PORT@\n {mode}\n server s {} {send}\n", edge.web());
        let Some(haproxy) = Foreign::haproxy(&config) else { return };
        let mut client = Client::connect_from([127, 0, 0, 7].into(), haproxy.addr);
        assert_eq!(client.get("/").status, 200, "{send}");
        assert_eq!(clients(&endpoint), ["127.0.0.7"], "{send}");
        let line = lines(&edge, 1).pop().expect("a line");
        if send.contains("unique-id") {
            assert!(line["proxy"]["unique_id"].as_str().is_some_and(|id| id.starts_with("id-")), "{line}");
        }
    }
}

#[test]
fn checks_of_haproxy_with_and_without_a_header_are_understood() {
    let (edge, _endpoint) = edge_with(BEHIND, "");
    let server =
        format!("server s {} send-proxy-v2 check check-send-proxy inter 100ms fall 1 rise 1", edge.web());
    let config = format!(
        "frontend web\n bind 127.0.0.1:@PORT@\n default_backend b\nbackend b\n option httpchk\n http-check send meth GET uri / ver HTTP/1.1 hdr host a.test\n {server}\n"
    );
    let Some(haproxy) = Foreign::haproxy(&config) else { return };
    // Checks speak for HAProxy itself (LOCAL).
    eventually("checks are answered", SOON, || edge.access_log().len() >= 3);
    assert!(edge.access_log().iter().all(|line| line["status"] == 200 && line["client"] == "127.0.0.1"));
    assert_eq!(Client::connect(haproxy.addr).get("/").status, 200, "the server is up");
}

#[test]
fn nginx_in_front_names_its_client() {
    let (edge, endpoint) = edge_with(BEHIND, "");
    let config = format!(
        "stream {{ server {{ listen 127.0.0.1:@PORT@; proxy_pass {}; proxy_protocol on; }} }}\n",
        edge.web()
    );
    let Some(nginx) = Foreign::nginx(&config) else { return };
    endpoint.forget();
    assert_eq!(Client::connect_from([127, 0, 0, 8].into(), nginx.addr).get("/").status, 200);
    assert_eq!(clients(&endpoint), ["127.0.0.8"]);
}

#[test]
fn nginx_as_a_trusted_proxy_names_its_client() {
    let (edge, endpoint) = edge_with("trusted = [\"127.0.0.1\"]", "");
    let config = format!(
        "http {{ access_log off; server {{ listen 127.0.0.1:@PORT@; location / {{ proxy_pass http://{}; proxy_http_version 1.1; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }} }} }}\n",
        edge.web()
    );
    let Some(nginx) = Foreign::nginx(&config) else { return };
    let mut client = Client::connect_from([127, 0, 0, 8].into(), nginx.addr);
    assert_eq!(
        client.ask("GET", "/", "x-forwarded-for: 203.0.113.1\r\n", b"").expect("an answer").status,
        200
    );
    assert_eq!(clients(&endpoint), ["127.0.0.8, 127.0.0.1"]);
}

#[test]
fn curl_sends_a_header_of_version_1() {
    let (edge, endpoint) = edge_with(BEHIND, "");
    let url = format!("http://{}/", edge.web());
    let curl =
        Command::new("curl").args(["-sS", "--haproxy-protocol", "--interface", "127.0.0.9", &url]).output();
    let curl = curl.expect("curl is there");
    assert!(curl.status.success(), "{}", String::from_utf8_lossy(&curl.stderr));
    assert_eq!(clients(&endpoint), ["127.0.0.9"]);
}

/// An edge whose pool sends PROXY headers to this server, probed.
fn sending_to(server: SocketAddr, listener: &str) -> Edge {
    let conf = Conf::new()
        .listener("web", listener)
        .pool("p", &[server], "send_proxy = \"v2\"\nkeepalive = { idle = \"30s\", max_idle = 2 }")
        .route("all", "failover", &["p"], "");
    let edge = Edge::start(&conf.edge("workers = 1"));
    // Its probes speak for the edge itself, and are answered.
    edge.until_up(1);
    edge
}

/// What nginx knows of a connection: who the header says, how many requests it carried.
const TELLS: &str = "return 200 '$proxy_protocol_addr $proxy_protocol_port $proxy_protocol_server_port $connection_requests';";

#[test]
fn nginx_behind_the_edge_learns_each_client_and_no_connection_serves_two() {
    let config = format!(
        "http {{ access_log off; server {{ listen 127.0.0.1:@PORT@ proxy_protocol; location / {{ {TELLS} }} }} }}\n"
    );
    let Some(nginx) = Foreign::nginx(&config) else { return };
    let edge = sending_to(nginx.addr, "");
    let mut clients: Vec<Client> =
        [2, 3, 4, 5].map(|nth| Client::connect_from([127, 0, 0, nth].into(), edge.web())).into();
    let mut connections = 0;
    for _ in 0..3 {
        for client in &mut clients {
            let reply = client.get("/");
            let text = reply.text();
            let [address, port, server_port, requests] = text.split(' ').collect::<Vec<_>>()[..] else {
                panic!("{} {text}", reply.status)
            };
            assert_eq!(format!("{address}:{port}"), client.local().to_string());
            assert_eq!(server_port, edge.port("web").to_string());
            connections += usize::from(requests == "1");
        }
    }
    // Two idle connections are kept, so of four clients none finds its own again.
    assert_eq!(connections, 12);
    for nth in 1..=5 {
        assert!(
            clients[0].get("/").text().ends_with(&format!(" {nth}")),
            "the same client, the same connection"
        );
    }
}

#[test]
fn haproxy_behind_the_edge_learns_the_client_that_a_balancer_named() {
    let config = "frontend web\n bind 127.0.0.1:@PORT@ accept-proxy\n http-request return status 200 content-type text/plain lf-string \"%[src]:%[src_port] %[dst]:%[dst_port]\"\n";
    let Some(haproxy) = Foreign::haproxy(config) else { return };
    let edge = sending_to(haproxy.addr, BEHIND);
    for (before, expected) in [
        (b"PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\r\n".to_vec(), "192.0.2.1:4711 198.51.100.1:443"),
        (b"PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n".to_vec(), "2001:db8::1:1 2001:db8::2:2"),
    ] {
        let reply = ask_after(&edge, &before);
        assert_eq!((reply.status, &*reply.text()), (200, expected));
    }
}

#[test]
fn two_edges_hand_the_client_on() {
    let (behind, endpoint) = edge_with(BEHIND, "");
    let front = sending_to(behind.web(), "trusted = [\"127.0.0.1\"]");
    let mut proxy = Client::connect(front.web());
    for client in ["192.0.2.1", "192.0.2.2", "192.0.2.1"] {
        let headers = format!("x-forwarded-for: {client}\r\n");
        assert_eq!(proxy.ask("GET", "/", &headers, b"").expect("an answer").status, 200);
    }
    let told: Vec<String> = clients(&endpoint).into_iter().filter(|client| client != "127.0.0.1").collect();
    assert_eq!(told, ["192.0.2.1", "192.0.2.2", "192.0.2.1"], "{told:?}");
}
