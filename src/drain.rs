//! Stop in three steps: signal, wait, force. One small part that everything which must end holds.
//!
//! A [`Drain`] is held by whoever decides; a [`Watch`] by whoever must end. A watch held is work under way:
//! [`Drain::wait`] is over when the last one is dropped.

use std::time::Duration;

use tokio::sync::{mpsc, watch};

/// How far a stop has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Running,
    Draining,
    Forced,
}

/// How a wait was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// All ended by themselves.
    ByThemselves,
    /// The time was over, and what was left was made to end.
    Overdue,
    /// Somebody wanted it at once, and what was left was made to end.
    Forced,
}

/// The deciding side.
#[derive(Debug)]
pub struct Drain {
    phase: watch::Sender<Phase>,
    watch: Watch,
    gone: mpsc::Receiver<()>,
}

/// The side that ends.
#[derive(Debug, Clone)]
pub struct Watch {
    phase: watch::Receiver<Phase>,
    _alive: mpsc::Sender<()>,
}

impl Drain {
    /// A drain that runs.
    #[must_use]
    pub fn new() -> Drain {
        let (phase, seen) = watch::channel(Phase::Running);
        let (alive, gone) = mpsc::channel(1);
        Drain { phase, watch: Watch { phase: seen, _alive: alive }, gone }
    }

    /// A watch on it.
    #[must_use]
    pub fn watch(&self) -> Watch {
        self.watch.clone()
    }

    /// Asks everybody to end: no new work, finish the old.
    pub fn start(&self) {
        self.phase.send_if_modified(|phase| raise(phase, Phase::Draining));
    }

    /// Waits until every watch is gone; for at most `limit`, if that is not zero, and until `force` resolves.
    pub async fn wait(self, limit: Duration, force: impl Future<Output = ()>) -> Ending {
        let Drain { phase, watch, mut gone } = self;
        drop(watch);
        let limit =
            async { if limit.is_zero() { std::future::pending().await } else { tokio::time::sleep(limit).await } };
        let ending = tokio::select! {
            // With nobody left there is nothing to force.
            biased;
            _ = gone.recv() => return Ending::ByThemselves,
            () = limit => Ending::Overdue,
            () = force => Ending::Forced,
        };
        phase.send_if_modified(|phase| raise(phase, Phase::Forced));
        gone.recv().await;
        ending
    }
}

impl Default for Drain {
    fn default() -> Drain {
        Drain::new()
    }
}

impl Watch {
    /// Returns when a stop has begun.
    pub async fn draining(&self) {
        self.reached(Phase::Draining).await;
    }

    /// Returns when what is still open must end at once.
    pub async fn forced(&self) {
        self.reached(Phase::Forced).await;
    }

    async fn reached(&self, wanted: Phase) {
        // An error is a deciding side that is gone: nobody is left to be waited for.
        let _ = self.phase.clone().wait_for(|phase| *phase >= wanted).await;
    }
}

fn raise(phase: &mut Phase, to: Phase) -> bool {
    let higher = to > *phase;
    if higher {
        *phase = to;
    }
    higher
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::time::Duration;

    use super::{Drain, Ending};

    #[tokio::test(start_paused = true)]
    async fn waits_for_those_who_end_by_themselves() {
        let drain = Drain::new();
        let watch = drain.watch();
        tokio::spawn(async move {
            watch.draining().await;
            tokio::time::sleep(Duration::from_secs(3)).await;
        });
        drain.start();
        assert_eq!(drain.wait(Duration::from_secs(60), pending()).await, Ending::ByThemselves);
        assert_eq!(Drain::new().wait(Duration::ZERO, ready(())).await, Ending::ByThemselves, "there is nobody");
    }

    #[tokio::test(start_paused = true)]
    async fn forces_those_who_do_not() {
        for (limit, ending) in [(Duration::from_secs(60), Ending::Overdue), (Duration::ZERO, Ending::Forced)] {
            let drain = Drain::new();
            let watch = drain.watch();
            tokio::spawn(async move { watch.forced().await });
            drain.start();
            let force = tokio::time::sleep(Duration::from_secs(100));
            assert_eq!(drain.wait(limit, force).await, ending);
        }
    }
}
