//! Names, ARNs and tags of what a connection has in IAM.
//!
//! Names are derived, so that every run finds what an earlier one made; a thing of such a name without the mark is somebody
//! else's, and stays as it is (HW-O1, HW-O2).

use hawser::{
    aws::Tags,
    billing::{TAG_LOGICAL_ID, TAG_STACK},
    names::{Digest16, StackId},
};

/// The role that the function runs as. Without the function, neither it nor what is attached to it is made.
pub const FUNCTION_ROLE: &str = "HandlerRole";

/// The property `NamePrefix` of the billing data, kept as a tag: it stays as it was (HW-L1).
pub const TAG_NAME_PREFIX: &str = "hawser:name-prefix";

/// A digest of what the vendor agreed to last, kept as a tag.
pub const TAG_NOTIFIED: &str = "hawser:told";

/// The name of what a connection makes in IAM: unique in the account whatever its path, and derived.
pub fn name(stack: &StackId, logical_id: &str) -> String {
    format!("hawser-{logical_id}-{}", Digest16::derive(&[stack.as_str(), logical_id]))
}

/// Which thing of a connection has this name; none if it cannot be one of its own.
pub fn logical_id_of(stack: &StackId, given: &str) -> Option<String> {
    let logical_id = given.strip_prefix("hawser-")?.rsplit_once('-')?.0;
    (name(stack, logical_id) == given).then(|| logical_id.to_owned())
}

pub(super) fn ownership_tags(stack: &StackId, logical_id: &str, prefix: &str) -> Tags {
    Tags::from([
        (TAG_STACK.to_owned(), stack.as_str().to_owned()),
        (TAG_LOGICAL_ID.to_owned(), logical_id.to_owned()),
        (TAG_NAME_PREFIX.to_owned(), prefix.to_owned()),
    ])
}

pub(super) fn has_ownership_tags(tags: &Tags, stack: &StackId, logical_id: &str) -> bool {
    tags.get(TAG_STACK).is_some_and(|tag| tag == stack.as_str()) && tags.get(TAG_LOGICAL_ID).is_some_and(|tag| tag == logical_id)
}

/// The ARN that IAM will give.
pub fn arn(stack: &StackId, kind: &str, path: &str, name: &str) -> String {
    format!("arn:{}:iam::{}:{kind}{path}{name}", stack.partition, stack.account)
}
