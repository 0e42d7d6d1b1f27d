//! Where access log lines go: a bounded queue to one writer thread. Never blocks who logs; drops are counted.

use std::{io::Write, sync::mpsc};

/// The queue's front end. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LogSink(mpsc::SyncSender<Vec<u8>>);

impl LogSink {
    /// Starts the writer thread. `depth` is in batches (of up to 32 KiB or 100 ms each).
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(depth: usize, mut out: impl Write + Send + 'static) -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::sync_channel::<Vec<u8>>(depth);
        std::thread::Builder::new().name("access-log".into()).spawn(move || {
            for batch in receiver {
                // A reader that went away must not end the edge: its lines are lost, the next may be read again.
                let _ = out.write_all(&batch).and_then(|()| out.flush());
            }
        })?;
        Ok(Self(sender))
    }

    /// Hands a batch of whole lines over; gives it back if the queue is full.
    ///
    /// # Errors
    /// The batch, when the writer is too slow or gone.
    pub fn hand_over(&self, batch: Vec<u8>) -> Result<(), Vec<u8>> {
        self.0.try_send(batch).map_err(|error| match error {
            mpsc::TrySendError::Full(batch) | mpsc::TrySendError::Disconnected(batch) => batch,
        })
    }
}
