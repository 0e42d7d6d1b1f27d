//! All metrics as one Prometheus text: each declared metric once, with its help and type. Counters of the workers and
//! of the control thread are summed at this moment; gauges of state are read from the snapshot.

use std::{collections::BTreeMap, sync::Arc};

use metrics::{Key, Label};
use metrics_exporter_prometheus::{LabelSet, formatting};
use thalweg_core::{Action, Availability, OrderOrigin, PoolEndpoint, PoolSlot};

use super::process;
use crate::{
    control::{state::Control, wall_clock},
    shared::{
        Live,
        meters::{self, Series, Total},
        telemetry::{self, Metric, MetricKind, SECONDS},
    },
};

/// The value of one sample.
#[derive(Clone, Debug)]
enum Value {
    Summed(Total),
    State(f64),
}

/// The text for this moment.
pub(crate) fn of(control: &Control) -> String {
    let live = control.shared.live.load_full();
    let workers = control.shared.meters.iter().chain([&*control.meters]);
    let mut all: BTreeMap<Series, Value> =
        meters::totals(workers).into_iter().map(|(series, total)| (series, Value::Summed(total))).collect();
    let mut state = |metric: &'static Metric, labels: &[&str], value: f64| {
        let labels = labels.iter().map(|label| Arc::from(*label)).collect();
        all.insert(Series { metric, labels }, Value::State(value));
    };
    of_control(control, &live, &mut state);
    of_snapshot(&live, &mut state);
    let none = || Value::Summed(Total::Value(0));
    let dropped = all.entry(Series::new(&telemetry::LOG_DROPPED, &[])).or_insert_with(none);
    if let Value::Summed(Total::Value(dropped)) = dropped {
        *dropped += control.shared.log.lost();
    }
    let mut text = String::with_capacity(256 * all.len());
    for metric in telemetry::ALL {
        let samples = all.iter().filter(|(series, _)| series.metric == *metric);
        write_family(&mut text, metric, samples);
    }
    process::write(&mut text, control.began.1);
    text
}

/// The sums of a set of meters alone, for tests.
#[must_use]
pub fn render<'a>(workers: impl Iterator<Item = &'a meters::Meters>) -> String {
    let all: BTreeMap<Series, Value> =
        meters::totals(workers).into_iter().map(|(series, total)| (series, Value::Summed(total))).collect();
    let mut text = String::new();
    for metric in telemetry::ALL {
        write_family(&mut text, metric, all.iter().filter(|(series, _)| series.metric == *metric));
    }
    text
}

fn of_control(control: &Control, live: &Live, state: &mut impl FnMut(&'static Metric, &[&str], f64)) {
    #[expect(clippy::cast_precision_loss, reason = "generations and dates stay far below 2^53")]
    let real = |whole: i64| whole as f64;
    let generation = i64::try_from(live.snapshot.generation).unwrap_or(i64::MAX);
    state(&telemetry::GENERATION, &[], real(generation));
    state(&telemetry::ON_TRIAL, &[], f64::from(u8::from(control.trials.view().is_some())));
    state(&telemetry::BUILD_INFO, &[env!("CARGO_PKG_VERSION")], 1.0);
    for (protocol, announced) in control.announce.announced() {
        state(&telemetry::ANNOUNCED, &[&protocol], f64::from(u8::from(announced)));
    }
    for view in control.dns.views.borrow().iter() {
        let listening = f64::from(u8::from(view.bound.is_ok()));
        state(&telemetry::DNS_LISTENING, &[&view.configured.to_string()], listening);
    }
    let last = control.last_reload.borrow();
    let ok = last.as_ref().is_some_and(|last| last.result != "rejected");
    state(&telemetry::LAST_RELOAD_OK, &[], f64::from(u8::from(ok)));
    if let Some(time) = control.last_success.get() {
        state(&telemetry::LAST_RELOAD_TIME, &[], wall_clock::unix(time).as_secs_f64());
    }
    if live.wiring.config.fleet.is_some() {
        let connected = control.fleet.connected.get();
        state(&telemetry::FLEET_CONNECTED, &[], f64::from(u8::from(connected)));
        state(&telemetry::FLEET_BUNDLE, &[], real(i64::try_from(control.fleet.number()).unwrap_or(i64::MAX)));
        #[expect(clippy::cast_precision_loss, reason = "orders are counted in hundreds")]
        let mut orders = |name, count: usize| state(&telemetry::FLEET_ORDERS, &[name], count as f64);
        let of_fleet = live.snapshot.orders.iter().filter(|order| order.id.origin() == OrderOrigin::Fleet);
        orders("obeyed", of_fleet.count());
        orders("refused", control.fleet.orders.refused.borrow().len());
        let heard = control.fleet.neighbours.borrow().all(control.shared.now()).count();
        state(&telemetry::FLEET_EDGES, &[], f64::from(u32::try_from(heard).unwrap_or(u32::MAX)));
        if let Some(age) = control.fleet.age_seconds() {
            state(&telemetry::FLEET_AGE, &[], age);
        }
    }
    let mut certificates = control.certificates.borrow().clone();
    // Of two certificates with one name, the one that ends first matters: the last one to be set.
    certificates.sort_by_key(|certificate| std::cmp::Reverse(certificate.not_after));
    for certificate in &certificates {
        let labels = [&*certificate.listener, &*certificate.name];
        state(&telemetry::CERTIFICATE_NOT_BEFORE, &labels, real(certificate.not_before));
        state(&telemetry::CERTIFICATE_EXPIRY, &labels, real(certificate.not_after));
    }
}

fn of_snapshot(live: &Live, state: &mut impl FnMut(&'static Metric, &[&str], f64)) {
    let topology = &live.snapshot.layout.topology;
    for (slot, pool) in (0..).map(PoolSlot).zip(&topology.pools) {
        if pool.capacity > 0 {
            state(&telemetry::POOL_CAPACITY, &[&pool.name], f64::from(pool.capacity));
        }
        state(&telemetry::POOL_INFO, &[&pool.name, &pool.region, &pool.cloud], 1.0);
        for PoolEndpoint { place, view, .. } in live.snapshot.endpoints_of(slot) {
            let up = view.availability == Availability::Up;
            let address = place.address.to_string();
            state(&telemetry::AVAILABLE, &[&pool.name, &address], f64::from(u8::from(up)));
            state(&telemetry::ENDPOINT_DAMPED, &[&pool.name, &address], f64::from(u8::from(view.damped)));
        }
    }
    state(&telemetry::CHECKER_SUSPECTED, &[], f64::from(u8::from(live.snapshot.checker_suspected)));
    for kind in Action::KINDS {
        let standing = live.snapshot.orders.iter().filter(|order| order.action.kind() == kind).count();
        #[expect(clippy::cast_precision_loss, reason = "at most a thousand orders")]
        state(&telemetry::ORDERS, &[kind], standing as f64);
    }
    for (slot, route) in topology.written_routes() {
        let panics = topology.with_sub_routes(slot).any(|(slot, _)| live.snapshot.in_panic(slot));
        state(&telemetry::PANIC, &[&route.name], f64::from(u8::from(panics)));
        let mut damped: BTreeMap<PoolSlot, bool> = BTreeMap::new();
        for (slot, route) in topology.with_sub_routes(slot) {
            let members = live.snapshot.routes.get(slot).into_iter().flat_map(|view| &view.pools);
            for (member, memory) in route.pools.iter().zip(members) {
                *damped.entry(member.pool).or_default() |= memory.damped_until.is_some();
            }
        }
        for (pool, damped) in damped {
            let Some(pool) = topology.pool(pool) else { continue };
            state(&telemetry::DAMPED, &[&route.name, &pool.name], f64::from(u8::from(damped)));
        }
    }
}

fn write_family<'a>(
    text: &mut String,
    metric: &'static Metric,
    samples: impl Iterator<Item = (&'a Series, &'a Value)>,
) {
    let mut samples = samples.peekable();
    if samples.peek().is_none() {
        return;
    }
    let kind = match metric.kind {
        MetricKind::Counter => "counter",
        MetricKind::Gauge => "gauge",
        MetricKind::Histogram => "histogram",
    };
    formatting::write_help_line(text, metric.name, None, None, metric.help);
    formatting::write_type_line(text, metric.name, None, None, kind);
    for (series, value) in samples {
        let labels = label_set(series);
        match value {
            Value::State(value) => line(text, metric.name, None, &labels, value),
            Value::Summed(Total::Value(value)) => line(text, metric.name, None, &labels, value),
            Value::Summed(Total::Histogram { buckets, sum_seconds }) => {
                let mut count = 0;
                for (nth, bucket) in buckets.iter().enumerate() {
                    count += bucket;
                    let bound = SECONDS.get(nth).map_or_else(|| "+Inf".to_owned(), ToString::to_string);
                    let bound = Some(("le", bound));
                    formatting::write_metric_line(
                        text,
                        metric.name,
                        Some("bucket"),
                        &labels,
                        bound,
                        count,
                        None,
                    );
                }
                line(text, metric.name, Some("sum"), &labels, sum_seconds);
                line(text, metric.name, Some("count"), &labels, &count);
            }
        }
    }
}

fn line(
    text: &mut String,
    name: &str,
    suffix: Option<&'static str>,
    labels: &LabelSet,
    value: &impl std::fmt::Display,
) {
    formatting::write_metric_line::<&str, _>(text, name, suffix, labels, None, value, None);
}

fn label_set(series: &Series) -> LabelSet {
    let labels = series.metric.labels.iter().zip(&series.labels);
    let labels: Vec<Label> = labels.map(|(name, value)| Label::new(*name, value.to_string())).collect();
    LabelSet::from_key_and_global(&Key::from_parts(series.metric.name, labels), &Default::default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::meters::Meters;
    use std::time::Duration;

    #[test]
    fn a_family_has_one_head_and_cumulative_buckets() {
        let workers = [Meters::default(), Meters::default()];
        let odd: Arc<str> = "a\"b\\c".into();
        for worker in &workers {
            worker.histogram(Series::new(&telemetry::DURATION, &[&odd])).record(Duration::from_millis(7));
            worker.cell(Series::new(&telemetry::RELOADS, &[&Arc::from("applied")])).bump();
        }
        let text = render(workers.iter());
        assert_eq!(text.matches("# TYPE thalweg_request_duration_seconds histogram").count(), 1);
        assert!(
            text.contains("thalweg_request_duration_seconds_bucket{route=\"a\\\"b\\\\c\",le=\"0.005\"} 0\n"),
            "{text}"
        );
        assert!(text.contains("le=\"0.01\"} 2\n") && text.contains("le=\"+Inf\"} 2\n"), "{text}");
        assert!(text.contains("_sum{route=\"a\\\"b\\\\c\"} 0.014\n"), "{text}");
        assert!(text.contains("thalweg_config_reloads_total{result=\"applied\"} 2\n"), "{text}");
    }
}
