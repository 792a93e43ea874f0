//! Errors as each service writes them: those of its own model, and those that no model names.

use hawser_account::Refusal;
use serde_json::{Value, json};

use super::model::Model;
use super::wire::{Answer, AwsError};
use crate::faults::InjectedError;

/// An error in the service's own shape.
pub(super) fn written(service: &str, error: &AwsError) -> Answer {
    match service {
        "s3" => error.xml(),
        "cloudformation" | "sts" => error.query(),
        "support" => error.json("message"),
        _ => error.json("Message"),
    }
}

/// A fault's refusal, as the service says it.
pub(super) fn refused(model: Option<&Model>, service: &str, operation: &str, refusal: &InjectedError) -> AwsError {
    let (status, code, message) = match (service, refusal) {
        (_, InjectedError::Named(code)) => return named(model, code),
        ("s3", InjectedError::Throttled) => (503, "SlowDown", "Please reduce your request rate."),
        ("cloudformation" | "sts", InjectedError::Throttled) => (400, "Throttling", "Rate exceeded"),
        (_, InjectedError::Throttled) => (400, "ThrottlingException", "Rate exceeded"),
        ("s3", InjectedError::Failed) => (500, "InternalError", "We encountered an internal error."),
        ("cloudformation" | "sts", InjectedError::Failed) => (500, "InternalFailure", "Internal failure"),
        ("bcm-data-exports", InjectedError::Failed) => (500, "InternalServerException", "Internal error"),
        ("support", InjectedError::Failed) => (500, "InternalServerError", "Internal error"),
        (_, InjectedError::Failed) => (500, "InternalErrorException", "Internal error"),
        (_, InjectedError::Denied) => {
            let text = format!(
                "User: arn:aws:sts::111122223333:assumed-role/handler is not authorized to perform: {service}:{operation} with \
                 an explicit deny in a service control policy"
            );
            let json = !matches!(service, "s3" | "cloudformation" | "sts");
            return AwsError::new(
                if json { 400 } else { 403 },
                if json { "AccessDeniedException" } else { "AccessDenied" },
                text,
            );
        }
    };
    AwsError::new(status, code, message)
}

/// What the rules of an account refuse, as the service says it.
pub(super) fn written_out(model: Option<&Model>, refusal: &Refusal) -> AwsError {
    let mut error = named(model, refusal.code);
    error.message.clone_from(&refusal.message);
    error
}

/// An error by its name: with the status and the members that the service's model gives it, where the model knows it.
fn named(model: Option<&Model>, code: &str) -> AwsError {
    let shape = model.map_or(&Value::Null, |model| model.error(code));
    let default = if shape["fault"] == true { 500 } else { 400 };
    let status = shape["error"]["httpStatusCode"].as_u64().and_then(|status| u16::try_from(status).ok()).unwrap_or(default);
    let required = shape["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    required
        .filter(|member| !member.eq_ignore_ascii_case("message"))
        .fold(AwsError::new(status, code, format!("{code} was asked for by the scenario.")), |error, member| {
            error.with(member, json!(member))
        })
}
