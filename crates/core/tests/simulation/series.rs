//! What the probes of one endpoint should say, computed from the plain list of their results.

use thalweg_core::{Fault, Probe, ProbeRules, Tick};

use crate::{
    common::{Reading, is_beyond},
    records::ExpectedEndpoint,
};

impl ExpectedEndpoint {
    /// What the probes say after one more result.
    pub(crate) fn next_probe(&mut self, fault: Option<Fault>, rules: &ProbeRules, now: Tick) -> Probe {
        let ok = fault.is_none();
        self.measured |= ok;
        self.refusing = fault == Some(Fault::Refused);
        if self.run.0 != ok || self.run.1 == 0 {
            (self.run, self.run_began) = ((ok, 0), now);
        }
        self.run.1 += 1;
        let answers = matches!(fault, Some(Fault::Status | Fault::Body))
            && self.probe.serves()
            && self.run.1 > 1
            && self.file.last_good.is_some_and(|good| good >= self.run_began);
        let blip = ok && self.probe.serves() && self.results.last().is_some_and(|last| !last.1);
        self.results.push((now, ok, blip));
        let span = (rules.interval * 10).max(rules.confirm * 20);
        let oldest = self.results.len().saturating_sub(16);
        self.results.drain(..oldest);
        self.results.retain(|result| now.since(result.0) <= span);
        let window = &self.results;
        let (bad, all) = (window.iter().filter(|result| !result.1).count(), window.len());
        let blips = window.iter().filter(|result| result.2).count();
        self.contradicts = bad > 0 && bad < all && (self.contradicts || blips >= 2);
        match self.probe {
            _ if !ok && self.falls((bad, all), blips > 0, answers, rules) => Probe::Unhealthy,
            Probe::Unknown | Probe::Unhealthy
                if !ok || self.run.1 < rules.rise || (self.contradicts && bad * 2 >= all) =>
            {
                self.probe
            }
            _ if self.contradicts => Probe::Flapping,
            _ => Probe::Healthy,
        }
    }

    fn falls(&self, (bad, all): (usize, usize), blip: bool, answers: bool, rules: &ProbeRules) -> bool {
        if self.run.1 < rules.fall || (answers && self.run.1 < rules.fall + 4) {
            return false;
        }
        if bad >= 14 || self.contradicts {
            return bad >= 14;
        }
        let row = self.run.1 as usize;
        let before = all.saturating_sub(row).max(1) as f64;
        let rate = if blip { bad.saturating_sub(row) as f64 / before } else { 0.0 };
        is_beyond((self.run.1, self.run.1), rate, 1e6, Reading { late: true, sure: false })
    }

    /// The part of its share that the endpoint takes.
    pub(crate) fn part(&self) -> f64 {
        let asked = f64::from(self.said.unwrap_or(100)) / 100.0;
        if self.probe != Probe::Flapping {
            return asked;
        }
        asked * self.results.iter().filter(|result| result.1).count() as f64
            / self.results.len().max(1) as f64
    }
}
