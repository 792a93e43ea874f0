//! Names with one door each: what a value of these types holds has been checked on the way in.
//!
//! The handler has names of its own. The verifier does not share them on purpose: a mistake in one is then caught by
//! the other.

use std::{fmt, str::FromStr};

use serde::{Deserialize as _, Deserializer, Serialize, Serializer, de::Error as _};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use utoipa::ToSchema;

/// A 12-digit AWS account id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, ToSchema)]
pub struct AccountId(String);

impl AccountId {
    /// The twelve digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AccountId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit()) {
            Ok(Self(text.to_owned()))
        } else {
            Err("an account id has 12 digits")
        }
    }
}

impl Serialize for AccountId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The vendor's own name for one of its customers: opaque to us.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CustomerId(String);

impl CustomerId {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Longer than a UUID, a URN or a mail address.
const CUSTOMER_ID_BYTES_MAX: usize = 128;

impl FromStr for CustomerId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if (1..=CUSTOMER_ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()) {
            Ok(Self(text.to_owned()))
        } else {
            Err("a customer id has 1 to 128 visible ASCII characters")
        }
    }
}

/// The id of an organization (AWS Organizations `OrganizationId`).
#[derive(Debug, Clone, PartialEq, Eq, ToSchema)]
pub struct OrganizationId(String);

impl OrganizationId {
    /// `o-` and 10 to 32 letters and digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Serialize for OrganizationId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl FromStr for OrganizationId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text.strip_prefix("o-").unwrap_or_default();
        if (10..=32).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) {
            Ok(Self(text.to_owned()))
        } else {
            Err("an organization id is `o-` and 10 to 32 lower-case letters and digits")
        }
    }
}

/// A partition with an STS whose answers we take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Partition {
    /// The commercial Regions.
    Aws,
    /// China.
    AwsCn,
    /// GovCloud (US).
    AwsUsGov,
    /// The European Sovereign Cloud.
    AwsEusc,
}

impl Partition {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Aws, Self::AwsCn, Self::AwsUsGov, Self::AwsEusc];

    /// The name in an ARN.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::AwsCn => "aws-cn",
            Self::AwsUsGov => "aws-us-gov",
            Self::AwsEusc => "aws-eusc",
        }
    }

    /// The suffix of service host names (AWS SDK `partitions.json`, `dnsSuffix`).
    pub fn dns_suffix(self) -> &'static str {
        match self {
            Self::Aws | Self::AwsUsGov => "amazonaws.com",
            Self::AwsCn => "amazonaws.com.cn",
            Self::AwsEusc => "amazonaws.eu",
        }
    }

    /// Whether a text has the shape of this partition's Region codes (AWS SDK `partitions.json`, `regionRegex`). The
    /// shape and not a list, so that a Region opened tomorrow works; it holds no dot, so a host made from it stays
    /// below AWS's suffix.
    pub(crate) fn has_region(self, region: &str) -> bool {
        let parts: Vec<&str> = region.split('-').collect();
        let word = |p: &str| !p.is_empty() && p.len() <= 12 && p.bytes().all(|b| b.is_ascii_lowercase());
        let number = |p: &str| !p.is_empty() && p.len() <= 2 && p.bytes().all(|b| b.is_ascii_digit());
        match (self, parts.as_slice()) {
            (Self::Aws, ["us" | "eu" | "ap" | "sa" | "ca" | "me" | "af" | "il" | "mx", w, n]) => word(w) && number(n),
            (Self::AwsCn, ["cn", w, n]) => word(w) && number(n),
            (Self::AwsUsGov, ["us", "gov", w, n]) => word(w) && number(n),
            (Self::AwsEusc, ["eusc", "de", w, n]) => word(w) && number(n),
            _ => false,
        }
    }
}

impl FromStr for Partition {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|p| p.as_str() == text).ok_or("not a partition that is supported")
    }
}

/// A CloudFormation stack ARN: the customer's side of a connection, and the key it is stored under (F-1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackId {
    text: String,
    /// The partition in the ARN.
    pub partition: Partition,
    /// The Region in the ARN, of the shape its partition has.
    pub region: String,
    /// The account in the ARN.
    pub account: AccountId,
}

impl StackId {
    /// The ARN.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The stack's name.
    pub fn name(&self) -> &str {
        self.text.rsplit('/').nth(1).unwrap_or_default()
    }
}

/// The longest stack ARN: a stack name has at most 128 characters, the rest of the ARN is below 128.
const STACK_ID_BYTES_MAX: usize = 256;

impl FromStr for StackId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WHY: &str = "not a stack ARN: `arn:<partition>:cloudformation:<region>:<account>:stack/<name>/<uuid>`";
        let mut parts = text.splitn(6, ':');
        let mut next = || parts.next().ok_or(WHY);
        let (arn, partition, service, region, account, resource) = (next()?, next()?, next()?, next()?, next()?, next()?);
        let partition = Partition::from_str(partition)?;
        let account = AccountId::from_str(account)?;
        let legal = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let path: Vec<&str> = resource.split('/').collect();
        match path.as_slice() {
            ["stack", name, uuid]
                if arn == "arn"
                    && service == "cloudformation"
                    && partition.has_region(region)
                    && legal(name)
                    && legal(uuid)
                    && text.len() <= STACK_ID_BYTES_MAX =>
            {
                Ok(Self { text: text.to_owned(), partition, region: region.to_owned(), account })
            }
            _ => Err(WHY),
        }
    }
}

/// The ARN of an IAM role, with the account it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleArn {
    text: String,
    /// The partition in the ARN.
    pub partition: Partition,
    /// The account in the ARN.
    pub account: AccountId,
}

impl RoleArn {
    /// The ARN.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The role's name, without its path.
    pub fn name(&self) -> &str {
        self.text.rsplit('/').next().unwrap_or_default()
    }
}

/// `arn:<partition>:iam::<account>:role` is below 64; a path has at most 512 characters and a name 64 (IAM quotas).
const ROLE_ARN_BYTES_MAX: usize = 64 + 512 + 64;

impl FromStr for RoleArn {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WHY: &str = "not a role ARN: `arn:<partition>:iam::<account>:role/<name>`";
        let parts: Vec<&str> = text.split(':').collect();
        let ["arn", partition, "iam", "", account, resource] = parts.as_slice() else { return Err(WHY) };
        let partition = Partition::from_str(partition)?;
        let account = AccountId::from_str(account)?;
        let name = resource.strip_prefix("role/").unwrap_or_default();
        // A path may hold any visible ASCII character (IAM `pathType`), the name may not.
        let visible = name.bytes().all(|b| b.is_ascii_graphic());
        let last = name.rsplit('/').next().unwrap_or_default();
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b);
        if visible && !last.is_empty() && last.bytes().all(legal) && text.len() <= ROLE_ARN_BYTES_MAX {
            Ok(Self { text: text.to_owned(), partition, account })
        } else {
            Err(WHY)
        }
    }
}

/// A time may have any fraction of a second; this is more than anybody needs.
pub(crate) const UTC_BYTES_MAX: usize = 64;

/// A time in UTC, not before 1970.
pub(crate) fn utc_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<OffsetDateTime, D::Error> {
    let text = String::deserialize(deserializer)?;
    if !text.ends_with('Z') || text.len() > UTC_BYTES_MAX {
        return Err(D::Error::custom("not in UTC"));
    }
    let time = OffsetDateTime::parse(&text, &Rfc3339).map_err(D::Error::custom)?;
    if time.unix_timestamp() < 0 { Err(D::Error::custom("before 1970")) } else { Ok(time) }
}

/// Whether a character is not seen, or turns a text round: the categories Cf, Zl and Zp of Unicode 16. The handler has the same list.
pub(crate) fn is_unseen(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}' | '\u{180e}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{206f}' | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0001}' | '\u{e0020}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a panic is the test's failure")]
    use super::*;

    #[test]
    fn stack_ids() {
        let good = [
            "arn:aws:cloudformation:eu-west-1:111122223333:stack/hawser/51af3dc0-da77-11e4-872e-1234567db123",
            "arn:aws-cn:cloudformation:cn-northwest-1:111122223333:stack/hawser/51af3dc0",
            "arn:aws-us-gov:cloudformation:us-gov-west-1:111122223333:stack/hawser/51af3dc0",
            "arn:aws-eusc:cloudformation:eusc-de-east-1:111122223333:stack/hawser/51af3dc0",
        ];
        for text in good {
            assert_eq!(StackId::from_str(text).unwrap().as_str(), text);
        }
        let bad = [
            "",
            "arn:aws:cloudformation:eu-west-1:111122223333:stack/hawser",
            "arn:aws:cloudformation:eu-west-1:111122223333:stack/hawser/a/b",
            "arn:aws:cloudformation:eu-west-1:11112222333:stack/hawser/a",
            "arn:aws:cloudformation:eu-west-1:1111222２333:stack/hawser/a",
            "arn:aws:s3:eu-west-1:111122223333:stack/hawser/a",
            "arn:aws-iso:cloudformation:us-iso-east-1:111122223333:stack/hawser/a",
            "arn:aws:cloudformation:cn-north-1:111122223333:stack/hawser/a",
            // Regions that would carry a host name elsewhere.
            "arn:aws:cloudformation:eu-west-1.evil.example:111122223333:stack/hawser/a",
            "arn:aws:cloudformation:eu-west-1@evil:111122223333:stack/hawser/a",
            "arn:aws:cloudformation:eu-west/1:111122223333:stack/hawser/a",
            "arn:aws:cloudformation:eu-west-1#:111122223333:stack/hawser/a",
            "arn:aws:cloudformation:EU-west-1:111122223333:stack/hawser/a",
            "arn:aws:cloudformation::111122223333:stack/hawser/a",
        ];
        for text in bad {
            assert!(StackId::from_str(text).is_err(), "{text}");
        }
        assert!(StackId::from_str(&format!("{}{}", good[0], "a".repeat(256))).is_err());
    }

    #[test]
    fn organization_ids() {
        assert_eq!(OrganizationId::from_str("o-exampleorgid").unwrap().as_str(), "o-exampleorgid");
        for text in
            ["", "o-", "o-123456789", "o-exampleorgiD", "r-exampleorgid", "o-exampleorgid/x", &format!("o-{}", "a".repeat(33))]
        {
            assert!(OrganizationId::from_str(text).is_err(), "{text}");
        }
    }

    #[test]
    fn role_arns() {
        assert!(RoleArn::from_str("arn:aws:iam::111122223333:role/hawser-VendorRole-1A2B").is_ok());
        assert!(RoleArn::from_str("arn:aws:iam::111122223333:role/team/a/hawser+=,.@-_").is_ok());
        for text in [
            "arn:aws:iam::111122223333:role/",
            "arn:aws:iam::111122223333:role/team/",
            "arn:aws:iam::111122223333:user/someone",
            "arn:aws:iam:eu-west-1:111122223333:role/x",
            "arn:aws:sts::111122223333:assumed-role/x/y",
            "arn:aws:iam::111122223333:role/x y",
            "arn:aws:iam::111122223333:role/x:y",
        ] {
            assert!(RoleArn::from_str(text).is_err(), "{text}");
        }
    }

    #[test]
    fn unseen_characters_are_the_handlers() {
        let part = |text: &'static str| {
            let body = text.split("fn is_unseen(c: char) -> bool {\n").nth(1)?;
            body.split("\n}\n").next()
        };
        let (ours, theirs) = (part(include_str!("names.rs")), part(include_str!("../../src/names.rs")));
        assert!(ours.is_some_and(|list| list.contains("202e")));
        assert_eq!(ours, theirs);
    }
}
