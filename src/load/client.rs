//! One client: its connections, its operations and its schedule.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::args::LoadArgs;
use super::connect::connect;
use super::exchange::{Exchange, HEAD_BYTES};
use super::limits::{AFTER_FAILURE, CHUNK_BYTES, OPERATION};
use super::measurements::{FailureKind, Measurements, Transferred};
use super::timer::Timer;
use super::workload::{LoadRequest, Workload};
use crate::net::Resolver;

/// The state that the clients of one thread share.
#[derive(Debug)]
pub(super) struct ClientContext {
    pub(super) args: Arc<LoadArgs>,
    pub(super) resolver: Arc<Resolver>,
    pub(super) schedule: Schedule,
    pub(super) measurements: Mutex<Measurements>,
    pub(super) progress: Arc<Progress>,
}

/// When operations begin, when they start to count, and when they end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schedule {
    pub(super) begins: Instant,
    pub(super) counts: Instant,
    pub(super) ends: Instant,
}

/// The counts shown in the progress line.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) operations: AtomicU64,
    pub(super) errors: AtomicU64,
}

pub(super) async fn run(context: Arc<ClientContext>, number: usize) {
    let args = &context.args;
    let mut chunk = vec![0; chunk_bytes(args.request)];
    let mut open = None;
    // Without a descriptor, the operations begin up to 1 ms late.
    let timer = args.rate.and_then(|_| Timer::new().ok());
    for count in 0_u64.. {
        let Some(due) = due(&context, number, count, timer.as_ref()).await else { break };
        if args.workload.begins_anew(count)
            && let Some(exchange) = Option::take(&mut open)
        {
            Exchange::end(exchange).await;
        }
        let asked = timeout(OPERATION, operate(&context, number, &mut open, &mut chunk)).await;
        let failed = context.note(due, asked.unwrap_or(Err(FailureKind::TimedOut)));
        if failed {
            open = None;
            // The pause limits the rate of requests to a server that refuses connections.
            sleep(AFTER_FAILURE).await;
        }
        if args.workload == Workload::Idle && !failed {
            sleep_until(context.schedule.ends).await;
            break;
        }
    }
    if let Some(exchange) = open {
        // A close that fails or takes too long is ignored.
        let _ = timeout(OPERATION, exchange.end()).await;
    }
}

/// Performs one operation: a request, on a new connection unless one is open.
async fn operate(
    context: &ClientContext,
    number: usize,
    open: &mut Option<Exchange>,
    chunk: &mut [u8],
) -> Result<Transferred, FailureKind> {
    let exchange = match open {
        Some(exchange) => exchange,
        None => {
            let stream = connect(&context.resolver, context.args.tls_of(number)).await?;
            open.insert(Exchange::over(stream, context.args.request))
        }
    };
    exchange.once(chunk).await
}

/// Waits until the next operation is due and returns that time, from which latency is measured. Returns `None` after
/// the end. Without a rate, the first operations of the clients are spread over the first half of the
/// warm-up.
async fn due(context: &ClientContext, number: usize, count: u64, timer: Option<&Timer>) -> Option<Instant> {
    let Schedule { begins, counts, ends } = context.schedule;
    let connections = context.args.connections;
    let due = match context.args.rate {
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
    if let Some(timer) = timer {
        timer.sleep_until(due).await.ok()?;
    } else {
        sleep_until(due).await;
    }
    Some(due)
}

impl ClientContext {
    /// Records an operation. Returns whether it failed.
    fn note(&self, due: Instant, result: Result<Transferred, FailureKind>) -> bool {
        let failed = result.is_err();
        let shown = if failed { &self.progress.errors } else { &self.progress.operations };
        shown.fetch_add(1, Ordering::Relaxed);
        // The idle workload measures connections, which are opened during the warm-up.
        if due >= self.schedule.counts || self.args.workload == Workload::Idle {
            let mut measurements = self.measurements.lock().unwrap_or_else(PoisonError::into_inner);
            match result {
                Ok(moved) => measurements.succeeded(moved, due.elapsed()),
                Err(kind) => measurements.failed(&kind),
            }
        }
        failed
    }
}

impl Workload {
    /// Whether the operation with this number needs a new connection.
    fn begins_anew(self, count: u64) -> bool {
        match self {
            Workload::Connect => true,
            Workload::Mixed => count.is_multiple_of(MIXED),
            Workload::Ping | Workload::Echo | Workload::Bulk | Workload::Idle => false,
        }
    }
}

/// The size of a client's buffer: not larger than a message, since there may be ten thousand clients.
fn chunk_bytes(request: LoadRequest) -> usize {
    match request {
        LoadRequest::Ping | LoadRequest::Hello | LoadRequest::Insert { .. } => 0,
        LoadRequest::Echo { request, response } => (HEAD_BYTES + request.max(response) as usize).min(CHUNK_BYTES),
    }
}

/// The mixed workload opens a new connection after this number of operations.
const MIXED: u64 = 10;
