//! What the handler would do, and why, over an account described in a file: `hawser plan`.

use hawser::decide::{DryRun, preview};
use hawser_account::{AccountFile, ReadOnly};
use serde_json::Value;

use crate::error::CommandError;

/// Plans one event against an account.
///
/// # Errors
/// The failure that the stack event would show.
pub async fn dry_run(event: &Value, account: AccountFile) -> Result<DryRun, CommandError> {
    preview(event, &ReadOnly::new(account).ports()).await.map_err(|failure| CommandError::of_stack(&failure))
}
