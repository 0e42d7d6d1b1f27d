//! Calls of the admin API of a running edge, as scenarios use them.

use std::time::Duration;

use serde_json::Value;

use crate::{Client, Edge, Metrics, Reply, eventually};

impl Edge {
    /// `GET` on the admin page.
    pub fn admin_get(&self, path: &str) -> Reply {
        self.admin_try(path).unwrap_or_else(|gone| panic!("GET {path} on the admin page: {gone}"))
    }

    /// `POST` on the admin page, with a JSON body.
    pub fn admin_post(&self, path: &str, body: &str) -> Reply {
        self.admin_post_with(path, body, "")
    }

    /// The same, with more header lines (each ended by `\r\n`).
    pub fn admin_post_with(&self, path: &str, body: &str, headers: &str) -> Reply {
        let addr = self.addr("admin");
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{headers}\r\n{body}",
            body.len()
        );
        let mut client = Client::connect(addr);
        client.send(request);
        client.reply("POST").unwrap_or_else(|gone| panic!("POST {path} on the admin page: {gone}"))
    }

    /// The status of `/readyz`; 0 when there is no answer.
    pub fn ready(&self) -> u16 {
        self.admin_try("/readyz").map_or(0, |reply| reply.status)
    }

    /// The answer to `/api/v1/status`.
    pub fn status(&self) -> Value {
        self.admin_get("/api/v1/status").json()
    }

    /// `/api/v1/events`, newest last.
    pub fn events(&self) -> Vec<Value> {
        match self.admin_get("/api/v1/events").json() {
            Value::Array(events) => events,
            other => panic!("events are no array: {other}"),
        }
    }

    /// The events of one kind, newest last.
    pub fn events_of(&self, kind: &str) -> Vec<Value> {
        self.events().into_iter().filter(|event| event["event"] == kind).collect()
    }

    /// This endpoint's row of `/api/v1/status`.
    pub fn endpoint(&self, addr: std::net::SocketAddr) -> Value {
        let status = self.status();
        let pools = status["pools"].as_array().into_iter().flatten();
        let mut all = pools.flat_map(|pool| pool["endpoints"].as_array().into_iter().flatten());
        let found = all.find(|endpoint| endpoint["address"] == addr.to_string());
        found.unwrap_or_else(|| panic!("{addr} is in no pool: {status}")).clone()
    }

    /// Its ejection axis: `clear`, `ejected` or `probation`.
    pub fn ejection(&self, addr: std::net::SocketAddr) -> String {
        self.endpoint(addr)["ejection"].as_str().unwrap_or_default().to_owned()
    }

    /// `/api/v1/explain` with this query string.
    pub fn explain(&self, query: &str) -> Value {
        self.admin_get(&format!("/api/v1/explain?{query}")).json()
    }

    /// `/metrics`, parsed.
    pub fn metrics(&self) -> Metrics {
        let reply = self.admin_get("/metrics");
        Metrics::parse(&reply.text()).unwrap_or_else(|error| panic!("/metrics: {error}"))
    }

    /// One value of `/metrics`, summed over what the labels leave open; 0 when absent.
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.metrics().sum(name, labels)
    }

    /// The generation in force.
    pub fn generation(&self) -> u64 {
        self.metric("thalweg_config_generation", &[]) as u64
    }

    /// `POST /api/v1/reload`.
    pub fn reload(&self) -> Reply {
        self.admin_post("/api/v1/reload", "")
    }

    /// Waits until this many endpoints are Up.
    pub fn until_up(&self, count: usize) {
        eventually(&format!("{count} endpoints are up"), Duration::from_secs(15), || {
            self.metric("thalweg_endpoint_available", &[]) as usize == count
        });
    }

    /// Whether this endpoint is Up.
    pub fn is_up(&self, endpoint: std::net::SocketAddr) -> bool {
        self.metric("thalweg_endpoint_available", &[("endpoint", &endpoint.to_string())]) >= 1.0
    }

    /// Every line of the access log so far.
    pub fn access_log(&self) -> Vec<Value> {
        let is_access = |value: &Value| value.get("request_id").is_some();
        self.stdout().lines().filter_map(|line| serde_json::from_str(line).ok()).filter(is_access).collect()
    }

    /// The access-log line of this request, once it is there.
    pub fn logged(&self, request_id: &str) -> Value {
        crate::eventually_some(&format!("a log line for {request_id}"), Duration::from_secs(5), || {
            self.access_log().into_iter().find(|line| line["request_id"] == request_id)
        })
    }

    fn admin_try(&self, path: &str) -> Result<Reply, crate::Gone> {
        let addr = self.addr("admin");
        let mut client = Client::try_connect(addr)?;
        client.send(format!("GET {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n\r\n"));
        client.reply("GET")
    }
}
