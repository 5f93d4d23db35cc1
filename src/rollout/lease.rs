//! The lease on every node, which excludes other rollouts and writers: taken first, renewed, given back at the end.

use std::os::unix::fs::MetadataExt as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::sleep;

use super::fleet::{AnswerError, Fleet};
use super::halt::Halt;
use super::limits::{LEASE, LEASE_RENEWAL};
use crate::admin_client::ClientError;
use crate::limits::LEASE_HOLDER_CHARS;
use crate::text::printable;

/// The leases on all nodes. Without renewal, they expire.
#[derive(Debug)]
pub(super) struct Leases {
    fleet: Arc<Fleet>,
    holder: String,
    renewal: AbortHandle,
    /// The text about a lease that another holder has taken since; `None` as long as no lease is lost.
    lost: Arc<Mutex<Option<String>>>,
}

impl Leases {
    /// Takes all leases, or none.
    ///
    /// # Errors
    /// The holder of one of the leases, or a node that cannot be reached.
    pub(super) async fn take(fleet: &Arc<Fleet>, holder: &str) -> Result<Leases, Halt> {
        let taken = ask(fleet, holder, LEASE).await;
        let failure = taken.iter().enumerate().find_map(|(node, taken)| Some((node, taken.as_ref().err()?)));
        if let Some((node, error)) = failure {
            // This does not affect another holder's lease.
            give_back(fleet, holder).await;
            return Err(Halt::stopped(fleet.name(node), text(error)));
        }
        let lost = Arc::default();
        let renewing = tokio::spawn(renew(Arc::clone(fleet), holder.to_owned(), Arc::clone(&lost)));
        Ok(Leases { fleet: Arc::clone(fleet), holder: holder.to_owned(), renewal: renewing.abort_handle(), lost })
    }

    pub(super) fn holder(&self) -> &str {
        &self.holder
    }

    /// # Errors
    /// [`Halt::Stopped`]: another holder has taken a lease.
    pub(super) fn check(&self) -> Result<(), Halt> {
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        lost.clone().map_or(Ok(()), |why| Err(Halt::Stopped(why)))
    }

    pub(super) async fn give_back(self) {
        self.renewal.abort();
        give_back(&self.fleet, &self.holder).await;
    }
}

/// The holder's name: user, host and process ID.
pub(super) fn holder() -> String {
    // The environment may have no user name, for example under cron and in containers.
    let uid = || std::fs::metadata("/proc/self").map(|own| format!("uid{}", own.uid())).unwrap_or_default();
    let user = std::env::var("USER").ok().filter(|user| !user.is_empty()).unwrap_or_else(uid);
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let holder = format!("rollout {}@{} pid {}", printable(&user), printable(host.trim()), std::process::id());
    holder.chars().take(LEASE_HOLDER_CHARS).collect()
}

async fn renew(fleet: Arc<Fleet>, holder: String, lost: Arc<Mutex<Option<String>>>) {
    loop {
        sleep(LEASE_RENEWAL).await;
        for (node, renewed) in ask(&fleet, &holder, LEASE).await.iter().enumerate() {
            // Only a refusal counts: an unreachable node is noticed by the requests of the steps, and a node that has
            // lost the lease by a restart grants it again.
            if let Err(error) = renewed
                && is_refusal(error)
            {
                let why = format!("{}: the lease was taken over: {}", fleet.name(node), text(error));
                *lost.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
            }
        }
    }
}

async fn ask(fleet: &Fleet, holder: &str, time: Duration) -> Vec<Result<(), AnswerError>> {
    fleet
        .each(&fleet.all(), |handle| {
            let holder = holder.to_owned();
            async move {
                handle.client.lease(&holder, time, false).await?;
                Ok(())
            }
        })
        .await
}

/// Gives back the leases. One that cannot be given back expires.
async fn give_back(fleet: &Fleet, holder: &str) {
    ask(fleet, holder, Duration::ZERO).await;
}

fn is_refusal(error: &AnswerError) -> bool {
    match error {
        AnswerError::Client(error) => error.reply().is_some(),
        AnswerError::Unreadable(_) => false,
    }
}

fn text(error: &AnswerError) -> String {
    match error {
        AnswerError::Client(ClientError::Refused { reply, .. }) if reply.code == "Leased" => {
            // The text from the admin port names the holder and the remaining time.
            format!(
                "{} (another rollout is in progress, or was killed less than a minute ago)",
                printable(&reply.error)
            )
        }
        AnswerError::Client(_) | AnswerError::Unreadable(_) => error.to_string(),
    }
}
