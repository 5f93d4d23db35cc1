//! `--accept`: accepts, on every node before the first step, that these clients will be refused.

use super::context::Rollout;
use super::fleet::{AnswerError, all_of};
use super::halt::Halt;
use crate::text::escaped;

impl Rollout {
    /// Accepts these clients on every node.
    ///
    /// # Errors
    /// A node that does not answer, or that refuses.
    pub(super) async fn accept(&self, keys: &[String]) -> Result<(), Halt> {
        let all = self.fleet.all();
        for key in keys {
            let asked = self.fleet.each(&all, |handle| {
                let key = key.clone();
                async move { Ok::<_, AnswerError>(handle.client.accept(&key, true, true).await?.value.known) }
            });
            let known = all_of(asked.await).map_err(|(node, error)| self.no_answer(node, &error))?;
            let seen = known.iter().filter(|known| **known).count();
            let (key, all) = (escaped(key), known.len());
            self.tell_all(&match seen {
                0 => format!("accepted on every node, though none has seen a client with this key: {key}"),
                _ => format!("accepted on every node, known to {seen} of {all}: {key}"),
            });
        }
        Ok(())
    }
}
