//! Draws what `top` knows. Signs and words carry the meaning; colour is an addition, and `NO_COLOR` takes it away.

use std::time::Duration;

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Cell, Paragraph, Row, Table},
};

use super::{
    place::Place,
    rows::{self, Listing, Severity},
    state::TopState,
};
use crate::cli::cells::{plain, span};

/// A screen of fewer lines shows no events: the list needs the room.
const EVENTS_FROM: u16 = 14;
/// Lines for events, with their heading.
const EVENT_LINES: u16 = 6;

/// Which colours may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Palette {
    Colours,
    /// Only bold and reversed text.
    Plain,
}

impl Palette {
    /// As `NO_COLOR` says (no-color.org): set and not empty means none.
    pub(super) fn of_environment() -> Self {
        let none = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if none { Self::Plain } else { Self::Colours }
    }

    fn style(self, severity: Severity) -> Style {
        match (severity, self) {
            (Severity::Bad, Self::Colours) => Style::new().fg(Color::Red).add_modifier(Modifier::BOLD),
            (Severity::Warn, Self::Colours) => Style::new().fg(Color::Yellow),
            (Severity::Bad, Self::Plain) => Style::new().add_modifier(Modifier::BOLD),
            _ => Style::new(),
        }
    }
}

const HELP: [&str; 8] = [
    "j k, arrows   next, previous row",
    "g G           first, last row",
    "Enter l       open: route, pool, endpoint",
    "Esc h         back",
    "q Ctrl-C      quit",
    "?             this help",
    "",
    "No key changes anything on the edge. x = bad, ! = look",
];

/// Draws the whole screen.
pub(super) fn draw(frame: &mut Frame<'_>, state: &TopState, place: &mut Place, palette: Palette) {
    let stale = state.stale();
    let events = if frame.area().height >= EVENTS_FROM { EVENT_LINES } else { 0 };
    let [title, verdict, banner, list, log, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(u16::from(stale.is_some())),
        Constraint::Min(1),
        Constraint::Length(events),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    let bold = Style::new().add_modifier(Modifier::BOLD);
    frame.render_widget(Line::styled(heading(state, place), bold), title);
    if !state.is_known() {
        frame.render_widget(Line::raw("waiting for the edge"), verdict);
    } else {
        let (severity, text) = rows::verdict(state);
        frame.render_widget(
            Line::styled(format!("{} {text}", severity.sign()), palette.style(severity)),
            verdict,
        );
    }
    if let Some(why) = stale {
        frame.render_widget(Line::styled(why, Style::new().add_modifier(Modifier::REVERSED)), banner);
    }
    if place.help {
        frame.render_widget(Paragraph::new(HELP.map(Line::from).to_vec()), list);
    } else {
        let listing = rows::listing(state, &place.path);
        rows_of(frame, list, &listing, (place, palette));
    }
    log_of(frame, log, state);
    frame.render_widget(Line::raw("j k move  Enter open  Esc back  ? help  q quit"), keys);
}

/// `thalweg top  edge-1  up 3h0m  generation 3   all > far`.
fn heading(state: &TopState, place: &Place) -> String {
    let edge = |key: &str| state.one("edge", key);
    let name = edge("edge").get("name").map(plain).unwrap_or_default();
    let began = edge("began").as_u64().unwrap_or(state.now_ms);
    let up = Duration::from_millis(state.now_ms.saturating_sub(began)).as_secs();
    let path: String = place.path.iter().map(|part| format!(" > {part}")).collect();
    format!("thalweg top  {name}  up {}  generation {}  routes{path}", span(up), plain(edge("generation")))
}

fn rows_of(frame: &mut Frame<'_>, area: Rect, listing: &Listing, (place, palette): (&mut Place, Palette)) {
    let widths = widths(listing, area.width);
    let head = std::iter::once("").chain(listing.head.iter().copied()).map(Cell::from);
    let head = Row::new(head).style(Style::new().add_modifier(Modifier::BOLD));
    let row = |row: &rows::TopRow| {
        let cells = std::iter::once(row.severity.sign().to_owned()).chain(row.cells.iter().cloned());
        Row::new(cells.map(|cell| Cell::from(Span::raw(cell)))).style(palette.style(row.severity))
    };
    let table = Table::new(listing.rows.iter().map(row), widths)
        .header(head)
        .column_spacing(1)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    place.table.select(place.row_in(listing));
    frame.render_stateful_widget(table, area, &mut place.table);
}

/// Columns as wide as their widest cell; the last one takes what is left. A name may take half of the screen.
fn widths(listing: &Listing, width: u16) -> Vec<Constraint> {
    let widest = |nth: usize| {
        let cells = listing.rows.iter().filter_map(|row| row.cells.get(nth)).map(|cell| cell.chars().count());
        cells.chain(listing.head.get(nth).map(|cell| cell.len())).max().unwrap_or(0)
    };
    let column = |nth: usize| {
        let fits = u16::try_from(widest(nth)).unwrap_or(u16::MAX).min(width / 2);
        if nth + 1 == listing.head.len() { Constraint::Min(4) } else { Constraint::Length(fits) }
    };
    std::iter::once(Constraint::Length(1)).chain((0..listing.head.len()).map(column)).collect()
}

fn log_of(frame: &mut Frame<'_>, area: Rect, state: &TopState) {
    let room = usize::from(area.height.saturating_sub(1));
    let newest = state.events.iter().rev().take(room).map(|event| Line::from(rows::event(event)));
    let title = Line::styled("EVENTS, newest first", Style::new().add_modifier(Modifier::BOLD));
    frame.render_widget(Paragraph::new(std::iter::once(title).chain(newest).collect::<Vec<_>>()), area);
}

#[cfg(test)]
mod tests {
    use ratatui::{Terminal, backend::TestBackend};

    use super::*;
    use crate::cli::top::{rows::tests::partly_down, watch::News};

    fn drawn(size: (u16, u16), state: &TopState, path: &[&str]) -> (String, Terminal<TestBackend>) {
        let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
        let mut place = Place::default();
        place.path = path.iter().map(|part| (*part).to_owned()).collect();
        terminal.draw(|frame| draw(frame, state, &mut place, Palette::Plain)).unwrap();
        let buffer = terminal.backend().buffer().clone();
        let lines: Vec<String> = (0..size.1)
            .map(|y| (0..size.0).map(|x| buffer[(x, y)].symbol().to_owned()).collect::<String>())
            .map(|line| line.trim_end().to_owned())
            .collect();
        (lines.join("\n"), terminal)
    }

    #[test]
    fn the_first_screen_names_the_cause() {
        let expected = "\
thalweg top  edge-1  up 2s  generation 3  routes
x near out (refused: connection refused); 50 requests/s, 0.0 failed/s
  ROUTE STATE     REQ/S FAILED SHARES
! all   out: near 50.0  0.0%   far 100.0%
  ok    ok        0.0   0.0%   far 100.0%



EVENTS, newest first
03:04:05 endpoint near 10.0.0.1:80 up -> down (refused)




j k move  Enter open  Esc back  ? help  q quit";
        assert_eq!(drawn((80, 15), &partly_down(), &[]).0, expected);
    }

    #[test]
    fn drill_down_shows_pools_endpoints_and_facts() {
        let (pools, _) = drawn((100, 14), &partly_down(), &["all"]);
        assert!(pools.contains("routes > all") && pools.contains("x near out"), "{pools}");
        assert!(pools.contains("! far  part  100.0% 1    1      100% 1/2 12.0ms  ejected: real"), "{pools}");
        let (endpoints, _) = drawn((100, 14), &partly_down(), &["all", "far"]);
        assert!(endpoints.contains("x 10.1.0.2:80 down  healthy ejected  12.0ms"), "{endpoints}");
        let (facts, _) = drawn((100, 30), &partly_down(), &["all", "near", "10.0.0.1:80"]);
        assert!(facts.contains("availability down") && facts.contains("last_probe"), "{facts}");
    }

    #[test]
    fn any_size_is_drawn() {
        for size in [(1, 1), (5, 3), (20, 5), (80, 24), (300, 100)] {
            for path in [&[][..], &["all"], &["all", "far"], &["all", "near", "10.0.0.1:80"], &["gone"]] {
                drawn(size, &partly_down(), path);
            }
        }
        drawn((80, 24), &TopState::default(), &[]);
    }

    #[test]
    fn colours_are_used_only_where_they_are_wanted() {
        for (palette, expected) in [(Palette::Plain, 0), (Palette::Colours, 1)] {
            let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
            terminal.draw(|frame| draw(frame, &partly_down(), &mut Place::default(), palette)).unwrap();
            let coloured = terminal.backend().buffer().content.iter().filter(|cell| cell.fg != Color::Reset);
            assert_eq!(usize::from(coloured.count() > 0), expected, "{palette:?}");
        }
    }

    #[test]
    fn a_lost_edge_is_said_on_top_of_what_is_old() {
        let mut state = partly_down();
        state.take(News::Lost("cannot reach the edge".into()));
        let (text, _) = drawn((80, 20), &state, &[]);
        assert!(
            text.contains("what follows is old: cannot reach the edge") && text.contains("near out"),
            "{text}"
        );
    }
}
