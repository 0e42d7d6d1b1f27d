//! Where access log lines go: a bounded queue to one writer thread. Never blocks who logs; drops are counted.

use std::{io::Write, sync::mpsc, time::Duration};

/// The queue's front end. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LogSink(mpsc::SyncSender<Item>);

#[derive(Debug)]
enum Item {
    Lines(Vec<u8>),
    /// Everything before this has been written.
    Mark(mpsc::SyncSender<()>),
}

impl LogSink {
    /// Starts the writer thread. `depth` is in batches (of up to 32 KiB or 100 ms each).
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(depth: usize, mut out: impl Write + Send + 'static) -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::sync_channel::<Item>(depth);
        std::thread::Builder::new().name("access-log".into()).spawn(move || {
            for item in receiver {
                match item {
                    // A reader that went away must not end the edge: its lines are lost, the next may be read again.
                    Item::Lines(lines) => drop(out.write_all(&lines).and_then(|()| out.flush())),
                    Item::Mark(done) => drop(done.try_send(())),
                }
            }
        })?;
        Ok(Self(sender))
    }

    /// Hands a batch of whole lines over; gives it back if the queue is full.
    ///
    /// # Errors
    /// The batch, when the writer is too slow or gone.
    pub fn hand_over(&self, batch: Vec<u8>) -> Result<(), Vec<u8>> {
        self.0.try_send(Item::Lines(batch)).map_err(|error| match error {
            mpsc::TrySendError::Full(Item::Lines(batch))
            | mpsc::TrySendError::Disconnected(Item::Lines(batch)) => batch,
            _ => Vec::new(),
        })
    }

    /// Waits until what was handed over has been written, but at most `limit`: a reader that is stuck must not keep
    /// the process. Blocks; for the very end only.
    pub fn settle(&self, limit: Duration) {
        let (done, wait) = mpsc::sync_channel(1);
        if self.0.try_send(Item::Mark(done)).is_ok() {
            let _ = wait.recv_timeout(limit);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Slow(Arc<Mutex<Vec<u8>>>, Arc<Mutex<()>>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let _gate = self.1.lock().unwrap();
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_is_stuck_costs_lines_but_never_blocks() {
        let out = Slow::default();
        let gate = out.1.lock().unwrap();
        let sink = LogSink::start(2, out.clone()).unwrap();
        let refused = (0..10).filter(|_| sink.hand_over(b"line\n".to_vec()).is_err()).count();
        assert!((7..=8).contains(&refused), "one may be in the writer's hands, two wait: {refused}");
        sink.settle(Duration::from_millis(1));
        drop(gate);
        while sink.hand_over(b"end\n".to_vec()).is_err() {
            std::thread::yield_now();
        }
        sink.settle(Duration::from_secs(10));
        assert!(out.0.lock().unwrap().ends_with(b"end\n"));
    }
}
