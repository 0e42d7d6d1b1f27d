//! Disturbances of a run by the machine. When CPU time is stolen or the generator is late, all times are late, and a
//! missed time proves nothing: such a run is void and is played again. Counts are judged in every run.

use std::fs;

/// A run is void when other guests of the host took more than this share of all CPU time.
const STOLEN: f64 = 0.01;
/// A run is void when the generator was later than this, in milliseconds.
const LATE_MS: f64 = 25.0;

/// CPU time of the whole machine since it started, in ticks.
#[derive(Clone, Copy, Debug)]
pub struct Ticks {
    all: u64,
    stolen: u64,
}

impl Ticks {
    /// Now; nothing where the kernel does not say.
    pub fn now() -> Self {
        Self::read(&fs::read_to_string("/proc/stat").unwrap_or_default())
    }

    /// user nice system idle iowait irq softirq steal; `user` includes the time of this machine's own guests.
    fn read(stat: &str) -> Self {
        let first = stat.lines().next().unwrap_or_default();
        let ticks: Vec<u64> =
            first.split_whitespace().skip(1).take(8).filter_map(|word| word.parse().ok()).collect();
        Self { all: ticks.iter().sum(), stolen: ticks.get(7).copied().unwrap_or_default() }
    }

    /// The share that was stolen since `before`, 0..1.
    pub fn stolen_since(self, before: Self) -> f64 {
        (self.stolen - before.stolen) as f64 / (self.all - before.all).max(1) as f64
    }
}

/// Why the times of a run prove nothing; `None` if they are valid.
pub fn disturbed(stolen: f64, late_ms: f64) -> Option<String> {
    if stolen > STOLEN {
        return Some(format!("{:.1} % of the CPU was stolen", stolen * 100.0));
    }
    (late_ms > LATE_MS).then(|| format!("the generator was {late_ms:.0} ms late"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stolen_time_is_a_share_of_all_and_too_much_of_it_or_a_late_generator_voids() {
        let before = Ticks::read("cpu  100 0 50 800 10 0 5 1 0 0\ncpu0 1 2\n");
        let after = Ticks::read("cpu  110 0 60 860 10 0 5 21 7 0\n");
        assert!((after.stolen_since(before) - 0.2).abs() < 1e-9);
        assert!(disturbed(0.2, 1.0).is_some() && disturbed(0.0, 30.0).is_some());
        assert_eq!(disturbed(0.005, 20.0), None);
        assert_eq!(Ticks::read("").stolen_since(Ticks::read("")), 0.0);
    }
}
