//! The one strict reader: JSON in which any two readers see the same document.
//!
//! What a proof covers is the document's RFC 8785 form, so nothing may be in it that one reader drops and another keeps, or that
//! two languages write differently: a repeated name, a fraction, a whole number beyond 2^53 - 1, half of a surrogate pair, a name
//! that sorts differently by UTF-16 and by code points. It holds for fields that this version does not know, too.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::{Map, Value};

use crate::refusal::{Reason, Refusal};

/// The only major of the contract so far, as `dataschema` names it.
pub const CONTRACT: &str = "urn:hawser:notice:1";
/// Objects and lists around a value. A notice has six; the rest is for fields to come.
pub const DEPTH_MAX: usize = 16;
/// The largest whole number that RFC 8785 carries exactly: 2^53 - 1.
pub const NUMBER_MAX: u64 = (1 << 53) - 1;
/// How much of a place in the body an answer repeats.
const PLACE_CHARS_MAX: usize = 80;

/// A notice's body, read and of a contract that we know. Nothing in it is verified.
pub struct Document {
    pub(crate) event: Value,
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Document([redacted])")
    }
}

impl Document {
    /// Reads a body.
    ///
    /// # Errors
    /// [`Reason::Malformed`] names the place that two readers might not read alike, [`Reason::ContractVersion`] what else
    /// `dataschema` is than [`CONTRACT`].
    pub fn read(body: &[u8]) -> Result<Self, Refusal> {
        let mut reader = serde_json::Deserializer::from_slice(body);
        let mut track = serde_path_to_error::Track::new();
        let event = Strict { depth: 0 }
            .deserialize(serde_path_to_error::Deserializer::new(&mut reader, &mut track))
            .map_err(|_| malformed(&track.path().to_string()))?;
        reader.end().map_err(|_| malformed("end"))?;
        if !event.is_object() {
            return Err(malformed("."));
        }
        if event["dataschema"] != CONTRACT {
            return Err(Reason::ContractVersion.into());
        }
        Ok(Self { event })
    }

    /// A part of the document, as its type; unknown fields are dropped.
    pub(crate) fn part<'de, T: Deserialize<'de>>(&'de self) -> Result<T, Refusal> {
        serde_path_to_error::deserialize(&self.event).map_err(|error| malformed(&error.path().to_string()))
    }
}

/// Reads what has to be an object: serde takes a list of a type's fields, in their order, as well.
pub(crate) fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_map(Object(PhantomData))
}

/// The same, or `null`.
pub(crate) fn object_or_null<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    deserializer.deserialize_option(ObjectOrNull(PhantomData))
}

struct Object<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(entries))
    }
}

struct ObjectOrNull<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectOrNull<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or null")
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        object(deserializer).map(Some)
    }
}

/// The error says where, and never repeats what is there: it could be a signature.
fn malformed(path: &str) -> Refusal {
    let legal = |c: &char| c.is_ascii_alphanumeric() || ".-_[]".contains(*c);
    let place: String = path.chars().filter(legal).take(PLACE_CHARS_MAX).collect();
    Reason::Malformed.with(format!("`{place}`"))
}

/// Reads one value below this many objects and lists.
#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl Strict {
    fn inner<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth < DEPTH_MAX { Ok(Self { depth: self.depth + 1 }) } else { Err(E::custom("too deep")) }
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without fractions")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        if value <= NUMBER_MAX { Ok(value.into()) } else { Err(E::custom("too large")) }
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Value, E> {
        if value.unsigned_abs() <= NUMBER_MAX { Ok(value.into()) } else { Err(E::custom("too large")) }
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let (inner, mut list) = (self.inner()?, Vec::new());
        while let Some(item) = items.next_element_seed(inner)? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let (inner, mut map) = (self.inner()?, Map::new());
        while let Some(name) = entries.next_key::<String>()? {
            if !name.is_ascii() {
                return Err(A::Error::custom("a name is not ASCII"));
            }
            if map.contains_key(&name) {
                return Err(A::Error::custom("a name is repeated"));
            }
            map.insert(name, entries.next_value_seed(inner)?);
        }
        Ok(map.into())
    }
}
