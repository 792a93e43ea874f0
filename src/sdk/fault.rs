//! The SDK's errors in our words.

use std::error::Error as StdError;

use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::request_id::RequestId as _;

use crate::{
    aws::{Fault, FaultKind, PolicyType},
    names::Region,
};

/// An answer that lacks what it must have: half an answer, and so an outage.
pub(super) fn incomplete(action: &'static str) -> Fault {
    Fault { kind: FaultKind::Unavailable, ..unreadable(action) }
}

/// A request of ours that the SDK's own model does not allow.
pub(super) fn unreadable(action: &'static str) -> Fault {
    Fault {
        action,
        kind: FaultKind::Refused,
        code: "Unreadable".to_owned(),
        message: "the call does not fit the service's model".to_owned(),
        request_id: None,
        bucket_region: None,
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
        let bucket_region = why.raw_response().and_then(|response| {
            let said = response.headers().get("x-amz-bucket-region").and_then(|region| region.parse().ok());
            let elsewhere = matches!(response.status().as_u16(), 301 | 400);
            said.or_else(|| elsewhere.then(|| region_in(&String::from_utf8_lossy(response.body().bytes()?))).flatten())
        });
        return Fault { action, kind: kind(&code, &message, status), code, message, request_id, bucket_region };
    }
    let code = match &why {
        SdkError::TimeoutError(_) => "TimedOut",
        SdkError::ConstructionFailure(_) => "NotSent",
        _ => "NoConnection",
    };
    let kind = if code == "NotSent" { FaultKind::Refused } else { FaultKind::Unavailable };
    Fault { action, kind, code: code.to_owned(), message: cause(&why), request_id, bucket_region: None }
}

/// What stands before the Region of a bucket in S3's answers from another Region, where the header is missing (B-11): its element, the
/// host to ask, and the words of `AuthorizationHeaderMalformed` and `IllegalLocationConstraintException` (Amazon S3 API Reference,
/// "Error responses").
const REGION_FOLLOWS: [&str; 5] = ["<Region>", ".s3.", ".s3-", "expecting '", "<Message>The "];

/// The Region that the body of an answer names.
fn region_in(body: &str) -> Option<Region> {
    let is_region = |word: &&str| word.matches('-').count() > 1 && word.ends_with(|last: char| last.is_ascii_digit());
    REGION_FOLLOWS.into_iter().find_map(|mark| {
        let mut after = body.split(mark).skip(1);
        after.find_map(|after| after.split(['<', '\'', '.', ' ']).next().filter(is_region)?.parse().ok())
    })
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
        "AccessDenied"
        | "AccessDeniedException"
        | "AccessDeniedForDependencyException"
        | "UnauthorizedAccess"
        | "UnauthorizedOperation"
        | "HTTP 403"
        | "Forbidden" => match PolicyType::of_message(message) {
            Some(policy_type) => FaultKind::DeniedBy(policy_type),
            None if PolicyType::is_explicit(message) => FaultKind::DeniedExplicitly,
            None => FaultKind::Denied,
        },
        "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "TooManyRequestsException"
        | "RequestLimitExceeded"
        | "BandwidthLimitExceeded"
        | "PriorRequestNotComplete"
        | "SlowDown" => FaultKind::Throttled,
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
        | "InternalFailure"
        | "RequestTimeout"
        | "RequestTimeoutException"
        | "ServiceException"
        | "ServiceUnavailable"
        | "ServiceUnavailableException" => FaultKind::Unavailable,
        // With 501, and final: what S3 does not know, it will not know later.
        "NotImplemented" => FaultKind::Refused,
        _ if status == Some(429) => FaultKind::Throttled,
        // A success that cannot be read is half an answer.
        _ if status.is_some_and(|status| status >= 500 || (200..300).contains(&status)) => FaultKind::Unavailable,
        _ => FaultKind::Refused,
    }
}

/// Whether a billing service says that it may not write to the bucket. The report service says so in fixed words; those of
/// Data Exports are not documented (B-12).
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
            ("AccessDenied", "… because no identity-based policy allows the s3:ListBucket action", Some(403), FaultKind::Denied),
            ("AccessDenied", "… with an explicit deny", Some(403), FaultKind::DeniedExplicitly),
            ("AccessDenied", "… with an explicit deny in a policy of a kind to come", Some(403), FaultKind::DeniedExplicitly),
            ("ThrottlingException", "", Some(400), FaultKind::Throttled),
            ("RequestLimitExceeded", "", Some(400), FaultKind::Throttled),
            ("SlowDown", "", Some(503), FaultKind::Throttled),
            ("HTTP 429", "", Some(429), FaultKind::Throttled),
            ("RequestTimeout", "", Some(400), FaultKind::Unavailable),
            ("AccessDeniedForDependencyException", "", Some(400), FaultKind::Denied),
            ("NoSuchBucket", "", Some(404), FaultKind::Missing),
            ("NoSuchKey", "", Some(404), FaultKind::Missing),
            ("HTTP 404", "", Some(404), FaultKind::Missing),
            ("DuplicateReportNameException", "", Some(400), FaultKind::Exists),
            ("BucketAlreadyExists", "", Some(409), FaultKind::Taken),
            ("BucketAlreadyOwnedByYou", "", Some(409), FaultKind::Exists),
            ("ReportLimitReachedException", "", Some(400), FaultKind::LimitReached),
            ("ValidationException", "Failed to verify customer bucket permission.", Some(400), FaultKind::BucketUnverified),
            ("ValidationException", "", Some(400), FaultKind::Refused),
            ("BucketNotEmpty", "", Some(409), FaultKind::NotEmpty),
            ("OperationAborted", "", Some(409), FaultKind::Conflict),
            ("WhoKnows", "", Some(503), FaultKind::Unavailable),
            ("NotImplemented", "", Some(501), FaultKind::Refused),
            ("HTTP 200", "", Some(200), FaultKind::Unavailable),
            ("WhoKnows", "", Some(400), FaultKind::Refused),
        ];
        for (code, message, status, expected) in cases {
            assert_eq!(kind(code, message, status), expected, "{code} {message}");
        }
    }

    /// F-45, B-11: wherever S3 writes it.
    #[test]
    fn the_region_of_a_bucket_is_read_from_the_body_too() {
        let redirect = "<Error><Code>PermanentRedirect</Code><Message>The bucket you are attempting to access must be addressed \
                        using the specified endpoint.</Message>";
        for (body, region) in [
            (format!("{redirect}<Endpoint>finance.s3.eu-west-1.amazonaws.com</Endpoint></Error>"), Some("eu-west-1")),
            (format!("{redirect}<Endpoint>finance.s3-eu-west-1.amazonaws.com</Endpoint></Error>"), Some("eu-west-1")),
            (format!("{redirect}<Endpoint>s3.amazonaws.com</Endpoint></Error>"), None),
            (
                "<Message>The authorization header is malformed; the region 'us-east-1' is wrong; expecting 'eu-west-3'</Message>\
                 <Region>eu-west-3</Region>"
                    .to_owned(),
                Some("eu-west-3"),
            ),
            ("the region 'us-east-1' is wrong; expecting 'eu-west-3'".to_owned(), Some("eu-west-3")),
            (
                "<Message>The af-south-1 location constraint is incompatible for the region specific endpoint this request was \
                 sent to.</Message>"
                    .to_owned(),
                Some("af-south-1"),
            ),
            ("<Message>The unspecified location constraint is incompatible for the region specific endpoint</Message>".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(region_in(&body).as_ref().map(Region::as_str), region, "{body}");
        }
    }

    /// F-5, F-52: the texts of IAM User Guide, "Troubleshoot access denied error messages".
    #[test]
    fn the_policy_that_denies_is_known_by_its_name() {
        use PolicyType::*;
        for (name, policy_type) in [
            ("a service control policy", ServiceControlPolicy),
            ("a resource control policy", ResourceControlPolicy),
            ("a permissions boundary", PermissionsBoundary),
            ("a session policy", SessionPolicy),
            ("a VPC endpoint policy", VpcEndpointPolicy),
            ("a resource-based policy", ResourceBasedPolicy),
            ("an identity-based policy", IdentityBasedPolicy),
        ] {
            let user = "User: arn:aws:sts::111122223333:assumed-role/r/s is not authorized to perform: s3:PutBucketPolicy";
            for end in ["", ": arn:aws:organizations::999988887777:policy/o-1/x/p-1", ". Go to https://…"] {
                let text = format!("{user} on resource: \"arn:aws:s3:::b\" with an explicit deny in {name}{end}");
                assert_eq!(kind("AccessDenied", &text, Some(403)), FaultKind::DeniedBy(policy_type), "{text}");
            }
            let name = name.trim_start_matches("a ").trim_start_matches("an ");
            let text = format!("{user} because no {name} allows the s3:PutBucketPolicy action");
            let implicit = if policy_type == IdentityBasedPolicy { FaultKind::Denied } else { FaultKind::DeniedBy(policy_type) };
            assert_eq!(kind("AccessDeniedException", &text, Some(400)), implicit, "{text}");
        }
    }
}
