//! A state directory that is full or read-only: a reload and an order count all the same, a warning and an event say that
//! they are not stored, and what comes later is stored once there is room.

mod common;

use std::{fs, path::PathBuf, process::Command, time::Duration};

use common::to;
use serde_json::json;
use thalweg_testkit::{Conf, Edge, Endpoint, Scratch, eventually, get, skip};

const SOON: Duration = Duration::from_secs(10);

/// A small file system of its own; needs root.
struct SmallDisk {
    _scratch: Scratch,
    path: PathBuf,
}

impl SmallDisk {
    fn mount(scenario: &str) -> Option<Self> {
        let scratch = Scratch::new();
        let path = scratch.join("state");
        fs::create_dir(&path).expect("a folder");
        let disk = Self { _scratch: scratch, path };
        if disk.run("mount", &["-t", "tmpfs", "-o", "size=64k,mode=0700", "tmpfs"]) {
            return Some(disk);
        }
        skip(scenario, "no small file system can be mounted (root in a container that allows it)");
        None
    }

    fn run(&self, command: &str, args: &[&str]) -> bool {
        let status = Command::new(command).args(args).arg(&self.path).status();
        status.is_ok_and(|status| status.success())
    }

    /// Takes all room that is left.
    fn fill(&self) {
        let full = (0..64).any(|nth| fs::write(self.path.join(format!("filler-{nth}")), [0; 4096]).is_err());
        assert!(full, "64 KiB are full");
    }

    fn empty(&self) {
        for nth in 0..64 {
            let _was_not_made = fs::remove_file(self.path.join(format!("filler-{nth}")));
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        self.run("umount", &["-l"]);
    }
}

fn conf(disk: &SmallDisk, endpoint: &Endpoint) -> Conf {
    to(endpoint).edge(&format!("state_dir = \"{}\"", disk.path.display()))
}

fn apply(edge: &mut Edge, conf: &Conf) {
    let text = edge.render(conf);
    edge.replace(&text);
    let reply = edge.reload();
    assert_eq!(reply.status, 200, "{}", reply.text());
}

/// Reloads and orders while nothing can be written; `error` is what the system says.
fn goes_on(disk: &SmallDisk, edge: &mut Edge, second: &Endpoint, error: &str) {
    apply(edge, &conf(disk, second));
    assert_eq!((edge.generation(), get(edge.web(), "/").endpoint().to_owned()), (2, "b".to_owned()));
    let says = |kind: &str| {
        eventually(&format!("an event {kind}"), SOON, || !edge.events_of(kind).is_empty());
        let events = format!("{:?}", edge.events_of(kind));
        assert!(events.contains(error), "{events}");
    };
    says("history_not_stored");
    let history = edge.admin_get("/api/v1/history").json();
    assert_eq!(history[1]["stored"], false, "{history}");
    let order = edge.admin_post("/api/v1/orders", &json!({ "kind": "freeze", "reason": "disk" }).to_string());
    assert_eq!(order.status, 201, "{}", order.text());
    says("state_not_stored");
    let warned = |text: &str| edge.stderr().lines().any(|line| line.contains(text) && line.contains(error));
    assert!(warned("configs cannot be stored") && warned("orders cannot be stored"));
}

#[test]
fn a_full_state_directory_stops_no_reload_and_is_used_again_once_it_has_room() {
    let Some(disk) = SmallDisk::mount("a full state directory") else { return };
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let mut edge = Edge::start(&conf(&disk, &first));
    disk.fill();
    goes_on(&disk, &mut edge, &second, "No space left");
    disk.empty();
    apply(&mut edge, &conf(&disk, &first));
    eventually("all is stored", SOON, || {
        let history = edge.admin_get("/api/v1/history").json();
        history.as_array().is_some_and(|all| all.iter().all(|one| one["stored"] == true))
    });
}

#[test]
fn a_read_only_state_directory_stops_no_reload() {
    let Some(disk) = SmallDisk::mount("a read-only state directory") else { return };
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let mut edge = Edge::start(&conf(&disk, &first));
    assert!(disk.run("mount", &["-o", "remount,ro"]), "the mount can be changed");
    goes_on(&disk, &mut edge, &second, "Read-only");
}
