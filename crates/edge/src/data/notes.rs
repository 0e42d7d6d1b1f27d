//! Notes on the attempts of one request, taken while the request runs and read once for its decision record. Never
//! read by steering; without `[decisions] keep`, no request has notes.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use thalweg_core::{Reason, Tick};

use crate::{
    data::{outcome::Outcome, peer::Peer},
    shared::decision::AttemptKind,
};

/// Attempts of one request that are noted; further ones are counted.
pub const MOST: usize = 8;

/// What is noted about one attempt.
#[derive(Debug)]
pub struct AttemptNote {
    /// The endpoint.
    pub peer: Rc<Peer>,
    /// Why its pool was chosen.
    pub reason: Reason,
    /// Why the attempt was made.
    pub kind: AttemptKind,
    /// The roll of the attempt.
    pub roll: u64,
    /// The revision of the snapshot that decided.
    pub revision: u64,
    /// When the attempt began.
    pub started: Tick,
    /// The time to the answer's head.
    pub first_byte: Option<Duration>,
    /// How the attempt ended, and after what time.
    pub ended: Option<(Outcome, Duration)>,
    /// The endpoint was late.
    pub late: bool,
}

/// The notes of one request. Its record and its attempts hold them together, because an attempt that lost a race may
/// outlive the request.
#[derive(Debug, Default)]
pub struct AttemptNotes {
    noted: RefCell<Vec<AttemptNote>>,
    more: Cell<u32>,
}

/// One attempt's place in the notes.
#[derive(Debug)]
pub struct NotePlace {
    notes: Rc<AttemptNotes>,
    nth: usize,
}

impl AttemptNotes {
    /// Notes that an attempt begins.
    pub fn begin(self: &Rc<Self>, note: AttemptNote) -> Option<NotePlace> {
        let mut noted = self.noted.borrow_mut();
        let nth = noted.len();
        if nth >= MOST {
            self.more.set(self.more.get() + 1);
            return None;
        }
        noted.push(note);
        Some(NotePlace { notes: Rc::clone(self), nth })
    }

    /// How many attempts were noted.
    #[must_use]
    pub fn count(&self) -> usize {
        self.noted.borrow().len()
    }

    /// Reads the notes, and how many attempts were not noted.
    pub fn read<R>(&self, read: impl FnOnce(&[AttemptNote], u32) -> R) -> R {
        read(&self.noted.borrow(), self.more.get())
    }

    /// Forgets everything and keeps the memory.
    pub fn clear(&self) {
        self.noted.borrow_mut().clear();
        self.more.set(0);
    }
}

impl NotePlace {
    /// The place: how many attempts were noted before.
    #[must_use]
    pub fn nth(&self) -> usize {
        self.nth
    }

    fn change(&self, change: impl FnOnce(&mut AttemptNote)) {
        if let Some(note) = self.notes.noted.borrow_mut().get_mut(self.nth) {
            change(note);
        }
    }

    /// The head of the answer has come.
    pub fn head(&self, first_byte: Duration) {
        self.change(|note| note.first_byte = Some(first_byte));
    }

    /// The endpoint is late.
    pub fn late(&self) {
        self.change(|note| note.late = true);
    }

    /// The attempt has ended.
    pub fn end(&self, outcome: Outcome, now: Tick) {
        self.change(|note| note.ended = Some((outcome, now.since(note.started))));
    }
}
