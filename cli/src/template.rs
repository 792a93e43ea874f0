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

use crate::error::{CommandCode, CommandError};

/// A template, its short forms written out as CloudFormation's JSON has them: `!Ref X` as `{"Ref": "X"}`, `!GetAtt X.Y` as
/// `{"Fn::GetAtt": ["X", "Y"]}`.
#[derive(Debug, Clone, Deserialize)]
pub struct Template {
    json: Value,
    /// The names of parameters and of resources in the order of the text, which is the order for readers.
    parameters: Vec<String>,
    resources: Vec<String>,
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
    /// [`CommandCode::TemplateInvalid`].
    pub fn read(text: &str) -> Result<Self, CommandError> {
        serde_json::from_str(text).map_err(|why| CommandError::new(CommandCode::TemplateInvalid, why))
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
    /// [`CommandError`], the first there is.
    pub fn check(&self, given: &BTreeMap<String, String>) -> Result<(), CommandError> {
        check::values(self, given)?;
        resolve::rules(self, given)
    }

    /// What CloudFormation makes of the template: values checked, conditions decided, references filled in.
    ///
    /// # Errors
    /// [`CommandError`], the first there is.
    pub fn resolve(&self, context: &ResolveContext) -> Result<Resolved, CommandError> {
        resolve::resolve(self, context)
    }
}
