//! What a client's HTTP/2 frames cost and what they bring: a budget that honest clients never empty, and that a flood of
//! control frames empties within milliseconds. Reads the heads of frames only; the library checks what they mean.
//!
//! Why this and not a limit per kind and second: a client that downloads sends window updates as fast as the answers
//! come, and a client that keeps a connection alive pings it. Both earn what they spend, by requests, by bodies and by
//! time. A flood earns nothing (CVE-2019-9512, -9513, -9515, -9517, -9518; RFC 9113 section 10.5).

use std::time::Duration;

use thalweg_core::Tick;

/// Length of a frame's head (RFC 9113 section 4.1).
const HEAD: usize = 9;

/// What a connection may spend before it has earned anything, and the most it keeps.
const FRAMES: u32 = 1000;

/// Earned by a request.
const PER_REQUEST: u32 = 10;

/// Earned by a piece of an answer, however the client's windows cut it.
const PER_PIECE: u32 = 4;

/// Bytes of content that earn one, in either direction.
const BYTES: usize = 1024;

/// Time that earns one.
const PERIOD: Duration = Duration::from_millis(100);

/// The kinds of frames that are not plain control frames (RFC 9113 section 6).
mod kind {
    pub(super) const DATA: u8 = 0;
    pub(super) const HEADERS: u8 = 1;
    pub(super) const RST_STREAM: u8 = 3;
}

/// The budget of one connection.
#[derive(Debug)]
pub(super) struct FrameBudget {
    head: [u8; HEAD],
    /// Bytes of the next head that have arrived.
    known: usize,
    /// Bytes of the current frame's payload that are still to come.
    payload: usize,
    frames: u32,
    /// Streams that the client may still reset, and the most of them (CVE-2023-44487).
    resets: u32,
    most_resets: u32,
    /// Until here, time has been turned into budget.
    earned_until: Tick,
    is_over: bool,
}

impl FrameBudget {
    /// A budget that starts full. The client's preface is not part of any frame.
    pub(super) fn new(now: Tick, preface: usize, resets: u32) -> Self {
        Self {
            head: [0; HEAD],
            known: 0,
            payload: preface,
            frames: FRAMES,
            resets,
            most_resets: resets,
            earned_until: now,
            is_over: false,
        }
    }

    /// Whether the client has sent more than it has earned.
    pub(super) const fn is_over(&self) -> bool {
        self.is_over
    }

    /// Takes in what was read from the client.
    pub(super) fn read(&mut self, mut bytes: &[u8], now: Tick) {
        while !bytes.is_empty() && !self.is_over {
            if self.payload > 0 {
                let skipped = self.payload.min(bytes.len());
                self.payload -= skipped;
                bytes = bytes.get(skipped..).unwrap_or_default();
                continue;
            }
            let wanted = (HEAD - self.known).min(bytes.len());
            let (part, rest) = bytes.split_at(wanted);
            if let Some(room) = self.head.get_mut(self.known..self.known + wanted) {
                room.copy_from_slice(part);
            }
            self.known += wanted;
            bytes = rest;
            if self.known == HEAD {
                self.known = 0;
                self.frame(now);
            }
        }
    }

    fn frame(&mut self, now: Tick) {
        let [a, b, c, kind, ..] = self.head;
        self.payload = u32::from_be_bytes([0, a, b, c]) as usize;
        match kind {
            kind::HEADERS => self.earn(PER_REQUEST),
            // Content is bounded by windows; a frame without content is a control frame.
            kind::DATA if self.payload > 0 => self.earn(share(self.payload)),
            kind::RST_STREAM => match self.resets.checked_sub(1) {
                Some(left) => self.resets = left,
                None => self.is_over = true,
            },
            _ => self.spend(now),
        }
    }

    fn spend(&mut self, now: Tick) {
        if self.frames == 0 {
            let periods = now.since(self.earned_until).as_millis() / PERIOD.as_millis();
            self.earned_until = now;
            self.earn(u32::try_from(periods).unwrap_or(FRAMES));
        }
        match self.frames.checked_sub(1) {
            Some(left) => self.frames = left,
            None => self.is_over = true,
        }
    }

    fn earn(&mut self, frames: u32) {
        self.frames = self.frames.saturating_add(frames).min(FRAMES);
    }

    /// A piece of an answer went out.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.earn(PER_PIECE + share(bytes));
    }

    /// An answer went out to its end.
    pub(super) fn answered(&mut self) {
        self.resets = (self.resets + 1).min(self.most_resets);
    }
}

fn share(bytes: usize) -> u32 {
    u32::try_from(bytes / BYTES).unwrap_or(FRAMES)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESETS: u32 = 100;
    const PING: (u8, usize) = (6, 8);
    const WINDOW_UPDATE: (u8, usize) = (8, 4);
    const EMPTY_DATA: (u8, usize) = (0, 0);
    const RESET: (u8, usize) = (3, 4);
    const REQUEST: (u8, usize) = (1, 20);

    fn bytes((kind, payload): (u8, usize)) -> Vec<u8> {
        let mut frame = u32::try_from(payload).unwrap().to_be_bytes()[1..].to_vec();
        frame.extend([kind, 0, 0, 0, 0, 1]);
        frame.resize(HEAD + payload, 0xff);
        frame
    }

    /// How many frames of this kind are read before the budget is over, at most `most`; after each one `then` happens.
    fn lasts(frame: (u8, usize), most: usize, then: impl Fn(&mut FrameBudget, usize)) -> usize {
        let mut budget = FrameBudget::new(Tick(0), 0, RESETS);
        (0..most)
            .take_while(|nth| {
                budget.read(&bytes(frame), Tick(0));
                then(&mut budget, *nth);
                !budget.is_over()
            })
            .count()
    }

    #[test]
    fn a_flood_ends_and_what_was_earned_does_not() {
        let nothing = |_: &mut FrameBudget, _: usize| {};
        for frame in [PING, WINDOW_UPDATE, EMPTY_DATA, (4, 0), (2, 5), (9, 100), (0xbb, 3)] {
            assert_eq!(lasts(frame, 5000, nothing), FRAMES as usize, "{frame:?}");
        }
        assert_eq!(lasts(RESET, 5000, nothing), RESETS as usize);
        assert_eq!(lasts((0, 100), 5000, nothing), 5000, "content");
        // A window update for each piece of an answer and one for the connection, as some clients send them.
        let piece = |budget: &mut FrameBudget, nth: usize| {
            if nth.is_multiple_of(2) {
                budget.sent(30);
            }
        };
        assert_eq!(lasts(WINDOW_UPDATE, 5000, piece), 5000, "an event stream");
        let request = |budget: &mut FrameBudget, _: usize| {
            budget.read(&bytes(REQUEST), Tick(0));
            budget.answered();
        };
        assert_eq!(lasts(RESET, 5000, request), 5000, "each reset follows an answer");
        assert_eq!(lasts(PING, 5000, request), 5000, "a ping with each request");
        // A window of one byte: 100 updates for each answer of 100 bytes.
        let trickle = |budget: &mut FrameBudget, nth: usize| {
            if nth.is_multiple_of(100) {
                budget.read(&bytes(REQUEST), Tick(0));
                budget.sent(100);
            }
        };
        assert!(lasts(WINDOW_UPDATE, 5000, trickle) < 1500);
    }

    #[test]
    fn time_earns_what_keeps_a_connection_alive() {
        let mut budget = FrameBudget::new(Tick(0), 0, RESETS);
        let mut now = Tick(0);
        for _ in 0..5000 {
            budget.read(&bytes(PING), now);
            now = now.after(PERIOD);
        }
        assert!(!budget.is_over());
    }

    #[test]
    fn frames_are_found_wherever_reads_cut_them() {
        let all: Vec<u8> = [(6, 8), (4, 0), (0, 3000), (1, 7), (8, 4)].into_iter().flat_map(bytes).collect();
        for size in 1..40 {
            let mut budget = FrameBudget::new(Tick(0), 24, RESETS);
            budget.frames = 100;
            budget.read(&[b'P'; 24], Tick(0));
            all.chunks(size).for_each(|part| budget.read(part, Tick(0)));
            assert_eq!((budget.frames, budget.known, budget.payload), (100 - 3 + 2 + 10, 0, 0), "{size}");
        }
    }
}
