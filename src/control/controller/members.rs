//! Setting the members that a rollout has named.

use std::sync::Arc;

use super::{Controller, carry_out};
use crate::control::audit;
use crate::control::caller::Caller;
use crate::control::change::{ChangeError, MemberSets};
use crate::control::member_names::{FORGOTTEN, NamedSets};
use crate::state::NameSource;

impl Controller {
    /// Sets the members of some replica sets, and returns warnings. When this returns, the members are in the state
    /// file, if there is one, and the peers of new connections are verified by them.
    ///
    /// # Errors
    /// [`ChangeError`]: an invalid name, an exceeded bound, a lease of another caller, or a state file that cannot be
    /// written. Nothing has changed then.
    pub async fn set_members(self: &Arc<Self>, names: MemberSets, caller: &Caller) -> Result<Vec<String>, ChangeError> {
        let (this, caller) = (Arc::clone(self), caller.clone());
        carry_out(async move {
            this.thawed().await?;
            let outcome = this.replace_members(&names).await;
            audit::members(this.view.history(), &names, &outcome, &caller);
            outcome
        })
        .await
    }

    async fn replace_members(&self, names: &MemberSets) -> Result<Vec<String>, ChangeError> {
        let newer = NamedSets::parse(&names.sets).map_err(ChangeError::Names)?;
        {
            // Waits until a change in progress is done, because it may be verifying servers by the present names.
            let _changing = self.changing.lock().await;
            if !names.force {
                self.check_lease(names.holder.as_deref())?;
            }
            let before = self.view.running(|running| Arc::clone(&running.named));
            let after = before.replaced_by(newer).map_err(ChangeError::Names)?;
            if after != *before {
                let after = Arc::new(after);
                let _guard = if self.saver.has_file() {
                    Some(self.saver.save_change(|state| state.named = Arc::clone(&after)).await?)
                } else {
                    None
                };
                self.running.write().named = after;
            }
        }
        self.discovery.look_up().await;
        let mut warnings = Vec::new();
        if !self.saver.has_file() && self.view.running(|running| running.named.names().next().is_some()) {
            warnings.push(FORGOTTEN.to_owned());
        }
        let members = self.view.members();
        let unresolved = members.members().iter().filter(|member| member.addresses.is_empty());
        let unresolved = unresolved.filter(|member| member.sources.contains(&NameSource::Rollout));
        let unresolved: Vec<_> = unresolved.map(|member| member.name.to_string()).collect();
        if !unresolved.is_empty() {
            let names = unresolved.join(", ");
            warnings.push(format!(
                "these names do not resolve on this host, so no peer is verified by them: {names}; check DNS or \
                 /etc/hosts"
            ));
        }
        Ok(warnings)
    }
}
