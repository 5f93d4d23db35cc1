//! Clients that the operator has accepted by name: on every node at once, before anything is waited for.

use super::fleet::NoAnswer;
use super::halt::Halt;
use super::walk::{Walk, all_of};
use crate::text::escaped;

impl Walk {
    /// Accepts these keys on every node, and records it.
    ///
    /// # Errors
    /// A node that does not answer, or refuses.
    pub(super) async fn accept(&self, keys: &[String]) -> Result<(), Halt> {
        for key in keys {
            let all = self.fleet.all();
            let asked = self.fleet.each(&all, |handle| {
                let key = key.clone();
                async move { Ok::<_, NoAnswer>(handle.client.accept(&key, true).await?.value.known) }
            });
            let known = all_of(asked.await).map_err(|(node, error)| self.no_answer(node, &error))?;
            let seen = known.iter().filter(|known| **known).count();
            let text = format!("accepted on every node, known to {seen} of {}: {}", known.len(), escaped(key));
            self.journal.note(&text);
            self.screen.say(&text);
        }
        Ok(())
    }
}
