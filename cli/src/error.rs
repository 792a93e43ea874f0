//! What the command line refuses by itself, and what the handler's code, AWS or the vendor refused while it ran.

use std::{fmt::Display, process::ExitCode};

use hawser::{
    aws::Fault,
    error::{Code as HandlerCode, Failure},
};
use thiserror::Error;

/// The exit codes besides 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// A file that cannot be read or written, or AWS.
    External = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The stack would fail, or a rule refuses this.
    Refused = 3,
    /// Of `preflight`: what the result depends on could not be looked at.
    CouldNotLook = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

hawser_codes::codes! {
    /// A code of the command line's own.
    pub enum CommandCode { exit: Exit }

    /// A file cannot be read or written, or does not have the expected form.
    File = "FILE", Exit::External,
        "Correct the path or the file.";
    /// A file is there that would be overwritten, and is not what would be written.
    FileExists = "FILE_EXISTS", Exit::Refused,
        "Choose another folder, or pass --overwrite.";
    /// Standard output could not be written to its end, for example on a full disk. What the command did stays done.
    OutputFailed = "OUTPUT_FAILED", Exit::External,
        "Make room or write elsewhere, then run the command again.";
    /// The command line is none of `hawser`.
    CommandLine = "COMMAND_LINE", Exit::Usage,
        "See `hawser --help`.";
    /// The template has no such parameter.
    ParameterUnknown = "PARAMETER_UNKNOWN", Exit::Usage,
        "Correct the name; `hawser template --local-code` prints every parameter.";
    /// The parameter does not allow the value.
    ParameterInvalid = "PARAMETER_INVALID", Exit::Usage,
        "Correct the value.";
    /// A parameter without a default is missing.
    ParameterMissing = "PARAMETER_MISSING", Exit::Usage,
        "Pass it with --set NAME=VALUE.";
    /// A rule of the template forbids this combination of values.
    RuleFailed = "RULE_FAILED", Exit::Refused,
        "Change one of these values.";
    /// The file is not a template, or uses something that is not supported here.
    TemplateInvalid = "TEMPLATE_INVALID", Exit::External,
        "Use the template that this version of Hawser comes with.";
    /// The template is larger than CloudFormation accepts in a request.
    TemplateTooLarge = "TEMPLATE_TOO_LARGE", Exit::Refused,
        "Leave out packs, or let CloudFormation read the template from S3.";
    /// The template cannot be deployed as it is: CloudFormation reads the function's code from S3 only.
    TemplateCodeMissing = "TEMPLATE_CODE_MISSING", Exit::Usage,
        "Pass --code s3://BUCKET/KEY, use the template that your vendor published, or pass --local-code to read this one.";
    /// A file is not the one that the vendor published, or nothing proves it.
    SignatureInvalid = "SIGNATURE_INVALID", Exit::Refused,
        "Do not launch it. Download it again, and compare the public key with what the vendor says in another place.";
    /// There is no such profile.
    ProfileUnknown = "PROFILE_UNKNOWN", Exit::Usage,
        "Name one of these, or give the path of a file that ends in `.toml`.";
    /// The file is not a profile.
    ProfileInvalid = "PROFILE_INVALID", Exit::External,
        "Correct the file; profiles/ holds examples.";
    /// No pack is on, so there is nothing to print.
    NoPacks = "NO_PACKS", Exit::Usage,
        "Enable a pack, such as with --set PackBilling=ReadOnly.";
    /// The policy is larger than IAM accepts in one document.
    PolicyTooLarge = "POLICY_TOO_LARGE", Exit::Refused,
        "Choose fewer packs, or ReadOnly.";
    /// More managed policies than AWS attaches to one role or user.
    ManagedPoliciesLimit = "MANAGED_POLICIES_LIMIT", Exit::Refused,
        "Choose fewer packs, or ask AWS to raise the quota `Managed policies per role` (up to 20) and pass it with --managed-policies-quota.";
    /// Without an external ID, the role could be used on behalf of any customer of the vendor.
    ExternalIdEmpty = "EXTERNAL_ID_EMPTY", Exit::Refused,
        "Pass the one that the vendor issued for this customer with --set ExternalId=VALUE.";
    /// CloudFormation does not read templates from this URL.
    LinkTemplateUrl = "LINK_TEMPLATE_URL", Exit::Usage,
        "Pass the URL of the template in S3 with --template-url.";
    /// Not a valid stack name.
    LinkStackName = "LINK_STACK_NAME", Exit::Usage,
        "Correct it with --stack-name.";
    /// Launch links drop `NoEcho` parameters.
    LinkParameterHidden = "LINK_PARAMETER_HIDDEN", Exit::Refused,
        "Leave it out and enter it in the console.";
    /// Browsers or mail programs would cut the link.
    LinkTooLong = "LINK_TOO_LONG", Exit::Refused,
        "Leave out parameters that have their defaults, or put the longest into the defaults of the template that you publish.";
    /// Not a valid bucket name, prefix or key.
    BucketInvalid = "BUCKET_INVALID", Exit::Usage,
        "Correct --bucket, --prefix or --kms-key.";
    /// Not a valid prefix for the names of all new resources.
    NameInvalid = "NAME_INVALID", Exit::Usage,
        "Correct it with --name.";
    /// This setup method cannot do it; the text says which one can.
    UnsupportedHere = "UNSUPPORTED_HERE", Exit::Refused,
        "Choose another setup method, or another value.";
    /// The credentials belong to another partition than the Region.
    RegionElsewhere = "REGION_ELSEWHERE", Exit::Usage,
        "Pass a Region of that partition with --region.";
    /// There is no such profile in the AWS CLI's configuration.
    AwsProfileUnknown = "AWS_PROFILE_UNKNOWN", Exit::Usage,
        "Correct --aws-profile or AWS_PROFILE, or add the profile with `aws configure` or `aws login`.";
    /// Of `preflight`: not a valid stack name.
    StackName = "STACK_NAME", Exit::Refused,
        "Correct it with --stack-name.";
    /// There is no such Region in any partition, or the account has not enabled it.
    RegionUnknown = "REGION_UNKNOWN", Exit::Usage,
        "Correct --region, or enable the Region under \"AWS Regions\" in the account's settings.";
    /// Of `preflight`: a stack of this name exists, so CloudFormation would refuse to create one.
    StackExists = "STACK_EXISTS", Exit::Refused,
        "Update that stack, delete it if its launch failed, or choose another name with --stack-name.";
    /// Of `preflight --organization`: the organization would refuse the roll-out.
    RollOutRefused = "ROLL_OUT_REFUSED", Exit::Refused,
        "Launch from the management account, activate trusted access for StackSets in CloudFormation's console, and name units that exist.";
    /// Of `preflight`: the account would exceed its quota of roles or policies.
    IamQuota = "IAM_QUOTA", Exit::Refused,
        "Remove those that are not needed, or ask AWS to raise the quota.";
    /// A launch token on the command line, where other users of the machine can see it.
    TokenInArguments = "TOKEN_IN_ARGUMENTS", Exit::Usage,
        "Pass it with --launch-token-file or HAWSER_LAUNCH_TOKEN.";
    /// No terminal to ask for confirmation.
    ConfirmationMissing = "CONFIRMATION_MISSING", Exit::Usage,
        "Read the plan, then pass --yes.";
    /// The plan was not confirmed.
    Declined = "DECLINED", Exit::Refused,
        "Nothing was changed.";
    /// The credentials cannot prove an identity to the vendor, such as those of the root user.
    ConnectCaller = "CONNECT_CALLER", Exit::Refused,
        "Use the credentials of a role or of an IAM user.";
    /// `ExternalId` is missing.
    ConnectExternalId = "CONNECT_EXTERNAL_ID", Exit::Usage,
        "Pass the external ID that the vendor issued.";
    /// The launch token is missing or malformed.
    ConnectToken = "CONNECT_TOKEN", Exit::Usage,
        "Pass it with --launch-token-file or HAWSER_LAUNCH_TOKEN.";
    /// Only a stack can do this.
    ConnectNeedsStack = "CONNECT_NEEDS_STACK", Exit::Refused,
        "Set AccessMethod=Role, or launch the stack.";
    /// A resource with this name exists, and this connection did not create it.
    ConnectNotOurs = "CONNECT_NOT_OURS", Exit::Refused,
        "Rename or remove it, or restore its hawser tags, then try again.";
    /// The role that `ExistingRoleName` names does not exist.
    ConnectRoleMissing = "CONNECT_ROLE_MISSING", Exit::Refused,
        "Correct ExistingRoleName, or leave it empty.";
    /// `RolePath` cannot change.
    ConnectPathFixed = "CONNECT_PATH_FIXED", Exit::Refused,
        "Keep RolePath, or disconnect and connect again.";
    /// A policy of this connection is attached elsewhere.
    ConnectPolicyInUse = "CONNECT_POLICY_IN_USE", Exit::Refused,
        "Detach it there, then try again.";
    /// Of `make publish`: there is no such bucket.
    PublishBucketMissing = "PUBLISH_BUCKET_MISSING", Exit::External,
        "Create it in your own account, for example with `aws s3 mb`.";
    /// Of `make publish`: the bucket belongs to another account, or you may not list it.
    PublishBucketDenied = "PUBLISH_BUCKET_DENIED", Exit::External,
        "Use your own account or another BUCKET_PREFIX, and allow yourself `s3:ListBucket`.";
    /// Of `make publish`: the bucket is not in the Region that its name says.
    PublishBucketRegion = "PUBLISH_BUCKET_REGION", Exit::External,
        "Delete it and create it again in that Region.";
    /// Of `make publish`: another object has this key; nothing was overwritten.
    PublishKeyTaken = "PUBLISH_KEY_TAKEN", Exit::External,
        "Find out who put it there, and remove it if nobody uses it.";
    /// Of `make publish`: the stored object differs from what was sent.
    PublishDiffers = "PUBLISH_DIFFERS", Exit::External,
        "Run `make publish` again.";
    /// Of `make publish`: `dist/` was edited.
    PublishDistChanged = "PUBLISH_DIST_CHANGED", Exit::External,
        "Run `make package` again.";
    /// Of `make publish`: AWS, or the way to it, failed; the cause has AWS's own words.
    PublishFailed = "PUBLISH_FAILED", Exit::External,
        "Correct what the cause says, then run `make publish` again.";
}

/// Why a command did not do what it was asked. Displayed, it begins with its code and says what to do next.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text}")]
pub struct CommandError {
    code: &'static str,
    exit: Exit,
    text: String,
}

/// Next steps that are about the function, said to whoever runs its code.
const OPERATOR_TEXTS: [(HandlerCode, &str); 11] = [
    (HandlerCode::AwsAccessDenied, "Allow yourself the action, or ask somebody who has the permission to run this."),
    (
        HandlerCode::AwsDeniedByScp,
        "Ask your organization's administrator to exempt you from the service control policy that denies this action.",
    ),
    (
        HandlerCode::AwsDeniedByRcp,
        "Ask your organization's administrator to exempt this account from the resource control policy that denies this action.",
    ),
    (HandlerCode::AwsDeniedByBoundary, "Ask whoever set your permissions boundary to add the action to it."),
    (HandlerCode::AwsDeniedBySessionPolicy, "Sign in to a session without a policy that denies this action."),
    (HandlerCode::AwsDeniedByEndpointPolicy, "Ask your network team to allow the action in the VPC endpoint's policy."),
    (
        HandlerCode::AwsDeniedByResourcePolicy,
        "Change the policy of the resource that the cause names, so that it does not deny you.",
    ),
    (
        HandlerCode::AwsDeniedByIdentityPolicy,
        "Ask whoever manages your permissions to lift the policy that denies you this action.",
    ),
    (
        HandlerCode::AwsDeniedExplicitly,
        "Ask whoever manages your permissions, or your organization's, which policy denies you this action.",
    ),
    (HandlerCode::AwsUnavailable, "Check the AWS Health Dashboard and your internet connection, then try again."),
    (
        HandlerCode::CredentialsMissing,
        "Sign in as for the AWS CLI, for example with `aws login` or `aws sso login`, or pass one of its profiles with --aws-profile.",
    ),
];

/// What has to do with the way to AWS, and not with what was asked for.
const EXTERNAL: [HandlerCode; 13] = [
    HandlerCode::AwsAccessDenied,
    HandlerCode::AwsDeniedByScp,
    HandlerCode::AwsDeniedByRcp,
    HandlerCode::AwsDeniedByBoundary,
    HandlerCode::AwsDeniedBySessionPolicy,
    HandlerCode::AwsDeniedByEndpointPolicy,
    HandlerCode::AwsDeniedByResourcePolicy,
    HandlerCode::AwsDeniedByIdentityPolicy,
    HandlerCode::AwsDeniedExplicitly,
    HandlerCode::AwsThrottled,
    HandlerCode::AwsUnavailable,
    HandlerCode::AwsRefused,
    HandlerCode::CredentialsMissing,
];

impl CommandError {
    /// A refusal of the command line's own: the cause is one sentence without its full stop.
    pub fn new(code: CommandCode, cause: impl Display) -> Self {
        let cause = cause.to_string();
        let text = format!("{code}: {}. {}", cause.trim_end_matches('.'), code.next_step());
        Self { code: code.as_str(), exit: code.exit(), text }
    }

    /// The stable code, of the command line or of the handler.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The text for people without the code that it begins with.
    pub fn reason(&self) -> &str {
        self.text.strip_prefix(self.code).and_then(|text| text.strip_prefix(": ")).unwrap_or(&self.text)
    }

    /// With what the program ends.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    fn of(code: HandlerCode, text: &str) -> Self {
        let exit = if EXTERNAL.contains(&code) { Exit::External } else { Exit::Refused };
        let operator = OPERATOR_TEXTS.iter().find(|(known, _)| *known == code);
        let text = operator.map_or_else(|| text.to_owned(), |(_, next)| text.replace(code.next_step(), next));
        Self { code: code.as_str(), exit, text }
    }

    /// The same, with a further line for people.
    #[must_use]
    pub fn with_line(mut self, line: impl Display) -> Self {
        self.text = format!("{}\n  {line}", self.text);
        self
    }

    /// The stack would fail so: a refusal, even where AWS would be to blame.
    pub fn of_stack(failure: &Failure) -> Self {
        Self { code: failure.code.as_str(), exit: Exit::Refused, text: format!("the stack would fail\n  {failure}") }
    }
}

impl From<Failure> for CommandError {
    fn from(failure: Failure) -> Self {
        Self::of(failure.code, &failure.to_string())
    }
}

impl From<Fault> for CommandError {
    fn from(fault: Fault) -> Self {
        Failure::from(fault).into()
    }
}
