//! What CloudFormation accepts as the response of a custom resource.
//!
//! Source: CloudFormation User Guide, "Custom resource response objects".

use serde_json::Value;

/// Longest response.
const BYTES_MAX: usize = 4096;

/// Longest physical id.
const PHYSICAL_ID_BYTES_MAX: usize = 1024;

/// The response to an event, or why it is none.
pub fn accept(event: &Value, body: &[u8]) -> Result<Value, String> {
    if body.len() > BYTES_MAX {
        return Err("Response object is too long.".to_owned());
    }
    let response: Value = serde_json::from_slice(body).map_err(|why| format!("the response is not JSON: {why}"))?;
    for name in ["StackId", "RequestId", "LogicalResourceId"] {
        if response[name] != event[name] {
            return Err(format!("`{name}` is not the request's"));
        }
    }
    let id = response["PhysicalResourceId"].as_str().unwrap_or_default();
    if id.is_empty() || id.len() > PHYSICAL_ID_BYTES_MAX {
        return Err("Invalid PhysicalResourceId".to_owned());
    }
    match response["Status"].as_str() {
        Some("SUCCESS") => Ok(response),
        Some("FAILED") if response["Reason"].as_str().is_some_and(|reason| !reason.is_empty()) => Ok(response),
        _ => Err("neither SUCCESS nor FAILED with a reason".to_owned()),
    }
}
