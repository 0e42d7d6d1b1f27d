//! The file watcher of a running edge: the four ways in which files change, and listeners that come and go.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::{fs, net::SocketAddr, os::unix::fs::symlink, path::Path};

use common::{Edge, Scratch, config, eventually, free_port};

fn admin() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], free_port()))
}

fn level(name: &str) -> String {
    format!("[log]\nlevel = \"{name}\"\n")
}

fn until_generation(edge: &Edge, generation: u64) {
    eventually(&format!("generation {generation}"), || edge.generation() == generation);
}

#[test]
fn rename_over_truncate_and_write_delete_and_recreate_are_all_seen() {
    let (scratch, admin, web) = (Scratch::new(), admin(), free_port());
    let text = |name: &str| config(admin, web, &level(name));
    let path = scratch.write("t.toml", text("info"));
    let edge = Edge::start(&path, admin);
    let other = scratch.write("other", text("warn"));
    fs::rename(other, &path).unwrap();
    until_generation(&edge, 2);
    fs::write(&path, text("error")).unwrap();
    until_generation(&edge, 3);
    fs::remove_file(&path).unwrap();
    eventually("the loss is told", || edge.json("/api/v1/status")["last_reload"]["result"] == "rejected");
    fs::write(&path, text("warn")).unwrap();
    until_generation(&edge, 4);
    assert_eq!(edge.json("/api/v1/status")["last_reload"]["result"], "applied");
}

#[test]
fn an_included_file_that_got_another_name_is_followed_under_that() {
    let (scratch, admin, web) = (Scratch::new(), admin(), free_port());
    let folder = scratch.path().join("conf.d");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("a.conf"), level("info")).unwrap();
    let path = scratch.write("t.toml", format!("include = [\"conf.d/*.conf\"]\n{}", config(admin, web, "")));
    let edge = Edge::start(&path, admin);
    fs::rename(folder.join("a.conf"), folder.join("b.conf")).unwrap();
    eventually("it is known by its name", || {
        let files = edge.json("/api/v1/status")["config_files"].to_string();
        files.contains("b.conf") && !files.contains("a.conf")
    });
    assert_eq!(edge.generation(), 1, "nothing else has changed");
    fs::write(folder.join("b.conf"), level("warn")).unwrap();
    until_generation(&edge, 2);
}

/// As the kubelet does it: files are links into `..data`, which is a link that is swapped.
#[test]
fn a_swapped_data_link_is_seen() {
    let (scratch, admin, web) = (Scratch::new(), admin(), free_port());
    let generation = |name: &str, text: String| {
        fs::create_dir(scratch.path().join(name)).unwrap();
        fs::write(scratch.path().join(name).join("t.toml"), text).unwrap();
    };
    let point = |to: &str| {
        let fresh = scratch.path().join("..data_tmp");
        symlink(to, &fresh).unwrap();
        fs::rename(fresh, scratch.path().join("..data")).unwrap();
    };
    generation("..1", config(admin, web, &level("info")));
    point("..1");
    let path = scratch.path().join("t.toml");
    symlink("..data/t.toml", &path).unwrap();
    let edge = Edge::start(&path, admin);
    generation("..2", config(admin, web, &level("warn")));
    point("..2");
    fs::remove_dir_all(scratch.path().join("..1")).unwrap();
    until_generation(&edge, 2);
}

#[test]
fn an_address_that_is_taken_changes_nothing() {
    let (scratch, admin) = (Scratch::new(), admin());
    let path = scratch.write("t.toml", config(admin, free_port(), ""));
    let edge = Edge::start(&path, admin);
    fs::write(&path, config(admin, free_port(), "")).unwrap();
    assert_eq!(edge.post("/api/v1/reload").0, 200);
    let stranger = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    fs::write(&path, config(admin, stranger.local_addr().unwrap().port(), "")).unwrap();
    let (status, body) = edge.post("/api/v1/reload");
    assert_eq!(status, 422);
    assert!(body.contains("listener.web.bind") && body.contains("taken"), "{body}");
    assert_eq!(edge.generation(), 2);
}

#[test]
fn a_renewed_certificate_is_used_and_a_broken_one_is_not() {
    let (scratch, admin) = (Scratch::new(), admin());
    let pair = |days: i64| {
        let mut params = rcgen::CertificateParams::new(vec!["a.test".into()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2039, 12, 1);
        params.not_after =
            rcgen::date_time_ymd(2040, 1, 1) + std::time::Duration::from_secs(86_400) * days as u32;
        let key = rcgen::KeyPair::generate().unwrap();
        scratch.write("a.key", key.serialize_pem());
        scratch.write("a.crt", params.self_signed(&key).unwrap().pem());
    };
    pair(0);
    let tls = format!(
        "[[listener]]\nname = \"tls\"\nbind = \"127.0.0.1:{}\"\nprotocols = [\"h2\", \"http/1.1\"]\n\
         [listener.tls]\ncertificates = [{{ cert = \"a.crt\", key = \"a.key\" }}]\n",
        free_port()
    );
    let path: &Path = &scratch.write("t.toml", config(admin, free_port(), &tls));
    let edge = Edge::start(path, admin);
    let expiry = |seconds: u64| {
        let line = format!(
            "thalweg_certificate_expiry_timestamp_seconds{{listener=\"tls\",name=\"a.test\"}} {seconds}\n"
        );
        edge.get("/metrics").1.contains(&line)
    };
    assert!(expiry(2_208_988_800));
    let begins =
        "thalweg_certificate_not_before_timestamp_seconds{listener=\"tls\",name=\"a.test\"} 2206310400\n";
    assert!(edge.get("/metrics").1.contains(begins));
    pair(1);
    eventually("the renewed one is in use", || expiry(2_209_075_200));
    assert_eq!(edge.generation(), 1, "a certificate is no config");
    scratch.write("a.key", "nonsense");
    eventually("the broken one is told", || {
        edge.json("/api/v1/status")["last_reload"]["result"] == "rejected"
    });
    assert!(expiry(2_209_075_200));
}
