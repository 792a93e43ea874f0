//! The SDK's errors in our words.

use std::error::Error as StdError;

use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::request_id::RequestId as _;

use crate::aws::{Fault, FaultKind};

/// An answer, or a request of ours, that the SDK's own model does not allow.
pub(super) fn unreadable(action: &'static str) -> Fault {
    Fault {
        action,
        kind: FaultKind::Refused,
        code: "Unreadable".to_owned(),
        message: "the call does not fit the service's model".to_owned(),
        request_id: None,
    }
}

/// An SDK error in our words.
pub fn fault<E>(action: &'static str, why: SdkError<E, HttpResponse>) -> Fault
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    let status = why.raw_response().map(|response| response.status().as_u16());
    let request_id = why.request_id().map(str::to_owned);
    if let SdkError::ServiceError(_) | SdkError::ResponseError(_) = &why {
        let code = why.code().map_or_else(|| status.map_or_else(String::new, |s| format!("HTTP {s}")), str::to_owned);
        let message = why.message().unwrap_or_default().to_owned();
        return Fault { action, kind: kind(&code, &message, status), code, message, request_id };
    }
    let code = match &why {
        SdkError::TimeoutError(_) => "TimedOut",
        SdkError::ConstructionFailure(_) => "NotSent",
        _ => "NoConnection",
    };
    let kind = if code == "NotSent" { FaultKind::Refused } else { FaultKind::Unavailable };
    Fault { action, kind, code: code.to_owned(), message: cause(&why), request_id }
}

/// The innermost cause: the outer ones say only that something inside failed.
pub fn cause(why: &dyn StdError) -> String {
    let mut innermost = why;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost.to_string()
}

/// What an error code means. AccessDenied and throttling are in no service's model, so codes are matched as text.
pub(super) fn kind(code: &str, message: &str, status: Option<u16>) -> FaultKind {
    match code {
        "AccessDenied" | "AccessDeniedException" | "UnauthorizedAccess" | "HTTP 403" | "Forbidden" => {
            if message.contains("service control policy") { FaultKind::DeniedByScp } else { FaultKind::Denied }
        }
        "Throttling" | "ThrottlingException" | "TooManyRequestsException" | "RequestLimitExceeded" | "SlowDown" => {
            FaultKind::Throttled
        }
        "NoSuchBucket" | "NoSuchKey" | "NotFound" | "ResourceNotFoundException" | "HTTP 404" => FaultKind::Missing,
        "DuplicateReportNameException" | "BucketAlreadyOwnedByYou" => FaultKind::Exists,
        "BucketAlreadyExists" => FaultKind::Taken,
        "ReportLimitReachedException" | "ServiceQuotaExceededException" => FaultKind::LimitReached,
        "SubscriptionRequiredException" => FaultKind::NoSubscription,
        "BucketNotEmpty" => FaultKind::NotEmpty,
        "OperationAborted" | "ConcurrentModificationException" => FaultKind::Conflict,
        "ValidationException" if says_bucket_unverified(message) => FaultKind::BucketUnverified,
        // Data Exports models no code of its own for a name that is taken.
        "ValidationException" if message.contains("already exist") => FaultKind::Exists,
        "InternalErrorException"
        | "InternalServerException"
        | "InternalServerError"
        | "InternalError"
        | "ServiceException"
        | "ServiceUnavailable" => FaultKind::Unavailable,
        // A success that cannot be read is half an answer.
        _ if status.is_some_and(|status| status >= 500 || (200..300).contains(&status)) => FaultKind::Unavailable,
        _ => FaultKind::Refused,
    }
}

/// Whether a billing service says that it may not write to the bucket. The report service says so in fixed words; those of
/// Data Exports are not documented.
fn says_bucket_unverified(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    message.contains("bucket") && ["permission", "verify", "policy", "access"].iter().any(|word| message.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_that_decides_something_is_known() {
        let cases = [
            ("AccessDenied", "", Some(403), FaultKind::Denied),
            ("HTTP 403", "", Some(403), FaultKind::Denied),
            ("AccessDeniedException", "… with an explicit deny in a service control policy", Some(400), FaultKind::DeniedByScp),
            ("ThrottlingException", "", Some(400), FaultKind::Throttled),
            ("NoSuchBucket", "", Some(404), FaultKind::Missing),
            ("DuplicateReportNameException", "", Some(400), FaultKind::Exists),
            ("BucketAlreadyExists", "", Some(409), FaultKind::Taken),
            ("BucketAlreadyOwnedByYou", "", Some(409), FaultKind::Exists),
            ("ReportLimitReachedException", "", Some(400), FaultKind::LimitReached),
            ("ValidationException", "Failed to verify customer bucket permission.", Some(400), FaultKind::BucketUnverified),
            ("ValidationException", "", Some(400), FaultKind::Refused),
            ("BucketNotEmpty", "", Some(409), FaultKind::NotEmpty),
            ("OperationAborted", "", Some(409), FaultKind::Conflict),
            ("WhoKnows", "", Some(503), FaultKind::Unavailable),
            ("HTTP 200", "", Some(200), FaultKind::Unavailable),
            ("WhoKnows", "", Some(400), FaultKind::Refused),
        ];
        for (code, message, status, expected) in cases {
            assert_eq!(kind(code, message, status), expected, "{code} {message}");
        }
    }
}
