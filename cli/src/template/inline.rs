//! The template as it is sent inline: without what only readers need.

use serde_json::Value;

use super::document::Template;

/// CloudFormation's quota for a template that is sent in the request ("Template body size in a request"). Longer ones, up to 1 MB,
/// are read from S3.
pub const INLINE_BYTES_MAX: usize = 51_200;

impl Template {
    /// Compact JSON. Comments are gone, and so is what resources say of themselves to reviewers, and what the console says of parameters
    /// (groups, descriptions, what a value is to look like); CloudFormation makes the same stack of it.
    pub fn inline(&self) -> String {
        let mut json = self.json.clone();
        if let Some(about) = json.get_mut("Metadata").and_then(Value::as_object_mut) {
            about.remove("AWS::CloudFormation::Interface");
        }
        if let Some(resources) = json["Resources"].as_object_mut() {
            for resource in resources.values_mut().filter_map(Value::as_object_mut) {
                resource.remove("Metadata");
            }
        }
        if let Some(parameters) = json["Parameters"].as_object_mut() {
            for parameter in parameters.values_mut().filter_map(Value::as_object_mut) {
                parameter.retain(|name, _| !["Description", "ConstraintDescription"].contains(&name.as_str()));
            }
        }
        json.to_string()
    }
}
