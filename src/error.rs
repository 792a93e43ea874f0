//! The closed list of what can go wrong, and what to do about each (HW-W1).
//!
//! A code is stable: the same word stands in the stack event, the log and `docs/errors.md`. See [`Failure`].

use std::fmt;

use crate::names::one_line;

/// Who can fix it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FixedBy {
    /// The person who launched the stack, or the owner of the account.
    Customer,
    /// The vendor who published the template.
    Vendor,
    /// AWS: try again.
    Aws,
    /// Hawser itself: report it.
    Hawser,
}

hawser_codes::codes! {
    /// A stable error code.
    pub enum Code { fixed_by: FixedBy }

    /// The event is not one of CloudFormation's, or lacks a field.
    EventInvalid = "EVENT_INVALID", FixedBy::Vendor,
        "Invoke this function only through a custom resource of a CloudFormation stack.";
    /// No response can be sent: the event holds no usable ResponseURL. Logged, never a stack event.
    EventUnanswerable = "EVENT_UNANSWERABLE", FixedBy::Vendor,
        "Invoke this function only through a custom resource of a CloudFormation stack; events/ holds examples.";
    /// The event is about another stack than the one that the function belongs to.
    EventOfAnotherStack = "EVENT_OF_ANOTHER_STACK", FixedBy::Customer,
        "Use the function of the stack itself: each stack of this template has its own.";
    /// The resource type is not one of Hawser's.
    ResourceTypeUnknown = "RESOURCE_TYPE_UNKNOWN", FixedBy::Vendor,
        "Use Custom::BillingExport or Custom::AccountConnection.";
    /// A property that must be given is missing.
    PropertyMissing = "PROPERTY_MISSING", FixedBy::Vendor,
        "Set the property in the template.";
    /// A property has a value that is not allowed.
    PropertyInvalid = "PROPERTY_INVALID", FixedBy::Customer,
        "Correct the value and create or update the stack again.";
    /// A property that Hawser does not know, usually a typo.
    PropertyUnknown = "PROPERTY_UNKNOWN", FixedBy::Vendor,
        "Remove the property or correct its name.";
    /// A property was changed that stays as it was at creation.
    PropertyImmutable = "PROPERTY_IMMUTABLE", FixedBy::Customer,
        "Keep the earlier value, or create a second stack with the new one.";
    /// The stack is in a partition that Hawser does not support.
    PartitionUnsupported = "PARTITION_UNSUPPORTED", FixedBy::Customer,
        "Launch the stack in an account of the partition aws, aws-cn, aws-us-gov or aws-eusc.";
    /// The notice URL is not one that a notice may be sent to.
    NoticeUrlRefused = "NOTICE_URL_REFUSED", FixedBy::Vendor,
        "Set NoticeUrl to an https URL without user name, password or fragment.";
    /// AWS denied a call.
    AwsAccessDenied = "AWS_ACCESS_DENIED", FixedBy::Customer,
        "Allow the action for the handler's role: check its permissions boundary and whether the role was changed by hand.";
    /// An organization's service control policy denied a call (F-5).
    AwsDeniedByScp = "AWS_DENIED_BY_SCP", FixedBy::Customer,
        "Ask your organization's administrator to exempt the handler's role from the service control policy that denies this action.";
    /// An organization's resource control policy denied a call (F-52).
    AwsDeniedByRcp = "AWS_DENIED_BY_RCP", FixedBy::Customer,
        "Ask your organization's administrator to exempt this account's billing bucket and roles from the resource control policy that denies this action.";
    /// A permissions boundary denied a call (F-52).
    AwsDeniedByBoundary = "AWS_DENIED_BY_BOUNDARY", FixedBy::Customer,
        "Add the action to the permissions boundary of the handler's role, or ask whoever requires the boundary to do so.";
    /// The policy of a session denied a call (F-52).
    AwsDeniedBySessionPolicy = "AWS_DENIED_BY_SESSION_POLICY", FixedBy::Customer,
        "Use a session without a policy that denies this action.";
    /// A VPC endpoint's policy denied a call (F-52).
    AwsDeniedByEndpointPolicy = "AWS_DENIED_BY_ENDPOINT_POLICY", FixedBy::Customer,
        "Ask your network team to allow the action in the VPC endpoint's policy, or run the function outside of the VPC.";
    /// The policy of a resource, such as a bucket, denied a call (F-52).
    AwsDeniedByResourcePolicy = "AWS_DENIED_BY_RESOURCE_POLICY", FixedBy::Customer,
        "Change the policy of the resource that the cause names, so that it does not deny the handler's role.";
    /// A policy of the handler's role explicitly denied a call (F-52).
    AwsDeniedByIdentityPolicy = "AWS_DENIED_BY_IDENTITY_POLICY", FixedBy::Customer,
        "Detach the policy that denies the action from the handler's role: somebody added it to what the stack created.";
    /// A policy that AWS does not name explicitly denied a call (F-52).
    AwsDeniedExplicitly = "AWS_DENIED_EXPLICITLY", FixedBy::Customer,
        "Find the policy that denies the action, in the account or its organization, and change it: allowing the action elsewhere does not help.";
    /// AWS throttled a call until the tries were used up.
    AwsThrottled = "AWS_THROTTLED", FixedBy::Aws,
        "Wait a few minutes and try again.";
    /// AWS, or the way to it, failed until the tries were used up.
    AwsUnavailable = "AWS_UNAVAILABLE", FixedBy::Aws,
        "Check the AWS Health Dashboard and that the function can reach the internet, then try again.";
    /// AWS refused a call for another reason, which stands in the cause.
    AwsRefused = "AWS_REFUSED", FixedBy::Hawser,
        "Look up the AWS error code; if the cause is not in your account, send this message to the vendor.";
    /// The account has as many reports as AWS allows.
    BillingReportLimit = "BILLING_REPORT_LIMIT", FixedBy::Customer,
        "Delete a report that is no longer needed, or set Reuse=WhenSuitable.";
    /// The account has as many Data Exports of this kind as AWS allows.
    BillingExportQuota = "BILLING_EXPORT_QUOTA", FixedBy::Customer,
        "Delete an export that is no longer needed, set Reuse=WhenSuitable, or ask AWS to raise the quota.";
    /// The report or export that the customer names is not in the account.
    BillingExportNotFound = "BILLING_EXPORT_NOT_FOUND", FixedBy::Customer,
        "Correct ExistingExport, or leave it empty.";
    /// The report, export or bucket that the customer names cannot serve.
    BillingExportUnusable = "BILLING_EXPORT_UNUSABLE", FixedBy::Customer,
        "Fix the problem described above, choose another export or bucket, or leave ExistingExport and ExistingBucket empty.";
    /// AWS offers no table for the asked kind, or none that a query can name.
    BillingTableMissing = "BILLING_TABLE_MISSING", FixedBy::Customer,
        "Set Kind to CostAndUsageReport, or ask AWS why Data Exports does not offer the table to this account.";
    /// A report or an export with the derived name exists and is not this stack's.
    BillingReportNotOurs = "BILLING_REPORT_NOT_OURS", FixedBy::Customer,
        "Delete that report or export, or restore its hawser tags, then try again.";
    /// The report service does not accept the bucket (F-16).
    BillingBucketRejected = "BILLING_BUCKET_REJECTED", FixedBy::Customer,
        "Check whether a policy of your organization changes bucket policies or blocks service principals, then try again.";
    /// A bucket with the derived name exists and is not this stack's.
    BillingBucketNotOurs = "BILLING_BUCKET_NOT_OURS", FixedBy::Customer,
        "Create the stack again under another name; the bucket name is derived from the stack.";
    /// The bucket's policy cannot be merged with.
    BucketPolicyUnmergeable = "BUCKET_POLICY_UNMERGEABLE", FixedBy::Customer,
        "Shorten or correct the bucket's policy, then try again.";
    /// AWS could not deliver billing data, or will not be able to. Reported by the delivery check.
    BillingDeliveryFailed = "BILLING_DELIVERY_FAILED", FixedBy::Customer,
        "Restore the bucket and its policy; if this stack created them, update the stack with a new value of BillingRepair.";
    /// A bucket's policy was changed, and whether it still lets AWS deliver cannot be read from it. Reported by the delivery check,
    /// which says beside it how delivery fares.
    BillingDeliveryAtRisk = "BILLING_DELIVERY_AT_RISK", FixedBy::Customer,
        "Check that the bucket's policy lets AWS deliver, or update the stack with a new value of BillingRepair to restore ours.";
    /// The billing export was removed. Reported by the delivery check.
    BillingExportGone = "BILLING_EXPORT_GONE", FixedBy::Customer,
        "Update the stack with a new value of BillingRepair to create another one.";
    /// Billing data are late. Reported by the delivery check.
    BillingDataLate = "BILLING_DATA_LATE", FixedBy::Aws,
        "Wait a day; if no data arrives, ask AWS Support why the export is not delivered.";
    /// What a manifest names is not in the bucket, or the manifest cannot be read. Reported by the delivery check.
    BillingDataMissing = "BILLING_DATA_MISSING", FixedBy::Customer,
        "Check whether a lifecycle rule or a person deletes billing data from the bucket; the next delivery restores the current month.";
    /// The bucket that the customer brought holds nothing at the given place that is billing data. Reported when the stack is created or
    /// updated, and by the delivery check.
    BillingDataNotFound = "BILLING_DATA_NOT_FOUND", FixedBy::Customer,
        "Set ExistingPrefix to the S3 prefix of your report or export, or wait for its first delivery if it is new.";
    /// The function has no credentials to sign the proof of identity with.
    CredentialsMissing = "CREDENTIALS_MISSING", FixedBy::Hawser,
        "Run the handler with the credentials of its role, as Lambda does.";
    /// AWS STS made no token, and the stack may send no other proof of identity.
    IdentityTokenMissing = "IDENTITY_TOKEN_MISSING", FixedBy::Customer,
        "Switch on outbound identity federation in the account's IAM settings, or set IdentityProof to Auto.";
    /// The vendor refused the connection; the cause holds its own words.
    VendorRefused = "VENDOR_REFUSED", FixedBy::Customer,
        "Follow the vendor's instructions, or start again from the vendor's launch link.";
    /// The vendor could not be reached until the tries were used up.
    VendorUnreachable = "VENDOR_UNREACHABLE", FixedBy::Vendor,
        "Try again later; if the problem persists, contact the vendor.";
    /// Something answered in the vendor's place until the tries were used up: a success that does not repeat the notice's id (HW-C4).
    VendorAnswerForeign = "VENDOR_ANSWER_FOREIGN", FixedBy::Vendor,
        "Check that NoticeUrl is right and that no proxy, firewall or login page answers in place of the vendor, then contact the vendor.";
    /// The certificate at the vendor's address does not verify: it is expired, made for another name, or of an authority that is not
    /// trusted.
    VendorCertificateInvalid = "VENDOR_CERTIFICATE_INVALID", FixedBy::Vendor,
        "Ask the vendor to correct the certificate of that address; if your network inspects TLS, let the function reach it directly.";
    /// The vendor's address answered with a redirect, which is never followed.
    VendorRedirected = "VENDOR_REDIRECTED", FixedBy::Vendor,
        "Set NoticeUrl to the final address.";
    /// What would be returned does not fit CloudFormation's 4,096 bytes.
    ResponseTooLarge = "RESPONSE_TOO_LARGE", FixedBy::Hawser,
        "Shorten the names in the stack; if they are short, report it to the vendor.";
    /// A late or repeated request that the stack does not wait for any more: it has what it was answered with, and keeps it.
    RequestOutdated = "REQUEST_OUTDATED", FixedBy::Aws,
        "Nothing was changed; if you are deleting or updating this stack, do so again.";
    /// The work was not done in time.
    DeadlineExceeded = "DEADLINE_EXCEEDED", FixedBy::Aws,
        "Try again; if the problem persists, check that the function can reach the internet.";
    /// A defect in Hawser.
    Internal = "INTERNAL", FixedBy::Hawser,
        "Report it to the vendor with the request id of this event.";
    /// The response could not be uploaded. Logged, never a stack event; Lambda delivers the event again.
    ResponseUndelivered = "RESPONSE_UNDELIVERED", FixedBy::Aws,
        "Check that the function can reach Amazon S3; CloudFormation waits until ServiceTimeout.";
}

/// One failure: its code, its cause in one sentence, and AWS's request id where there is one.
///
/// Displayed, it is the stack event's reason: `CODE: cause. Next step. [aws request …]` (F-6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub code: Code,
    /// What happened: one sentence without its full stop.
    pub cause: String,
    /// The id to give AWS Support.
    pub aws_request_id: Option<String>,
}

impl Failure {
    /// A failure that no AWS answer caused.
    pub fn new(code: Code, cause: impl Into<String>) -> Self {
        Self { code, cause: one_line(&cause.into()), aws_request_id: None }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}. {}", self.code, self.cause.trim_end_matches('.'), self.code.next_step())?;
        match &self.aws_request_id {
            Some(id) => write!(f, " [aws request {id}]"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}
