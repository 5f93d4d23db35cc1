//! The sampler, which makes the events of open pages from the control plane's reports.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::feed::{EventKind, Feed};
use super::samples::Sample;
use crate::admin::replies::{HistoryReply, Ready, RefusalCount, Status};
use crate::control::{AnswerSize, ChangeError, View, readiness, status, traffic};
use crate::limits::{EVENT_READY, EVENT_READY_PAUSE, EVENT_SAMPLE_TICKS, EVENT_TICK};
use crate::policy::Spelling;
use crate::telemetry::now_millis;

/// The facts on which the blockers of the next mode depend. Blockers are looked for when one of these facts changes,
/// and every [`EVENT_READY`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct ReadyInputs {
    generation: u64,
    clients: [usize; 4],
    servers: Vec<bool>,
}

/// Makes events until it is aborted.
pub(super) async fn run(view: Arc<View>, feed: Feed) {
    let (inputs, changed) = watch::channel(ReadyInputs::default());
    // Two loops, so that a server that does not answer delays only the search for blockers, not the other events.
    tokio::join!(observe(&view, &feed, &inputs), look_for_blockers(&view, &feed, changed));
}

/// Sends status and sample every second, and at the next tick after a change of the mode or the history.
async fn observe(view: &Arc<View>, feed: &Feed, inputs: &watch::Sender<ReadyInputs>) {
    let mut ticks = interval(EVENT_TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut last, mut age) = (None, 0);
    loop {
        ticks.tick().await;
        age += 1;
        let revision = Some((view.mode().1, view.history_revision()));
        if last == revision && age < EVENT_SAMPLE_TICKS {
            continue;
        }
        // If too many other requests wait, the next tick tries again.
        if let Ok(found) = report(view, feed).await {
            inputs.send_if_modified(|before| std::mem::replace(before, found.clone()) != found);
            (last, age) = (revision, 0);
        }
    }
}

async fn report(view: &Arc<View>, feed: &Feed) -> Result<ReadyInputs, ChangeError> {
    let traffic = view.read(AnswerSize::Summary, traffic).await?;
    // The uptime would make every status differ from the last.
    let status = Status { uptime_secs: 0, ..Status::from(status(view).await?) };
    feed.post(EventKind::Status, &status);
    feed.post(EventKind::History, &HistoryReply { history: view.changes() });
    let refused: Vec<_> = traffic.refused.into_iter().map(RefusalCount::from).collect();
    feed.post(EventKind::Refusals, &refused);
    let (open, inventory) = (status.connections, status.inventory);
    feed.sample(Sample {
        at: now_millis(),
        open: [open.plaintext, open.tls, open.outbound],
        accepted: [traffic.plaintext, traffic.tls],
    });
    Ok(ReadyInputs {
        generation: status.generation,
        clients: [open.plaintext, open.tls, inventory.unmoved, status.bypass.len()],
        servers: status.upstreams.iter().map(|server| server.up).collect(),
    })
}

/// Sends the blockers of the next mode.
async fn look_for_blockers(view: &Arc<View>, feed: &Feed, mut changed: watch::Receiver<ReadyInputs>) {
    loop {
        let _ = timeout(EVENT_READY, changed.changed()).await;
        match view.mode().0.next() {
            Some(next) => feed.post(EventKind::Ready, &Ready::new(readiness(view, next).await, Spelling::Ssl)),
            None => feed.post(EventKind::Ready, &Value::Null),
        }
        sleep(EVENT_READY_PAUSE).await;
    }
}
