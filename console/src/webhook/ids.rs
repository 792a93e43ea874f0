//! Ids of events and endpoints.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Unique without a register of ids: as many random bits as a UUID has.
pub const ID_BYTES: usize = 16;

fn check(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix)
        .is_some_and(|rest| rest.len() == 2 * ID_BYTES && rest.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)))
}

/// The id of an event: `evt_` and 32 hexadecimal digits. It is the `webhook-id` of every attempt, by which a receiver knows repetitions.
///
/// It holds no full stop, which separates the parts of what is signed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct EventId(String);

impl EventId {
    const PREFIX: &str = "evt_";

    /// From random bytes, or from a digest of what the event is about, where the same one may be made twice.
    pub fn new(bytes: [u8; ID_BYTES]) -> Self {
        Self(format!("{}{}", Self::PREFIX, hex::encode(bytes)))
    }
}

impl FromStr for EventId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if check(text, Self::PREFIX) { Ok(Self(text.to_owned())) } else { Err("an event id is `evt_` and 32 hexadecimal digits") }
    }
}

impl TryFrom<String> for EventId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The id of an endpoint: `ep_` and 32 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct EndpointId(String);

impl EndpointId {
    const PREFIX: &str = "ep_";

    /// From random bytes.
    pub fn new(bytes: [u8; ID_BYTES]) -> Self {
        Self(format!("{}{}", Self::PREFIX, hex::encode(bytes)))
    }
}

impl FromStr for EndpointId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if check(text, Self::PREFIX) {
            Ok(Self(text.to_owned()))
        } else {
            Err("an endpoint id is `ep_` and 32 hexadecimal digits")
        }
    }
}

impl TryFrom<String> for EndpointId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
