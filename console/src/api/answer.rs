//! JSON as it is answered.

use axum::response::{IntoResponse, Response};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{names::is_unseen, store::Listed};

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Page<T: ToSchema> {
    pub items: Vec<T>,
    /// The `cursor` of the next page; null on the last one.
    pub next: Option<String>,
}

impl<T: ToSchema> Page<T> {
    /// A page of the list of this name, which its cursors are good for.
    pub fn new(list: &str, listed: Listed<T>) -> Self {
        Self { items: listed.items, next: listed.next.map(|place| cursor(list, place)) }
    }
}

/// A place in a list, for the program that asked.
fn cursor(list: &str, place: i64) -> String {
    URL_SAFE_NO_PAD.encode(format!("{list}:{place}"))
}

/// The place that a cursor of this list stands for.
pub fn place(list: &str, cursor: &str) -> Option<i64> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    let place = text.strip_prefix(list)?.strip_prefix(':')?.parse().ok()?;
    (self::cursor(list, place) == cursor).then_some(place)
}

/// An answer as JSON.
pub fn json(status: StatusCode, what: &impl Serialize) -> Response {
    match serde_json::to_string(what) {
        Ok(text) => (status, [(header::CONTENT_TYPE, "application/json")], shown(&text)).into_response(),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "an answer has no JSON");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// JSON that a terminal can show: names are the customer's. JSON escapes the control characters below U+0020 and no other: U+009B begins
/// a terminal's escape sequence as ESC does, and U+202E turns the rest of a line round.
pub fn shown(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        // Outside of texts JSON is plain ASCII, so this is always inside one.
        if c.is_control() || is_unseen(c) {
            text.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            text.push(c);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_good_for_its_own_list() {
        assert_eq!(place("connections", &cursor("connections", 42)), Some(42));
        for bad in [
            "",
            "42",
            "!",
            &cursor("launches", 42),
            &format!("{}=", cursor("connections", 42)),
            &URL_SAFE_NO_PAD.encode("connections:+42"),
        ] {
            assert_eq!(place("connections", bad), None, "{bad}");
        }
    }
}
