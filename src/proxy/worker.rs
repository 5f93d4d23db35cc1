//! Worker threads, each with a single-threaded runtime of its own.

use std::io;
use std::thread;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::interval;

use crate::limits::{BLOCKING_THREADS, WORKER_BEAT, YOUNG_CHECK};
use crate::net::wake_grown;

/// One worker thread. Dropping it stops the thread.
#[derive(Debug)]
pub(super) struct Worker {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

/// Checks whether all workers still run tasks.
#[derive(Debug, Clone)]
pub struct WorkerHealth(Vec<Handle>);

impl WorkerHealth {
    pub(super) fn of(workers: &[Worker]) -> WorkerHealth {
        WorkerHealth(workers.iter().map(|worker| worker.handle.clone()).collect())
    }

    /// Returns once every worker has run a newly spawned task. Never returns if a worker hangs or has ended.
    pub async fn all_respond(&self) {
        let started: Vec<_> = self.0.iter().map(|worker| worker.spawn(async {})).collect();
        for task in started {
            if task.await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Worker {
    pub(super) fn start(number: usize) -> io::Result<Worker> {
        let (stop, stopped) = oneshot::channel();
        // The thread is started before its runtime is created. Otherwise, if the system refused the thread, the runtime
        // would be dropped here within another runtime, which panics.
        let (give, given) = std::sync::mpsc::sync_channel::<Runtime>(1);
        let thread = thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
            let Ok(runtime) = given.recv() else { return };
            runtime.block_on(async {
                let mut beat = interval(WORKER_BEAT);
                let mut grown = interval(YOUNG_CHECK);
                tokio::pin!(stopped);
                loop {
                    tokio::select! {
                        // Resolves at a message or when the sender is dropped.
                        _ = &mut stopped => return,
                        // Setting a timer that expires earlier than all others interrupts epoll_wait, which costs two
                        // system calls. This timer expires earlier than the usual timers of connections, so setting
                        // one of those interrupts nothing.
                        _ = beat.tick() => {}
                        _ = grown.tick() => wake_grown(),
                    }
                }
            });
            runtime.shutdown_background();
        })?;
        let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(BLOCKING_THREADS).build()?;
        let handle = runtime.handle().clone();
        // The thread is waiting for the runtime, so the send succeeds.
        let _ = give.send(runtime);
        Ok(Worker { handle, stop: Some(stop), thread: Some(thread) })
    }

    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        self.handle.spawn(task)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // The error is ignored: the panic of a worker has already been logged, and its thread has ended.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::{Worker, WorkerHealth};

    /// A hanging worker is detected; a worker that is busy for a while is waited for.
    #[tokio::test]
    async fn all_workers_respond() {
        let workers: Vec<_> = (0..2).map(|number| Worker::start(number).unwrap()).collect();
        let worker_health = WorkerHealth::of(&workers);
        worker_health.all_respond().await;
        let (release, hung) = mpsc::channel::<()>();
        workers[1].handle.spawn(async move { hung.recv() });
        let response = worker_health.all_respond();
        tokio::pin!(response);
        assert!(timeout(Duration::from_millis(100), &mut response).await.is_err(), "one worker hangs");
        release.send(()).unwrap();
        response.await;
        drop(workers);
        assert!(
            timeout(Duration::from_millis(100), worker_health.all_respond()).await.is_err(),
            "the workers are gone"
        );
    }
}
