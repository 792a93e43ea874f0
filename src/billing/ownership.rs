//! Tags: the ownership tags, which say what is ours and what must not be touched, and beside them the stack's own.

use super::id::DATA_ROOT;
use crate::{aws::Tags, names::BucketName, protocol::origin::Origin};

/// The mark of ownership: the stack's ARN. Nothing without this stack's mark is ever modified or deleted, but what a run left before it
/// could be marked (HW-O2, F-1; `is_remnant`).
pub const TAG_STACK: &str = "hawser:stack-id";

/// Which resource of the stack: two exports in one stack do not touch each other's things.
pub const TAG_LOGICAL_ID: &str = "hawser:logical-id";

/// When the report was made, RFC 3339: what [`FIRST_DATA_WITHIN`](super::FIRST_DATA_WITHIN) counts from.
pub const TAG_CREATED_AT: &str = "hawser:created-at";

/// Tags that a bucket may have (Amazon S3 User Guide, "Using cost allocation S3 bucket tags").
pub(super) const BUCKET_TAGS_MAX: usize = 50;

/// Tags that a report or an export may have (`TagResource`, Cost and Usage Reports and Data Exports API References).
pub(super) const EXPORT_TAGS_MAX: usize = 200;

/// What keys begin with that only AWS may set, in any letter case (Tagging AWS Resources User Guide, "Tag naming limits and
/// requirements"). Service Catalog gives such tags to its stacks.
const RESERVED_FOR_AWS: &str = "aws:";

/// What the keys of ours begin with.
const OWN_KEYS: &str = "hawser:";

/// Whether a tag is one of ours, by its key.
pub(super) fn is_own_tag(key: &str) -> bool {
    key.starts_with(OWN_KEYS)
}

/// The tags of what a request makes (HW-O1).
pub fn mark(origin: &Origin) -> Tags {
    Tags::from([(TAG_STACK.to_owned(), origin.stack.as_str().to_owned()), (TAG_LOGICAL_ID.to_owned(), origin.logical_id.clone())])
}

/// Whether tags carry this very resource's mark.
pub fn is_marked(tags: &Tags, origin: &Origin) -> bool {
    mark(origin).iter().all(|(key, value)| tags.get(key) == Some(value))
}

/// Whether a report or an export of our name is what a run left that ended between creating and tagging it, which are two calls where
/// AWS takes no tags at creation (F-49): it delivers to a bucket of our name, below a prefix of ours, has delivered nothing yet, and
/// nobody gave it any tag. Everything else without our mark is foreign.
pub(super) fn is_remnant(tags: &Tags, (bucket, prefix): (&str, &str), last_delivery: Option<&str>, own: &BucketName) -> bool {
    tags.is_empty() && bucket == own.as_str() && prefix.starts_with(DATA_ROOT) && last_delivery.is_none()
}

/// Tags that a resource lacks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct TagsToAdd {
    pub tags: Tags,
    /// Keys of the stack's tags for which there is no room.
    pub left_out: Vec<String>,
}

/// What a resource lacks of its own tags and the stack's (F-51). Ours come first and are never displaced; no tag that is there is
/// removed, so that a tag of the stack for which there is no room is left out.
pub(super) fn tags_to_add(present: &Tags, own: &Tags, stack: &Tags, most: usize) -> TagsToAdd {
    let mut wanted: Tags = present.iter().chain(own).map(|(key, value)| (key.clone(), value.clone())).collect();
    let mut left_out = Vec::new();
    let is_reserved =
        |key: &str| key.get(..RESERVED_FOR_AWS.len()).is_some_and(|start| start.eq_ignore_ascii_case(RESERVED_FOR_AWS));
    for (key, value) in stack.iter().filter(|(key, _)| !own.contains_key(*key) && !is_reserved(key)) {
        if wanted.contains_key(key) || wanted.len() < most {
            wanted.insert(key.clone(), value.clone());
        } else {
            left_out.push(key.clone());
        }
    }
    wanted.retain(|key, value| present.get(key) != Some(value));
    TagsToAdd { tags: wanted, left_out }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> Tags {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    /// F-51.
    #[test]
    fn ours_win_aws_own_are_left_out_and_nothing_is_written_twice() {
        let own = tags(&[(TAG_STACK, "ours"), (TAG_LOGICAL_ID, "B")]);
        let stack =
            tags(&[(TAG_STACK, "theirs"), ("CostCenter", "42"), ("aws:servicecatalog:x", "y"), ("AWS:z", "y"), ("aws", "ok")]);
        let first = tags_to_add(&Tags::new(), &own, &stack, BUCKET_TAGS_MAX);
        let expected = tags(&[(TAG_STACK, "ours"), (TAG_LOGICAL_ID, "B"), ("CostCenter", "42"), ("aws", "ok")]);
        assert_eq!(first, TagsToAdd { tags: expected.clone(), left_out: Vec::new() });
        assert_eq!(tags_to_add(&expected, &own, &stack, BUCKET_TAGS_MAX), TagsToAdd::default());
        let changed = tags(&[("CostCenter", "43")]);
        assert_eq!(tags_to_add(&expected, &own, &changed, BUCKET_TAGS_MAX).tags, changed);
    }

    /// F-51: AWS's limits, whoever set what is there.
    #[test]
    fn what_there_is_no_room_for_is_left_out() {
        let own = tags(&[(TAG_STACK, "ours"), (TAG_LOGICAL_ID, "B")]);
        let stack: Tags = (0..50).map(|n| (format!("k{n:02}"), String::new())).collect();
        let made = tags_to_add(&Tags::new(), &own, &stack, BUCKET_TAGS_MAX);
        assert_eq!((made.tags.len(), made.left_out), (50, vec!["k48".to_owned(), "k49".to_owned()]));
        assert_eq!(tags_to_add(&Tags::new(), &own, &stack, EXPORT_TAGS_MAX).tags.len(), 52);
        // A key that is there already takes no room.
        let full: Tags = (0..48).map(|n| (format!("k{n:02}"), "old".to_owned())).chain(own.clone()).collect();
        let added = tags_to_add(&full, &own, &stack, BUCKET_TAGS_MAX);
        assert_eq!((added.tags.len(), added.left_out.len()), (48, 2));
    }

    /// F-49.
    #[test]
    fn only_what_nothing_was_done_with_is_a_remnant() {
        let own = BucketName::existing("acme-111122223333-5a3786aa0a9f623d");
        let remnant = |tags: &Tags, place, delivered| is_remnant(tags, place, delivered, &own);
        let here = (own.as_str(), "hawser/0a1b2c3d");
        assert!(remnant(&Tags::new(), here, None));
        assert!(!remnant(&tags(&[("owner", "finance")]), here, None));
        assert!(!remnant(&Tags::new(), ("finance-data", "hawser/0a1b2c3d"), None));
        assert!(!remnant(&Tags::new(), (own.as_str(), "billing"), None));
        assert!(!remnant(&Tags::new(), here, Some("20261121T080000Z")));
    }
}
