//! Who takes part, and where: the accounts, the Regions and the parameters of the demo and the emulator tests.

use anyhow::Context as _;
use aws_credential_types::Credentials;
use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;

use crate::{account::Account, emulator::Emulator, stack::Parameters, strict_proxy::shared::BILLING_REGION, vendor::Launch};

pub use crate::vendor::VENDOR;

/// The customer's account, in which the stack is made.
pub const CUSTOMER: &str = "111122223333";

/// A third account, which may nothing.
pub const STRANGER: &str = "555566667777";

/// Where the stack is: deliberately another Region than the billing services'.
pub const STACK_REGION: &str = "eu-west-1";

/// The name of the stack and of what it creates.
pub const STACK: &str = "hawser";

/// The parameters of a first launch; all others keep the template's defaults.
pub fn parameters(notice_url: &str, launch: &Launch) -> Parameters {
    [
        ("VendorName", "Example Vendor"),
        ("PackSecurityAudit", "ReadOnly"),
        ("VendorAccountId", VENDOR),
        ("NoticeUrl", notice_url),
        ("ConnectionName", "Production"),
        ("ExternalId", &launch.external_id),
        ("LaunchToken", &launch.token),
        ("Regions", STACK_REGION),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect()
}

/// Whether `account` may assume the role with this external ID, or with none.
pub async fn may_assume(emulator: &Emulator, account: &str, role_arn: &str, external_id: Option<&str>) -> anyhow::Result<bool> {
    Ok(assume(emulator, account, role_arn, external_id).await?.is_some())
}

/// A session of the role, for the root of `account`; nothing when AssumeRole is denied.
///
/// The session goes through the front, which stands for AWS's TLS endpoints.
pub async fn assume(
    emulator: &Emulator,
    account: &str,
    role_arn: &str,
    external_id: Option<&str>,
) -> anyhow::Result<Option<Account>> {
    let sts = Account::root(emulator.url(), account, STACK_REGION).sts();
    let answer = sts
        .assume_role()
        .role_arn(role_arn)
        .role_session_name("connection-check")
        .set_external_id(external_id.map(str::to_owned))
        .send()
        .await;
    match answer {
        Ok(answer) => {
            let given = answer.credentials().context("a session without credentials")?;
            let (key, secret) = (given.access_key_id(), given.secret_access_key());
            let credentials = Credentials::new(key, secret, Some(given.session_token().into()), None, "AssumeRole");
            Ok(Some(Account::with(emulator.front().url(), CUSTOMER, BILLING_REGION, credentials)))
        }
        Err(error) if error.code() == Some("AccessDenied") => Ok(None),
        Err(error) => Err(anyhow::Error::new(error).context("AssumeRole failed for another reason than a denial")),
    }
}
