//! Profiles: named sets of template parameters for one kind of product, with the words that go with them. A vendor makes its
//! own by copying one of `profiles/`. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{CommandCode, CommandError};

/// The profiles that Hawser comes with, in the order in which they are listed.
const EMBEDDED: [(&str, &str); 6] = [
    ("cost-insights", include_str!("../../profiles/cost-insights.toml")),
    ("autonomous-optimizer", include_str!("../../profiles/autonomous-optimizer.toml")),
    ("autonomous-optimizer-read-write", include_str!("../../profiles/autonomous-optimizer-read-write.toml")),
    ("security-posture", include_str!("../../profiles/security-posture.toml")),
    ("cloud-iam", include_str!("../../profiles/cloud-iam.toml")),
    ("analytics-engine", include_str!("../../profiles/analytics-engine.toml")),
];

/// A named set of parameters. Whether the template has them, and allows their values, is for the template to say.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Lower case with hyphens, as the file is called.
    pub name: String,
    /// A few words.
    pub title: String,
    /// One sentence: what a product of this kind does with the access.
    pub summary: String,
    /// The words shown to a customer.
    pub texts: Texts,
    /// The template parameters that it sets; all others keep their defaults.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
}

/// The words shown to a customer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Texts {
    /// What the vendor gets.
    pub grants: String,
    /// What the vendor never does.
    pub never: String,
}

impl Profile {
    /// The profiles that Hawser comes with.
    pub fn all() -> Vec<Self> {
        #[expect(clippy::expect_used, reason = "they are part of the program, and a test reads each")]
        EMBEDDED.into_iter().map(|(_, text)| Self::read(text).expect("an embedded profile is one")).collect()
    }

    /// A profile that Hawser comes with, by its name.
    ///
    /// # Errors
    /// [`CommandCode::ProfileUnknown`], which names those there are.
    pub fn find(name: &str) -> Result<Self, CommandError> {
        Self::all().into_iter().find(|profile| profile.name == name).ok_or_else(|| {
            let names = EMBEDDED.map(|(name, _)| name).join("`, `");
            CommandError::new(CommandCode::ProfileUnknown, format!("there is no profile `{name}`; there are `{names}`"))
        })
    }

    /// Reads a profile.
    ///
    /// # Errors
    /// [`CommandCode::ProfileInvalid`], which names the line.
    pub fn read(text: &str) -> Result<Self, CommandError> {
        toml::from_str(text).map_err(|why| CommandError::new(CommandCode::ProfileInvalid, why.to_string().trim_end()))
    }
}
