//! The question whether a withdrawal leaves another edge announcing, between the announcing task and the fleet's. Asks no
//! server.

use std::{cell::Cell, time::Duration};

use tokio::{sync::Notify, time::timeout};

/// Longest wait for the answer to an edge that is ending.
const ENDING: Duration = Duration::from_secs(2);

/// Whether a withdrawal leaves another edge announcing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Withdrawal {
    /// The engine does not answer, or has not answered yet.
    #[default]
    Unknown,
    /// Another edge announces.
    Granted,
    /// No other edge announces.
    Last,
}

/// The question of the announcing task and its answer.
#[derive(Debug, Default)]
pub struct Announcers {
    /// This edge would withdraw.
    pub(super) wish: Cell<bool>,
    /// What is known of the others.
    pub(super) answer: Cell<Withdrawal>,
    /// A question has come.
    pub(super) asked: Notify,
    /// An answer has come.
    pub(super) told: Notify,
}

impl Announcers {
    /// Asks, and returns what is known. An edge without a fleet knows of no other, and may withdraw.
    pub fn may_withdraw(&self, has_fleet: bool) -> Withdrawal {
        if !has_fleet {
            return Withdrawal::Granted;
        }
        if !self.wish.replace(true) {
            self.answer.set(Withdrawal::Unknown);
            self.asked.notify_one();
        }
        self.answer.get()
    }

    /// This edge does not want to withdraw any more.
    pub fn withdraw_no_more(&self) {
        if self.wish.replace(false) {
            self.answer.set(Withdrawal::Unknown);
        }
    }

    /// Asks for an edge that is ending, and waits for the answer.
    pub async fn ask(&self, has_fleet: bool) -> Withdrawal {
        let answered = async {
            loop {
                let told = self.told.notified();
                let answer = self.may_withdraw(has_fleet);
                if answer != Withdrawal::Unknown {
                    return answer;
                }
                told.await;
            }
        };
        timeout(ENDING, answered).await.unwrap_or_default()
    }
}
