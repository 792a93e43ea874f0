//! What CloudFormation accepts as the response of a custom resource.
//!
//! Source: CloudFormation User Guide, "Custom resource response objects".

use serde_json::Value;

/// Longest response.
const BYTES_MAX: usize = 4096;

/// Longest physical id.
const PHYSICAL_ID_BYTES_MAX: usize = 1024;

/// The response to a request, or what the stack event says instead. Of the request only its three ids count.
///
/// # Errors
/// The reason of the resource's failure.
pub fn accept(request: &Value, body: &[u8]) -> Result<Value, String> {
    if body.len() > BYTES_MAX {
        return Err("Response object is too long.".to_owned());
    }
    let invalid = |why: &str| Err(format!("Invalid response object: {why}"));
    let Ok(response @ Value::Object(_)) = serde_json::from_slice::<Value>(body) else {
        return invalid("the response is not a JSON object");
    };
    for name in ["StackId", "RequestId", "LogicalResourceId"] {
        if response[name] != request[name] {
            return invalid(&format!("`{name}` is not the request's"));
        }
    }
    let id = response["PhysicalResourceId"].as_str().unwrap_or_default();
    if id.is_empty() || id.len() > PHYSICAL_ID_BYTES_MAX {
        return Err("Invalid PhysicalResourceId".to_owned());
    }
    match response["Status"].as_str() {
        Some("SUCCESS") => Ok(response),
        Some("FAILED") if response["Reason"].as_str().is_some_and(|reason| !reason.is_empty()) => Ok(response),
        Some("FAILED") => invalid("`FAILED` without a Reason"),
        _ => invalid("Status is neither `SUCCESS` nor `FAILED`"),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_response_answers_its_request_and_keeps_the_quotas() {
        let request = json!({ "StackId": "stack", "LogicalResourceId": "Billing", "RequestId": "request" });
        let with = |name: &str, value: Value| {
            let mut response = request.clone();
            response["Status"] = json!("SUCCESS");
            response["PhysicalResourceId"] = json!("id");
            response[name] = value;
            accept(&request, response.to_string().as_bytes())
        };
        assert!(with("NoEcho", json!(false)).is_ok());
        assert!(with("Data", json!({ "x": "y".repeat(4096) })).unwrap_err().contains("too long"));
        assert!(with("PhysicalResourceId", json!("")).unwrap_err().contains("PhysicalResourceId"));
        assert!(with("RequestId", json!("another")).unwrap_err().contains("RequestId"));
        assert!(with("Status", json!("FAILED")).unwrap_err().contains("Reason"));
        assert!(accept(&request, b"nonsense").is_err());
    }
}
