//! The way of access log lines to standard output: a bounded queue to one writer thread. A full queue never blocks a
//! worker; lost lines are counted.

use std::{
    fs::File,
    io::{self, ErrorKind, Write},
    os::fd::AsFd,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use crate::shared::meters::Cell;

/// Gap between two tries while the reader of standard output, or the queue at the end, has no room.
const BREATH: Duration = Duration::from_millis(5);

/// The sending side of the queue. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LogSink {
    queue: mpsc::SyncSender<Item>,
    lost: Arc<Cell>,
}

#[derive(Debug)]
enum Item {
    Lines(Vec<u8>),
    /// Asks the writer to confirm that everything sent before this item has been written.
    Mark(mpsc::SyncSender<()>),
}

impl LogSink {
    /// Starts the writer thread. `depth` is in batches (of up to 32 KiB or 100 ms each).
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(depth: usize, out: impl Write + Send + 'static) -> io::Result<Self> {
        let (queue, receiver) = mpsc::sync_channel::<Item>(depth);
        let lost = Arc::<Cell>::default();
        let mut writer = Writer { out, lost: Arc::clone(&lost), torn: false, outage: None };
        std::thread::Builder::new().name("access-log".into()).spawn(move || {
            for item in receiver {
                match item {
                    Item::Lines(lines) => writer.write(&lines),
                    Item::Mark(done) => drop(done.try_send(())),
                }
            }
        })?;
        Ok(Self { queue, lost })
    }

    /// Hands a batch of whole lines over.
    ///
    /// # Errors
    /// The batch itself, if the writer is too slow or has ended.
    pub fn hand_over(&self, batch: Vec<u8>) -> Result<(), Vec<u8>> {
        self.queue.try_send(Item::Lines(batch)).map_err(|error| match error {
            mpsc::TrySendError::Full(Item::Lines(batch))
            | mpsc::TrySendError::Disconnected(Item::Lines(batch)) => batch,
            _ => Vec::new(),
        })
    }

    /// Lines that were handed over and could not be written.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.get()
    }

    /// Waits until all lines that were handed over have been written, but at most `limit`, because a stuck reader must
    /// not keep the process alive. Returns `false` if some lines were not written. Blocks: for the end of the process
    /// only.
    #[must_use]
    pub fn settle(&self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        let (done, wait) = mpsc::sync_channel(1);
        while self.queue.try_send(Item::Mark(done.clone())).is_err() {
            if Instant::now() >= end {
                return false;
            }
            std::thread::sleep(BREATH);
        }
        wait.recv_timeout(end.saturating_duration_since(Instant::now())).is_ok()
    }
}

/// Standard output without the buffer of std, so that a failed write is known to the line.
///
/// # Errors
/// When no descriptor is left.
pub fn stdout() -> io::Result<File> {
    Ok(File::from(io::stdout().as_fd().try_clone_to_owned()?))
}

/// How many lines a batch holds.
#[must_use]
pub fn lines(batch: &[u8]) -> u64 {
    batch.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// The state of the writer thread.
struct Writer<W> {
    out: W,
    lost: Arc<Cell>,
    /// A line was begun and not ended: the next line must not be appended to it.
    torn: bool,
    /// Lines lost since writing began to fail.
    outage: Option<u64>,
}

impl<W: Write> Writer<W> {
    /// Writes a batch. A reader that went away does not end the edge: its lines are lost and counted, and the next
    /// batch is tried again.
    fn write(&mut self, batch: &[u8]) {
        let result = if self.torn { self.all(b"\n") } else { Ok(()) };
        let result = result.map_err(|(_, error)| (batch, error)).and_then(|()| self.all(batch));
        match (result, self.outage) {
            (Ok(()), None) => {}
            (Ok(()), Some(lost)) => {
                tracing::info!(lost, "access log is written again");
                self.outage = None;
            }
            (Err((rest, error)), before) => {
                let lost = lines(rest);
                self.lost.add(lost);
                self.outage = Some(before.unwrap_or(0) + lost);
                if before.is_none() {
                    tracing::warn!(%error, "access log cannot be written: its lines are lost");
                }
            }
        }
    }

    /// Writes all bytes, or returns the rest with the error.
    fn all<'a>(&mut self, bytes: &'a [u8]) -> Result<(), (&'a [u8], io::Error)> {
        let mut rest = bytes;
        while let Some(last) = rest.last() {
            match self.out.write(rest) {
                Ok(0) => return Err((rest, ErrorKind::WriteZero.into())),
                Ok(n) => {
                    let (done, left) = rest.split_at(n.min(rest.len()));
                    self.torn = done.last().unwrap_or(last) != &b'\n';
                    rest = left;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Another process made the descriptor non-blocking: wait for a slow reader all the same.
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(BREATH),
                Err(error) => return Err((rest, error)),
            }
        }
        Ok(())
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
    fn a_stuck_reader_loses_lines_but_never_blocks_a_worker() {
        let out = Slow::default();
        let gate = out.1.lock().unwrap();
        let sink = LogSink::start(2, out.clone()).unwrap();
        let refused = (0..10).filter(|_| sink.hand_over(b"line\n".to_vec()).is_err()).count();
        assert!((7..=8).contains(&refused), "one may be in the writer's hands, two wait: {refused}");
        assert!(!sink.settle(Duration::from_millis(1)), "the queue is full");
        drop(gate);
        while sink.hand_over(b"end\n".to_vec()).is_err() {
            std::thread::yield_now();
        }
        assert!(sink.settle(Duration::from_secs(10)));
        assert!(out.0.lock().unwrap().ends_with(b"end\n"));
    }

    #[test]
    fn settling_waits_also_when_the_queue_is_full() {
        let out = Slow::default();
        let gate = out.1.lock().unwrap();
        let sink = LogSink::start(1, out.clone()).unwrap();
        while sink.hand_over(b"line\n".to_vec()).is_ok() {}
        let settled = std::thread::spawn({
            let sink = sink.clone();
            move || sink.settle(Duration::from_secs(10))
        });
        drop(gate);
        assert!(settled.join().unwrap());
        assert!(lines(&out.0.lock().unwrap()) >= 1);
    }

    /// A writer that fails as it is told, then accepts everything.
    struct Moody {
        says: std::vec::IntoIter<Result<usize, ErrorKind>>,
        out: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Moody {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let n = self.says.next().unwrap_or(Ok(bytes.len()))?;
            self.out.lock().unwrap().extend_from_slice(&bytes[..n]);
            Ok(n)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn unwritten_lines_are_counted_and_tear_no_other_line() {
        let full = || Err(ErrorKind::StorageFull);
        for (what, says, lost, written) in [
            ("nothing fails", vec![], 0, "a1\na2\nb1\n"),
            ("the first batch is lost", vec![full()], 2, "b1\n"),
            ("its second line is lost", vec![Ok(3), full()], 1, "a1\nb1\n"),
            ("its second line is torn", vec![Ok(4), full()], 1, "a1\na\nb1\n"),
            ("torn, and still full", vec![Ok(4), full(), full()], 2, "a1\na"),
            ("the reader went away", vec![Err(ErrorKind::BrokenPipe); 2], 3, ""),
            ("a reader is slow", vec![Ok(1), Err(ErrorKind::WouldBlock), Ok(1)], 0, "a1\na2\nb1\n"),
            ("a signal", vec![Err(ErrorKind::Interrupted)], 0, "a1\na2\nb1\n"),
            ("nothing is taken", vec![Ok(0)], 2, "b1\n"),
        ] {
            let out = Arc::<Mutex<Vec<u8>>>::default();
            let moody = Moody { says: says.into_iter(), out: Arc::clone(&out) };
            let sink = LogSink::start(4, moody).unwrap();
            for batch in ["a1\na2\n", "b1\n"] {
                sink.hand_over(batch.into()).unwrap();
            }
            assert!(sink.settle(Duration::from_secs(10)), "{what}");
            assert_eq!(sink.lost(), lost, "{what}");
            assert_eq!(String::from_utf8_lossy(&out.lock().unwrap()), written, "{what}");
        }
    }
}
