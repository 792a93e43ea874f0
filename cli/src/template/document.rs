//! The template itself.

use serde::Deserialize;
use serde_json::Value;

use crate::error::{CommandCode, CommandError};

/// A template, its short forms written out as CloudFormation's JSON has them: `!Ref X` as `{"Ref": "X"}`, `!GetAtt X.Y` as
/// `{"Fn::GetAtt": ["X", "Y"]}`.
#[derive(Debug, Clone, Deserialize)]
pub struct Template {
    pub(super) json: Value,
    /// The names of parameters and of resources in the order of the text, which is the order for readers.
    pub(super) parameters: Vec<String>,
    pub(super) resources: Vec<String>,
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

    /// The names of all resources, in the order of the template.
    pub fn resource_names(&self) -> &[String] {
        &self.resources
    }
}
