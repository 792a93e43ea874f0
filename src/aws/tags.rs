//! Tags, as every service has them.

use std::collections::BTreeMap;

/// Tags by key.
pub type Tags = BTreeMap<String, String>;
