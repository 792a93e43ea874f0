//! The ownership tags: what is ours, and what must not be touched.

use crate::{aws::Tags, protocol::origin::Origin};

/// The mark of ownership: the stack's ARN. Nothing without this stack's mark is ever modified or deleted (HW-O2, F-1).
pub const TAG_STACK: &str = "hawser:stack-id";

/// Which resource of the stack: two exports in one stack do not touch each other's things.
pub const TAG_LOGICAL_ID: &str = "hawser:logical-id";

/// When the report was made, RFC 3339: what [`FIRST_DATA_WITHIN`](super::FIRST_DATA_WITHIN) counts from.
pub const TAG_CREATED_AT: &str = "hawser:created-at";

/// The tags of what a request makes (HW-O1).
pub fn mark(origin: &Origin) -> Tags {
    Tags::from([(TAG_STACK.to_owned(), origin.stack.as_str().to_owned()), (TAG_LOGICAL_ID.to_owned(), origin.logical_id.clone())])
}

/// Whether tags carry this very resource's mark.
pub fn is_marked(tags: &Tags, origin: &Origin) -> bool {
    mark(origin).iter().all(|(key, value)| tags.get(key) == Some(value))
}
