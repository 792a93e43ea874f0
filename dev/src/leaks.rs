//! The search for secrets in everything that was written.

use std::sync::LazyLock;

use regex::Regex;

/// Shorter values would be found by chance.
const SECRET_BYTES_MIN: usize = 8;

/// What a secret looks like, whoever made it.
static SHAPES: LazyLock<Vec<(&str, Regex)>> = LazyLock::new(|| {
    [
        ("a launch token", r"whsec_[A-Za-z0-9+/]{20,}"),
        ("a notice signature", r"\bv1,[A-Za-z0-9+/]{43}="),
        ("a request signature", r"Signature=[0-9a-f]{64}"),
        ("a presigned query", r"X-Amz-(Signature|Credential|Security-Token)="),
        ("an authorization header", r"AWS4-HMAC-SHA256 Credential="),
        ("a private key", r"BEGIN [A-Z ]*PRIVATE KEY"),
    ]
    .into_iter()
    .filter_map(|(name, pattern)| Some((name, Regex::new(pattern).ok()?)))
    .collect()
});

/// A secret that was found. It says where, and never what.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Leak {
    /// The name of the text.
    pub place: String,
    /// The line, from 1.
    pub line: usize,
    /// What kind of secret it is.
    pub kind: String,
}

/// Looks for `secrets` (kind and value) and for everything shaped like one in `texts` (name and content).
pub fn search(texts: &[(&str, &str)], secrets: &[(&str, &str)]) -> Vec<Leak> {
    let mut leaks = Vec::new();
    for (place, text) in texts {
        for (number, line) in text.lines().enumerate() {
            let known = secrets
                .iter()
                .filter(|(_, secret)| secret.len() >= SECRET_BYTES_MIN && line.contains(secret))
                .map(|(kind, _)| *kind);
            let shaped = SHAPES.iter().filter(|(_, shape)| shape.is_match(line)).map(|(kind, _)| *kind);
            for kind in known.chain(shaped) {
                leaks.push(Leak { place: (*place).to_owned(), line: number + 1, kind: kind.to_owned() });
            }
        }
    }
    leaks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_found_by_value_and_by_shape() {
        let text = "fine\ntoken=0123456789abcdef\nwhsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\nv1,";
        let found = search(&[("log", text)], &[("a session token", "0123456789abcdef"), ("short", "fine")]);
        let kinds: Vec<(usize, &str)> = found.iter().map(|leak| (leak.line, leak.kind.as_str())).collect();
        assert_eq!(kinds, [(2, "a session token"), (3, "a launch token")]);
    }

    #[test]
    fn every_shape_is_a_regular_expression() {
        assert_eq!(SHAPES.len(), 6);
    }
}
