//! One client: its connection, its operations, its pace.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::exchange::{Exchange, HEAD_BYTES, Moved};
use super::link::connect;
use super::tally::{Kind, Tally};
use super::wish::{Ask, Wish, Workload};
use crate::limits::{LOAD_AGAIN, LOAD_CHUNK_BYTES, LOAD_PATIENCE};
use crate::net::Resolver;

/// What the clients of a thread have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) wish: Arc<Wish>,
    pub(super) resolver: Arc<Resolver>,
    pub(super) clock: Clock,
    pub(super) tally: Mutex<Tally>,
    pub(super) progress: Arc<Progress>,
}

/// When it begins, from when on it counts, when it ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    pub(super) begins: Instant,
    pub(super) counts: Instant,
    pub(super) ends: Instant,
}

/// What is shown on the way.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) operations: AtomicU64,
    pub(super) errors: AtomicU64,
}

/// Works until the end.
pub(super) async fn run(shared: Arc<Shared>, number: usize) {
    let wish = &shared.wish;
    let mut chunk = vec![0; chunk_bytes(wish.ask)];
    let mut open = None;
    for count in 0_u64.. {
        let Some(due) = due(&shared, number, count).await else { break };
        if wish.workload.begins_anew(count)
            && let Some(exchange) = Option::take(&mut open)
        {
            Exchange::end(exchange).await;
        }
        let asked = timeout(LOAD_PATIENCE, ask(&shared, number, &mut open, &mut chunk)).await;
        let failed = shared.note(due, asked.unwrap_or(Err(Kind::TimedOut)));
        if failed {
            open = None;
            // A server that refuses is not asked without a pause.
            sleep(LOAD_AGAIN).await;
        }
        if wish.workload == Workload::Idle && !failed {
            sleep_until(shared.clock.ends).await;
            break;
        }
    }
    if let Some(exchange) = open {
        // Who does not take our end in time is left.
        let _ = timeout(LOAD_PATIENCE, exchange.end()).await;
    }
}

/// One operation: a request, and the connection for it where there is none.
async fn ask(shared: &Shared, number: usize, open: &mut Option<Exchange>, chunk: &mut [u8]) -> Result<Moved, Kind> {
    let exchange = match open {
        Some(exchange) => exchange,
        None => {
            let link = connect(&shared.resolver, shared.wish.tls_of(number)).await?;
            open.insert(Exchange::over(link, shared.wish.ask))
        }
    };
    exchange.once(chunk).await
}

/// Waits until the next operation is due, which it is timed from; none after the end. The first ones are spread over
/// half of the warm-up.
async fn due(shared: &Shared, number: usize, count: u64) -> Option<Instant> {
    let Clock { begins, counts, ends } = shared.clock;
    let connections = shared.wish.connections;
    let due = match shared.wish.rate {
        Some(rate) => {
            let turn = count as f64 * connections as f64 + number as f64;
            begins + Duration::try_from_secs_f64(turn / f64::from(rate)).unwrap_or(Duration::MAX).min(ends - begins)
        }
        None if count == 0 => begins + (counts - begins).mul_f64(0.5 * number as f64 / connections as f64),
        None => Instant::now(),
    };
    if due >= ends {
        return None;
    }
    sleep_until(due).await;
    Some(due)
}

impl Shared {
    /// Counts an operation; whether it failed.
    fn note(&self, due: Instant, result: Result<Moved, Kind>) -> bool {
        let failed = result.is_err();
        let shown = if failed { &self.progress.errors } else { &self.progress.operations };
        shown.fetch_add(1, Ordering::Relaxed);
        // Connections that idle are opened before that, and are what is measured.
        if due >= self.clock.counts || self.wish.workload == Workload::Idle {
            let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
            match result {
                Ok(moved) => tally.succeeded(moved, due.elapsed()),
                Err(kind) => tally.failed(&kind),
            }
        }
        failed
    }
}

impl Workload {
    /// Whether the operation of this number has a connection of its own.
    fn begins_anew(self, count: u64) -> bool {
        match self {
            Workload::Connect => true,
            Workload::Mixed => count.is_multiple_of(MIXED),
            Workload::Ping | Workload::Echo | Workload::Bulk | Workload::Idle => false,
        }
    }
}

/// What moves at a time, and no more than there is to move: ten thousand clients have one each.
fn chunk_bytes(ask: Ask) -> usize {
    match ask {
        Ask::Ping | Ask::Hello | Ask::Insert { .. } => 0,
        Ask::Echo { request, response } => (HEAD_BYTES + request.max(response) as usize).min(LOAD_CHUNK_BYTES),
    }
}

/// Operations of a mixed load for each new connection.
const MIXED: u64 = 10;
