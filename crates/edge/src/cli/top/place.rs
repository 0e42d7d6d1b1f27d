//! Where the operator is: which list is open, which row is chosen, and what a key does there. No key changes anything
//! on the edge.

use ratatui::{
    crossterm::event::{Event, KeyCode, KeyEventKind, KeyModifiers},
    widgets::TableState,
};

use super::{
    rows::{self, Listing},
    state::TopState,
};

/// The deepest place: route, pool, endpoint.
const DEEPEST: usize = 3;
/// Rows that a page key moves by.
const PAGE: isize = 10;

/// Where the operator is.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// What was opened: a route, its pool, its endpoint.
    pub(super) path: Vec<String>,
    /// The chosen row of each list on the way; the last one is that of the open list. A row is chosen by its name,
    /// because rows move when their severity changes.
    chosen: Vec<Option<String>>,
    /// The scroll position of the open list.
    pub(super) table: TableState,
    /// The keys are explained.
    pub(super) help: bool,
}

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pressed {
    /// End `top`.
    Quit,
    /// Draw again.
    Redraw,
}

impl Place {
    /// Does what a key asks for.
    pub(super) fn press(&mut self, event: &Event, state: &TopState) -> Pressed {
        let Event::Key(key) = event else { return Pressed::Redraw };
        if key.kind == KeyEventKind::Release {
            return Pressed::Redraw;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return if key.code == KeyCode::Char('c') { Pressed::Quit } else { Pressed::Redraw };
        }
        let listing = rows::listing(state, &self.path);
        match key.code {
            KeyCode::Char('q') => return Pressed::Quit,
            _ if std::mem::take(&mut self.help) => {}
            KeyCode::Char('?') => self.help = true,
            KeyCode::Char('j') | KeyCode::Down => self.move_by(1, &listing),
            KeyCode::Char('k') | KeyCode::Up => self.move_by(-1, &listing),
            KeyCode::PageDown => self.move_by(PAGE, &listing),
            KeyCode::PageUp => self.move_by(-PAGE, &listing),
            KeyCode::Char('g') | KeyCode::Home => self.move_by(isize::MIN, &listing),
            KeyCode::Char('G') | KeyCode::End => self.move_by(isize::MAX, &listing),
            KeyCode::Enter | KeyCode::Right | KeyCode::Char('l') => self.open(&listing),
            KeyCode::Esc | KeyCode::Backspace | KeyCode::Left | KeyCode::Char('h') => self.back(),
            _ => {}
        }
        Pressed::Redraw
    }

    /// The number of the chosen row in a list.
    pub(super) fn row_in(&self, listing: &Listing) -> Option<usize> {
        let name = self.chosen.get(self.path.len()).and_then(Option::as_ref);
        let found = name.and_then(|name| listing.rows.iter().position(|row| row.key == *name));
        found.or((!listing.rows.is_empty()).then_some(0))
    }

    fn move_by(&mut self, by: isize, listing: &Listing) {
        let Some(now) = self.row_in(listing) else { return };
        let next = now.saturating_add_signed(by).min(listing.rows.len() - 1);
        self.choose(listing.rows.get(next).map(|row| row.key.clone()));
    }

    fn choose(&mut self, key: Option<String>) {
        self.chosen.resize(self.path.len(), None);
        self.chosen.push(key);
    }

    fn open(&mut self, listing: &Listing) {
        if self.path.len() >= DEEPEST {
            return;
        }
        let Some(row) = self.row_in(listing).and_then(|nth| listing.rows.get(nth)) else { return };
        self.choose(Some(row.key.clone()));
        self.path.push(row.key.clone());
        self.table = TableState::default();
    }

    fn back(&mut self) {
        self.path.pop();
        self.table = TableState::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::top::rows::tests::partly_down;

    fn press(place: &mut Place, keys: &str) -> Pressed {
        let state = partly_down();
        let mut last = Pressed::Redraw;
        for key in keys.chars() {
            let code = match key {
                '>' => KeyCode::Enter,
                '<' => KeyCode::Esc,
                'v' => KeyCode::Down,
                other => KeyCode::Char(other),
            };
            last = place.press(&Event::Key(code.into()), &state);
        }
        last
    }

    fn check(keys: &str, path: &[&str], row: usize) {
        let mut place = Place::default();
        assert_eq!(press(&mut place, keys), Pressed::Redraw, "{keys}");
        assert_eq!(place.path, path, "{keys}");
        assert_eq!(place.row_in(&rows::listing(&partly_down(), &place.path)), Some(row), "{keys}");
    }

    #[test]
    fn keys_move_open_and_go_back_to_where_one_was() {
        check("", &[], 0);
        check("j", &[], 1);
        check("jjjjv", &[], 1);
        check("jk", &[], 0);
        check("Gg", &[], 0);
        check(">", &["all"], 0);
        check("j>", &["ok"], 0);
        check(">j>", &["all", "far"], 0);
        check(">j><", &["all"], 1);
        check(">j>j><<<", &[], 0);
        check(">>>>", &["all", "near", "10.0.0.1:80"], 0);
        check("<<", &[], 0);
        check("?j", &[], 0);
        check("z", &[], 0);
    }

    #[test]
    fn a_chosen_row_stays_chosen_when_the_rows_move() {
        let mut place = Place::default();
        press(&mut place, "j");
        let mut listing = rows::listing(&partly_down(), &[]);
        listing.rows.reverse();
        assert_eq!(place.row_in(&listing), Some(0));
        listing.rows.retain(|row| row.key != "ok");
        assert_eq!(place.row_in(&listing), Some(0), "the chosen one is gone");
        listing.rows.clear();
        assert_eq!(place.row_in(&listing), None);
    }

    #[test]
    fn q_and_control_c_end() {
        assert_eq!(press(&mut Place::default(), "q"), Pressed::Quit);
        assert_eq!(press(&mut Place::default(), "?q"), Pressed::Quit);
        let control_c = ratatui::crossterm::event::KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(Place::default().press(&Event::Key(control_c), &partly_down()), Pressed::Quit);
    }
}
