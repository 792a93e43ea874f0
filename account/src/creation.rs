//! What an account's file says of creating things.

use serde::{Deserialize, Serialize};

/// What is demanded of things that are made, and what is refused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct CreationFile {
    /// What becomes of tags in a call that creates.
    pub tags: TagsAtCreation,
    /// Keys that a service control policy demands (`aws:RequestTag/…` with `Null`).
    pub demanded_tags: Vec<String>,
    /// A service control policy demands bucket names of the account-regional namespace.
    pub account_regional_names: bool,
}

/// What becomes of tags in a call that creates (F-49).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TagsAtCreation {
    #[default]
    Accepted,
    /// S3's `UnsupportedArgument`.
    Unsupported,
    /// S3's `NotImplemented`.
    NotImplemented,
    /// S3's `MalformedXML`.
    Malformed,
    /// Nothing allows tagging together with creating.
    Denied,
    /// A service control policy denies it.
    DeniedByScp,
    /// Denied, and AWS does not say which action was.
    Unexplained,
}

impl TagsAtCreation {
    pub const ALL: [Self; 7] = [
        Self::Accepted,
        Self::Unsupported,
        Self::NotImplemented,
        Self::Malformed,
        Self::Denied,
        Self::DeniedByScp,
        Self::Unexplained,
    ];
}
