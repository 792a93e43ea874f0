//! Names with one door each: what a value of these types holds has been checked, once, on the way in.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest, Sha256};
use thiserror::Error;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use url::Url;

/// Why a text is not the name it was meant to be: the end of a sentence that begins with the property's name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct NameError(String);

impl NameError {
    fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

macro_rules! text_newtype {
    ($name:ident) => {
        impl $name {
            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

/// A 12-digit AWS account id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AccountId(String);
text_newtype!(AccountId);

impl FromStr for AccountId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::new(format!("`{text}` is not a 12-digit account id")))
        }
    }
}

/// An AWS Region code, such as `eu-west-1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Region(String);
text_newtype!(Region);

/// Longer than any Region code AWS has announced; keeps a host name made from one within DNS limits.
const REGION_BYTES_MAX: usize = 32;

impl FromStr for Region {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if !text.is_empty() && text.len() <= REGION_BYTES_MAX && text.bytes().all(legal) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::new(format!("`{text}` is not a Region code")))
        }
    }
}

/// An AWS partition that Hawser knows. Everything that differs by partition is answered here (F-14, F-25).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Partition {
    /// The commercial Regions.
    Aws,
    /// China: separate accounts, separate payer.
    AwsCn,
    /// GovCloud (US): its charges are billed to the paired commercial account, it has no report service of its own.
    AwsUsGov,
    /// The European Sovereign Cloud.
    AwsEusc,
}

impl Partition {
    /// Every partition that Hawser knows.
    pub const ALL: [Self; 4] = [Self::Aws, Self::AwsCn, Self::AwsUsGov, Self::AwsEusc];

    /// The partition's name in an ARN.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::AwsCn => "aws-cn",
            Self::AwsUsGov => "aws-us-gov",
            Self::AwsEusc => "aws-eusc",
        }
    }

    /// The suffix of the partition's service host names (AWS SDK `partitions.json`).
    pub fn dns_suffix(self) -> &'static str {
        match self {
            Self::Aws | Self::AwsUsGov => "amazonaws.com",
            Self::AwsCn => "amazonaws.com.cn",
            Self::AwsEusc => "amazonaws.eu",
        }
    }

    /// Where the Cost and Usage Report service lives, whatever Region the stack is in (HW-B1); `None` where it does not
    /// exist (endpoint rules of the `cur` service; its host is built from the client's Region without a fallback).
    pub fn billing_region(self) -> Option<Region> {
        let code = match self {
            Self::Aws => "us-east-1",
            Self::AwsCn => "cn-northwest-1",
            // B-6.
            Self::AwsEusc => "eusc-de-east-1",
            Self::AwsUsGov => return None,
        };
        Some(Region(code.to_owned()))
    }

    /// Where AWS Support answers (`support` in the SDK's endpoint rules).
    pub fn support_region(self) -> Region {
        let code = match self {
            Self::Aws => "us-east-1",
            Self::AwsCn => "cn-north-1",
            Self::AwsUsGov => "us-gov-west-1",
            Self::AwsEusc => "eusc-de-east-1",
        };
        Region(code.to_owned())
    }

    /// The partition a Region belongs to, by the patterns of the SDK's `partitions.json`; the commercial one for
    /// Regions newer than this table.
    pub fn of_region(region: &str) -> Self {
        match region {
            r if r.starts_with("cn-") => Self::AwsCn,
            r if r.starts_with("us-gov-") => Self::AwsUsGov,
            r if r.starts_with("eusc-") => Self::AwsEusc,
            _ => Self::Aws,
        }
    }
}

impl FromStr for Partition {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::ALL
            .into_iter()
            .find(|p| p.as_str() == text)
            .ok_or_else(|| NameError::new(format!("`{text}` is not a partition that Hawser supports")))
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A stack's ARN: the trusted local source of partition, Region and account.
///
/// Form: `arn:<partition>:cloudformation:<region>:<account>:stack/<name>/<uuid>` (CloudFormation, custom resource
/// request objects).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackId {
    raw: String,
    /// The partition the stack lives in.
    pub partition: Partition,
    /// The Region the stack lives in.
    pub region: Region,
    /// The account the stack lives in.
    pub account: AccountId,
}

impl StackId {
    /// The ARN as CloudFormation sent it.
    pub fn as_str(&self) -> &str {
        &self.raw
    }

    /// The stack's name.
    pub fn name(&self) -> &str {
        self.raw.split('/').nth(1).unwrap_or_default()
    }
}

/// Why a text is not a usable stack id.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StackIdError {
    /// An ARN of a partition that Hawser does not support.
    #[error("partition `{0}` is not supported")]
    Partition(String),
    /// Not a stack's ARN at all.
    #[error("`{0}` is not the ARN of a stack")]
    Malformed(String),
}

impl FromStr for StackId {
    type Err = StackIdError;

    fn from_str(text: &str) -> Result<Self, StackIdError> {
        let malformed = || StackIdError::Malformed(shorten(text, 200));
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let ["arn", partition, "cloudformation", region, account, resource] = parts.as_slice() else {
            return Err(malformed());
        };
        if !resource.starts_with("stack/") {
            return Err(malformed());
        }
        Ok(Self {
            raw: text.to_owned(),
            partition: partition.parse().map_err(|_| StackIdError::Partition(shorten(partition, 40)))?,
            region: region.parse().map_err(|_| malformed())?,
            account: account.parse().map_err(|_| malformed())?,
        })
    }
}

/// The vendor's or customer's prefix of every name that Hawser makes: 3 to 30 characters, lowercase letters, digits
/// and hyphens, beginning with a letter and not ending in a hyphen.
///
/// 30 because the bucket is `<prefix>-<12 digits>-<16 hex>` and S3 allows 63 characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamePrefix(String);
text_newtype!(NamePrefix);

const NAME_PREFIX_BYTES_MIN: usize = 3;
const NAME_PREFIX_BYTES_MAX: usize = 30;

impl FromStr for NamePrefix {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if !(NAME_PREFIX_BYTES_MIN..=NAME_PREFIX_BYTES_MAX).contains(&text.len()) {
            return Err(NameError::new(format!(
                "`{}` has {} characters; {NAME_PREFIX_BYTES_MIN} to {NAME_PREFIX_BYTES_MAX} are allowed",
                shorten(text, 60),
                text.chars().count()
            )));
        }
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if !text.bytes().all(legal) || !text.starts_with(|c: char| c.is_ascii_lowercase()) || text.ends_with('-') {
            return Err(NameError::new(format!(
                "`{text}` must be lowercase letters, digits and hyphens, begin with a letter and not end in a hyphen"
            )));
        }
        // The bucket's name begins with it, so S3's reserved beginnings are refused here, before any call.
        BucketName::from_str(&format!("{text}-000000000000-0000000000000000"))?;
        Ok(Self(text.to_owned()))
    }
}

/// An S3 bucket name by the rules for new general purpose buckets (Amazon S3 User Guide, "Bucket naming rules"),
/// without dots: a dot breaks the wildcard certificate of virtual-hosted requests.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BucketName(String);
text_newtype!(BucketName);

/// Reserved by S3 (same page).
const BUCKET_RESERVED_PREFIXES: [&str; 3] = ["xn--", "sthree-", "amzn-s3-demo-"];
/// Reserved by S3 (same page).
const BUCKET_RESERVED_SUFFIXES: [&str; 5] = ["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"];

impl FromStr for BucketName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let refuse = |why: &str| Err(NameError::new(format!("`{}` is not a valid bucket name: {why}", shorten(text, 80))));
        if !(3..=63).contains(&text.len()) {
            return refuse("it must have 3 to 63 characters");
        }
        if !text.bytes().all(legal) || !text.starts_with(edge) || !text.ends_with(edge) {
            return refuse("only lowercase letters, digits and inner hyphens are allowed");
        }
        if let Some(reserved) = BUCKET_RESERVED_PREFIXES.iter().find(|p| text.starts_with(**p)) {
            return refuse(&format!("S3 reserves the prefix `{reserved}`"));
        }
        if let Some(reserved) = BUCKET_RESERVED_SUFFIXES.iter().find(|s| text.ends_with(**s)) {
            return refuse(&format!("S3 reserves the suffix `{reserved}`"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl BucketName {
    /// A bucket that already exists, by the name AWS reports. Old buckets in us-east-1 may break today's rules
    /// (same page), so nothing is checked: it is never used to create one.
    pub fn existing(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// The bucket's ARN.
    pub fn arn(&self, partition: Partition) -> String {
        format!("arn:{partition}:s3:::{}", self.0)
    }
}

/// The name of a Cost and Usage Report that Hawser makes, `<prefix>-<16 hex>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExportName(String);
text_newtype!(ExportName);

impl ExportName {
    /// The name for a prefix and a key; both are already narrower than the service's `[0-9A-Za-z!\-_.*'()]{1,256}`.
    pub fn new(prefix: &NamePrefix, key: &Digest16) -> Self {
        Self(format!("{prefix}-{key}"))
    }

    /// A report that already exists, by the name AWS reports.
    pub fn existing(name: &str) -> Self {
        Self(name.to_owned())
    }
}

/// Sixteen hexadecimal characters derived from the request: the part of every name that tells stacks, logical
/// resources and replacements apart (F-20, F-37).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest16(String);
text_newtype!(Digest16);

impl Digest16 {
    /// Derives a key; equal parts give equal keys, and no two lists of parts run together.
    pub fn derive(parts: &[&str]) -> Self {
        Self(digest_hex(parts, 8))
    }
}

/// Hexadecimal SHA-256 over the parts, each ended by a newline, shortened to `bytes` bytes.
pub fn digest_hex(parts: &[&str], bytes: usize) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update(b"\n");
    }
    hex::encode(&hash.finalize()[..bytes])
}

/// Where the response goes: a presigned URL, which is a bearer capability (HW-W2, F-8). Printed it shows its host only.
///
/// It is not `Clone` and moves into the delivery, so that one run sends at most one response.
pub struct ResponseUrl(Url);

impl ResponseUrl {
    /// Reads an absolute `http` or `https` URL. Whatever its host: a refused legitimate host would hang a stack,
    /// and a response holds no secret.
    pub fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        (matches!(url.scheme(), "https" | "http") && url.has_host()).then_some(Self(url))
    }

    /// The host, for the log.
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// Whether the host is one of S3's, as CloudFormation's own response URLs are.
    pub fn is_cloudformation_host(&self) -> bool {
        let host = self.host();
        self.0.scheme() == "https"
            && host.starts_with("cloudformation-custom-resource-")
            && Partition::ALL.iter().any(|p| host.ends_with(&format!(".{}", p.dns_suffix())))
    }

    /// The URL itself, for the one request that needs it.
    pub fn expose(&self) -> &Url {
        &self.0
    }
}

impl fmt::Debug for ResponseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResponseUrl({}/…)", self.host())
    }
}

/// A launch token: `whsec_` and 24 to 64 bytes in base64, as Standard Webhooks writes a symmetric secret. Unprintable.
#[derive(Clone, PartialEq, Eq)]
pub struct LaunchToken(Vec<u8>);

impl LaunchToken {
    /// Signs a message as Standard Webhooks do: `v1,` and the HMAC-SHA256 of `id.timestamp.body`, in base64
    /// (Standard Webhooks specification, "Signature scheme").
    #[expect(clippy::expect_used, reason = "an empty signature in its place would be sent")]
    pub fn sign(&self, id: &str, timestamp: i64, body: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

impl fmt::Debug for LaunchToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LaunchToken(…)")
    }
}

/// Base64 lengths of 24 and of 64 bytes, the bounds of Standard Webhooks.
const TOKEN_BASE64_MIN: usize = 32;
const TOKEN_BASE64_MAX: usize = 88;

/// What every key of Standard Webhooks begins with.
const TOKEN_PREFIX: &str = "whsec_";

impl FromStr for LaunchToken {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let encoded = text.strip_prefix(TOKEN_PREFIX).unwrap_or_default();
        let key = STANDARD.decode(encoded).ok().filter(|_| (TOKEN_BASE64_MIN..=TOKEN_BASE64_MAX).contains(&encoded.len()));
        // The value is not repeated: it may be a real token with a slip in it.
        key.map(Self).ok_or_else(|| NameError::new("must be `whsec_` followed by 24 to 64 bytes in base64"))
    }
}

/// The vendor's address for notices (HW-C1): `https`, a host, no user information and no fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeUrl(Url);

impl NoticeUrl {
    /// The URL itself.
    pub fn as_url(&self) -> &Url {
        &self.0
    }

    /// `host` or `host:port`, as in the `Host` header: the audience of the proof of identity.
    pub fn authority(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        self.0.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }
}

impl FromStr for NoticeUrl {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let url = Url::parse(text).map_err(|_| NameError::new("is not a URL"))?;
        if url.scheme() != "https" {
            return Err(NameError::new(format!("must be https, not `{}`", shorten(url.scheme(), 20))));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(NameError::new("must not hold a user name or password"));
        }
        if url.fragment().is_some() {
            return Err(NameError::new("must not hold a fragment"));
        }
        Ok(Self(url))
    }
}

/// How the end of AWS's text about a denial begins that leads to the policy: a link and the authorization id, or the id alone (IAM User
/// Guide, "Troubleshoot access denied with an authorization ID").
const AUTHORIZATION_DETAILS: [&str; 2] = ["Go to https://", "authorization id"];

/// A text cut at a character boundary to at most `bytes_max` bytes, with `…` where something was cut. The end by which AWS explains a
/// denial is kept, as far as there is room, and what stands before it gives way.
pub fn shorten(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let room = bytes_max.saturating_sub('…'.len_utf8());
    let explained = text.contains(AUTHORIZATION_DETAILS[1]);
    let ends = AUTHORIZATION_DETAILS.iter().filter_map(|begin| text.find(begin).map(|at| &text[at..]));
    let end = ends.filter(|end| explained && end.len() < room).max_by_key(|end| end.len()).unwrap_or_default();
    let start = text.floor_char_boundary(room - end.len());
    format!("{}…{end}", &text[..start])
}

/// One line without control characters, and without what is not seen or turns a text round (Unicode's categories Cf, Zl and
/// Zp): words of others, and names among them, end in stack events, logs and terminals.
pub fn one_line(text: &str) -> String {
    text.chars().filter(|c| !is_unseen(*c)).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The categories Cf, Zl and Zp of Unicode 16, compared with its tables by a test.
fn is_unseen(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}' | '\u{180e}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{206f}' | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0001}' | '\u{e0020}'..='\u{e007f}')
}

/// RFC 3339 in UTC, whole seconds.
pub fn rfc3339(at: OffsetDateTime) -> String {
    at.replace_nanosecond(0).unwrap_or(at).format(&Rfc3339).unwrap_or_default()
}
