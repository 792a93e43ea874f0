//! `template.yaml` as data: its parameters, its permission packs, and what CloudFormation would make of it. Pure.
//!
//! The template is the one source of every permission. Whatever else describes them (policy JSON, Terraform, scripts, pages)
//! is made from what is read here.

mod check;
mod inline;
mod narrow;
mod organization;
mod read;
mod resolve;

use std::collections::BTreeMap;

pub use check::{Constraint, Parameter};
pub use inline::INLINE_BYTES_MAX;
pub use organization::{MEMBER_REGION, MEMBER_TEMPLATE_URL, MEMBERS};
pub use read::{Mode, Pack, Statement};
pub use resolve::{ResolveContext, Resolved, references};
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

/// A template, its short forms written out as CloudFormation's JSON has them: `!Ref X` as `{"Ref": "X"}`, `!GetAtt X.Y` as
/// `{"Fn::GetAtt": ["X", "Y"]}`.
#[derive(Debug, Clone, Deserialize)]
pub struct Template {
    json: Value,
    /// The names of parameters and of resources in the order of the text, which is the order for readers.
    parameters: Vec<String>,
    resources: Vec<String>,
}

/// Why a template cannot be read, or why a stack of these parameters could not be made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TemplateError {
    /// The text is not a template, or uses something that is not supported here.
    #[error("TEMPLATE_INVALID: {0}")]
    Invalid(String),
    /// A parameter that the template does not have.
    #[error("PARAMETER_UNKNOWN: the template has no parameter `{name}`{}", .like.as_ref().map_or_else(String::new, |like| format!("; did you mean `{like}`?")))]
    ParameterUnknown {
        /// As it was given.
        name: String,
        /// The parameter whose name is nearest to it.
        like: Option<String>,
    },
    /// Parameters without a default that were not given.
    #[error("PARAMETER_MISSING: {} not given and {} no default", listed(.0), if .0.len() == 1 { "has" } else { "have" })]
    ParameterMissing(Vec<String>),
    /// A value that the template's own constraints refuse.
    #[error("PARAMETER_INVALID: `{name}` is `{value}` but {why}")]
    ParameterInvalid {
        name: String,
        /// What was given, shortened.
        value: String,
        /// What is allowed, the end of the sentence.
        why: String,
    },
    /// Values that the template's rules do not let go together.
    #[error("RULE_FAILED: {description} (rule `{rule}`)")]
    RuleFailed {
        rule: String,
        /// The rule's own words.
        description: String,
    },
}

impl TemplateError {
    /// The stable code with which the message begins.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "TEMPLATE_INVALID",
            Self::ParameterUnknown { .. } => "PARAMETER_UNKNOWN",
            Self::ParameterMissing(_) => "PARAMETER_MISSING",
            Self::ParameterInvalid { .. } => "PARAMETER_INVALID",
            Self::RuleFailed { .. } => "RULE_FAILED",
        }
    }
}

fn listed(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    format!("{} {}", quoted.join(", "), if names.len() == 1 { "is" } else { "are" })
}

impl Template {
    /// The template that this version of Hawser comes with.
    pub fn ours() -> Self {
        #[expect(clippy::expect_used, reason = "it is part of the program, and a test reads it")]
        Self::read(include_str!(concat!(env!("OUT_DIR"), "/template.json"))).expect("template.yaml is a template")
    }

    /// Reads what `hawser_stack::to_json` makes of a template in YAML or JSON.
    ///
    /// # Errors
    /// [`TemplateError::Invalid`].
    pub fn read(text: &str) -> Result<Self, TemplateError> {
        serde_json::from_str(text).map_err(|why| TemplateError::Invalid(why.to_string()))
    }

    /// The whole template in its long form.
    pub fn json(&self) -> &Value {
        &self.json
    }

    /// All parameters, in the order of the template, with what the console shows.
    pub fn parameters(&self) -> Vec<Parameter> {
        check::parameters(self)
    }

    /// The names of all resources, in the order of the template.
    pub fn resource_names(&self) -> &[String] {
        &self.resources
    }

    /// All permission packs, in the order of the template.
    pub fn packs(&self) -> Vec<Pack> {
        read::packs(self)
    }

    /// Refuses parameters that the template does not have, values that it does not allow and values that do not go together.
    /// Whether all that are needed are there is for [`Template::resolve`] to say.
    ///
    /// # Errors
    /// [`TemplateError`], the first there is.
    pub fn check(&self, given: &BTreeMap<String, String>) -> Result<(), TemplateError> {
        check::values(self, given)?;
        resolve::rules(self, given)
    }

    /// What CloudFormation makes of the template: values checked, conditions decided, references filled in.
    ///
    /// # Errors
    /// [`TemplateError`], the first there is.
    pub fn resolve(&self, context: &ResolveContext) -> Result<Resolved, TemplateError> {
        resolve::resolve(self, context)
    }
}
