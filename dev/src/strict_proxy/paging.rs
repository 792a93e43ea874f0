//! Answers in pages. A token names the operation it is for and where to go on, and is good for nothing else.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::shared::AwsCall;

/// Fewer than any service gives, so that a run has more than one page of nearly everything. A service may answer with fewer
/// than `MaxResults`.
pub(super) const SMALL: usize = 2;

/// The page that `token` asks for, and the token of the next; an error when the token is none of this operation's.
pub(super) fn page(
    operation: &str,
    items: Vec<Value>,
    token: Option<&str>,
    size: usize,
) -> Result<(Vec<Value>, Option<String>), InvalidToken> {
    let from = match token {
        None => 0,
        Some(token) => offset(operation, token).filter(|from| *from < items.len()).ok_or(InvalidToken)?,
    };
    let next = (from + size < items.len()).then(|| STANDARD.encode(format!("{operation} from {}", from + size)));
    Ok((items.into_iter().skip(from).take(size).collect(), next))
}

/// The page of a list that a call asks for, as most services write it.
pub(super) fn list(aws_call: &AwsCall, member: &str, items: Vec<Value>, size: usize) -> Result<Value, InvalidToken> {
    let (some, next) = page(&aws_call.operation, items, aws_call.input["NextToken"].as_str(), size)?;
    let mut answer = json!({member: some});
    if let Some(next) = next {
        answer["NextToken"] = json!(next);
    }
    Ok(answer)
}

/// Each service has its own words for it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct InvalidToken;

fn offset(operation: &str, token: &str) -> Option<usize> {
    let text = String::from_utf8(STANDARD.decode(token).ok()?).ok()?;
    text.strip_prefix(operation)?.strip_prefix(" from ")?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    #[test]
    fn pages_follow_each_other_and_tokens_are_ours_only() {
        let items: Vec<Value> = (0..5).map(|number| json!(number)).collect();
        let (mut seen, mut token) = (Vec::new(), None);
        loop {
            let (some, next) = page("List", items.clone(), token.as_deref(), SMALL).unwrap();
            seen.push(some.len());
            token = next;
            if token.is_none() {
                break;
            }
        }
        assert_eq!(seen, [2, 2, 1]);
        let (_, token) = page("List", items.clone(), None, SMALL).unwrap();
        assert_eq!(page("Describe", items.clone(), token.as_deref(), SMALL), Err(InvalidToken));
        assert_eq!(page("List", Vec::new(), token.as_deref(), SMALL), Err(InvalidToken));
        assert_eq!(page("List", items, Some("List from 2"), SMALL), Err(InvalidToken));
    }
}
