//! Profiles: named sets of template parameters for one kind of product, with the words that go with them. A vendor makes its
//! own by copying one of `profiles/`. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

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

/// Why a profile cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProfileError {
    /// No profile of this name.
    #[error("PROFILE_UNKNOWN: there is no profile `{name}`; there are {}, or give the path of a file that ends in `.toml`", Profile::names().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "))]
    Unknown { name: String },
    /// A text that is no profile.
    #[error("PROFILE_INVALID: {0}")]
    Invalid(String),
}

impl ProfileError {
    /// The stable code with which the message begins.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "PROFILE_UNKNOWN",
            Self::Invalid(_) => "PROFILE_INVALID",
        }
    }
}

impl Profile {
    fn names() -> impl Iterator<Item = &'static str> {
        EMBEDDED.into_iter().map(|(name, _)| name)
    }

    /// The profiles that Hawser comes with.
    pub fn all() -> Vec<Self> {
        #[expect(clippy::expect_used, reason = "they are part of the program, and a test reads each")]
        EMBEDDED.into_iter().map(|(_, text)| Self::read(text).expect("an embedded profile is one")).collect()
    }

    /// A profile that Hawser comes with, by its name.
    ///
    /// # Errors
    /// [`ProfileError::Unknown`], which names those there are.
    pub fn find(name: &str) -> Result<Self, ProfileError> {
        Self::all()
            .into_iter()
            .find(|profile| profile.name == name)
            .ok_or_else(|| ProfileError::Unknown { name: name.to_owned() })
    }

    /// Reads a profile.
    ///
    /// # Errors
    /// [`ProfileError::Invalid`], which names the line.
    pub fn read(text: &str) -> Result<Self, ProfileError> {
        toml::from_str(text).map_err(|why| ProfileError::Invalid(why.to_string().trim_end().to_owned()))
    }
}
