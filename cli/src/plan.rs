//! What the handler would do, and why, over an account described in a file: `hawser plan`.

use hawser::{
    decide::{DryRun, preview},
    error::Failure,
};
use hawser_sim::{AccountFile, World};
use serde_json::Value;

/// Plans one event against an account.
///
/// # Errors
/// The failure that the stack event would show.
pub async fn dry_run(event: &Value, account: AccountFile) -> Result<DryRun, Failure> {
    preview(event, &World::new(account).ports()).await
}
