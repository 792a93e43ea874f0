//! The proof of identity by token: a JWT that AWS STS made for the stack's function (`sts:GetWebIdentityToken`).
//!
//! Any account has an issuer of its own and valid tokens for roles of its own, so a good signature says nothing until the claims are
//! those of the notice's account; [`store`](crate::store) then keeps issuers and accounts apart. Pure: [`issuers`](crate::issuers)
//! fetches the keys.

use std::{collections::BTreeMap, str::FromStr};

use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, TokenData, Validation,
    crypto::{CryptoProvider, JwtVerifier, KeyUtils},
    errors::{ErrorKind, new_error},
    jwk::{Jwk, JwkSet, PublicKeyUse},
    signature,
};
use ring::signature::{ECDSA_P384_SHA384_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use crate::{
    names::RoleArn,
    notice::Notice,
    refusal::{Reason, Refusal},
    secret::Secret,
};

/// A handler asks for a token right before it sends one, and for a new one after four minutes.
pub const AGE_MAX: Duration = Duration::minutes(5);
/// Clocks differ: ours and that of STS, which is AWS's.
pub const LEEWAY: Duration = Duration::minutes(1);
/// One has between 1 and 2 KB, with an organization's path and a function's ARN in it. AWS names no maximum.
const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// Keys in one set: two algorithms, with an old and a new key each, and room.
const KEYS_MAX: usize = 16;
/// A key's id and a token's are random texts of some 40 characters.
const ID_CHARS_MAX: usize = 256;
/// Those that STS signs with (STS API reference, `GetWebIdentityToken`). No other is tried, whatever a key set says.
const ALGORITHMS: [Algorithm; 2] = [Algorithm::ES384, Algorithm::RS256];
/// The tag in which a token names the event that it vouches for.
pub const DIGEST_TAG: &str = "hawser-event-sha256";
/// Of a token about the caller itself (STS API reference, `SubjectMode`). Any other has a subject of the caller's choice.
const SUBJECT_MODE: &str = "AWSIdentity";

/// An account's issuer, in exactly AWS's form: the zone is AWS's, so only STS can serve keys there.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Issuer(String);

impl Issuer {
    /// The URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where its keys are. Never what the token, or the issuer's own configuration, says.
    pub fn keys_url(&self) -> String {
        format!("{}/.well-known/jwks.json", self.0)
    }
}

impl FromStr for Issuer {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let uuid = text.strip_prefix("https://").and_then(|rest| rest.strip_suffix(".tokens.sts.global.api.aws"));
        let parts: Vec<&str> = uuid.unwrap_or_default().split('-').collect();
        let is_hex = |part: &&str| part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12]) && parts.iter().all(is_hex) {
            Ok(Self(text.to_owned()))
        } else {
            Err("not an issuer of AWS STS")
        }
    }
}

/// An issuer's keys.
#[derive(Debug, Clone)]
pub struct Keys {
    /// As they were served.
    text: String,
    set: JwkSet,
}

impl Keys {
    /// Reads a set; None where it is none, or has more than an issuer needs.
    pub fn read(text: &str) -> Option<Self> {
        let set: JwkSet = serde_json::from_str(text).ok()?;
        (1..=KEYS_MAX).contains(&set.keys.len()).then(|| Self { text: text.to_owned(), set })
    }

    /// As they were served.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a key is among them.
    pub fn has(&self, id: &str) -> bool {
        self.find(id).is_some()
    }

    fn find(&self, id: &str) -> Option<&Jwk> {
        self.set.find(id).filter(|key| matches!(key.common.public_key_use, None | Some(PublicKeyUse::Signature)))
    }
}

/// A token of which nothing is verified: it only says whose keys to fetch.
#[derive(Debug, Clone)]
pub struct Unverified {
    token: Secret,
    algorithm: Algorithm,
    pub issuer: Issuer,
    pub key_id: String,
}

fn refuse(why: &'static str) -> Refusal {
    Reason::Token.with(why)
}

fn require(holds: bool, why: &'static str) -> Result<(), Refusal> {
    if holds { Ok(()) } else { Err(refuse(why)) }
}

fn is_id(text: &str) -> bool {
    (1..=ID_CHARS_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

impl Unverified {
    /// Reads header and issuer.
    ///
    /// # Errors
    /// [`Reason::Token`].
    pub fn read(token: &Secret) -> Result<Self, Refusal> {
        #[derive(Deserialize)]
        struct Claims {
            iss: String,
        }
        require(token.expose().len() <= TOKEN_BYTES_MAX, "it is too large")?;
        // `none` is no algorithm to the library, so it has no header to it.
        let read = jsonwebtoken::dangerous::insecure_decode::<Claims>(token.expose());
        let TokenData { header, claims } = read.map_err(|_| refuse("it is not a JWT with an issuer"))?;
        require(ALGORITHMS.contains(&header.alg), "its algorithm is not one that AWS STS signs with")?;
        let key_id = header.kid.filter(|id| is_id(id)).ok_or_else(|| refuse("it names no key"))?;
        Ok(Self { token: token.clone(), algorithm: header.alg, issuer: claims.iss.parse().map_err(refuse)?, key_id })
    }
}

/// Whom a token vouches for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bearer {
    pub issuer: Issuer,
    /// With its path, which a session's ARN leaves out.
    pub role_arn: String,
    /// The name of the function that asked for it, where one did.
    pub function: Option<String>,
}

/// A token that holds.
#[derive(Debug, Clone)]
pub struct Attested {
    pub bearer: Bearer,
    /// Its own id, good once.
    pub id: String,
    /// The organization that its account is in, if it is in one.
    pub organization_id: Option<String>,
    /// Those that verified it.
    pub keys: Keys,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    iat: i64,
    exp: i64,
    jti: String,
    #[serde(rename = "https://sts.amazonaws.com/")]
    aws: AwsClaims,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

#[derive(Deserialize)]
struct AwsClaims {
    aws_account: String,
    #[serde(default)]
    org_id: Option<String>,
    #[serde(default)]
    principal_id: Option<String>,
    #[serde(default)]
    subject_mode: Option<String>,
    #[serde(default)]
    request_tags: BTreeMap<String, String>,
    #[serde(default)]
    lambda_source_function_arn: Option<String>,
}

/// Checks everything about a token, with its issuer's keys. `audiences` are our names in notice URLs, of now and of before.
///
/// # Errors
/// [`Reason::Token`] with the first thing that is not as it must be.
pub fn check(
    notice: &Notice,
    token: &Unverified,
    keys: Keys,
    audiences: &[String],
    now: OffsetDateTime,
) -> Result<Attested, Refusal> {
    let key = keys.find(&token.key_id).ok_or_else(|| refuse("its key is not its issuer's"))?;
    let claims = verify(token, key)?;
    require(claims.iss == token.issuer.as_str(), "it names two issuers")?;
    let audience = match &claims.aud {
        Audience::One(audience) => Some(audience),
        Audience::Several(audiences) => audiences.first().filter(|_| audiences.len() == 1),
    };
    require(audience.is_some_and(|audience| audiences.contains(audience)), "it was made for another vendor")?;
    let (seconds, leeway) = (now.unix_timestamp(), LEEWAY.whole_seconds());
    require(claims.iat <= seconds.saturating_add(leeway), "it is from the future")?;
    require(claims.iat.saturating_add(AGE_MAX.whole_seconds() + leeway) >= seconds, "it is older than five minutes")?;
    require(claims.exp.saturating_add(leeway) > seconds, "it has expired")?;
    require(is_id(&claims.jti), "it has no id")?;

    let (stack, aws) = (&notice.stack, claims.aws);
    require(aws.aws_account == stack.account.as_str(), "it is another account's")?;
    let role: RoleArn = claims.sub.parse().map_err(|_| refuse("its subject is not a role"))?;
    require(role.account == stack.account && role.partition == stack.partition, "its subject is a role of another account")?;
    require(aws.subject_mode.is_none_or(|mode| mode == SUBJECT_MODE), "its subject is of the sender's choice")?;
    require(aws.principal_id.is_none_or(|principal| principal == claims.sub), "its subject is not who asked for it")?;
    require(aws.request_tags.get(DIGEST_TAG) == Some(&notice.event_sha256), "it covers another event than this notice")?;
    let function = match &aws.lambda_source_function_arn {
        None => None,
        Some(arn) => {
            let ours = format!("arn:{}:lambda:{}:{}:function:", stack.partition.as_str(), stack.region, stack.account.as_str());
            let name = arn.strip_prefix(&ours).and_then(|name| name.split(':').next()).filter(|name| is_id(name));
            Some(name.ok_or_else(|| refuse("a function of another account or Region asked for it"))?.to_owned())
        }
    };
    let bearer = Bearer { issuer: token.issuer.clone(), role_arn: claims.sub, function };
    Ok(Attested { bearer, id: claims.jti, organization_id: aws.org_id, keys })
}

/// The claims, if the key signed them, by the algorithm that the header names and no other.
fn verify(token: &Unverified, key: &Jwk) -> Result<Claims, Refusal> {
    // Fails when it was installed before.
    let _ = CRYPTO.install_default();
    let key = DecodingKey::from_jwk(key).map_err(|_| refuse("its key is of no kind that AWS STS signs with"))?;
    let mut validation = Validation::new(token.algorithm);
    // Time is an argument here, and the library reads the system's.
    validation.validate_exp = false;
    validation.validate_aud = false;
    match jsonwebtoken::decode(token.token.expose(), &key, &validation) {
        Ok(TokenData { claims, .. }) => Ok(claims),
        Err(error) => Err(refuse(match error.kind() {
            ErrorKind::InvalidSignature => "its signature is not good",
            ErrorKind::Json(_) | ErrorKind::MissingRequiredClaim(_) => "its claims do not have the form that AWS STS gives them",
            _ => "its key is of no kind that AWS STS signs with",
        })),
    }
}

/// The one crypto provider that there is, for the library: it verifies, with the two algorithms.
static CRYPTO: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(new_error(ErrorKind::UnsupportedAlgorithm)),
    verifier_factory: verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, jsonwebtoken::errors::Error> {
    match (algorithm, key.family()) {
        (Algorithm::ES384, AlgorithmFamily::Ec) | (Algorithm::RS256, AlgorithmFamily::Rsa) => {
            Ok(Box::new(Verifier { algorithm: *algorithm, key: key.clone() }))
        }
        _ => Err(new_error(ErrorKind::InvalidAlgorithm)),
    }
}

struct Verifier {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl JwtVerifier for Verifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl signature::Verifier<Vec<u8>> for Verifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        match self.key.kind() {
            DecodingKeyKind::SecretOrDer(point) => {
                UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point).verify(message, signature)
            }
            DecodingKeyKind::RsaModulusExponent { n, e } => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            }
        }
        .map_err(|_| signature::Error::new())
    }
}
