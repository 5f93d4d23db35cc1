//! Runs work that blocks its thread outside of the control plane's thread. (What blocks a change of mode is in
//! [`super::blocker`].)

use super::change::ChangeError;

/// Runs work on a thread for blocking work, such as reading files, resolving names or verifying signatures.
///
/// # Errors
/// [`ChangeError::Internal`] if the work panicked.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ChangeError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| ChangeError::Internal(error.to_string()))
}
