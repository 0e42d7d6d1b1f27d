//! The `process_*` metrics, from /proc. A value that cannot be read is left out: a scrape never fails because of it.

use std::{fmt::Write, fs, time::SystemTime};

use rustix::process::{Resource, getrlimit};

use crate::control::wall_clock;

/// Appends the families that can be read.
pub(crate) fn write(text: &mut String, began: SystemTime) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Fields are counted after the process name, which may contain anything.
    let fields: Vec<u64> = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_ascii_whitespace().map(|field| field.parse().unwrap_or(0)).collect())
        .unwrap_or_default();
    let field = |nth: usize| fields.get(nth - 3).copied();
    #[expect(clippy::cast_precision_loss, reason = "shown, never compared")]
    let mut one = |name: &str, kind: &str, help: &str, value: Option<u64>, scale: f64| {
        if let Some(value) = value {
            // Writing to a string never fails.
            let _ =
                writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {}", value as f64 * scale);
        }
    };
    let ticks = rustix::param::clock_ticks_per_second().max(1);
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let tick = 1.0 / ticks as f64;
    let cpu = field(14).zip(field(15)).map(|(user, system)| user + system);
    one("process_cpu_seconds_total", "counter", "User and system CPU time.", cpu, tick);
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let page = rustix::param::page_size() as f64;
    one("process_resident_memory_bytes", "gauge", "Resident memory.", field(24), page);
    one("process_virtual_memory_bytes", "gauge", "Virtual memory.", field(23), 1.0);
    one("process_threads", "gauge", "Threads.", field(20), 1.0);
    let open = fs::read_dir("/proc/self/fd").ok().and_then(|entries| u64::try_from(entries.count()).ok());
    one("process_open_fds", "gauge", "Open descriptors.", open, 1.0);
    let most = getrlimit(Resource::Nofile).current;
    one("process_max_fds", "gauge", "Most descriptors that may be open.", most, 1.0);
    let began = u64::try_from(wall_clock::unix(began).as_millis()).ok();
    one("process_start_time_seconds", "gauge", "Start, Unix time.", began, 0.001);
}
