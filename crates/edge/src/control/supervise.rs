//! Control tasks that always run: a task that ends or panics is counted and restarted, and no other task is harmed.
//! Never used for requests, which belong to the workers.

use std::{future::Future, sync::Arc, time::Duration};

use tokio::{
    task::{JoinHandle, spawn_local},
    time::{Instant, sleep},
};

use crate::shared::{
    meters::{Meters, Series},
    telemetry::TASK_RESTARTS,
};

/// A local task that ends when its handle is dropped.
#[derive(Debug)]
pub struct Task(JoinHandle<()>);

impl Task {
    /// Starts a task on this thread.
    pub fn spawn(work: impl Future<Output = ()> + 'static) -> Self {
        Self(spawn_local(work))
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// First pause before a restart. It doubles up to [`MAX_PAUSE`] while restarts follow closely.
const PAUSE: Duration = Duration::from_millis(10);
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// Keeps the task that `make` makes running until the returned handle is dropped.
pub fn supervise<F>(name: &'static str, meters: &Meters, mut make: impl FnMut() -> F + 'static) -> Task
where
    F: Future<Output = ()> + 'static,
{
    let restarts = meters.cell(Series::new(&TASK_RESTARTS, &[&Arc::from(name)]));
    Task::spawn(async move {
        let mut pause = PAUSE;
        loop {
            let began = Instant::now();
            let mut task = Task::spawn(make());
            let how = match (&mut task.0).await {
                Ok(()) => "ended",
                Err(error) if error.is_panic() => "panicked",
                Err(_) => return,
            };
            restarts.bump();
            pause = if began.elapsed() > MAX_PAUSE * 10 { PAUSE } else { (pause * 2).min(MAX_PAUSE) };
            tracing::error!(task = name, how, "control task restarts");
            sleep(pause).await;
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{cell::Cell, rc::Rc};

    #[tokio::test(start_paused = true, flavor = "current_thread")]
    async fn a_task_that_panics_or_ends_is_restarted_and_counted() {
        let local = tokio::task::LocalSet::new();
        local
            .run_until(async {
                let (meters, starts) = (Meters::default(), Rc::new(Cell::new(0)));
                let seen = Rc::clone(&starts);
                let _task = supervise("test", &meters, move || {
                    let seen = Rc::clone(&seen);
                    async move {
                        seen.set(seen.get() + 1);
                        match seen.get() {
                            1 => panic!("on purpose"),
                            2 => {}
                            _ => std::future::pending().await,
                        }
                    }
                });
                sleep(Duration::from_secs(5)).await;
                let restarts = meters.cell(Series::new(&TASK_RESTARTS, &[&Arc::from("test")]));
                assert_eq!((starts.get(), restarts.get()), (3, 2));
            })
            .await;
    }
}
