//! One drawing per fault: what was answered, what failed, how long it took, every 100 ms, all proxies over each other.
//! Plain SVG, made from the recorded rows; no library, nothing smoothed.

use std::fmt::Write as _;

use crate::report::{ROW_MS, Verdict};

const WIDTH: f64 = 900.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 150.0;
const TOP: f64 = 34.0;
const PANEL: f64 = 130.0;
const GAP: f64 = 30.0;

/// Colours that are distinct for colour-blind readers, too.
const COLOURS: [&str; 5] = ["#0072b2", "#009e73", "#e69f00", "#d55e00", "#cc79a7"];

/// A panel: its title, its scale, one value per row.
struct Panel {
    title: &'static str,
    ticks: &'static [f64],
    log: bool,
    value: fn(&crate::report::Row) -> f64,
}

const PANELS: [Panel; 3] = [
    Panel {
        title: "answered well, per 100 ms",
        ticks: &[0.0, 50.0, 100.0, 150.0],
        log: false,
        value: |row| row.answered as f64,
    },
    Panel {
        title: "failed, per 100 ms",
        ticks: &[0.0, 25.0, 50.0],
        log: false,
        value: |row| row.failed as f64,
    },
    Panel {
        title: "slowest GET, ms",
        ticks: &[1.0, 10.0, 100.0, 1000.0, 10_000.0],
        log: true,
        value: |row| row.max_ms,
    },
];

/// The drawing of these runs of one fault.
pub fn draw(fault: &str, runs: &[Verdict]) -> String {
    let span_ms = runs.iter().map(|run| run.rows.len()).max().unwrap_or(1).max(1) as f64 * ROW_MS;
    let height = TOP + PANELS.len() as f64 * (PANEL + GAP) + 8.0;
    let x = |ms: f64| LEFT + (WIDTH - LEFT - RIGHT) * ms / span_ms;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n<text x=\"{LEFT}\" y=\"18\" font-size=\"14\">{fault}</text>\n"
    );
    if let Some(run) = runs.first() {
        let (from, to) = (x(run.fault_ms.0), x(run.fault_ms.1));
        let tall = height - TOP - GAP;
        push(
            &mut svg,
            format_args!(
                "<rect x=\"{from:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{tall}\" fill=\"#f3e5e5\"/>",
                to - from
            ),
        );
    }
    for (nth, panel) in PANELS.iter().enumerate() {
        let top = TOP + nth as f64 * (PANEL + GAP);
        axes(&mut svg, panel, top, span_ms, x);
        for (run, colour) in runs.iter().zip(COLOURS) {
            let heights: Vec<f64> = run.rows.iter().map(|row| panel.y(top, (panel.value)(row))).collect();
            let line = points(&heights, x);
            push(
                &mut svg,
                format_args!(
                    "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.2\" points=\"{line}\"/>"
                ),
            );
        }
    }
    for (nth, (run, colour)) in runs.iter().zip(COLOURS).enumerate() {
        let (at, y) = (WIDTH - RIGHT + 16.0, TOP + 14.0 + nth as f64 * 18.0);
        push(
            &mut svg,
            format_args!("<rect x=\"{at}\" y=\"{}\" width=\"14\" height=\"3\" fill=\"{colour}\"/>", y - 4.0),
        );
        push(&mut svg, format_args!("<text x=\"{}\" y=\"{y}\">{}</text>", at + 20.0, run.proxy));
    }
    svg.push_str("</svg>\n");
    svg
}

impl Panel {
    fn y(&self, top: f64, value: f64) -> f64 {
        let (low, high) = (self.ticks[0], self.ticks[self.ticks.len() - 1]);
        let scale = |value: f64| if self.log { value.max(low).log10() } else { value };
        let share = (scale(value) - scale(low)) / (scale(high) - scale(low));
        top + PANEL * (1.0 - share.clamp(0.0, 1.0))
    }
}

/// A point per row; those between two of the same height are left out, which changes nothing that is seen.
fn points(heights: &[f64], x: impl Fn(f64) -> f64) -> String {
    let mut line = String::new();
    for (at, height) in heights.iter().enumerate() {
        let same = |other: Option<&f64>| other.is_some_and(|other| (other - height).abs() < 0.05);
        if at == 0 || !same(heights.get(at - 1)) || !same(heights.get(at + 1)) {
            let _infallible = write!(line, "{:.1},{height:.1} ", x((at as f64 + 0.5) * ROW_MS));
        }
    }
    line.trim_end().to_owned()
}

fn axes(svg: &mut String, panel: &Panel, top: f64, span_ms: f64, x: impl Fn(f64) -> f64) {
    push(svg, format_args!("<text x=\"{LEFT}\" y=\"{:.1}\" fill=\"#444\">{}</text>", top - 5.0, panel.title));
    for tick in panel.ticks {
        let y = panel.y(top, *tick);
        push(
            svg,
            format_args!(
                "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>",
                WIDTH - RIGHT
            ),
        );
        push(
            svg,
            format_args!(
                "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#444\">{tick}</text>",
                LEFT - 6.0,
                y + 4.0
            ),
        );
    }
    let step_s = if span_ms > 30_000.0 { 10 } else { 5 };
    for second in (0..=(span_ms / 1000.0) as usize).step_by(step_s) {
        let y = top + PANEL + 13.0;
        push(
            svg,
            format_args!(
                "<text x=\"{:.1}\" y=\"{y:.1}\" text-anchor=\"middle\" fill=\"#444\">{second} s</text>",
                x(second as f64 * 1000.0)
            ),
        );
    }
}

fn push(svg: &mut String, line: std::fmt::Arguments<'_>) {
    let _infallible = writeln!(svg, "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logarithmic_panel_spreads_tens_evenly_and_keeps_inside() {
        let panel = &PANELS[2];
        let (ten, hundred) = (panel.y(0.0, 10.0), panel.y(0.0, 100.0));
        assert!((ten - hundred - PANEL / 4.0).abs() < 1e-9);
        assert_eq!(points(&[1.0, 1.0, 1.0, 2.0], |ms| ms), "50.0,1.0 250.0,1.0 350.0,2.0");
        assert_eq!((panel.y(0.0, 0.0), panel.y(0.0, 1e9)), (PANEL, 0.0));
    }
}
