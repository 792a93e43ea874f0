//! Whoever runs the command.

use hawser::names::{AccountId, Partition};
use serde::Serialize;

/// Whoever runs the command, as AWS says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub arn: String,
    pub account: AccountId,
    pub partition: Partition,
}

/// What kind of principal somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallerKind {
    /// A session of a role.
    Role,
    User,
    /// The account's root user.
    Root,
    /// Anything else, such as a federated user.
    Other,
}

impl Caller {
    /// Reads the answer of `sts:GetCallerIdentity`.
    pub fn read(arn: &str, account: &str) -> Option<Self> {
        let partition = arn.split(':').nth(1)?.parse().ok()?;
        Some(Self { arn: arn.to_owned(), account: account.parse().ok()?, partition })
    }

    fn resource(&self) -> &str {
        self.arn.splitn(6, ':').nth(5).unwrap_or_default()
    }

    /// What kind it is.
    pub fn kind(&self) -> CallerKind {
        match self.resource().split('/').next() {
            Some("assumed-role") => CallerKind::Role,
            Some("user") => CallerKind::User,
            Some("root") => CallerKind::Root,
            _ => CallerKind::Other,
        }
    }

    /// The name of the role whose session this is.
    pub fn role_name(&self) -> Option<&str> {
        (self.kind() == CallerKind::Role).then(|| self.resource().split('/').nth(1)).flatten()
    }
}
