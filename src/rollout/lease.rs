//! The lease on every node: taken before anything, renewed while it lasts, given back at the end. It keeps two rollouts
//! apart, and any other writer too.

use std::os::unix::fs::MetadataExt as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::sleep;

use super::fleet::{Fleet, NoAnswer};
use super::halt::Halt;
use crate::admin_client::ClientError;
use crate::limits::{LEASE_HOLDER_CHARS, ROLLOUT_LEASE, ROLLOUT_RENEWAL};
use crate::text::printable;

/// Leases that are held on every node. They end by themselves a minute after whoever held them is gone.
#[derive(Debug)]
pub(super) struct Leases {
    fleet: Arc<Fleet>,
    holder: String,
    renewal: AbortHandle,
    /// Who has taken one from us, by force.
    lost: Arc<Mutex<Option<String>>>,
}

impl Leases {
    /// Takes all of them, or none.
    ///
    /// # Errors
    /// Who holds one, or which node cannot be reached.
    pub(super) async fn take(fleet: &Arc<Fleet>, holder: &str) -> Result<Leases, Halt> {
        let taken = ask(fleet, holder, ROLLOUT_LEASE).await;
        let failure = taken.iter().enumerate().find_map(|(node, taken)| Some((node, taken.as_ref().err()?)));
        if let Some((node, error)) = failure {
            // From those that another holds, nothing is taken by this.
            give_back(fleet, holder).await;
            return Err(Halt::stopped(fleet.name(node), in_words(error)));
        }
        let lost = Arc::default();
        let renewing = tokio::spawn(renew(Arc::clone(fleet), holder.to_owned(), Arc::clone(&lost)));
        Ok(Leases { fleet: Arc::clone(fleet), holder: holder.to_owned(), renewal: renewing.abort_handle(), lost })
    }

    /// In whose name.
    pub(super) fn holder(&self) -> &str {
        &self.holder
    }

    /// Whether all are still held.
    ///
    /// # Errors
    /// [`Halt::Stopped`]: another has taken one.
    pub(super) fn check(&self) -> Result<(), Halt> {
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        lost.clone().map_or(Ok(()), |why| Err(Halt::Stopped(why)))
    }

    /// Gives all back.
    pub(super) async fn give_back(self) {
        self.renewal.abort();
        give_back(&self.fleet, &self.holder).await;
    }
}

/// Whose this rollout is: who, where, and which process.
pub(super) fn holder() -> String {
    // By its number, where the environment has no name, as under cron and in containers.
    let uid = || std::fs::metadata("/proc/self").map(|own| format!("uid{}", own.uid())).unwrap_or_default();
    let user = std::env::var("USER").ok().filter(|user| !user.is_empty()).unwrap_or_else(uid);
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let text = format!("rollout {}@{} pid {}", printable(&user), printable(host.trim()), std::process::id());
    text.chars().take(LEASE_HOLDER_CHARS).collect()
}

async fn renew(fleet: Arc<Fleet>, holder: String, lost: Arc<Mutex<Option<String>>>) {
    loop {
        sleep(ROLLOUT_RENEWAL).await;
        for (node, renewed) in ask(&fleet, &holder, ROLLOUT_LEASE).await.iter().enumerate() {
            // A node that cannot be reached stops the rollout by itself; one that is back has forgotten the lease.
            if let Err(error) = renewed
                && is_refusal(error)
            {
                let why = format!("{}: the lease was taken over: {}", fleet.name(node), in_words(error));
                *lost.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
            }
        }
    }
}

async fn ask(fleet: &Fleet, holder: &str, time: Duration) -> Vec<Result<(), NoAnswer>> {
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

/// What cannot be given back ends by itself.
async fn give_back(fleet: &Fleet, holder: &str) {
    ask(fleet, holder, Duration::ZERO).await;
}

fn is_refusal(error: &NoAnswer) -> bool {
    match error {
        NoAnswer::Client(error) => error.is_refusal(),
        NoAnswer::Unreadable(_) => false,
    }
}

fn in_words(error: &NoAnswer) -> String {
    match error {
        NoAnswer::Client(ClientError::Refused { reply, .. }) if reply.code == "Leased" => {
            // The admin port's own words say who, and for how long.
            format!("{} (another rollout is under way, or was killed less than a minute ago)", printable(&reply.error))
        }
        NoAnswer::Client(_) | NoAnswer::Unreadable(_) => error.to_string(),
    }
}
