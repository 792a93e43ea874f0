//! The function's code: a folder in the repository's template, a zip in S3 in one that CloudFormation accepts.

use std::str::FromStr;

use clap::ValueEnum;
use serde_json::json;

use super::document::Template;
use crate::setup::is_bucket_name;

/// Longest key of an object (Amazon S3 User Guide, "Naming Amazon S3 objects").
const KEY_BYTES_MAX: usize = 1_024;

/// Where the code was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedCode {
    bucket: String,
    key: String,
}

impl FromStr for PublishedCode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.strip_prefix("s3://").and_then(|rest| rest.split_once('/'));
        match parts {
            Some((bucket, key)) if is_bucket_name(bucket) && !key.is_empty() && key.len() <= KEY_BYTES_MAX => {
                Ok(Self { bucket: bucket.to_owned(), key: key.to_owned() })
            }
            _ => Err("write it as `s3://BUCKET/KEY`".to_owned()),
        }
    }
}

/// The processors that Lambda runs code on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Architecture {
    #[value(name = "x86_64")]
    X86_64,
    Arm64,
}

impl Template {
    /// This template with its code in S3.
    #[must_use]
    pub fn with_code(mut self, code: &PublishedCode, architecture: Architecture) -> Self {
        let architecture = architecture.to_possible_value().map(|value| value.get_name().to_owned());
        let function = &mut self.json["Resources"]["Handler"]["Properties"];
        function["Code"] = json!({ "S3Bucket": code.bucket, "S3Key": code.key });
        function["Architectures"] = json!([architecture]);
        self
    }
}
